//! What nodes say to each other.

use super::Target;
use crate::{
    Verdict,
    check::steady,
    meter::{FACTOR, bounded_by},
};
use bytes::Bytes;
use prost::Message;
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::tier::layout::LifeId;
use strata_kv::Reply;
use strata_node::{
    clock::{ClusterClock, Moment},
    host::{HeardSighting, LeadTerm, NotDone, Outcome, PeerMessage},
    routes::{Route, RouteTable},
    shell::{
        forward,
        proto::{Envelope, FilePiece, ForwardReply, ForwardRequest, SnapshotFile, SnapshotHead, SnapshotPiece, snapshot_piece::Kind},
        wire,
    },
};

pub(super) const ENVELOPES: Target = Target {
    name: "envelopes",
    from: "other nodes",
    sources: &["storage-node/src/shell/wire.rs", "storage-node/src/routes.rs"],
    play: envelopes,
    samples: envelope_samples,
};

pub(super) const FORWARD_REQUESTS: Target = Target {
    name: "forward_requests",
    from: "other nodes",
    sources: &["storage-node/src/shell/forward.rs"],
    play: forward_requests,
    samples: forward_request_samples,
};

pub(super) const FORWARD_REPLIES: Target = Target {
    name: "forward_replies",
    from: "other nodes",
    sources: &["storage-node/src/shell/wire.rs"],
    play: forward_replies,
    samples: forward_reply_samples,
};

pub(super) const SNAPSHOT_PIECES: Target = Target {
    name: "snapshot_pieces",
    from: "other nodes",
    sources: &["storage-node/src/shell/snapshot.rs"],
    play: |bytes| steady(bytes, |bytes| SnapshotPiece::decode(bytes).ok(), |piece| Bytes::from(piece.encode_to_vec())),
    samples: snapshot_samples,
};

fn envelopes(bytes: &[u8]) -> Verdict {
    let given = Bytes::copy_from_slice(bytes);
    let read = |bytes: Bytes| {
        let envelope = Envelope::decode(bytes).ok()?;
        let messages: Vec<PeerMessage> = envelope.messages.into_iter().filter_map(wire::from_wire).collect();
        Some((envelope.from, envelope.to, messages))
    };
    let Some((from, to, messages)) = bounded_by(FACTOR, bytes, || read(given)) else { return Verdict::Refused };
    heard(from, &messages);
    let written = Envelope { from, to, messages: messages.iter().cloned().map(wire::to_wire).collect() };
    assert_eq!(read(written.encode_to_vec().into()), Some((from, to, messages)), "messages read as they were written");
    Verdict::Taken
}

/// What a host does with gossip before it asks anything else.
fn heard(from: u64, messages: &[PeerMessage]) {
    let now = Moment { monotonic_ms: 1_000, wall_ms: 1_700_000_000_000 };
    let (mut clock, mut table) = (ClusterClock::new(now), RouteTable::default());
    for message in messages {
        if let PeerMessage::Gossip { wall_ms, routes, .. } = message {
            clock.hear(now, StoreId(from), *wall_ms);
            clock.now_ms(Moment { monotonic_ms: now.monotonic_ms + 100, ..now });
            clock.step(now);
            for route in routes {
                table.learn(route);
            }
        }
    }
    assert!(clock.peek_ms(now) < 1 << 49, "a clock that was heard stays within what the hybrid clock holds");
    assert!(table.in_slot_order().iter().all(|route| route.slots.first() <= route.slots.last()), "a range of slots is one");
}

fn forward_requests(bytes: &[u8]) -> Verdict {
    let given = Bytes::copy_from_slice(bytes);
    let Some(request) = bounded_by(FACTOR, bytes, || ForwardRequest::decode(given).ok()) else { return Verdict::Refused };
    let again = ForwardRequest::decode(&request.encode_to_vec()[..]);
    assert_eq!(again.ok().as_ref(), Some(&request));
    // A refusal is an answer, too.
    let _ = forward::call_of(request.arguments);
    Verdict::Taken
}

fn forward_replies(bytes: &[u8]) -> Verdict {
    let decode = |bytes: Bytes| {
        let reply = ForwardReply::decode(bytes).ok()?;
        Some((reply.id, wire::outcome_from_wire(reply)))
    };
    // Why nobody knows is a sentence of whoever says so.
    let encode = |(id, outcome): &(u64, Outcome)| match outcome {
        Outcome::Unknown(_) => wire::outcome_to_wire(*id, &Outcome::Unknown("")),
        known => wire::outcome_to_wire(*id, known),
    };
    steady(bytes, decode, |outcome| Bytes::from(encode(outcome).encode_to_vec()))
}

fn envelope_samples() -> Vec<(&'static str, Vec<u8>)> {
    let (shard, peer) = (ShardId(7), PeerId(2));
    let route = Route {
        shard,
        table: TableId(0),
        slots: SlotRange::ALL,
        epoch: Epoch(3),
        term: 9,
        leader: Some(StoreId(101)),
        stores: vec![StoreId(101), StoreId(102)],
    };
    let leads = vec![LeadTerm { shard, peer, term: 9 }, LeadTerm { shard: ShardId(8), peer: PeerId(5), term: 1 }];
    let registered = Some(vec![LifeId(11), LifeId(12)]);
    let gossip = |sighting| {
        let (routes, registered) = (vec![route.clone()], registered.clone());
        PeerMessage::Gossip { wall_ms: 1_700_000_000_000, routes, life: LifeId(11), registered, sighting }
    };
    let sighting = HeardSighting { incarnation: IncarnationId(1), beat: Some("a beat".into()), stood_ms: 60_000, age_ms: 5_000 };
    let kinds = [
        ("raft", PeerMessage::Raft { shard, from: PeerId(1), to: peer, bytes: "a message of the group".into() }),
        ("gone", PeerMessage::Gone { shard, peer, epoch: Epoch(4) }),
        ("gossip", gossip(None)),
        ("gossip_sighting", gossip(Some(sighting))),
        ("confirm", PeerMessage::Confirm { round: 1, leads: leads.clone() }),
        ("confirmed", PeerMessage::Confirmed { round: 1, leads }),
        ("archived", PeerMessage::Archived { shard, index: 40, hlc: Hlc::from_millis(1_700_000_000_000) }),
    ];
    let envelope = |messages: Vec<PeerMessage>| {
        Envelope { from: 101, to: 102, messages: messages.into_iter().map(wire::to_wire).collect() }.encode_to_vec()
    };
    let all = ("all", envelope(kinds.iter().map(|(_, message)| message.clone()).collect()));
    kinds.into_iter().map(|(name, message)| (name, envelope(vec![message]))).chain([all]).collect()
}

fn forward_request_samples() -> Vec<(&'static str, Vec<u8>)> {
    let request = |is_beside_queue, arguments: &[&'static str]| {
        let arguments = arguments.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        ForwardRequest { id: 5, to: 102, shard: 7, is_beside_queue, arguments }.encode_to_vec()
    };
    vec![
        ("read", request(true, &["GET", "user:7"])),
        ("write", request(false, &["SET", "user:7", "Ada"])),
        ("ping", request(true, &["PING"])),
    ]
}

fn forward_reply_samples() -> Vec<(&'static str, Vec<u8>)> {
    [
        ("reply", Outcome::Reply(Reply::Array(vec![Reply::bulk("a"), Reply::Null]))),
        ("not_leader", Outcome::NotDone(NotDone::NotLeader(Some(StoreId(103))))),
        ("nobody_leads", Outcome::NotDone(NotDone::NotLeader(None))),
        ("busy", Outcome::NotDone(NotDone::Busy)),
        ("deadline", Outcome::NotDone(NotDone::Deadline)),
        ("stopped", Outcome::NotDone(NotDone::Stopped)),
        ("unknown", Outcome::Unknown("the leader is stopping")),
    ]
    .into_iter()
    .map(|(name, outcome)| (name, wire::outcome_to_wire(9, &outcome).encode_to_vec()))
    .collect()
}

fn snapshot_samples() -> Vec<(&'static str, Vec<u8>)> {
    let files = vec![SnapshotFile { name: "000012.sst".to_owned(), bytes: 3 }, SnapshotFile { name: "CURRENT".to_owned(), bytes: 0 }];
    let head = SnapshotHead { to: 102, shard: 7, from_peer: 1, to_peer: 2, message: "the message that announces it".into(), files };
    let piece = FilePiece { file: 0, data: "abc".into(), checksum: crc32fast::hash(b"abc") };
    let encode = |kind| SnapshotPiece { kind: Some(kind) }.encode_to_vec();
    vec![("head", encode(Kind::Head(head))), ("piece", encode(Kind::Piece(piece)))]
}
