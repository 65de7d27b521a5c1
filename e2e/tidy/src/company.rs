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

/// Where the object tier lists what can go wrong with a store.
pub const STORE_CLASSES: &str = "storage-node/engine/src/objects/error.rs";
/// Where the Kubernetes types list what a condition can say, the failures of a store among it.
pub const SHOWN_CLASSES: &str = "crds/src/condition.rs";

/// Two leaves that know nothing of each other have one list: what a store's failure is called in a log is its name in a condition. The longer
/// list has all of the shorter one, in its order, since both are read side by side.
pub fn shared_classes(store: &File, shown: &File) -> Vec<Finding> {
    let classes = |file: &File| variants(&file.text, "ErrorClass").into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let (store_classes, shown_classes) = (classes(store), classes(shown));
    if store_classes.is_empty() {
        return vec![Finding::new(
            &store.path,
            1,
            "a list of classes that is not found",
            "`pub enum ErrorClass`, or its new name in e2e/tidy",
        )];
    }
    let absent = store_classes.iter().filter(|class| !shown_classes.contains(class));
    let mut findings: Vec<Finding> = absent
        .map(|class| Finding::new(&shown.path, 1, format!("a list without {class}, which {} has", store.path), "every class of a store"))
        .collect();
    let in_shown_order: Vec<&String> = shown_classes.iter().filter(|class| store_classes.contains(class)).collect();
    if findings.is_empty() && in_shown_order != store_classes.iter().collect::<Vec<_>>() {
        findings.push(Finding::new(&shown.path, 1, "the classes of a store in another order", format!("the order of {}", store.path)));
    }
    findings
}

/// The variants of an enum of plain names, each with the text of its documentation.
pub fn variants(text: &str, name: &str) -> Vec<(String, String)> {
    let head = format!("pub enum {name} {{\n");
    let body = text.split_once(&head).and_then(|(_, rest)| rest.split_once("\n}")).map_or("", |(body, _)| body);
    let mut found = Vec::new();
    let mut words = Vec::new();
    for line in body.lines().map(str::trim) {
        if let Some(said) = line.strip_prefix("///") {
            words.push(said.trim());
        } else if let Some(variant) = line.strip_suffix(',') {
            found.push((variant.to_owned(), words.join(" ")));
            words.clear();
        }
    }
    found
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

    fn classes(list: &str) -> File {
        let list: String = list.split(' ').map(|class| format!("    /// What it is,\n    /// and more.\n    {class},\n")).collect();
        File::new("a.rs", &format!("#[derive(Debug)]\npub enum ErrorClass {{\n{list}}}\nimpl ErrorClass {{}}\n"))
    }

    #[test]
    fn good_the_longer_list_of_classes_has_the_shorter_one() {
        assert_eq!(variants(&classes("Dns").text, "ErrorClass"), [("Dns".to_owned(), "What it is, and more.".to_owned())]);
        assert_eq!(shared_classes(&classes("Dns Tls Internal"), &classes("Dns Tls DiskFull Internal")), []);
    }

    #[test]
    fn bad_a_class_is_missing_or_elsewhere_or_no_list_is_found() {
        let banned = |store, shown| shared_classes(&classes(store), &classes(shown)).into_iter().map(|one| one.banned).collect::<Vec<_>>();
        assert_eq!(banned("Dns NotS3", "Dns"), ["a list without NotS3, which a.rs has"]);
        assert_eq!(banned("Dns Tls", "Tls Dns"), ["the classes of a store in another order"]);
        let renamed = File::new("a.rs", "pub enum Class {\n    Dns,\n}\n");
        assert_eq!(shared_classes(&renamed, &classes("Dns")).len(), 1);
    }

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
