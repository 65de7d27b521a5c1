//! A small file system of its own under a folder, so that a scenario can fill a disk without filling the machine's.

use crate::failure::Failure;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

/// A file system in a file, mounted on a folder. Dropping it unmounts it; processes that use it may go on until they end.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Puts an ext4 of this size under `folder`, with what the folder held. Nobody may use the folder meanwhile. `Lacking` where this machine
    /// or this user may not mount.
    pub fn under(folder: &Path, bytes: u64) -> Result<SmallDisk, Failure> {
        let (image, aside) = (folder.with_extension("image"), folder.with_extension("aside"));
        let file = std::fs::File::create(&image).and_then(|file| file.set_len(bytes));
        file.map_err(Failure::of(format!("make {}", image.display())))?;
        // Not a block is kept for root: what the node sees as free is free.
        run("mkfs.ext4", [OsStr::new("-q"), OsStr::new("-m"), OsStr::new("0"), image.as_os_str()])?;
        std::fs::rename(folder, &aside).map_err(Failure::of(format!("put {} aside", folder.display())))?;
        std::fs::create_dir(folder).map_err(Failure::of(format!("make {}", folder.display())))?;
        let mounted = run("mount", [OsStr::new("-o"), OsStr::new("loop"), image.as_os_str(), folder.as_os_str()]);
        if let Err(failure) = mounted {
            let restored = std::fs::remove_dir(folder).and_then(|()| std::fs::rename(&aside, folder));
            restored.map_err(Failure::of(format!("put {} back", folder.display())))?;
            return Err(failure);
        }
        let disk = SmallDisk { folder: folder.to_owned() };
        run("cp", [OsStr::new("-a"), aside.join(".").as_os_str(), folder.as_os_str()])?;
        Ok(disk)
    }

    /// Puts a file of zeros beside what the folder holds.
    pub fn fill(&self, bytes: usize) -> Result<(), Failure> {
        let written = std::fs::File::create(self.filler()).and_then(|mut file| {
            std::io::Write::write_all(&mut file, &vec![0; bytes])?;
            file.sync_all()
        });
        written.map_err(Failure::of(format!("write {}", self.filler().display())))
    }

    /// Removes that file.
    pub fn relieve(&self) -> Result<(), Failure> {
        std::fs::remove_file(self.filler()).map_err(Failure::of(format!("remove {}", self.filler().display())))
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the node's process ends after the scenario, and the file system with its last file. Who drops has nobody to tell.
        drop(run("umount", [OsStr::new("--lazy"), self.folder.as_os_str()]));
    }
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<(), Failure> {
    let lacking = |why: String| Failure::Lacking(format!("{program} does not work here: {why}"));
    let output = Command::new(program).args(arguments).output().map_err(|error| lacking(error.to_string()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(lacking(format!("{}, {}", output.status, words.trim()))) }
}
