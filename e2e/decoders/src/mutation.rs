//! Bytes near those that decode: flipped, cut, repeated, spliced, and with lengths that lie. All of it follows from a seed.

use fastrand::Rng;

/// Nothing longer is made, in bytes: each piece of work stays short.
const BYTES_MAX: usize = 16 << 10;

/// Numbers at which decoders go wrong.
const EXTREMES: [u64; 8] = [0, 1, u64::MAX, u64::MAX - 1, i64::MAX as u64, 1 << 63, u32::MAX as u64, 10_000_000 - 1];

/// The same, as text.
const WORDS: [&str; 10] =
    ["-1", "+1", "00", "65536", "4294967296", "18446744073709551615", "18446744073709551616", "1e400", "null", "\"\""];

/// Bytes that begin or end something in one of the formats.
const MARKS: &[u8] = b"\x00\x01\x7f\x80\xff\r\n\"'\\{}[],:$*=.#0-9 ";

/// One to four changes of one of the seeds, of which there is at least one.
pub fn mutated(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].clone();
    for _ in 0..rng.usize(1..=4) {
        change(&mut bytes, seeds, rng);
        bytes.truncate(BYTES_MAX);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut Rng) {
    let (at, other) = (rng.usize(..=bytes.len()), rng.usize(..=bytes.len()));
    let range = at.min(other)..at.max(other);
    match rng.u8(..10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.u8(..8),
        1 if at < bytes.len() => bytes[at] = MARKS[rng.usize(..MARKS.len())],
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(range)),
        4 => {
            let noise: Vec<u8> = (0..rng.usize(1..=16)).map(|_| rng.u8(..)).collect();
            drop(bytes.splice(at..at, noise));
        }
        5 => {
            let part = bytes[range].repeat(rng.usize(1..=32));
            drop(bytes.splice(at..at, part.into_iter().take(BYTES_MAX)));
        }
        6 => {
            let seed = &seeds[rng.usize(..seeds.len())];
            let from = rng.usize(..=seed.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&seed[from..]);
        }
        7 | 8 => overwrite(bytes, at, rng),
        _ => {
            // A number in a text.
            let digits = bytes.iter().skip(at).position(u8::is_ascii_digit).map_or(at, |more| at + more);
            let end = bytes.iter().skip(digits).position(|byte| !byte.is_ascii_digit()).map_or(bytes.len(), |more| digits + more);
            drop(bytes.splice(digits..end, WORDS[rng.usize(..WORDS.len())].bytes()));
        }
    }
}

/// Puts an extreme, or the number of bytes there are, where a length may stand: in one, two, four or eight bytes, or as a varint.
fn overwrite(bytes: &mut Vec<u8>, at: usize, rng: &mut Rng) {
    let number = match rng.usize(..=EXTREMES.len()) {
        chosen if chosen < EXTREMES.len() => EXTREMES[chosen],
        _ => bytes.len() as u64,
    };
    let field = match rng.u8(..5) {
        4 => varint(number),
        size => {
            let width = 1 << size;
            let mut field = number.to_be_bytes()[8 - width..].to_vec();
            if rng.bool() {
                field.reverse();
            }
            field
        }
    };
    let end = (at + field.len()).min(bytes.len());
    drop(bytes.splice(at..end, field));
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}
