//! The operator's pure parts against recorded files.

mod bucket;
mod builders;
mod decide;
mod jobs;

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files of a folder with this ending, in order.
fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).expect("the folder exists").map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    assert!(!paths.is_empty(), "{folder} holds no file that ends in {ending}");
    paths
}

/// Compares a file with what it should hold now, or records it anew under `UPDATE=1`.
#[expect(clippy::disallowed_methods, reason = "a golden test's one check reads UPDATE")]
fn check(path: &Path, now: &str, failures: &mut Vec<String>) {
    let recorded = fs::read_to_string(path).unwrap_or_default();
    if recorded == now {
        return;
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, now).expect("a recorded file is writable");
        return;
    }
    let line = 1 + now.lines().zip(recorded.lines()).take_while(|(now, recorded)| now == recorded).count();
    let at = |text: &str| text.lines().nth(line - 1).unwrap_or("its end").to_owned();
    failures.push(format!("{}:{line}: recorded {:?}, now {:?} (UPDATE=1 records anew)", path.display(), at(&recorded), at(now)));
}
