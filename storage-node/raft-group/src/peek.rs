//! What a host must know of a message before there is a group to take it.

use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};

/// Whether only a leader sends such a message: its receiver exists in the leader's configuration.
pub fn is_from_leader(bytes: &[u8]) -> bool {
    matches!(kind(bytes), Some(MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot))
}

/// Whether the sender asks for a vote.
pub fn is_vote_request(bytes: &[u8]) -> bool {
    matches!(kind(bytes), Some(MessageType::MsgRequestVote | MessageType::MsgRequestPreVote))
}

fn kind(bytes: &[u8]) -> Option<MessageType> {
    Message::parse_from_bytes(bytes).ok().map(|message| message.get_msg_type())
}
