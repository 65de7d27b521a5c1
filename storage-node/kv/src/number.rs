//! Numbers as Redis reads and writes them.

/// An integer in Redis's strict form: no spaces, no plus sign, no leading zeros.
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_canonical = match digits {
        [] => false,
        [b'0'] => text.len() == 1,
        [first, rest @ ..] => (b'1'..=b'9').contains(first) && rest.iter().all(u8::is_ascii_digit),
    };
    if is_canonical { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

/// The shortest text that reads back as the same number; integers without a fraction.
pub fn format_float(number: f64) -> String {
    if number.is_infinite() { if number > 0.0 { "inf".to_owned() } else { "-inf".to_owned() } } else { format!("{number}") }
}

/// An integer as text, on the stack.
pub struct Digits {
    bytes: [u8; Digits::LONGEST],
    start: usize,
}

impl Digits {
    /// A sign and nineteen digits.
    const LONGEST: usize = 20;

    /// The text of a number.
    pub fn of(number: i64) -> Digits {
        let mut digits = Digits { bytes: [0; Digits::LONGEST], start: Digits::LONGEST };
        let mut rest = number.unsigned_abs();
        loop {
            digits.push((rest % 10) as u8 + b'0');
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            digits.push(b'-');
        }
        digits
    }

    fn push(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_the_strict_form_only() {
        for (text, number) in
            [("0", Some(0)), ("-1", Some(-1)), ("9223372036854775807", Some(i64::MAX)), ("-9223372036854775808", Some(i64::MIN))]
        {
            assert_eq!(parse_integer(text.as_bytes()), number, "{text:?}");
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "1.0", "9223372036854775808"] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn digits_are_those_of_the_standard_library() {
        for number in [0, 7, -7, 10, 1_234_567_890, i64::MAX, i64::MIN] {
            assert_eq!(Digits::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }
}
