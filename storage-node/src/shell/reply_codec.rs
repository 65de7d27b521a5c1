//! Replies on their way from the leader to the node that the client is with.
//!
//! Neither version of RESP keeps every reply apart from every other, so forwarded replies have an encoding of their own: a tag, then numbers
//! in eight bytes, texts with their length in four, and items with their count in four. Both ends run versions that may differ: tags are
//! never used again.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use strata_kv::{ErrorReply, Reply};

const STATUS: u8 = 1;
const ERROR: u8 = 2;
const INTEGER: u8 = 3;
const BULK: u8 = 4;
const NULL: u8 = 5;
const NULL_ARRAY: u8 = 6;
const ARRAY: u8 = 7;
const MAP: u8 = 8;
const SET: u8 = 9;
const DOUBLE: u8 = 10;
const VERBATIM: u8 = 11;
const PAIRS: u8 = 12;

/// Replies nest this deep at most.
const DEPTH_MAX: u8 = 8;

/// Statuses that a shard's commands answer; a status is a constant of the program.
const STATUSES: &[&str] = &["OK", "string", "hash", "none", "QUEUED", "PONG"];

/// Formats of verbatim texts.
const FORMATS: &[&str] = &["txt", "mkd"];

/// Appends a reply.
pub fn encode(reply: &Reply, out: &mut BytesMut) {
    match reply {
        Reply::Status(text) => put_text(STATUS, text.as_bytes(), out),
        Reply::Error(error) => put_text(ERROR, error.text().as_bytes(), out),
        Reply::Integer(number) => {
            out.put_u8(INTEGER);
            out.put_i64(*number);
        }
        Reply::Bulk(bytes) => put_text(BULK, bytes, out),
        Reply::Null => out.put_u8(NULL),
        Reply::NullArray => out.put_u8(NULL_ARRAY),
        Reply::Array(items) => put_items(ARRAY, items, out),
        Reply::Set(items) => put_items(SET, items, out),
        Reply::Map(pairs) => put_pairs(MAP, pairs, out),
        Reply::Pairs(pairs) => put_pairs(PAIRS, pairs, out),
        Reply::Double(number) => {
            out.put_u8(DOUBLE);
            out.put_f64(*number);
        }
        Reply::Verbatim(format, text) => {
            out.put_u8(VERBATIM);
            put_text(STATUS, format.as_bytes(), out);
            put_text(BULK, text, out);
        }
    }
}

fn put_text(tag: u8, text: &[u8], out: &mut BytesMut) {
    out.put_u8(tag);
    out.put_u32(text.len() as u32);
    out.put_slice(text);
}

fn put_items(tag: u8, items: &[Reply], out: &mut BytesMut) {
    out.put_u8(tag);
    out.put_u32(items.len() as u32);
    items.iter().for_each(|item| encode(item, out));
}

fn put_pairs(tag: u8, pairs: &[(Reply, Reply)], out: &mut BytesMut) {
    out.put_u8(tag);
    out.put_u32(pairs.len() as u32);
    for (key, value) in pairs {
        encode(key, out);
        encode(value, out);
    }
}

/// Reads what [`encode`] wrote; `None` where it is something else.
pub fn decode(mut bytes: Bytes) -> Option<Reply> {
    let reply = take(&mut bytes, DEPTH_MAX)?;
    bytes.is_empty().then_some(reply)
}

fn take(from: &mut Bytes, depth: u8) -> Option<Reply> {
    let depth = depth.checked_sub(1)?;
    Some(match from.try_get_u8().ok()? {
        STATUS => {
            let text = take_text(from)?;
            // A status that a newer leader knows is at least the right text.
            known(STATUSES, &text).map_or(Reply::Bulk(text), Reply::Status)
        }
        ERROR => Reply::Error(ErrorReply::new(String::from_utf8_lossy(&take_text(from)?))),
        INTEGER => Reply::Integer(from.try_get_i64().ok()?),
        BULK => Reply::Bulk(take_text(from)?),
        NULL => Reply::Null,
        NULL_ARRAY => Reply::NullArray,
        ARRAY => Reply::Array(take_items(from, depth)?),
        SET => Reply::Set(take_items(from, depth)?),
        MAP => Reply::Map(take_pairs(from, depth)?),
        PAIRS => Reply::Pairs(take_pairs(from, depth)?),
        DOUBLE => Reply::Double(from.try_get_f64().ok()?),
        VERBATIM => {
            let (Reply::Bulk(format), Reply::Bulk(text)) = (take_verbatim_part(from)?, take(from, depth)?) else { return None };
            Reply::Verbatim(known(FORMATS, &format)?, text)
        }
        _ => return None,
    })
}

fn take_verbatim_part(from: &mut Bytes) -> Option<Reply> {
    (from.try_get_u8().ok()? == STATUS).then_some(())?;
    Some(Reply::Bulk(take_text(from)?))
}

fn known(constants: &[&'static str], text: &[u8]) -> Option<&'static str> {
    constants.iter().find(|constant| constant.as_bytes() == text).copied()
}

fn take_text(from: &mut Bytes) -> Option<Bytes> {
    let length = from.try_get_u32().ok()? as usize;
    (length <= from.len()).then(|| from.split_to(length))
}

fn take_pairs(from: &mut Bytes, depth: u8) -> Option<Vec<(Reply, Reply)>> {
    let count = from.try_get_u32().ok()?;
    (0..count).map(|_| Some((take(from, depth)?, take(from, depth)?))).collect()
}

fn take_items(from: &mut Bytes, depth: u8) -> Option<Vec<Reply>> {
    let count = from.try_get_u32().ok()?;
    // Collecting stops at the first item that is missing, so a false count takes no memory.
    (0..count).map(|_| take(from, depth)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_reads_as_it_was_written() {
        let replies = [
            Reply::OK,
            Reply::Error(ErrorReply::WRONG_TYPE),
            Reply::Integer(-7),
            Reply::bulk("a\r\nb"),
            Reply::Null,
            Reply::NullArray,
            Reply::Double(1.5),
            Reply::Verbatim("txt", "hello".into()),
            Reply::Map(vec![(Reply::bulk("k"), Reply::Array(vec![Reply::Integer(1), Reply::Null]))]),
            Reply::Set(vec![Reply::bulk("m")]),
        ];
        for reply in replies {
            let mut out = BytesMut::new();
            encode(&reply, &mut out);
            assert_eq!(decode(out.freeze()), Some(reply));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for bytes in [&b""[..], b"\x00", b"\x04\xff\xff\xff\xff", b"\x07\xff\xff\xff\xff", b"\x05\x05"] {
            assert_eq!(decode(Bytes::from_static(bytes)), None, "{bytes:?}");
        }
        let deep = [0x07, 0, 0, 0, 1].repeat(100_000);
        assert_eq!(decode(Bytes::from(deep)), None, "depth is bounded");
    }
}
