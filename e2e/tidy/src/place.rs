//! Paths and hosts that only exist on somebody's machine.

use crate::Finding;
use crate::repository::File;
use crate::rust::line_of;

/// This file spells the banned words out.
const SELF: &str = "e2e/tidy/src/place.rs";

/// Folders of one machine.
const FOLDERS: &[&str] = &["/root/", "/work/", "/home/", "/Users/", "/mnt/"];
/// Hosts of package registries: which one a build asks is the configuration of the machine it runs on.
const HOSTS: &[&str] = &[
    "index.crates.io",
    "static.crates.io",
    "proxy.golang.org",
    "goproxy.",
    "files.pythonhosted.org",
    "registry.npmjs.org",
    "deb.debian.org",
    "host.docker.internal",
];

/// Words that tie the repository to a machine.
pub fn places(file: &File) -> Vec<Finding> {
    if file.path == SELF {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for folder in FOLDERS {
        let starts_there = |at: usize| !file.text[..at].ends_with(|before: char| before.is_alphanumeric() || "._-/}$*)~".contains(before));
        for (at, _) in file.text.match_indices(folder).filter(|(at, _)| starts_there(*at)) {
            findings.push(Finding::new(
                &file.path,
                line_of(&file.text, at),
                format!("the path `{folder}`"),
                "a path from the root of the repository, or $HOME",
            ));
        }
    }
    for host in HOSTS {
        for (at, _) in file.text.match_indices(host) {
            findings.push(Finding::new(
                &file.path,
                line_of(&file.text, at),
                format!("the host `{host}`"),
                "the package manager's own configuration",
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_paths_of_the_repository_and_of_containers() {
        assert_eq!(places(&File::new("a.sh", "cd src/work/ && cp x \"$HOME/root/\" && ls /var/lib/strata\n")), []);
    }

    #[test]
    fn bad_paths_and_hosts_of_a_machine() {
        let text = "cd /work/main\nexport GOPROXY=https://proxy.golang.org\npath = \"/root/.cargo\"\n";
        let mut lines: Vec<usize> = places(&File::new("a.sh", text)).iter().map(|finding| finding.line).collect();
        lines.sort_unstable();
        assert_eq!(lines, [1, 2, 3]);
    }
}
