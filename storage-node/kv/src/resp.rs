//! RESP: requests in, replies out, in versions 2 and 3.
//!
//! A request is an array of bulk strings, or a line of words (an inline request). Everything else is a protocol error, after which the
//! connection closes, as in Redis. (RESP specification, redis.io/docs/reference/protocol-spec.)

use crate::{ErrorReply, error::shown, limits, number::Digits};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What a connection begins with.
    #[default]
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// 2 or 3.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// A reply, before it is encoded for a connection's protocol.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// `+OK` and its like.
    Status(&'static str),
    /// `-ERR …`.
    Error(ErrorReply),
    /// A 64-bit integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Bytes),
    /// No value: `$-1` in RESP2, `_` in RESP3.
    Null,
    /// No array: `*-1` in RESP2, `_` in RESP3.
    NullArray,
    /// An ordered sequence.
    Array(Vec<Reply>),
    /// Pairs; a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// Pairs in their order: an array of arrays of two in RESP3, a flat array in RESP2.
    Pairs(Vec<(Reply, Reply)>),
    /// An unordered collection; an array in RESP2.
    Set(Vec<Reply>),
    /// A floating point number; a bulk string in RESP2.
    Double(f64),
    /// A text with a three-letter format; a bulk string in RESP2.
    Verbatim(&'static str, Bytes),
}

impl Reply {
    /// `+OK`.
    pub const OK: Reply = Reply::Status("OK");

    /// A bulk string.
    pub fn bulk(text: impl Into<Bytes>) -> Reply {
        Reply::Bulk(text.into())
    }

    /// 1 or 0, the way Redis answers yes or no.
    pub fn from_bool(yes: bool) -> Reply {
        Reply::Integer(i64::from(yes))
    }

    /// A bulk string, or no value.
    pub fn bulk_or_null(value: Option<Bytes>) -> Reply {
        value.map_or(Reply::Null, Reply::Bulk)
    }

    /// About how many bytes the reply takes, in memory as on the wire.
    pub fn size(&self) -> usize {
        const OVERHEAD: usize = 48;
        let inner = match self {
            Reply::Bulk(bytes) | Reply::Verbatim(_, bytes) => bytes.len(),
            Reply::Array(items) | Reply::Set(items) => items.iter().map(Reply::size).sum(),
            Reply::Map(pairs) | Reply::Pairs(pairs) => pairs.iter().map(|(first, second)| first.size() + second.size()).sum(),
            _ => 0,
        };
        OVERHEAD + inner
    }

    /// Appends the reply in the given protocol.
    pub fn encode(&self, protocol: Protocol, out: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Reply::Status(text) => put_line(out, b'+', text.as_bytes()),
            Reply::Error(error) => {
                out.put_u8(b'-');
                // An error is one line: what a client sent must not end it early.
                out.extend(error.text().bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte }));
                out.put_slice(b"\r\n");
            }
            Reply::Integer(number) => put_number(out, b':', *number),
            Reply::Bulk(bytes) => put_bulk(out, b'$', bytes),
            Reply::Null | Reply::NullArray if resp3 => out.put_slice(b"_\r\n"),
            Reply::Null => out.put_slice(b"$-1\r\n"),
            Reply::NullArray => out.put_slice(b"*-1\r\n"),
            Reply::Array(items) => put_items(out, b'*', items, protocol),
            Reply::Set(items) => put_items(out, if resp3 { b'~' } else { b'*' }, items, protocol),
            Reply::Pairs(pairs) if resp3 => {
                put_number(out, b'*', pairs.len() as i64);
                for (first, second) in pairs {
                    put_number(out, b'*', 2);
                    first.encode(protocol, out);
                    second.encode(protocol, out);
                }
            }
            Reply::Map(pairs) | Reply::Pairs(pairs) => {
                let (mark, count) = if resp3 { (b'%', pairs.len()) } else { (b'*', pairs.len() * 2) };
                put_number(out, mark, count as i64);
                for (key, value) in pairs {
                    key.encode(protocol, out);
                    value.encode(protocol, out);
                }
            }
            Reply::Double(number) if resp3 => put_line(out, b',', crate::number::format_float(*number).as_bytes()),
            Reply::Double(number) => put_bulk(out, b'$', crate::number::format_float(*number).as_bytes()),
            Reply::Verbatim(format, text) if resp3 => put_bulk(out, b'=', &[format.as_bytes(), b":", text].concat()),
            Reply::Verbatim(_, text) => put_bulk(out, b'$', text),
        }
    }
}

fn put_line(out: &mut BytesMut, mark: u8, text: &[u8]) {
    out.put_u8(mark);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn put_number(out: &mut BytesMut, mark: u8, number: i64) {
    put_line(out, mark, Digits::of(number).as_bytes());
}

fn put_bulk(out: &mut BytesMut, mark: u8, bytes: &[u8]) {
    put_number(out, mark, bytes.len() as i64);
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}

fn put_items(out: &mut BytesMut, mark: u8, items: &[Reply], protocol: Protocol) {
    put_number(out, mark, items.len() as i64);
    for item in items {
        item.encode(protocol, out);
    }
}

/// The peer does not speak RESP; the connection closes after this reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Protocol error: {0}")]
pub struct ProtocolError(String);

impl ProtocolError {
    fn new(text: impl Into<String>) -> ProtocolError {
        ProtocolError(text.into())
    }

    /// The reply to send before closing.
    pub fn reply(&self) -> Reply {
        Reply::Error(ErrorReply::new(format!("ERR {self}")))
    }
}

/// Reads requests from a growing buffer. Keeps what it has understood of an unfinished request, so that every byte is looked at once.
#[derive(Debug, Default)]
pub struct RequestReader {
    arguments: Vec<Bytes>,
    /// Arguments still missing; 0 between requests.
    missing: usize,
    bulk: Option<usize>,
    bytes: usize,
    is_restricted: bool,
}

impl RequestReader {
    /// Holds a connection that has not authenticated to small requests, or lets it go; what it may call is small.
    pub fn restrict(&mut self, is_restricted: bool) {
        self.is_restricted = is_restricted;
    }

    /// The next whole request in `input`, which it removes from there; `None` where more bytes are needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Vec<Bytes>>, ProtocolError> {
        loop {
            if self.missing > 0 {
                if self.take_argument(input)?.is_none() {
                    return Ok(None);
                }
                if self.missing == 0 {
                    self.bytes = 0;
                    return Ok(Some(std::mem::take(&mut self.arguments)));
                }
                continue;
            }
            match input.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let Some(line) = take_line(input, "too big mbulk count string")? else { return Ok(None) };
                    self.begin(&line[1..])?;
                }
                Some(_) => {
                    let Some(line) = take_line(input, "too big inline request")? else { return Ok(None) };
                    let words = split_words(&line)?;
                    if !words.is_empty() {
                        return Ok(Some(words));
                    }
                }
            }
        }
    }

    fn begin(&mut self, count: &[u8]) -> Result<(), ProtocolError> {
        let count = parse_length(count).ok_or_else(|| ProtocolError::new("invalid multibulk length"))?;
        if count > limits::ARGUMENTS_MAX as i64 {
            return Err(ProtocolError::new("invalid multibulk length"));
        }
        if self.is_restricted && count > limits::UNAUTHENTICATED_ARGUMENTS_MAX as i64 {
            return Err(ProtocolError::new("unauthenticated multibulk length"));
        }
        self.missing = usize::try_from(count).unwrap_or(0);
        // The count is only a claim: memory is taken as arguments arrive.
        self.arguments = Vec::with_capacity(self.missing.min(64));
        Ok(())
    }

    fn take_argument(&mut self, input: &mut BytesMut) -> Result<Option<()>, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => {
                let Some(line) = take_line(input, "too big bulk count string")? else { return Ok(None) };
                if line.first() != Some(&b'$') {
                    let found = shown(line.get(..1).unwrap_or(b"\r"), 1);
                    return Err(ProtocolError::new(format!("expected '$', got '{found}'")));
                }
                let length = parse_length(&line[1..]).and_then(|length| usize::try_from(length).ok());
                let length = length.filter(|length| *length <= limits::BULK_BYTES_MAX);
                let length = length.ok_or_else(|| ProtocolError::new("invalid bulk length"))?;
                if self.is_restricted && length > limits::UNAUTHENTICATED_BULK_BYTES_MAX {
                    return Err(ProtocolError::new("unauthenticated bulk length"));
                }
                self.bytes += length;
                if self.bytes > limits::REQUEST_BYTES_MAX {
                    return Err(ProtocolError::new(format!("request exceeds {} bytes", limits::REQUEST_BYTES_MAX)));
                }
                self.bulk = Some(length);
                length
            }
        };
        if input.len() < length + 2 {
            return Ok(None);
        }
        self.arguments.push(input.split_to(length).freeze());
        input.advance(2);
        self.bulk = None;
        self.missing -= 1;
        Ok(Some(()))
    }
}

fn take_line(input: &mut BytesMut, too_long: &str) -> Result<Option<Bytes>, ProtocolError> {
    let window = &input[..input.len().min(limits::INLINE_BYTES_MAX)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => {
            let mut line = input.split_to(end + 1);
            line.truncate(if end > 0 && line[end - 1] == b'\r' { end - 1 } else { end });
            Ok(Some(line.freeze()))
        }
        None if input.len() >= limits::INLINE_BYTES_MAX => Err(ProtocolError::new(too_long)),
        None => Ok(None),
    }
}

fn parse_length(text: &[u8]) -> Option<i64> {
    crate::number::parse_integer(text)
}

/// Splits an inline request into words; quotes as in Redis's `sdssplitargs`: `"…"` with escapes, `'…'` plain, both anywhere in a word, which
/// they end.
fn split_words(line: &[u8]) -> Result<Vec<Bytes>, ProtocolError> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_spaces(rest);
        if rest.is_empty() {
            return Ok(words);
        }
        let mut word = Vec::new();
        while let [byte, after @ ..] = rest
            && !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
        {
            if *byte == b'"' || *byte == b'\'' {
                rest = take_quoted(*byte, after, &mut word)?;
                break;
            }
            word.push(*byte);
            rest = after;
        }
        words.push(Bytes::from(word));
    }
}

/// C's `isspace`: what may stand between words, though not all of it ends one.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let first = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[first..]
}

/// Reads up to the closing quote, after which a word ends, and returns what follows.
fn take_quoted<'a>(quote: u8, text: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    loop {
        match rest {
            [byte, after @ ..] if *byte == quote => {
                let ends = after.first().is_none_or(|next| is_space(*next));
                return if ends { Ok(after) } else { Err(ProtocolError::new("unbalanced quotes in request")) };
            }
            [b'\\', ..] => rest = take_escape(quote, rest, word),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err(ProtocolError::new("unbalanced quotes in request")),
        }
    }
}

/// Reads what a backslash begins within quotes, and returns what follows it.
fn take_escape<'a>(quote: u8, text: &'a [u8], word: &mut Vec<u8>) -> &'a [u8] {
    match (quote, &text[1..]) {
        (b'\'', [b'\'', after @ ..]) => {
            word.push(b'\'');
            after
        }
        (b'"', [b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
            word.push(digit(*high) << 4 | digit(*low));
            after
        }
        (b'"', [escaped, after @ ..]) => {
            word.push(match escaped {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 0x08,
                b'a' => 0x07,
                other => *other,
            });
            after
        }
        (_, after) => {
            word.push(b'\\');
            after
        }
    }
}
