//! What nodes say to each other.

use crate::{
    host::{ChangeContext, PeerMessage},
    shell::{
        forward,
        proto::{Envelope, ForwardReply, ForwardRequest, SnapshotPiece},
        reply_codec, wire,
    },
};
use bytes::{Bytes, BytesMut};
use prost::Message;
use strata_golden::{check_fixture, hex, unhex};

/// A message of the protocol, which this build writes with the same bytes.
fn message<M: Message + Default>(encoding: &str) -> M {
    let message = M::decode(&unhex(encoding)[..]).expect("an old message decodes");
    assert_eq!(hex(&message.encode_to_vec()), encoding, "version 1 is what this build writes");
    message
}

#[test]
fn envelopes_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/envelopes.txt", |encoding| {
        let envelope: Envelope = message(encoding);
        let messages: Vec<PeerMessage> = envelope.messages.into_iter().filter_map(wire::from_wire).collect();
        let written = messages.iter().cloned().map(wire::to_wire).collect();
        let written = Envelope { from: envelope.from, to: envelope.to, messages: written };
        assert_eq!(hex(&written.encode_to_vec()), encoding, "every message is known, and written as it was");
        format!("from {} to {} {messages:?}", envelope.from, envelope.to)
    });
}

#[test]
fn forwarded_commands_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/forward_requests.txt", |encoding| {
        let request: ForwardRequest = message(encoding);
        let call = forward::call_of(request.arguments.clone()).map_or("refused", |call| call.spec.name);
        let ForwardRequest { id, to, shard, is_beside_queue, arguments } = request;
        format!("id={id} to={to} shard={shard} is_beside_queue={is_beside_queue} {arguments:?} {call}")
    });
    check_fixture("testdata/format/v1/forward_replies.txt", |encoding| {
        let reply: ForwardReply = message(encoding);
        let id = reply.id;
        format!("id={id} {:?}", wire::outcome_from_wire(reply))
    });
}

#[test]
fn replies_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/replies.txt", |encoding| {
        let reply = reply_codec::decode(Bytes::from(unhex(encoding))).expect("an old reply decodes");
        let mut written = BytesMut::new();
        reply_codec::encode(&reply, &mut written);
        assert_eq!(hex(&written), encoding, "version 1 is what this build writes");
        format!("{reply:?}")
    });
}

#[test]
fn snapshots_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/snapshot_pieces.txt", |encoding| format!("{:?}", message::<SnapshotPiece>(encoding)));
}

#[test]
fn changes_of_members_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/member_changes.txt", |encoding| {
        let context = ChangeContext::decode(encoding.as_bytes()).expect("an old context decodes");
        assert_eq!(context.encode(), encoding.as_bytes(), "version 1 is what this build writes");
        format!("{context:?}")
    });
}
