//! What a host must know of a message before there is a group to take it.

use crate::wire;
use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Message, MessageType};

/// Whether only a leader sends such a message: its receiver exists in the leader's configuration.
pub fn is_from_leader(bytes: &Bytes) -> bool {
    matches!(kind(bytes), Some(MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot))
}

/// Whether the sender asks for a vote.
pub fn is_vote_request(bytes: &Bytes) -> bool {
    matches!(kind(bytes), Some(MessageType::MsgRequestVote | MessageType::MsgRequestPreVote))
}

/// The message as this build writes it, `None` where it is no message. For tests.
pub fn rewritten(bytes: &Bytes) -> Option<Bytes> {
    let message: Message = wire::parse(bytes).ok()?;
    message.write_to_bytes().ok().map(Bytes::from)
}

/// What a message means, in words; `None` where it is no message. For tests.
pub fn meaning(bytes: &Bytes) -> Option<String> {
    wire::parse::<Message>(bytes).ok().map(|message| format!("{message:?}"))
}

/// What a change of members in the log means, in words; `None` where it is none. For tests.
pub fn meaning_of_change(bytes: &Bytes) -> Option<String> {
    wire::parse::<ConfChangeV2>(bytes).ok().map(|change| format!("{change:?}"))
}

fn kind(bytes: &Bytes) -> Option<MessageType> {
    wire::parse(bytes).ok().map(|message: Message| message.get_msg_type())
}
