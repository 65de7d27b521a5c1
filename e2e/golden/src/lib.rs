//! What a test recorded, compared with what it gives now.
//!
//! A golden file is written by a program and judged by people: `UPDATE=1 cargo test` writes it anew, and the difference is read before it is
//! committed. Generated files that must equal their source are the same thing. Every suite goes through this crate, so that all of them say alike
//! what differs and how to record it.
//!
//! ```text
//! scripts   testdata/*.txt   `# the intent`, commands, and behind each what it answered     check_scripts(folder, run)
//! files     anything         the whole of it follows from something else                    compare(path, now)
//! formats   testdata/format  `encoding = meaning`, which holds for ever                     check_fixture(path, read), fixture(text), hex, unhex
//! ```
//!
//! Only tests depend on it, those of leaves too; it depends on nothing. `e2e/tidy` holds both.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder whose names end so, in the order of their names.
///
/// # Panics
/// When there is none: a suite without cases proves nothing.
pub fn files(folder: impl AsRef<Path>, ending: &str) -> Vec<PathBuf> {
    let folder = folder.as_ref();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{} cannot be listed: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder that was opened can be listed").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    assert!(!paths.is_empty(), "{} holds no file that ends in {ending}", folder.display());
    paths
}

/// Compares a file with what it should hold now, or records it anew under `UPDATE=1`. The error names the first line that differs.
pub fn compare(path: impl AsRef<Path>, now: &str) -> Result<(), String> {
    let path = path.as_ref();
    let recorded = fs::read_to_string(path).unwrap_or_default();
    if recorded == now {
        return Ok(());
    }
    if is_update() {
        return fs::write(path, now).map_err(|error| format!("{} cannot be written: {error}", path.display()));
    }
    Err(difference(path, &recorded, now))
}

/// Whether what a test gives now is to be recorded: `UPDATE=1`.
pub fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

fn difference(path: &Path, recorded: &str, now: &str) -> String {
    let line = 1 + now.lines().zip(recorded.lines()).take_while(|(now, recorded)| now == recorded).count();
    let at = |text: &str| text.lines().nth(line - 1).unwrap_or("the end").to_owned();
    format!("{}:{line}: recorded {:?}, now {:?} (UPDATE=1 records anew)", path.display(), at(recorded), at(now))
}

/// Runs every `.txt` of a folder: `run` takes a script and returns it with the answers of now.
///
/// # Panics
/// When a script gives something else than it recorded, or does not begin with its intent.
#[track_caller]
pub fn check_scripts(folder: impl AsRef<Path>, run: impl Fn(&str) -> String) {
    let check = |path: &PathBuf| {
        let recorded = fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if !recorded.starts_with("# ") {
            return Err(format!("{}: the first line must say the intent: `# …`", path.display()));
        }
        compare(path, &run(&recorded))
    };
    expect_all(files(folder, ".txt").iter().map(check));
}

/// The lines of a fixture, `encoding = meaning`; empty ones and comments are left out.
///
/// # Panics
/// When a line is something else.
pub fn fixture(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" = ").unwrap_or_else(|| panic!("{line:?} is not `encoding = meaning`")))
}

/// Checks a file of lines `encoding = meaning`: `read` gives what an encoding means now, which must be what it meant. A new line comes with `?` for
/// its meaning, and `UPDATE=1` fills that in; a meaning that stands there is never rewritten.
///
/// # Panics
/// When an encoding means something else, or there is no line at all.
#[track_caller]
pub fn check_fixture(path: impl AsRef<Path>, read: impl Fn(&str) -> String) {
    let path = path.as_ref();
    let recorded = fs::read_to_string(path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    let (mut now, mut checked, mut failures) = (String::new(), 0, Vec::new());
    for line in recorded.lines() {
        let is_word = line.is_empty() || line.starts_with('#');
        let (encoding, meaning) = if is_word { (line, "") } else { line.split_once(" = ").unwrap_or((line, "")) };
        let means = if is_word { String::new() } else { read(encoding) };
        let is_new = meaning == "?";
        if !is_word && !is_new && means != meaning {
            failures.push(format!("{}: {encoding} meant {meaning:?}, and means {means:?} now", path.display()));
        }
        checked += usize::from(!is_word);
        now.push_str(&if is_new { format!("{encoding} = {means}") } else { line.to_owned() });
        now.push('\n');
    }
    assert!(checked > 0, "{} holds no line to check", path.display());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    expect_all([compare(path, &now)]);
}

/// Bytes as two digits each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of such a text.
///
/// # Panics
/// When it is something else.
pub fn unhex(text: &str) -> Vec<u8> {
    assert!(text.is_ascii() && text.len().is_multiple_of(2), "{text:?} is no hex");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or_else(|_| panic!("{text:?} is no hex"));
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Shows all failures of a suite at once.
///
/// # Panics
/// When there is any.
#[track_caller]
pub fn expect_all(results: impl IntoIterator<Item = Result<(), String>>) {
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_what_was_recorded_is_given() {
        assert_eq!(compare("src/lib.rs", include_str!("lib.rs")), Ok(()));
        assert_eq!(files(".", ".toml").len(), 1);
    }

    #[test]
    fn bad_the_first_line_that_differs_is_named() {
        let told = difference(Path::new("a.txt"), "# one\ntwo\nthree\n", "# one\ntwo\nfour\n");
        assert_eq!(told, "a.txt:3: recorded \"three\", now \"four\" (UPDATE=1 records anew)");
        assert!(difference(Path::new("a.txt"), "one\n", "one\ntwo\n").contains("recorded \"the end\", now \"two\""));
    }

    fn meaning(encoding: &str) -> String {
        if encoding == "01" { "one" } else { "two" }.to_owned()
    }

    #[test]
    fn good_a_fixture_means_what_it_meant() {
        check_fixture("testdata/fixture.txt", meaning);
    }

    #[test]
    #[should_panic(expected = "02 meant \"two\", and means \"2\" now")]
    fn bad_a_fixture_means_something_else() {
        check_fixture("testdata/fixture.txt", |encoding| if encoding == "02" { "2".to_owned() } else { meaning(encoding) });
    }

    #[test]
    #[should_panic(expected = "holds no file")]
    fn bad_a_suite_has_no_cases() {
        assert!(files(".", ".txt").is_empty(), "it panics before");
    }
}
