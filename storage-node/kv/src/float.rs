//! Extended precision: the 80-bit numbers that INCRBYFLOAT and HINCRBYFLOAT count in, as Redis does on x86-64.
//!
//! `0.1 + 0.2` is `0.3` there and `0.30000000000000004` in 64 bits, and clients compare such texts. A number is `mantissa * 2^exponent` with
//! a mantissa of 64 bits. Reading rounds to the nearest such number, ties to even; so does adding; writing gives 17 decimals, rounded, without
//! trailing zeros: what glibc does for `strtold`, `+` and `%.17Lf`.

use std::cmp::Ordering;

/// A finite number of extended precision.
///
/// Invariant: the mantissa's highest bit is set, or it is 0 and so is the exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extended {
    is_negative: bool,
    mantissa: u64,
    exponent: i32,
}

/// What a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Finite(Extended),
    Infinite,
}

impl Parsed {
    /// The sum, rounded; `None` where it would be infinite or no number.
    pub(crate) fn add(self, other: Parsed) -> Option<Extended> {
        match (self, other) {
            (Parsed::Finite(first), Parsed::Finite(second)) => first.add(second),
            _ => None,
        }
    }
}

/// The binary exponent that no finite number reaches, counted from the mantissa's lowest bit.
const EXPONENT_END: i32 = 16_384 - 63;
/// The binary exponent below which a number is zero.
const EXPONENT_MIN: i32 = -16_445 - 63;
/// Decimal magnitudes beyond which every number is infinite, or zero.
const MAGNITUDE_MAX: i64 = 4_960;
/// The longest text: Redis's buffer.
const TEXT_BYTES_MAX: usize = 5_119;
const NINE_DIGITS: u32 = 1_000_000_000;

impl Extended {
    pub(crate) const ZERO: Extended = Extended { is_negative: false, mantissa: 0, exponent: 0 };

    /// The sum, rounded; `None` where it would be infinite.
    pub(crate) fn add(self, other: Extended) -> Option<Extended> {
        if self.mantissa == 0 || other.mantissa == 0 {
            return Some(if self.mantissa == 0 { other } else { self });
        }
        let (large, small) = if self.order() >= other.order() { (self, other) } else { (other, self) };
        let distance = (large.exponent - small.exponent) as u32;
        let wide = u128::from(large.mantissa) << 63;
        // Bits of the smaller one that fall off the end only decide how to round.
        let (narrow, is_inexact) = match distance {
            0..=63 => (u128::from(small.mantissa) << (63 - distance), false),
            64..=126 => {
                let shift = distance - 63;
                (u128::from(small.mantissa >> shift), small.mantissa.trailing_zeros() < shift)
            }
            _ => (0, true),
        };
        let sum = if large.is_negative == small.is_negative { wide + narrow } else { wide - narrow - u128::from(is_inexact) };
        round(large.is_negative, sum, large.exponent - 63, is_inexact)
    }

    fn order(self) -> (i32, u64) {
        (self.exponent, self.mantissa)
    }

    /// The text with up to 17 decimals.
    pub(crate) fn format(self) -> String {
        let digits = if self.exponent >= 0 {
            let mut whole = Natural::from(self.mantissa);
            whole.shift_left(self.exponent as u32);
            whole.to_decimal()
        } else {
            // A mantissa times 10^17 has at most 121 bits.
            let scaled = shift_right_rounded(u128::from(self.mantissa) * 10_u128.pow(17), self.exponent.unsigned_abs());
            let text = format!("{scaled:018}");
            let (whole, decimals) = text.split_at(text.len() - 17);
            format!("{whole}.{decimals}").trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        if self.is_negative && digits != "0" { format!("-{digits}") } else { digits }
    }
}

/// Reads a number as `strtold` does, all of the text; `None` where it is no number, too large or too small for one.
pub(crate) fn parse(text: &[u8]) -> Option<Parsed> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let (is_negative, rest) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if rest.eq_ignore_ascii_case(b"inf") || rest.eq_ignore_ascii_case(b"infinity") {
        return Some(Parsed::Infinite);
    }
    let (number, power) = match rest.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e')) {
        Some(at) => (&rest[..at], parse_power(&rest[at + 1..])?),
        None => (rest, 0),
    };
    let (whole, decimals) = match number.iter().position(|byte| *byte == b'.') {
        Some(at) => (&number[..at], &number[at + 1..]),
        None => (number, &[][..]),
    };
    let mut digits: Vec<u8> = [whole, decimals].concat();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut power = power - decimals.len() as i64;
    while digits.last() == Some(&b'0') {
        digits.pop();
        power += 1;
    }
    let first = digits.iter().position(|byte| *byte != b'0');
    let Some(first) = first else { return Some(Parsed::Finite(Extended { is_negative, ..Extended::ZERO })) };
    let digits = &digits[first..];
    let magnitude = power + digits.len() as i64;
    if magnitude.abs() > MAGNITUDE_MAX {
        return None;
    }
    let mut numerator = Natural::from_decimal(digits);
    let mut denominator = Natural::from(1);
    (if power >= 0 { &mut numerator } else { &mut denominator }).multiply_by_power_of_ten(power.unsigned_abs() as u32);
    divide(is_negative, numerator, denominator).filter(|number| number.exponent >= EXPONENT_MIN).map(Parsed::Finite)
}

fn parse_power(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // Beyond a million all are equally too large; adding to it cannot overflow.
    let power = digits.iter().fold(0_i64, |power, digit| (power * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if is_negative { -power } else { power })
}

/// The quotient, rounded: long division by 66 binary digits, and whether a remainder is left.
fn divide(is_negative: bool, mut numerator: Natural, mut denominator: Natural) -> Option<Extended> {
    const QUOTIENT_BITS: i64 = 66;
    let shift = QUOTIENT_BITS - (numerator.bits() - denominator.bits());
    if shift >= 0 {
        numerator.shift_left(shift as u32);
    } else {
        denominator.shift_left(shift.unsigned_abs() as u32);
    }
    // Now 2^65 <= numerator / denominator < 2^67.
    denominator.shift_left(67);
    let mut quotient = 0_u128;
    for _ in 0..=67 {
        quotient <<= 1;
        if numerator.compare(&denominator) != Ordering::Less {
            numerator.subtract(&denominator);
            quotient |= 1;
        }
        denominator.halve();
    }
    round(is_negative, quotient, -(shift as i32), numerator.bits() > 0)
}

/// The nearest number to `value * 2^exponent`, a little above it where `is_inexact`; ties to even. `None` where that is infinite.
fn round(is_negative: bool, value: u128, exponent: i32, is_inexact: bool) -> Option<Extended> {
    if value == 0 {
        return Some(Extended::ZERO);
    }
    let bits = 128 - value.leading_zeros();
    let (mantissa, exponent) = if bits <= 64 {
        ((value as u64) << (64 - bits), exponent - (64 - bits) as i32)
    } else {
        let shift = bits - 64;
        let (kept, lost, half) = ((value >> shift) as u64, value & ((1 << shift) - 1), 1 << (shift - 1));
        let is_up = lost > half || lost == half && (is_inexact || kept & 1 == 1);
        match kept.checked_add(u64::from(is_up)) {
            Some(kept) => (kept, exponent + shift as i32),
            None => (1 << 63, exponent + shift as i32 + 1),
        }
    };
    if exponent >= EXPONENT_END {
        return None;
    }
    Some(Extended { is_negative, mantissa, exponent })
}

fn shift_right_rounded(value: u128, shift: u32) -> u128 {
    if shift >= 128 {
        return 0;
    }
    let (kept, lost, half) = (value >> shift, value & ((1 << shift) - 1), 1_u128 << (shift - 1));
    kept + u128::from(lost > half || lost == half && kept & 1 == 1)
}

/// A natural number of any size: 32 bits a word, the lowest first, no zero word at the end.
#[derive(Debug)]
struct Natural(Vec<u32>);

impl From<u64> for Natural {
    fn from(number: u64) -> Natural {
        let mut natural = Natural(vec![number as u32, (number >> 32) as u32]);
        natural.trim();
        natural
    }
}

impl Natural {
    fn from_decimal(digits: &[u8]) -> Natural {
        let mut natural = Natural(Vec::new());
        for chunk in digits.chunks(9) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
            natural.multiply_and_add(10_u32.pow(chunk.len() as u32), value);
        }
        natural
    }

    fn to_decimal(mut self: Natural) -> String {
        let mut groups = Vec::new();
        while !self.0.is_empty() {
            let mut rest = 0_u64;
            for word in self.0.iter_mut().rev() {
                rest = rest << 32 | u64::from(*word);
                *word = (rest / u64::from(NINE_DIGITS)) as u32;
                rest %= u64::from(NINE_DIGITS);
            }
            groups.push(rest);
            self.trim();
        }
        let first = groups.pop().unwrap_or(0).to_string();
        groups.iter().rev().fold(first, |text, group| text + &format!("{group:09}"))
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    fn bits(&self) -> i64 {
        self.0.last().map_or(0, |last| self.0.len() as i64 * 32 - i64::from(last.leading_zeros()))
    }

    fn multiply_and_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for word in &mut self.0 {
            carry += u64::from(*word) * u64::from(factor);
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    fn multiply_by_power_of_ten(&mut self, power: u32) {
        for _ in 0..power / 9 {
            self.multiply_and_add(NINE_DIGITS, 0);
        }
        self.multiply_and_add(10_u32.pow(power % 9), 0);
    }

    fn shift_left(&mut self, by: u32) {
        if self.0.is_empty() {
            return;
        }
        self.multiply_and_add(1 << (by % 32), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, by as usize / 32));
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for word in self.0.iter_mut().rev() {
            let low = *word & 1;
            *word = *word >> 1 | carry << 31;
            carry = low;
        }
        self.trim();
    }

    fn compare(&self, other: &Natural) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// Takes away a number that is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = 0;
        for (index, word) in self.0.iter_mut().enumerate() {
            let taken = i64::from(*word) - i64::from(other.0.get(index).copied().unwrap_or(0)) - borrow;
            borrow = i64::from(taken < 0);
            *word = taken as u32;
        }
        self.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(first: &str, second: &str) -> String {
        let number = |text: &str| match parse(text.as_bytes()) {
            Some(Parsed::Finite(number)) => number,
            other => panic!("{text:?} is {other:?}, not a finite number"),
        };
        number(first).add(number(second)).map_or("infinite".to_owned(), Extended::format)
    }

    #[test]
    fn sums_are_those_of_redis_server() {
        // INCRBYFLOAT of redis-server 7.0 on x86-64.
        for (first, second, expected) in [
            ("0.1", "0.2", "0.3"),
            ("3", "1e-17", "3.00000000000000001"),
            ("1e3", "0.1", "1000.09999999999999998"),
            ("-0.5", "0.5", "0"),
            ("5.0e3", "200", "5200"),
            ("1e20", "-1", "100000000000000000000"),
            ("1e-20", "0", "0"),
            ("-1e-20", "0", "0"),
            ("18446744073709551615", "1", "18446744073709551616"),
            ("18446744073709551616", "1", "18446744073709551616"),
            (".5", "5.", "5.5"),
        ] {
            assert_eq!(sum(first, second), expected, "{first} + {second}");
        }
    }

    #[test]
    fn what_is_no_finite_number_is_told_apart() {
        for text in ["", "-", "1 ", " 1", "1e", "e1", ".", "1.2.3", "nan", "1e5000", "1e-5000", "1e99999999999999999999", "--1", "0x"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"-Infinity"), Some(Parsed::Infinite));
        assert_eq!(sum("1e4932", "1e4932"), "infinite");
    }
}
