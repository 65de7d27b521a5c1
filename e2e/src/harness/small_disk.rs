//! A small file system of its own under a folder, so that a scenario can fill a disk without filling the machine's, freeze it, and cut its power.
//!
//! ```text
//! plain:      folder ── ext4 ── loop device ── folder.image
//! forgetful:  folder ── overlay, volatile: fsync does nothing ── folder.below ── ext4 ── loop device ── folder.image
//! ```
//!
//! When the power of a disk is cut, the file system is shut down without a last word: what nobody had synced is gone, as it is when a machine loses its power. The
//! medium is one that loses nothing of what was sent to it; a disk that lies about that is simulated only.

use super::wait;
use crate::failure::Failure;
use rustix::{
    fs::{FallocateFlags, Mode, OFlags},
    ioctl,
    process::{Pid, Signal, kill_process_group},
};
use std::{
    ffi::OsStr,
    fs::File,
    io::Write,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// What is written and not synced before every cut of the power, in bytes: if it is still there afterwards, nothing was cut.
const WITNESS_BYTES: usize = 64 << 10;

/// How long a file system may be in use after its last process has ended.
const IDLE_DEADLINE: Duration = Duration::from_secs(10);

/// ext4 commits what nobody asked for after so many seconds: longer than from one cut of the power to the next.
const MOUNT_OPTIONS: &str = "loop,commit=600";

/// Thaws the file system `$1` after `$0` seconds.
const THAWS_LATER: &str = "sleep \"$0\"; fsfreeze --unfreeze \"$1\"";

/// Freezes the file system `$1` for most of each fifth of a second, `$0` times, and leaves it thawed.
///
/// Told to end, a shell with a trap first waits for the program that it runs. Without one it would leave a `fsfreeze --freeze` behind that waits in the kernel, and then freezes for good
/// what was thawed meanwhile.
const FREEZES_AGAIN_AND_AGAIN: &str = "trap exit TERM; n=0; \
    while [ $n -lt \"$0\" ]; do fsfreeze --freeze \"$1\"; sleep 0.15; fsfreeze --unfreeze \"$1\"; sleep 0.05; n=$((n + 1)); done";

/// `EXT4_IOC_SHUTDOWN`, which XFS and F2FS know by the same number.
const SHUTDOWN: ioctl::Opcode = ioctl::opcode::read::<u32>(b'X', 125);

/// Shut down at once: neither data nor journal are written.
const WITHOUT_FLUSH: u32 = 2;

/// A file system in a file, mounted on a folder. Dropping it unmounts it; processes that use it may go on until they end.
pub struct SmallDisk {
    folder: PathBuf,
    is_forgetful: bool,
    /// Whoever thaws the file system if nobody else does.
    guard: Option<Child>,
}

impl SmallDisk {
    /// Puts an ext4 of this size under `folder`, with what the folder held. Nobody may use the folder meanwhile. `Lacking` where this machine
    /// or this user may not mount.
    pub fn under(folder: &Path, bytes: u64) -> Result<SmallDisk, Failure> {
        SmallDisk::put(folder, bytes, false)
    }

    /// As [`SmallDisk::under`], a disk on which fsync does nothing: what a test of durability must find out.
    pub fn forgetful_under(folder: &Path, bytes: u64) -> Result<SmallDisk, Failure> {
        SmallDisk::put(folder, bytes, true)
    }

    fn put(folder: &Path, bytes: u64, is_forgetful: bool) -> Result<SmallDisk, Failure> {
        let disk = SmallDisk { folder: folder.to_owned(), is_forgetful, guard: None };
        let (image, aside) = (disk.image(), folder.with_extension("aside"));
        let file = File::create(&image).and_then(|file| file.set_len(bytes));
        file.map_err(Failure::of(format!("make {}", image.display())))?;
        // Not a block is kept for root: what the node sees as free is free.
        run("mkfs.ext4", [OsStr::new("-q"), OsStr::new("-m"), OsStr::new("0"), image.as_os_str()])?;
        std::fs::rename(folder, &aside).map_err(Failure::of(format!("put {} aside", folder.display())))?;
        for needed in [folder.to_owned(), disk.base(), disk.lower()] {
            std::fs::create_dir_all(&needed).map_err(Failure::of(format!("make {}", needed.display())))?;
        }
        if let Err(failure) = disk.mount() {
            let restored = std::fs::remove_dir(folder).and_then(|()| std::fs::rename(&aside, folder));
            restored.map_err(Failure::of(format!("put {} back", folder.display())))?;
            return Err(failure);
        }
        run("cp", [OsStr::new("-a"), aside.join(".").as_os_str(), folder.as_os_str()])?;
        let synced = disk.open().and_then(|base| rustix::fs::syncfs(&base));
        synced.map_err(Failure::of(format!("sync {}", folder.display())))?;
        Ok(disk)
    }

    /// Puts a file of zeros beside what the folder holds.
    pub fn fill(&self, bytes: usize) -> Result<(), Failure> {
        let written = File::create(self.filler()).and_then(|mut file| {
            Write::write_all(&mut file, &vec![0; bytes])?;
            file.sync_all()
        });
        written.map_err(Failure::of(format!("write {}", self.filler().display())))
    }

    /// Takes all room but so much, in bytes.
    pub fn fill_up(&self, left_bytes: u64) -> Result<(), Failure> {
        let filled = || -> std::io::Result<()> {
            let all = rustix::fs::statvfs(&self.folder)?;
            let taken = (all.f_bavail * all.f_frsize).saturating_sub(left_bytes);
            let file = File::create(self.filler())?;
            if taken > 0 {
                rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, taken)?;
            }
            Ok(())
        };
        filled().map_err(Failure::of(format!("fill {}", self.folder.display())))
    }

    /// Removes that file.
    pub fn relieve(&self) -> Result<(), Failure> {
        std::fs::remove_file(self.filler()).map_err(Failure::of(format!("remove {}", self.filler().display())))
    }

    /// Whoever writes stands still from now on, until [`SmallDisk::thaw`], or for so long at most.
    pub fn freeze(&mut self, at_most: Duration) -> Result<(), Failure> {
        // First of all somebody who thaws it whatever becomes of us: nobody can kill a process that waits for a frozen disk.
        self.guard(THAWS_LATER, at_most.as_secs().max(1))?;
        run("fsfreeze", [OsStr::new("--freeze"), self.base().as_os_str()])
    }

    /// Whoever writes stands still for most of the time from now on, until [`SmallDisk::thaw`], or for so long at most.
    pub fn slow_down(&mut self, at_most: Duration) -> Result<(), Failure> {
        self.guard(FREEZES_AGAIN_AND_AGAIN, at_most.as_secs().max(1) * 5)
    }

    /// Starts a script that goes on, and comes to its end, without us.
    fn guard(&mut self, script: &str, number: u64) -> Result<(), Failure> {
        self.thaw();
        let mut guard = Command::new("sh");
        guard.args(["-c", script, &number.to_string()]).arg(self.base()).process_group(0);
        let guard = guard.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.guard = Some(guard.map_err(Failure::of("start the guard of a disk"))?);
        Ok(())
    }

    /// Lets writers go on. Does nothing where nothing holds them.
    pub fn thaw(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        let group = Pid::from_raw(guard.id() as i32).expect("a process id is never 0");
        let _ = kill_process_group(group, Signal::TERM);
        drop(guard.wait());
        // It fails where the guard was faster.
        drop(run("fsfreeze", [OsStr::new("--unfreeze"), self.base().as_os_str()]));
    }

    /// Cuts the power of a disk that no process uses any more, and mounts what is left of it. Whether what was not synced is gone: it is, unless the fault could
    /// not be inflicted.
    pub async fn cut_power(&mut self) -> Result<bool, Failure> {
        self.thaw();
        let witness = self.base().join("witness");
        std::fs::write(&witness, vec![7; WITNESS_BYTES]).map_err(Failure::of(format!("write {}", witness.display())))?;
        self.shut_down().map_err(Failure::of(format!("cut the power of {}", self.folder.display())))?;
        wait::until(IDLE_DEADLINE, "nobody uses a disk without power", async || self.unmount(&[]).map_err(|busy| busy.to_string())).await?;
        self.mount()?;
        let is_lost = std::fs::metadata(&witness).map_or(true, |left| left.len() < WITNESS_BYTES as u64);
        // What is left of it says nothing any more; where nothing is, there is nothing to remove.
        drop(std::fs::remove_file(&witness));
        Ok(is_lost)
    }

    #[expect(unsafe_code, reason = "no safe call of the system shuts a file system down without writing what it holds")]
    fn shut_down(&self) -> rustix::io::Result<()> {
        let base = self.open()?;
        // SAFETY: the kernel reads one u32 behind the pointer for this number, and keeps nothing of it; other file systems refuse the number.
        unsafe { ioctl::ioctl(&base, ioctl::Setter::<SHUTDOWN, u32>::new(WITHOUT_FLUSH)) }
    }

    fn open(&self) -> rustix::io::Result<rustix::fd::OwnedFd> {
        rustix::fs::open(self.base(), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    }

    fn mount(&self) -> Result<(), Failure> {
        let (image, base) = (self.image(), self.base());
        run("mount", [OsStr::new("-o"), OsStr::new(MOUNT_OPTIONS), image.as_os_str(), base.as_os_str()])?;
        if !self.is_forgetful {
            return Ok(());
        }
        let (upper, work) = (base.join("upper"), base.join("work"));
        // The kernel marks what a volatile overlay worked in, so that nobody trusts it after a crash. We do not; we look what is left.
        for (folder, goes) in [(&upper, false), (&work, true)] {
            let fresh = if goes && folder.exists() { std::fs::remove_dir_all(folder) } else { Ok(()) };
            let made = fresh.and_then(|()| std::fs::create_dir_all(folder));
            made.map_err(Failure::of(format!("make {}", folder.display())))?;
        }
        let [lower, upper, work] = [self.lower(), upper, work].map(|folder| folder.display().to_string());
        let options = format!("lowerdir={lower},upperdir={upper},workdir={work},volatile");
        let arguments = ["-t", "overlay", "overlay", "-o", &options].map(OsStr::new);
        run("mount", arguments.into_iter().chain([self.folder.as_os_str()]))
    }

    fn unmount(&self, how: &[&str]) -> Result<(), Failure> {
        let how = || how.iter().map(OsStr::new);
        if self.is_forgetful && is_mount_point(&self.folder) {
            run("umount", how().chain([self.folder.as_os_str()]))?;
        }
        run("umount", how().chain([self.base().as_os_str()]))
    }

    /// Where the ext4 is mounted.
    fn base(&self) -> PathBuf {
        if self.is_forgetful { self.folder.with_extension("below") } else { self.folder.clone() }
    }

    fn lower(&self) -> PathBuf {
        if self.is_forgetful { self.folder.with_extension("lower") } else { self.folder.clone() }
    }

    fn image(&self) -> PathBuf {
        self.folder.with_extension("image")
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        self.thaw();
        // Lazily: the node's process ends after the scenario, and the file system with its last file. Who drops has nobody to tell.
        drop(self.unmount(&["--lazy"]));
    }
}

/// Whether something is mounted on the folder: it lies on another device than what holds it.
fn is_mount_point(folder: &Path) -> bool {
    let device = |path: &Path| rustix::fs::stat(path).map(|found| found.st_dev).ok();
    folder.parent().is_some_and(|parent| device(folder) != device(parent))
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<(), Failure> {
    let lacking = |why: String| Failure::Lacking(format!("{program} does not work here: {why}"));
    let output = Command::new(program).args(arguments).output().map_err(|error| lacking(error.to_string()))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(lacking(format!("{}, {}", output.status, words.trim()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::say;
    use std::sync::mpsc::sync_channel;

    const BYTES: u64 = 32 << 20;
    const BEFORE: &str = "it was there before the disk";
    const SOON: Duration = Duration::from_secs(20);

    /// What is left of a synced and an unsynced file after a cut of the power, and whether the disk says that it lost something.
    async fn left_after_a_cut(test: &str, make: fn(&Path, u64) -> Result<SmallDisk, Failure>) -> Option<(bool, bool, bool)> {
        let (_folder, data, mut disk) = disk(test, make)?;
        let written = File::create(data.join("synced")).and_then(|mut file| {
            file.write_all(b"kept")?;
            file.sync_all()
        });
        written.expect("a file is written and synced");
        std::fs::write(data.join("unsynced"), "lost").expect("a file is written");
        let is_lost = disk.cut_power().await.expect("the power is cut");
        let holds = |name: &str, text: &str| std::fs::read_to_string(data.join(name)).is_ok_and(|read| read == text);
        assert!(holds("before", BEFORE), "what the folder held is on the disk");
        Some((is_lost, holds("synced", "kept"), holds("unsynced", "lost")))
    }

    /// An empty disk under a temporary folder; none where this machine has no means for it, which is said.
    fn disk(test: &str, make: fn(&Path, u64) -> Result<SmallDisk, Failure>) -> Option<(tempfile::TempDir, PathBuf, SmallDisk)> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("an empty folder");
        std::fs::write(data.join("before"), BEFORE).expect("a file is written");
        match make(&data, BYTES) {
            Err(Failure::Lacking(why)) => {
                say(format!("skipped: {test}: {why}"));
                None
            }
            disk => Some((folder, data, disk.expect("a disk"))),
        }
    }

    #[test]
    fn a_frozen_disk_takes_writes_when_it_thaws() {
        let Some((_folder, data, mut disk)) = disk("a_frozen_disk_takes_writes_when_it_thaws", SmallDisk::under) else { return };
        let write = || {
            let (done, is_done) = sync_channel(1);
            let path = data.join("written");
            let writer = std::thread::Builder::new().spawn(move || done.send(std::fs::write(path, "late")).is_ok());
            drop(writer.expect("a thread starts"));
            is_done
        };
        disk.freeze(Duration::from_secs(60)).expect("it freezes");
        let is_done = write();
        assert!(is_done.recv_timeout(Duration::from_millis(200)).is_err(), "nothing is written to a frozen disk");
        disk.thaw();
        is_done.recv_timeout(SOON).expect("it thaws").expect("it is written");
        disk.freeze(Duration::from_secs(1)).expect("it freezes");
        write().recv_timeout(SOON).expect("its guard thaws it").expect("it is written");
        disk.slow_down(Duration::from_secs(1)).expect("it is slow");
        write().recv_timeout(SOON).expect("it is slow, and goes on").expect("it is written");
    }

    #[tokio::test]
    async fn what_freezes_while_it_is_thawed_does_not_stay_frozen() {
        let Some((_folder, data, mut disk)) = disk("what_freezes_while_it_is_thawed_does_not_stay_frozen", SmallDisk::under) else {
            return;
        };
        for millis in 0..25 {
            // What is not synced yet holds the freeze up.
            std::fs::write(data.join("dirty"), vec![7; BYTES as usize / 2]).expect("a file is written");
            disk.slow_down(Duration::from_secs(60)).expect("it is slow");
            wait::pause(Duration::from_millis(millis)).await;
            disk.thaw();
            // What freezes late does so soon.
            wait::pause(Duration::from_millis(50)).await;
            let is_thawed = run("fsfreeze", [OsStr::new("--unfreeze"), data.as_os_str()]).is_err();
            assert!(is_thawed, "it froze after it was thawed, {millis} ms after it began to be slow");
        }
    }

    #[tokio::test]
    async fn a_cut_of_the_power_takes_what_was_not_synced() {
        let left = left_after_a_cut("a_cut_of_the_power_takes_what_was_not_synced", SmallDisk::under).await;
        assert!(left.is_none_or(|left| left == (true, true, false)), "(lost, synced, unsynced) is {left:?}");
    }

    #[tokio::test]
    async fn a_forgetful_disk_loses_what_was_synced_too() {
        let left = left_after_a_cut("a_forgetful_disk_loses_what_was_synced_too", SmallDisk::forgetful_under).await;
        assert!(left.is_none_or(|left| left == (true, false, false)), "(lost, synced, unsynced) is {left:?}");
    }
}
