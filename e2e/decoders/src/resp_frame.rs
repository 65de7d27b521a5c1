//! Whether bytes are replies of RESP, whole and nothing more: a reader of its own, which shares nothing with what wrote them.

/// Where the one value that `bytes` begin with ends; an error says what is wrong.
fn value(bytes: &[u8], at: usize, depth: usize) -> Result<usize, String> {
    let depth = depth.checked_sub(1).ok_or("it nests too deep")?;
    let mark = *bytes.get(at).ok_or("it ends before a value")?;
    let end = bytes[at..].windows(2).position(|pair| pair == b"\r\n").ok_or("a line has no end")? + at;
    let line = &bytes[at + 1..end];
    if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err("a line is broken in the middle".to_owned());
    }
    let next = end + 2;
    let length = || -> Result<i64, String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        text.parse().map_err(|error| format!("{text:?} is no length: {error}"))
    };
    match mark {
        b'+' | b'-' | b':' | b',' | b'_' => Ok(next),
        b'$' | b'=' => match length()? {
            -1 if mark == b'$' => Ok(next),
            bytes_long => {
                let end = next + usize::try_from(bytes_long).map_err(|error| error.to_string())?;
                if bytes.get(end..end + 2) == Some(b"\r\n") { Ok(end + 2) } else { Err("a string does not end where it says".to_owned()) }
            }
        },
        b'*' | b'~' | b'%' => {
            let count = length()?.max(0) * if mark == b'%' { 2 } else { 1 };
            (0..count).try_fold(next, |at, _| value(bytes, at, depth))
        }
        other => Err(format!("no value begins with {:?}", char::from(other))),
    }
}

/// Holds bytes to be exactly one value.
///
/// # Panics
/// When they are anything else.
pub fn expect_one_value(bytes: &[u8]) {
    const DEPTH_MAX: usize = 32;
    let end = value(bytes, 0, DEPTH_MAX);
    assert!(end == Ok(bytes.len()), "a reply is not one value ({end:?}): b\"{}\"", bytes.escape_ascii());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_a_reply_is_one_value() {
        for reply in [&b"+OK\r\n"[..], b"$-1\r\n", b"$2\r\n\r\n\r\n", b"*2\r\n:1\r\n%1\r\n$1\r\nk\r\n_\r\n", b"*-1\r\n", b"=5\r\ntxt:a\r\n"]
        {
            expect_one_value(reply);
        }
    }

    #[test]
    fn bad_a_reply_is_broken_or_goes_on() {
        for reply in [&b""[..], b"+OK", b"-ERR a\nb\r\n", b"$3\r\nab\r\n", b"*2\r\n:1\r\n", b"+OK\r\n+OK\r\n", b"?\r\n"] {
            assert!(value(reply, 0, 8) != Ok(reply.len()), "{:?}", reply.escape_ascii());
        }
    }
}
