//! Just enough of Rust's grammar to tell code from words about code.

use std::ops::Range;

/// The text with the contents of comments, strings and character literals turned into spaces. Offsets and line ends stay what they were.
pub fn blank_words(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut blanked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end > at {
            blanked[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
            at = end;
        } else {
            at += 1;
        }
    }
    // Whole comments and literals were replaced, never a part of a character.
    String::from_utf8(blanked).expect("blanking keeps character boundaries")
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let after_name = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => at + rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => at + block_comment_length(rest),
        [b'"', ..] => at + string_length(rest),
        [b'r', ..] if !after_name => at + raw_string_length(rest, 1),
        [b'b' | b'c', b'r', ..] if !after_name => at + raw_string_length(rest, 2),
        [b'\'', ..] => at + character_length(rest),
        _ => at,
    }
}

fn block_comment_length(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_length(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a raw string whose hashes start at `prefix`; zero when it is a raw identifier or a plain name.
fn raw_string_length(rest: &[u8], prefix: usize) -> usize {
    let hashes = rest[prefix..].iter().take_while(|byte| **byte == b'#').count();
    let opening = prefix + hashes;
    if rest.get(opening) != Some(&b'"') {
        return 0;
    }
    let mut closing = vec![b'"'];
    closing.extend(std::iter::repeat_n(b'#', hashes));
    let body = &rest[opening + 1..];
    body.windows(closing.len()).position(|window| window == closing).map_or(rest.len(), |found| opening + 1 + found + closing.len())
}

/// Length of a character literal; zero for a lifetime.
fn character_length(rest: &[u8]) -> usize {
    if rest.get(1) == Some(&b'\\') {
        return rest.iter().skip(3).position(|byte| *byte == b'\'').map_or(0, |found| found + 4);
    }
    // One character of up to four bytes, then the closing quote.
    (2..=5)
        .find(|end| rest.get(*end) == Some(&b'\'') && std::str::from_utf8(&rest[1..*end]).is_ok_and(|one| one.chars().count() == 1))
        .map_or(0, |end| end + 1)
}

/// Offsets at which `word` stands as a whole word.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !is_name(at.checked_sub(1).and_then(|before| bytes.get(before))) && !is_name(bytes.get(at + word.len())))
}

/// The line of an offset, counted from one.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// The range between a bracket at `opening` and its partner, both included; to the end when it has none.
pub fn bracketed(code: &str, opening: usize) -> Range<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(opening) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return opening..offset + 1;
        }
    }
    opening..code.len()
}

/// The inline test modules: `#[cfg(test)] mod … { … }`, with their braces.
pub fn test_modules(code: &str) -> Vec<Range<usize>> {
    let follows = |at: usize| {
        let rest = &code[at..];
        let start = rest.find(|character: char| !character.is_whitespace())?;
        rest[start..].starts_with("mod ").then_some(())?;
        let opening = at + rest.find(['{', ';'])?;
        (code.as_bytes()[opening] == b'{').then(|| bracketed(code, opening))
    };
    code.match_indices("#[cfg(test)]").filter_map(|(at, attribute)| follows(at + attribute.len())).collect()
}

/// Lines of a range of code that hold more than space.
pub fn lines_of_code(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_about_code_are_blanked_and_code_stays() {
        let text = "let a = \"sleep(\\\"1\"; // sleep(2)\nsleep(3); /* sleep /* nested */ sleep */ r#\"sleep \" \"# '\\'' 'ä' &'static str b\"sleep\"";
        let code = blank_words(text);
        assert_eq!(code.len(), text.len(), "offsets stay");
        assert_eq!(words(&code, "sleep").count(), 1, "only the call is left: {code}");
        assert!(code.contains("&'static str"), "a lifetime opens no literal: {code}");
    }

    #[test]
    fn a_raw_identifier_is_no_string() {
        assert_eq!(blank_words("fn r#type() {} for r in rows {}"), "fn r#type() {} for r in rows {}");
    }

    #[test]
    fn a_word_is_found_whole() {
        assert_eq!(words("rocksdb my_rocksdb rocksdb::Db rocksdb2", "rocksdb").collect::<Vec<_>>(), [0, 19]);
    }

    #[test]
    fn a_test_module_is_found_with_its_braces() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(test)]\nmod other;\n";
        let modules = test_modules(code);
        assert_eq!(modules.len(), 1, "a module in its own file is no inline one");
        assert_eq!(&code[modules[0].clone()], "{\n    fn b() {}\n}");
    }
}
