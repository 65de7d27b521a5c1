//! Paths and hosts that only exist on somebody's machine.
//!
//! Everything is recognised by its shape, so that this file names no machine itself: a folder where people keep their own things, the folder of
//! the checkout in which the tests happen to run, a host that is called what registries and mirrors are called, a setting that chooses one.

use std::path::{Component, Path};

use crate::Finding;
use crate::repository::File;
use crate::rust::line_of;

/// Folders below the root of a file system that hold what belongs to a person or was mounted by hand.
const PERSONAL_FOLDERS: &[&str] = &["root", "home", "Users", "mnt", "media"];
/// Folders below the root of a file system that every machine has. A checkout below one of them is known by its whole path.
const COMMON_FOLDERS: &[&str] = &["bin", "boot", "dev", "etc", "lib", "opt", "proc", "run", "sbin", "srv", "sys", "tmp", "usr", "var"];
/// What the first label of a registry's host says, and of the mirrors and caches in front of one.
const REGISTRY_LABELS: &[&str] =
    &["archive", "crates", "deb", "files", "index", "mirror", "mirrors", "npm", "proxy", "pypi", "registry", "static", "sum"];
/// What the first label of a name says by which a container reaches the machine it runs on.
const OUTSIDE_LABELS: &[&str] = &["gateway", "host"];
/// Where public names end, as far as registries are concerned. Words of code such as `index.rs` end otherwise.
const PUBLIC_ENDINGS: &[&str] = &["cloud", "cn", "com", "dev", "io", "net", "org"];
/// Settings that choose a registry or its mirror.
const REGISTRY_SETTINGS: &[&str] = &[
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "--index-url",
    "replace-with",
    "npm_config_registry",
];

const PATH_INSTEAD: &str = "a path from the root of the repository, or $HOME";
const HOST_INSTEAD: &str = "the package manager's own configuration";

/// Words that tie the repository to a machine. `checkout` is where the repository lies on this one.
pub fn places(file: &File, checkout: &Path) -> Vec<Finding> {
    let found = |at: usize, what: String, instead: &str| Finding::new(&file.path, line_of(&file.text, at), what, instead);
    let mut findings = Vec::new();
    for folder in PERSONAL_FOLDERS.iter().map(|name| format!("/{name}/")).chain([folder_of(checkout)]) {
        findings.extend(paths_below(&file.text, &folder).map(|at| found(at, format!("the path `{folder}`"), PATH_INSTEAD)));
    }
    let hosts = dotted_names(&file.text).filter(|(_, name)| is_registry(name) || is_outside(name));
    findings.extend(hosts.map(|(at, name)| found(at, format!("the host `{name}`"), HOST_INSTEAD)));
    for setting in REGISTRY_SETTINGS {
        let is_set = |at: usize| file.text[at + setting.len()..].trim_start_matches(' ').starts_with('=');
        let places = file.text.match_indices(setting).filter(|(at, _)| is_set(*at));
        findings.extend(places.map(|(at, _)| found(at, format!("choosing a registry by `{setting}`"), HOST_INSTEAD)));
    }
    findings
}

/// The folder that betrays a checkout: the first one below the root, or all of the path where the first one is on every machine.
fn folder_of(checkout: &Path) -> String {
    let names: Vec<&str> = checkout
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    match names.first() {
        Some(first) if !COMMON_FOLDERS.contains(first) => format!("/{first}/"),
        _ => format!("/{}/", names.join("/")),
    }
}

/// Where absolute paths below a folder begin. A folder of that name in the middle of a path, or behind a variable, is another one.
fn paths_below<'a>(text: &'a str, folder: &'a str) -> impl Iterator<Item = usize> + 'a {
    let begins = |at: usize| !text[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}$*)~>".contains(before));
    text.match_indices(folder).map(|(at, _)| at).filter(move |at| begins(*at))
}

/// The words of a text that could be names of hosts: at least two labels with dots between them.
fn dotted_names(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let in_name = |one: char| one.is_ascii_alphanumeric() || one == '.' || one == '-';
    text.split(move |one: char| !in_name(one)).filter_map(move |word| {
        let name = word.trim_matches(['.', '-']);
        (name.contains('.') && !name.contains("..")).then(|| (name.as_ptr().addr() - text.as_ptr().addr(), name))
    })
}

fn first_and_last<'a>(name: &'a str, labels: &[&str]) -> Option<&'a str> {
    let (first, rest) = name.split_once('.')?;
    labels.contains(&first).then(|| rest.rsplit('.').next().unwrap_or(rest))
}

/// `registry` or its like, below somebody's public domain.
fn is_registry(name: &str) -> bool {
    let labels = name.split('.').count();
    first_and_last(name, REGISTRY_LABELS).is_some_and(|ending| PUBLIC_ENDINGS.contains(&ending)) && labels > 2
}

/// `host` or its like, in a domain that only containers see.
fn is_outside(name: &str) -> bool {
    first_and_last(name, OUTSIDE_LABELS) == Some("internal")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rule refuses, put together from parts, so that this file can be judged by it like any other.
    fn check(lines: &[&[&str]], checkout: &str) -> Vec<usize> {
        let text: String = lines.iter().map(|parts| parts.concat() + "\n").collect();
        let mut lines: Vec<usize> = places(&File::new("a.sh", &text), Path::new(checkout)).iter().map(|finding| finding.line).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn good_paths_of_the_repository_and_of_containers() {
        let lines: &[&[&str]] = &[
            &["cd src/desk/ && cp x \"$HOME/root/\" && ls /var/lib/strata"],
            &["curl https://kubernetes.io/docs/home/ https://s3.example.com/mnt/"],
            &["cd /srv/desk/strata"],
        ];
        assert_eq!(check(lines, "/desk/strata"), [0_usize; 0]);
    }

    #[test]
    fn good_names_that_are_no_registries() {
        let lines: &[&[&str]] = &[
            &["archive.lane.rs index.html files.txt static.d.ts self.archive.status.index.first"],
            &["s3.example.com www.rust-lang.org kubernetes.default.svc host.name faults.internal io.somebody.internal.v1"],
            &["mirror.io is no domain of a registry, and GOPROXY is a word"],
        ];
        assert_eq!(check(lines, "/desk/strata"), [0_usize; 0]);
    }

    #[test]
    fn bad_folders_of_people() {
        let lines: &[&[&str]] = &[
            &["path = \"/", "root/.cargo\""],
            &["cd /", "home/somebody"],
            &["cd $HOME"],
            &["ls /", "mnt/disk"],
            &["open /", "Users/somebody"],
        ];
        assert_eq!(check(lines, "/desk/strata"), [1, 2, 4, 5]);
    }

    #[test]
    fn bad_folders_of_this_checkout() {
        assert_eq!(check(&[&["cd /desk/other"], &["cd /desk"], &["ls --from=/desk/strata/docs"]], "/desk/strata"), [1, 3]);
        assert_eq!(
            check(&[&["cd /tmp/other/"], &["ls /tmp/strata/docs"]], "/tmp/strata"),
            [2],
            "a common folder is known by its whole path"
        );
    }

    #[test]
    fn bad_hosts_of_registries_and_of_the_machine_outside() {
        let lines: &[&[&str]] = &[
            &["curl https://", "registry.", "somebody.org/x"],
            &["deb http://", "mirror.", "of.somebody.net/debian stable main"],
            &["see ", "proxy.", "somebody.io."],
            &["endpoint: http://", "host.", "containers.", "internal:9000"],
        ];
        assert_eq!(check(lines, "/desk/strata"), [1, 2, 3, 4]);
    }

    #[test]
    fn bad_settings_that_choose_a_registry() {
        let lines: &[&[&str]] = &[&["export GOPROXY", "=direct"], &["replace-with", " = \"near\""], &["pip install --index-url", "=$x y"]];
        assert_eq!(check(lines, "/desk/strata"), [1, 2, 3]);
    }
}
