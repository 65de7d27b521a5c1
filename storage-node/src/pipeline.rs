//! The order that the commands of one connection keep among each other while several of them are unanswered.
//!
//! A shard answers reads beside its queue of writes. Between two clients that is right in any order; one client that sends `SET k`, `GET k` must read
//! what it wrote, and one that sends `GET k`, `SET k` must not. So a connection that writes to a shard reads from it through the queue, too.

use crate::host::Command;
use strata_base::{
    ShardId,
    planted::{Mistake, planted},
};

/// What a connection has begun and not yet answered.
#[derive(Debug, Default)]
pub struct PipelineOrder {
    /// Shards that have an unanswered command of this connection: one that is answered at once would pass it.
    unanswered: Vec<ShardId>,
    /// Those of them that have a write in their queue: a read must not pass it.
    queued: Vec<ShardId>,
}

impl PipelineOrder {
    /// Whether a read of the shard may be answered at once.
    pub fn may_answer_at_once(&self, shard: ShardId) -> bool {
        !self.unanswered.contains(&shard)
    }

    /// Whether a command on the shard may go beside the queue.
    pub fn is_beside_queue(&self, shard: ShardId, is_write: bool) -> bool {
        !is_write && (!self.queued.contains(&shard) || planted(Mistake::ReadPassesWrite))
    }

    /// A command on the shard was begun. Those of `earlier` are not given to the host yet, and may still change their place.
    pub fn begin<T>(&mut self, shard: ShardId, is_write: bool, earlier: &mut [Command<T>]) {
        if !self.unanswered.contains(&shard) {
            self.unanswered.push(shard);
        }
        if is_write && !self.queued.contains(&shard) {
            self.queued.push(shard);
            // A read that this write follows must not be passed by it: both go through the queue.
            let reads = earlier.iter_mut().filter(|command| command.shard == shard && !planted(Mistake::WritePassesRead));
            reads.for_each(|command| command.is_beside_queue = false);
        }
    }

    /// Whether there are writes among what is unanswered.
    pub fn has_writes(&self) -> bool {
        !self.queued.is_empty()
    }

    /// Everything is answered.
    pub fn clear(&mut self) {
        self.queued.clear();
        self.unanswered.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::ReplyRoom;
    use strata_kv::command;

    const SHARD: ShardId = ShardId(1);
    const OTHER: ShardId = ShardId(2);

    /// The places that commands take which are begun one after the other: whether each goes beside the queue.
    fn places(commands: &[(ShardId, &'static str)]) -> Vec<bool> {
        let mut order = PipelineOrder::default();
        let mut begun = Vec::new();
        for (shard, line) in commands {
            let call = command::parse(line.split(' ').map(bytes::Bytes::from).collect()).expect("it is well-formed");
            let is_write = call.spec.is_write();
            let is_beside_queue = order.is_beside_queue(*shard, is_write);
            begun.push(Command { shard: *shard, call, is_beside_queue, grant: None, room: ReplyRoom::default(), token: () });
            order.begin(*shard, is_write, &mut begun);
        }
        begun.iter().map(|command| command.is_beside_queue).collect()
    }

    #[test]
    fn reads_go_through_the_queue_of_a_shard_that_their_connection_writes_to() {
        assert_eq!(places(&[(SHARD, "get a"), (SHARD, "get b")]), [true, true]);
        assert_eq!(places(&[(SHARD, "set a 1"), (SHARD, "get a")]), [false, false], "it reads what it wrote");
        assert_eq!(places(&[(SHARD, "get a"), (SHARD, "set a 1"), (SHARD, "get a")]), [false, false, false], "and before, what was there");
        assert_eq!(places(&[(OTHER, "get a"), (SHARD, "set b 1"), (OTHER, "get a")]), [true, false, true], "shards have no order");
    }

    #[test]
    fn nothing_is_answered_at_once_that_would_pass_what_is_unanswered() {
        let mut order = PipelineOrder::default();
        assert!(order.may_answer_at_once(SHARD) && !order.has_writes());
        order.begin::<()>(SHARD, false, &mut []);
        assert!(!order.may_answer_at_once(SHARD) && order.may_answer_at_once(OTHER) && !order.has_writes());
        order.begin::<()>(OTHER, true, &mut []);
        assert!(order.has_writes());
        order.clear();
        assert!(order.may_answer_at_once(SHARD) && order.is_beside_queue(OTHER, false));
    }
}
