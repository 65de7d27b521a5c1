//! Glob patterns, as KEYS and SCAN MATCH read them.

/// Whether `text` matches `pattern`: `*`, `?`, `[abc]`, `[^a-z]` and `\` before a character that stands for itself.
///
/// Takes time proportional to the product of both lengths, whatever the pattern: a `*` is retried from the last one only.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            star = Some((at, seen));
        } else if let Some(next) = match_one(pattern, at, text[seen]) {
            (at, seen) = (next, seen + 1);
        } else if let Some((after_star, from)) = star {
            star = Some((after_star, from + 1));
            (at, seen) = (after_star, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Where the pattern goes on if its element at `at` matches `byte`.
fn match_one(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => match_class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        plain => (*plain == byte).then_some(at + 1),
    }
}

fn match_class(pattern: &[u8], start: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(start) == Some(&b'^');
    let mut at = start + usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[at.min(pattern.len())..] {
            // An unclosed class ends with the pattern, as in Redis.
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', literal, ..] => {
                found |= *literal == byte;
                at += 2;
            }
            [low, b'-', high, ..] => {
                found |= (*low.min(high)..=*low.max(high)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text) in [
            ("*", ""),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("a\\*", "a*"),
            ("*a*b", "xaxb"),
            ("[z-a]", "m"),
        ] {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} must match {text:?}");
        }
        for (pattern, text) in [("", "a"), ("h?llo", "hllo"), ("h[^e]llo", "hello"), ("a\\*", "ab"), ("*a*b", "xaxbx"), ("[a", "b")] {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} must not match {text:?}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_quickly() {
        assert!(!matches(&b"*a".repeat(50), &b"a".repeat(49)));
    }
}
