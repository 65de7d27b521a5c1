//! Bytes of raft-rs's messages, read without believing the lengths that stand in them.

use bytes::Bytes;
use protobuf::{CodedInputStream, Message, ProtobufResult};

/// Reads a message. Its parts share the memory of `bytes`.
///
/// The codec takes memory for up to ten megabytes because a length says so, before it looks at what is there: for every part of a slice, and of
/// shared bytes, out of which it cuts the parts that it knows, for those that it does not. Only what is beyond a limit it refuses at once, so
/// the end of the bytes is one.
pub(crate) fn parse<M: Message>(bytes: &Bytes) -> ProtobufResult<M> {
    let mut input = CodedInputStream::from_carllerche_bytes(bytes);
    input.push_limit(bytes.len() as u64)?;
    let message = M::parse_from(&mut input)?;
    input.check_eof()?;
    Ok(message)
}

/// Reads a message into memory of its own: what a group keeps of it must not keep a whole stream's buffer alive.
pub(crate) fn parse_own<M: Message>(bytes: &[u8]) -> ProtobufResult<M> {
    parse(&Bytes::copy_from_slice(bytes))
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_own};
    use bytes::Bytes;
    use protobuf::Message as _;
    use raft::eraftpb::{Entry, Message};

    #[test]
    fn parts_are_cut_out_of_what_is_there() {
        let mut entry = Entry::default();
        entry.set_data(Bytes::from_static(b"what was proposed"));
        let mut message = Message::default();
        message.set_entries(vec![entry].into());
        let bytes = Bytes::from(message.write_to_bytes().expect("it encodes"));
        let read: Message = parse(&bytes).expect("it was just written");
        assert_eq!(read, message);
        assert!(bytes.as_ptr_range().contains(&read.get_entries()[0].get_data().as_ptr()), "no memory was taken for the data");
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        // An entry (7) of five bytes, whose data (4) claims to have 9,999,999.
        let lying = Bytes::from_static(&[0x3a, 5, 0x22, 0xff, 0xac, 0xe2, 0x04]);
        assert!(parse::<Message>(&lying).is_err());
        assert!(parse_own::<Message>(&lying).is_err());
    }

    #[test]
    fn groups_that_nest_are_refused_and_not_followed() {
        // The begin of an unknown group (100), a hundred thousand times: each would take some of the stack.
        assert!(parse::<Message>(&Bytes::from([0xa3_u8, 6].repeat(100_000))).is_err());
    }
}
