//! A stored entry's bytes, as the log on disk holds them.

use super::StoredEntry;
use bytes::Bytes;
use protobuf::{
    CachedSize, CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields,
    reflect::MessageDescriptor,
    rt::unexpected_wire_type,
    wire_format::{WireTypeLengthDelimited, WireTypeVarint},
};
use std::any::Any;

/// The bytes of an entry.
pub fn encode(entry: &StoredEntry) -> Bytes {
    let bytes = WireEntry::new(entry.clone()).write_to_bytes().expect("an entry is far below what the codec takes");
    Bytes::from(bytes)
}

/// Reads what [`encode`] wrote, and what the log on disk holds; `None` where it is something else. The codec makes room for a length that it is
/// told, unless that is beyond a limit; the end of the bytes is one. What raft-engine itself reads it has checked by a checksum before.
pub fn decode(bytes: &[u8]) -> Option<StoredEntry> {
    let mut input = CodedInputStream::from_bytes(bytes);
    input.push_limit(bytes.len() as u64).ok()?;
    WireEntry::parse_from(&mut input).ok().map(|wire| wire.entry)
}

/// The message that raft-engine stores: `{1: index, 2: term, 3: kind, 4: context, 5: data}`. Written by hand, so that neither generated code
/// nor raft-rs's types are needed here.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct WireEntry {
    pub(super) entry: StoredEntry,
    unknown: UnknownFields,
    size: CachedSize,
}

impl WireEntry {
    pub(super) fn new(entry: StoredEntry) -> WireEntry {
        WireEntry { entry, ..WireEntry::default() }
    }
}

const INDEX: u32 = 1;
const TERM: u32 = 2;
const KIND: u32 = 3;
const CONTEXT: u32 = 4;
const DATA: u32 = 5;

impl protobuf::Clear for WireEntry {
    fn clear(&mut self) {
        *self = WireEntry::default();
    }
}

impl Message for WireEntry {
    fn descriptor(&self) -> &'static MessageDescriptor {
        unreachable!("raft-engine encodes and decodes; it does not reflect")
    }

    fn is_initialized(&self) -> bool {
        true
    }

    fn merge_from(&mut self, input: &mut CodedInputStream<'_>) -> ProtobufResult<()> {
        while !input.eof()? {
            let (field, wire_type) = input.read_tag_unpack()?;
            match (field, wire_type) {
                (INDEX, WireTypeVarint) => self.entry.index = input.read_uint64()?,
                (TERM, WireTypeVarint) => self.entry.term = input.read_uint64()?,
                (KIND, WireTypeVarint) => self.entry.kind = u8::try_from(input.read_uint32()?).unwrap_or(u8::MAX),
                (CONTEXT, WireTypeLengthDelimited) => self.entry.context = input.read_bytes()?.into(),
                (DATA, WireTypeLengthDelimited) => self.entry.data = input.read_bytes()?.into(),
                (INDEX..=DATA, other) => return Err(unexpected_wire_type(other)),
                _ => input.skip_field(wire_type)?,
            }
        }
        Ok(())
    }

    fn write_to_with_cached_sizes(&self, out: &mut CodedOutputStream<'_>) -> ProtobufResult<()> {
        out.write_uint64(INDEX, self.entry.index)?;
        out.write_uint64(TERM, self.entry.term)?;
        out.write_uint32(KIND, u32::from(self.entry.kind))?;
        if !self.entry.context.is_empty() {
            out.write_bytes(CONTEXT, &self.entry.context)?;
        }
        out.write_bytes(DATA, &self.entry.data)
    }

    fn compute_size(&self) -> u32 {
        use protobuf::rt::{bytes_size, value_size};
        let mut size = value_size(INDEX, self.entry.index, WireTypeVarint)
            + value_size(TERM, self.entry.term, WireTypeVarint)
            + value_size(KIND, u32::from(self.entry.kind), WireTypeVarint)
            + bytes_size(DATA, &self.entry.data);
        if !self.entry.context.is_empty() {
            size += bytes_size(CONTEXT, &self.entry.context);
        }
        self.size.set(size);
        size
    }

    fn get_cached_size(&self) -> u32 {
        self.size.get()
    }

    fn get_unknown_fields(&self) -> &UnknownFields {
        &self.unknown
    }

    fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn new() -> WireEntry {
        WireEntry::default()
    }

    fn default_instance() -> &'static WireEntry {
        unreachable!("raft-engine makes instances with new()")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strata_golden::{check_fixture, hex, unhex};

    #[test]
    fn stored_entries_of_version_1_mean_what_they_meant() {
        check_fixture("testdata/format/v1/stored_entries.txt", |encoding| {
            let entry = decode(&unhex(encoding)).expect("an old entry decodes");
            assert_eq!(hex(&encode(&entry)), encoding, "version 1 is what this build writes");
            format!("{entry:?}")
        });
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(decode(&[0x2a, 0xff, 0xac, 0xe2, 0x04, b'x']), None);
    }

    #[test]
    fn fields_of_another_shape_are_refused() {
        for (shape, bytes) in [("index as a group", &[0x0b, 5][..]), ("term as text", &[0x12, 5]), ("data as a number", &[0x28, 0])] {
            assert_eq!(decode(bytes), None, "{shape}");
        }
        assert!(decode(&[0x30, 5]).is_some(), "a field of a later build is passed over");
    }
}
