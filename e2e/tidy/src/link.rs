//! Relative links and anchors of the documentation.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::Finding;
use crate::repository::{File, Repository};

/// A link as it stands in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Line, counted from one.
    pub line: usize,
    /// What stands between the parentheses, without a title.
    pub target: String,
}

/// The lines of a page outside of code fences, numbered from one, with code spans blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then(|| (number + 1, without_code(line)))
    })
}

fn without_code(line: &str) -> String {
    line.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part.to_owned() } else { " ".repeat(part.len()) }).collect()
}

/// Inline links, images included, and reference definitions.
pub fn links(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        let inline = prose.match_indices("](").filter_map(|(at, _)| prose[at + 2..].split(')').next());
        let definition = prose.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
        let target = |target: &str| target.split_whitespace().next().map(|target| target.trim_matches(['<', '>']).to_owned());
        links.extend(inline.chain(definition).filter_map(target).map(|target| Link { line, target }));
    }
    links
}

/// The anchors that the headings of a page get.
pub fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let slug: String =
            heading.trim().to_lowercase().chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_')).collect();
        let slug = slug.replace(' ', "-");
        let mut unique = slug.clone();
        for number in 1.. {
            if anchors.insert(unique.clone()) {
                break;
            }
            unique = format!("{slug}-{number}");
        }
    }
    anchors
}

/// Links of a page that lead nowhere. `find` gives the text of a path from the root, an empty one for a folder.
pub fn broken(file: &File, find: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let mut findings = Vec::new();
    for Link { line, target } in links(&file.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let path = if path.is_empty() { file.path.clone() } else { normal(&folder.join(path)) };
        match find(&path) {
            None => findings.push(Finding::new(
                &file.path,
                line,
                format!("the link `{target}` to nothing"),
                "the path of a file in this repository",
            )),
            Some(text) if !anchor.is_empty() && !anchors(&text).contains(anchor) => {
                findings.push(Finding::new(&file.path, line, format!("the anchor `#{anchor}`"), format!("a heading of {path}")));
            }
            Some(_) => {}
        }
    }
    findings
}

/// The path without `.` and `..`.
fn normal(path: &Path) -> String {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::Normal(name) => parts.push(name),
            _ => {}
        }
    }
    parts.to_string_lossy().into_owned()
}

/// Looks a link's path up among the repository's files; a folder counts when it holds any.
pub fn lookup(repository: &Repository, path: &str) -> Option<String> {
    let folder = format!("{path}/");
    let text = repository.get(path).map(|file| file.text.clone());
    text.or_else(|| repository.files.iter().any(|file| file.path.starts_with(&folder)).then(String::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Vec<Finding> {
        let find = |path: &str| match path {
            "docs/src/other.md" => Some("# Title\n## A rule, kept\n## A rule, kept\n".to_owned()),
            "docs/src/page.md" => Some(text.to_owned()),
            "crds" => Some(String::new()),
            _ => None,
        };
        broken(&File::new("docs/src/page.md", text), find)
    }

    #[test]
    fn good_links_lead_somewhere() {
        let text = "# Here\n[a](other.md) [b](other.md#a-rule-kept-1 \"title\") [c](#here) [d](../../crds) [e](https://kubernetes.io)\n`[f](nothing.md)`\n```\n[g](nothing.md)\n```\n";
        assert_eq!(check(text), []);
    }

    #[test]
    fn bad_links_lead_nowhere() {
        let findings = check("[a](nothing.md)\n\n![b](other.md#a-rule)\n[c]: missing.md\n");
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 3, 4]);
    }
}
