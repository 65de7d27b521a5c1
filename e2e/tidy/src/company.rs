//! Files that must exist beside others, and lists that must agree.

use std::collections::BTreeSet;

use crate::Finding;
use crate::repository::File;

/// The page that says why each dependency is the best kept of its kind.
pub const DEPENDENCY_PAGE: &str = "docs/src/internals/dependencies.md";

/// Files of commands that no golden script calls: a script is a behaviour, and a family of small commands may share one.
pub fn golden_scripts(paths: &[&str], scripts: &[&File]) -> Vec<Finding> {
    let is_call = |line: &str, command: &str| {
        let word = line.strip_prefix("> ").and_then(|call| call.split_whitespace().next());
        word.is_some_and(|word| word.eq_ignore_ascii_case(command))
    };
    let mut findings = Vec::new();
    for path in paths {
        let Some(command) = path.strip_prefix("storage-node/kv/src/command/").and_then(|rest| rest.strip_suffix(".rs")) else { continue };
        let stem = command.rsplit('/').next().unwrap_or(command);
        // What the commands share, and COMMAND's own file.
        let called = match stem {
            "mod" | "tests" | "common" => continue,
            "table" => "command",
            name => name,
        };
        if !scripts.iter().any(|script| script.text.lines().any(|line| is_call(line, called))) {
            findings.push(Finding::new(path, 1, "a command that no golden script calls", "a script in storage-node/kv/testdata"));
        }
    }
    findings
}

/// Crate roots that do not begin with a page about the crate.
pub fn crate_pages(file: &File) -> Vec<Finding> {
    let path = &file.path;
    let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs") || path.contains("/src/bin/");
    if is_root && !file.text.starts_with("//! ") {
        return vec![Finding::new(path, 1, "a crate without a page", "`//!` lines that say what it is and which rules it keeps")];
    }
    Vec::new()
}

/// Dependencies of the workspace that the page does not name in backticks.
pub fn dependency_page(manifest: &str, page: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_section = false;
    for (number, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            in_section = line.trim() == "[workspace.dependencies]";
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        let is_ours = name.starts_with("strata-");
        if in_section
            && line.contains('=')
            && !name.is_empty()
            && !name.starts_with('#')
            && !is_ours
            && !page.contains(&format!("`{name}`"))
        {
            findings.push(Finding::new(
                "Cargo.toml",
                number + 1,
                format!("{name} without a word why"),
                format!("an entry in {DEPENDENCY_PAGE}"),
            ));
        }
    }
    findings
}

/// The banned paths that a `clippy.toml` lists.
pub fn clippy_bans(text: &str) -> BTreeSet<String> {
    let path = |line: &str| line.split_once("path = \"").and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path.to_owned());
    text.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(path).collect()
}

/// Since clippy does not merge its files, a stricter one must repeat all that the general one bans.
pub fn stricter_lints(general: &str, path: &str, stricter: &str) -> Vec<Finding> {
    let missing: Vec<String> = clippy_bans(general).difference(&clippy_bans(stricter)).cloned().collect();
    missing.into_iter().map(|ban| Finding::new(path, 1, format!("a list without {ban}"), "the root's line for it")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_each_command_is_called_by_a_script() {
        let script = File::new("storage-node/kv/testdata/strings.txt", "# Strings.\n> get key\n(nil)\n> COMMAND\n");
        let paths = ["storage-node/kv/src/command/get.rs", "storage-node/kv/src/command/table.rs", "storage-node/kv/src/record.rs"];
        assert_eq!(golden_scripts(&paths, &[&script]), []);
    }

    #[test]
    fn bad_a_command_is_only_mentioned() {
        let script = File::new("storage-node/kv/testdata/strings.txt", "# GET reads.\n> getex get\n");
        assert_eq!(golden_scripts(&["storage-node/kv/src/command/get.rs"], &[&script]).len(), 1);
    }

    #[test]
    fn good_a_crate_begins_with_its_page() {
        assert_eq!(crate_pages(&File::new("crds/src/lib.rs", "//! The types.\n")), []);
        assert_eq!(crate_pages(&File::new("crds/src/backup.rs", "use a;\n")), []);
    }

    #[test]
    fn bad_a_crate_begins_with_code() {
        assert_eq!(crate_pages(&File::new("crds/src/lib.rs", "use a;\n")).len(), 1);
    }

    #[test]
    fn good_every_dependency_is_on_the_page() {
        let manifest = "[workspace.dependencies]\nstrata-kv = { path = \"kv\" }\n# why = 1\nbytes = \"1\"\n[profile.dev]\nraft = 1\n";
        assert_eq!(dependency_page(manifest, "- `bytes`: cheap slices."), []);
    }

    #[test]
    fn bad_a_dependency_is_not_on_the_page() {
        let findings = dependency_page("[workspace.dependencies]\nbytes = \"1\"\nserde = \"1\"\n", "- `bytes`: cheap slices of serde's.");
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn good_the_stricter_list_repeats_the_general_one() {
        let general = "{ path = \"std::env::var\", reason = \"a\" },\n";
        assert_eq!(stricter_lints(general, "kv/clippy.toml", &format!("{general}{{ path = \"std::fs::File\" }}")), []);
    }

    #[test]
    fn bad_the_stricter_list_forgot_one() {
        assert_eq!(stricter_lints("{ path = \"std::env::var\" },\n", "kv/clippy.toml", "# { path = \"std::env::var\" }\n").len(), 1);
    }
}
