//! How tests wait and how lints are suppressed.

use crate::Finding;
use crate::repository::File;
use crate::rust::{blank_words, bracketed, line_of, test_modules, words};

/// The one file that may pause: it holds the waits with a deadline that everybody else uses.
pub const WAIT_HELPER: &str = "e2e/src/harness/wait.rs";

/// Calls of any `sleep` in test code.
pub fn sleeps(file: &File) -> Vec<Finding> {
    if file.path == WAIT_HELPER {
        return Vec::new();
    }
    let code = blank_words(&file.text);
    let modules = test_modules(&code);
    let is_test = |at: usize| file.is_test_by_place() || modules.iter().any(|module| module.contains(&at));
    ["sleep", "sleep_ms", "sleep_until"]
        .iter()
        .flat_map(|word| words(&code, word).map(move |at| (word, at)))
        .filter(|(word, at)| code[at + word.len()..].trim_start().starts_with('(') && is_test(*at))
        .map(|(word, at)| {
            Finding::new(&file.path, line_of(&code, at), format!("`{word}` in a test"), "a wait with a deadline from harness::wait")
        })
        .collect()
}

/// Tests that are switched off or that assert nothing.
pub fn idle_tests(file: &File) -> Vec<Finding> {
    let code = blank_words(&file.text);
    let rules = [
        ("#[ignore", "a capability check that writes `skipped: NAME: REASON` and is counted"),
        ("assert!(true", "an assertion that can fail"),
        ("assert!(false", "panic! or unreachable! with a sentence"),
    ];
    let found = |(text, instead): (&'static str, &'static str)| {
        let at_lines: Vec<usize> = code.match_indices(text).map(|(at, _)| line_of(&code, at)).collect();
        at_lines.into_iter().map(move |line| (line, text, instead))
    };
    rules.into_iter().flat_map(found).map(|(line, text, instead)| Finding::new(&file.path, line, format!("`{text}`"), instead)).collect()
}

/// Suppressed lints that are not an `expect` with a reason.
pub fn suppressions(file: &File) -> Vec<Finding> {
    let code = blank_words(&file.text);
    let mut findings = Vec::new();
    for opening in ["#[", "#!["] {
        for (at, _) in code.match_indices(opening) {
            let attribute = &code[bracketed(&code, at + opening.len() - 1)];
            let line = line_of(&code, at);
            let names = |lint_level: &str| words(attribute, lint_level).any(|word| attribute[word + lint_level.len()..].starts_with('('));
            if names("allow") {
                findings.push(Finding::new(&file.path, line, "`allow` of a lint", "#[expect(lint, reason = \"…\")]"));
            }
            if names("expect") && words(attribute, "reason").next().is_none() {
                findings.push(Finding::new(&file.path, line, "`expect` of a lint without a reason", "#[expect(lint, reason = \"…\")]"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_the_helper_pauses_and_so_may_code_that_is_no_test() {
        assert_eq!(sleeps(&File::new(WAIT_HELPER, "std::thread::sleep(PAUSE);\n")), []);
        assert_eq!(sleeps(&File::new("operator/src/beat.rs", "tokio::time::sleep(PAUSE).await;\n")), []);
        assert_eq!(sleeps(&File::new("e2e/tests/a.rs", "// sleep(1) is banned\nlet asleep = true;\n")), []);
    }

    #[test]
    fn bad_a_test_sleeps() {
        assert_eq!(sleeps(&File::new("storage-node/tests/restart.rs", "tokio::time::sleep(PAUSE).await;\n")).len(), 1);
        let inline = "fn run() { sleep(A) }\n#[cfg(test)]\nmod tests {\n    fn wait() {\n        sleep (A);\n    }\n}\n";
        let findings = sleeps(&File::new("operator/src/beat.rs", inline));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [5], "only the one in the test module");
    }

    #[test]
    fn good_a_test_asserts() {
        assert_eq!(idle_tests(&File::new("a.rs", "#[test]\nfn a() {\n    assert!(truth);\n    // assert!(true)\n}\n")), []);
    }

    #[test]
    fn bad_a_test_is_ignored_or_asserts_nothing() {
        let file = File::new("a.rs", "#[test]\n#[ignore = \"flaky\"]\nfn a() {\n    assert!(true);\n}\n");
        assert_eq!(idle_tests(&file).iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn good_a_suppression_gives_its_reason() {
        let text =
            "#[expect(\n    clippy::disallowed_methods,\n    reason = \"the clock port\"\n)]\nfn a() { b.expect(\"a sentence\"); }\n";
        assert_eq!(suppressions(&File::new("a.rs", text)), []);
    }

    #[test]
    fn bad_a_suppression_is_silent() {
        let text = "#![allow(dead_code)]\n#[expect(unused)]\n#[cfg_attr(test, allow(clippy::all))]\n";
        assert_eq!(suppressions(&File::new("a.rs", text)).len(), 3);
    }
}
