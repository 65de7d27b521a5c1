//! The book: every page is listed, and every decision has the form that `docs/src/decisions/README.md` asks for.

use crate::Finding;
use crate::link::links;
use crate::repository::File;

/// The folder of the book's pages.
pub const PAGES: &str = "docs/src/";
/// The table of contents.
pub const SUMMARY: &str = "docs/src/SUMMARY.md";
/// The folder of decisions.
pub const DECISIONS: &str = "docs/src/decisions/";

/// The sections of a decision, in their order.
const SECTIONS: [&str; 4] = ["What we knew", "What we chose", "What we did not choose", "How it is kept"];

/// Pages that the table of contents does not list, and decisions out of their order.
pub fn unlisted(summary: &File, paths: &[&str]) -> Vec<Finding> {
    let listed: Vec<String> = links(&summary.text).into_iter().map(|link| format!("{PAGES}{}", link.target)).collect();
    let is_page = |path: &&&str| path.starts_with(PAGES) && path.ends_with(".md") && **path != SUMMARY;
    let absent = paths.iter().filter(is_page).filter(|path| !listed.iter().any(|known| known == *path));
    let mut findings: Vec<Finding> =
        absent.map(|path| Finding::new(path, 1, "a page that nobody finds", format!("a line in {SUMMARY}"))).collect();
    let numbered: Vec<&String> = listed.iter().filter(|path| number_of(path).is_some()).collect();
    if !numbered.is_sorted() {
        findings.push(Finding::new(SUMMARY, 1, "decisions out of order", "the order of their numbers"));
    }
    findings
}

/// The number of a decision, by its path.
fn number_of(path: &str) -> Option<&str> {
    let number = path.strip_prefix(DECISIONS)?.split('-').next()?;
    (number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(number)
}

/// Where a decision departs from the form.
pub fn decision(file: &File) -> Vec<Finding> {
    let Some(number) = number_of(&file.path) else { return Vec::new() };
    let mut findings = Vec::new();
    let mut refuse = |line: usize, banned: &str, instead: String| findings.push(Finding::new(&file.path, line, banned, instead));
    let mut lines = file.text.lines();
    if !lines.next().is_some_and(|title| title.starts_with(&format!("# {number}: "))) {
        refuse(1, "a title without its number", format!("`# {number}: the decision as one sentence`"));
    }
    let status = lines.nth(1).unwrap_or_default();
    let is_known = ["Status: accepted ", "Status: replaced by "].iter().any(|known| status.starts_with(known));
    if !is_known || !status.contains(" Touches: ") {
        refuse(3, "a decision without its status", "`Status: accepted | replaced by NNNN          Touches: rooms`".to_owned());
    }
    let sections: Vec<&str> = file.text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    if sections != SECTIONS {
        refuse(5, "sections of its own", format!("`{}`", SECTIONS.join("`, `")));
    }
    findings
}

/// What a decision names to show how it is kept, and nobody finds any more: tests by their names, sources by the ends of their paths.
pub fn kept(file: &File, sources: &[&File]) -> Vec<Finding> {
    let Some((before, section)) = file.text.split_once(&format!("## {}\n", SECTIONS[3])) else { return Vec::new() };
    let first = before.lines().count() + 1;
    let mut findings = Vec::new();
    for (number, line) in section.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            let is_test = word.matches('_').count() > 2
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            let is_source = word.ends_with(".rs") && !word.contains(['{', '*']);
            let is_known = match (is_test, is_source) {
                (true, _) => sources.iter().any(|source| source.text.contains(&format!("fn {word}("))),
                (_, true) => sources.iter().any(|source| source.path == word || source.path.ends_with(&format!("/{word}"))),
                _ => true,
            };
            if !is_known {
                findings.push(Finding::new(
                    &file.path,
                    first + number + 1,
                    format!("the name `{word}` of nothing"),
                    "the name of what keeps it now",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(title: &str, status: &str, sections: &[&str]) -> File {
        let sections: String = sections.iter().map(|section| format!("\n## {section}\nText.\n")).collect();
        File::new("docs/src/decisions/0007-a.md", &format!("# {title}\n\n{status}\n{sections}"))
    }

    #[test]
    fn good_a_decision_keeps_the_form() {
        let file = form("0007: It is so", "Status: accepted          Touches: kv", &SECTIONS);
        assert_eq!(decision(&file), []);
        assert_eq!(decision(&File::new("docs/src/decisions/README.md", "# Decisions\n")), []);
    }

    #[test]
    fn bad_a_decision_has_a_form_of_its_own() {
        let file = form("7. It is so", "Somebody decided", &["Context", "Decision"]);
        assert_eq!(decision(&file).iter().map(|finding| finding.line).collect::<Vec<_>>(), [1, 3, 5]);
        let swapped =
            form("0007: It is so", "Status: replaced by 0008   Touches: kv", &[SECTIONS[1], SECTIONS[0], SECTIONS[2], SECTIONS[3]]);
        assert_eq!(decision(&swapped).len(), 1);
    }

    const KEPT: &str = "# 0007: It is so\n\n## How it is kept\n`it_is_still_so` in `kv/tests/a.rs`, `tests/a.rs` and `View::forget`.\n";

    #[test]
    fn good_what_keeps_a_decision_is_there() {
        let source = File::new("storage-node/kv/tests/a.rs", "#[test]\nfn it_is_still_so() {}\n");
        assert_eq!(kept(&File::new("docs/src/decisions/0007-a.md", KEPT), &[&source]), []);
    }

    #[test]
    fn bad_what_kept_a_decision_is_gone() {
        let source = File::new("storage-node/kv/tests/a.rs", "#[test]\nfn it_is_still_so_today() {}\n");
        let told: Vec<String> = kept(&File::new("0007-a.md", KEPT), &[&source]).iter().map(ToString::to_string).collect();
        assert_eq!(told, ["0007-a.md:4: the name `it_is_still_so` of nothing is banned, use the name of what keeps it now"]);
        assert_eq!(kept(&File::new("0007-a.md", KEPT), &[]).len(), 3);
    }

    #[test]
    fn good_every_page_is_listed() {
        let summary = File::new(SUMMARY, "- [a](a.md)\n- [1](decisions/0001-a.md)\n- [2](decisions/0002-b.md)\n");
        let paths = ["docs/src/SUMMARY.md", "docs/src/a.md", "docs/src/decisions/0001-a.md", "docs/src/decisions/0002-b.md", "README.md"];
        assert_eq!(unlisted(&summary, &paths), []);
    }

    #[test]
    fn bad_a_page_is_not_listed_and_decisions_are_shuffled() {
        let summary = File::new(SUMMARY, "- [2](decisions/0002-b.md)\n- [1](decisions/0001-a.md)\n");
        let paths = ["docs/src/decisions/0001-a.md", "docs/src/decisions/0002-b.md", "docs/src/lost.md"];
        let findings = unlisted(&summary, &paths);
        assert_eq!(findings.iter().map(|finding| finding.path.as_str()).collect::<Vec<_>>(), ["docs/src/lost.md", SUMMARY]);
    }
}
