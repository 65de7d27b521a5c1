//! The files of the repository, as text.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file.
#[derive(Clone, Debug)]
pub struct File {
    /// Path from the root of the repository, with forward slashes.
    pub path: String,
    /// The whole text.
    pub text: String,
}

impl File {
    /// A file made of a path and a text, as the tests of rules use it.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Whether the path ends in this extension.
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// The file's name without folder and extension.
    pub fn stem(&self) -> &str {
        Path::new(&self.path).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// Whether all of the file is test code by its place: `tests/`, `tests.rs`, or the judge's own sources.
    pub fn is_test_by_place(&self) -> bool {
        let path = &self.path;
        path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.starts_with("e2e/src/")
    }
}

/// All text files that are tracked, or would be if they were added.
#[derive(Debug)]
pub struct Repository {
    /// The files, by path.
    pub files: Vec<File>,
}

impl Repository {
    /// Reads the repository this crate lies in.
    ///
    /// # Panics
    /// When git cannot list the files: a check that saw nothing must not pass.
    pub fn load() -> Self {
        let root = root();
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root)
            .output()
            .expect("git lists the files of the repository");
        assert!(listing.status.success(), "git ls-files failed: {}", String::from_utf8_lossy(&listing.stderr));
        let listing = String::from_utf8(listing.stdout).expect("paths of the repository are UTF-8");
        // What cannot be read as text is binary, a folder behind a link, or deleted and not yet committed.
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok().map(|text| File::new(path, &text));
        let mut files: Vec<File> = listing.split('\0').filter(|path| !path.is_empty()).filter_map(read).collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files.dedup_by(|left, right| left.path == right.path);
        assert!(files.len() > 20, "only {} files were found, so the rules would prove nothing", files.len());
        Self { files }
    }

    /// All Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.has_extension("rs"))
    }

    /// One file by its path.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// All paths.
    pub fn paths(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.path.as_str()).collect()
    }
}

/// The root of the repository, two folders above this crate. Where it lies is asked at run time: with a target folder that several checkouts
/// share, the one that this was compiled in may be gone.
pub fn root() -> PathBuf {
    let home = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&home).join("../..").canonicalize().expect("the crate lies two folders below the root")
}
