//! Sizes that keep a room liveable.

use std::collections::BTreeMap;

use crate::Finding;
use crate::repository::File;
use crate::rust::{blank_words, bracketed, line_of, lines_of_code, test_modules, words};

/// Lines of code between the braces of a function.
pub const FUNCTION_LINES: usize = 70;
/// Lines of code of a file, without its inline tests.
pub const FILE_LINES: usize = 500;
/// No entry of the ratchet may allow a file more than this.
pub const FILE_LINES_HARD: usize = 800;
/// Lines of code of an inline test module.
pub const INLINE_TEST_LINES: usize = 200;

/// Something measured: a file, a function or a test module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// What it is called in the ratchet: `path`, `path::function` or `path::tests`.
    pub name: String,
    /// Path of its file.
    pub path: String,
    /// Line it begins at.
    pub line: usize,
    /// Its lines of code.
    pub lines: usize,
    /// The most lines it may have.
    pub limit: usize,
    /// What to do when it has more.
    pub instead: &'static str,
}

/// Everything in a file that has a limit.
pub fn measure(file: &File) -> Vec<Measure> {
    let code = blank_words(&file.text);
    let modules = test_modules(&code);
    let inline: usize = modules.iter().map(|module| lines_of_code(&code[module.clone()])).sum();
    let whole = Measure {
        name: file.path.clone(),
        path: file.path.clone(),
        line: 1,
        lines: lines_of_code(&code).saturating_sub(inline),
        limit: FILE_LINES,
        instead: "several files, each with one noun",
    };
    let tests = modules.iter().map(|module| Measure {
        name: format!("{}::tests", file.path),
        path: file.path.clone(),
        line: line_of(&code, module.start),
        lines: lines_of_code(&code[module.clone()]),
        limit: INLINE_TEST_LINES,
        instead: "`mod tests;` and a file of its own",
    });
    std::iter::once(whole).chain(tests).chain(functions(file, &code)).collect()
}

fn functions(file: &File, code: &str) -> Vec<Measure> {
    let body = |at: usize| {
        let name: String = code[at + 2..].trim_start().chars().take_while(|one| one.is_alphanumeric() || *one == '_').collect();
        let opening = body_opening(code, at)?;
        // The two lines of the braces do not count.
        let inside = lines_of_code(&code[bracketed(code, opening)]).saturating_sub(2);
        Some(Measure {
            name: format!("{}::{name}", file.path),
            path: file.path.clone(),
            line: line_of(code, at),
            lines: inside,
            limit: FUNCTION_LINES,
            instead: "several functions, with the branching in the caller",
        })
    };
    words(code, "fn").filter_map(body).collect()
}

/// Where the body of the function at `at` opens; nothing for a declaration or a function type.
fn body_opening(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(offset),
            b';' | b',' | b'=' | b'}' if depth == 0 && !is_inside_where_or_arrow(code, offset) => return None,
            _ => {}
        }
        if depth < 0 {
            return None;
        }
    }
    None
}

/// A comma separates bounds of a `where` or arguments of a generic type as well, and `=` stands in bounds such as `Iterator<Item = u8>`.
fn is_inside_where_or_arrow(code: &str, offset: usize) -> bool {
    let start = code[..offset].rfind("fn").unwrap_or(0);
    let signature = &code[start..offset];
    let opened = signature.matches('<').count();
    let closed = signature.matches('>').count() - signature.matches("->").count() - signature.matches("=>").count();
    matches!(code.as_bytes()[offset], b',' | b'=') && (opened > closed || words(signature, "where").next().is_some())
}

/// Parses the ratchet: lines `NAME LINES`, with `#` for comments.
///
/// # Errors
/// A sentence that names the line which cannot be read.
pub fn parse_ratchet(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let parse = |(number, line): (usize, &str)| {
        let entry = line.rsplit_once(' ').and_then(|(name, lines)| Some((name.trim().to_owned(), lines.parse().ok()?)));
        entry.ok_or_else(|| format!("line {} of the ratchet is not `NAME LINES`: {line}", number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#')).map(parse).collect()
}

/// What is larger than its limit and not held by the ratchet, and entries of the ratchet that should shrink or go.
pub fn oversized(measures: &[Measure], ratchet: &BTreeMap<String, usize>, ratchet_path: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for measure in measures.iter().filter(|measure| measure.lines > measure.limit) {
        let allowed = ratchet.get(&measure.name).copied().unwrap_or(measure.limit);
        if measure.lines > allowed {
            let what = format!("{} with {} lines of code (limit {allowed})", measure.name, measure.lines);
            findings.push(Finding::new(&measure.path, measure.line, what, measure.instead));
        }
    }
    for (name, allowed) in ratchet {
        let now =
            measures.iter().filter(|measure| measure.name == *name && measure.lines > measure.limit).map(|measure| measure.lines).max();
        let banned = |why: String, instead: String| Finding::new(ratchet_path, 1, why, instead);
        match now {
            None => findings.push(banned(format!("the entry {name}, which is within its limit"), "no entry".to_owned())),
            Some(now) if now < *allowed => {
                findings.push(banned(format!("{name} {allowed}"), format!("{name} {now}, what it has shrunk to")))
            }
            Some(_) if *allowed > FILE_LINES_HARD => {
                findings.push(banned(format!("{name} {allowed}"), format!("at most {FILE_LINES_HARD} lines, by splitting it")));
            }
            Some(_) => {}
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, lines: usize) -> String {
        format!(
            "fn {name}<I: Iterator<Item = u8>>(items: I) -> [u8; 3]\nwhere\n    I: Send,\n    I: Sync,\n{{\n{}}}\n",
            "    step();\n".repeat(lines)
        )
    }

    fn check(text: &str, ratchet: &str) -> Vec<Finding> {
        let ratchet = parse_ratchet(ratchet).expect("the test's ratchet parses");
        oversized(&measure(&File::new("a.rs", text)), &ratchet, "ratchet.txt")
    }

    #[test]
    fn good_a_function_of_seventy_lines_and_long_comments() {
        assert_eq!(check(&function("short", 70), ""), []);
        assert_eq!(check(&format!("fn a() {{\n{}}}\n", "    // why\n\n".repeat(200)), ""), []);
    }

    #[test]
    fn bad_a_function_of_seventy_one_lines() {
        let findings = check(&function("long", 71), "");
        assert_eq!(findings.len(), 1);
        assert!(findings[0].banned.starts_with("a.rs::long with 71 lines"), "{}", findings[0]);
    }

    #[test]
    fn good_declarations_and_function_types_have_no_body() {
        let text = "trait A { fn one(&self); }\nstruct B { run: fn(u8) -> u8, }\nconst C: fn() = other;\n";
        assert!(measure(&File::new("a.rs", text)).iter().all(|measure| measure.name == "a.rs"), "only the file is measured");
    }

    #[test]
    fn bad_a_file_and_its_tests_are_too_long() {
        let text =
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "static A: u8 = 1;\n".repeat(500), "    static A: u8 = 1;\n".repeat(199));
        let found: Vec<String> = check(&text, "").into_iter().map(|finding| finding.banned).collect();
        assert_eq!(found, ["a.rs with 501 lines of code (limit 500)", "a.rs::tests with 201 lines of code (limit 200)"]);
    }

    #[test]
    fn good_the_ratchet_holds_an_old_offender() {
        assert_eq!(check(&function("old", 90), "# old\na.rs::old 90\n"), []);
    }

    #[test]
    fn bad_the_ratchet_is_looser_than_the_code_or_empty_of_sense() {
        assert_eq!(check(&function("old", 90), "a.rs::old 100\n").len(), 1, "it shrank, so the entry must");
        assert_eq!(check(&function("old", 10), "a.rs::old 90\n").len(), 1, "it is within its limit, so the entry must go");
        assert_eq!(check(&function("old", 91), "a.rs::old 90\n").len(), 1, "it grew");
        assert_eq!(check(&function("old", 801), "a.rs 808\na.rs::old 801\n").len(), 2, "nothing is allowed that much");
        assert!(parse_ratchet("a.rs ninety\n").is_err());
    }
}
