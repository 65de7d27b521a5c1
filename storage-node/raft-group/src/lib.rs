//! One Raft group as a pure machine: events in, effects out.
