//! Forwarding: commands of plain clients on their way to the node that leads.
//!
//! One hop, and a write is never sent twice once its bytes have left. Where the connection is lost, writes under way have an unknown outcome and
//! reads had no effect.

use super::{
    deadline,
    driver::{HostHandle, Token},
    peer_client::CONNECT,
    proto::{ForwardReply, ForwardRequest, peer_client::PeerClient},
    wire,
};
use crate::{
    host::{Command, Leased, NotDone, Outcome, ReplyRoom},
    limits,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{collections::BTreeMap, time::Duration};
use strata_base::{ShardId, StoreId};
use strata_kv::{
    ErrorReply,
    command::{self, Call, Run},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

/// A command to forward.
pub struct ForwardJob {
    /// The shard of its keys.
    pub shard: ShardId,
    /// Its arguments, name included.
    pub arguments: Vec<Bytes>,
    /// Whether it may write.
    pub is_write: bool,
    /// Whether it may be read beside the queue.
    pub is_beside_queue: bool,
    /// Where the outcome goes.
    pub token: Token,
}

struct Waiting {
    token: Token,
    is_write: bool,
    deadline: Instant,
}

/// Forwards jobs to one node over one stream, and begins another when it ends.
pub(super) async fn run(to: StoreId, mut client: PeerClient<Channel>, mut jobs: mpsc::Receiver<ForwardJob>) {
    while let Some(first) = jobs.recv().await {
        let (sender, requests) = mpsc::channel(limits::EVENTS_MAX);
        let opened = timeout(CONNECT, client.forward(ReceiverStream::new(requests))).await;
        let Ok(Ok(replies)) = opened else {
            // Nothing left: whoever leads may do it.
            let _ = first.token.send(Outcome::NotDone(NotDone::NotLeader(None)));
            while let Ok(job) = jobs.try_recv() {
                let _ = job.token.send(Outcome::NotDone(NotDone::NotLeader(None)));
            }
            continue;
        };
        let mut link = ForwardLink { to, sender, waiting: BTreeMap::new(), next: 0 };
        link.begin(first);
        link.carry(replies.into_inner(), &mut jobs).await;
        link.end();
    }
}

struct ForwardLink {
    to: StoreId,
    sender: mpsc::Sender<ForwardRequest>,
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
}

impl ForwardLink {
    fn begin(&mut self, job: ForwardJob) {
        self.next += 1;
        let ForwardJob { shard, arguments, is_write, is_beside_queue, token } = job;
        let request = ForwardRequest { id: self.next, to: self.to.0, shard: shard.0, is_beside_queue, arguments };
        match self.sender.try_send(request) {
            Ok(()) => {
                let deadline = deadline::after(Duration::from_millis(limits::COMMAND_DEADLINE_MILLIS) + deadline::GRACE);
                self.waiting.insert(self.next, Waiting { token, is_write, deadline });
            }
            Err(_) => drop(token.send(Outcome::NotDone(NotDone::Busy))),
        }
    }

    /// Carries jobs and outcomes until the stream ends.
    async fn carry(&mut self, mut replies: Streaming<ForwardReply>, jobs: &mut mpsc::Receiver<ForwardJob>) {
        let mut sweep = interval(Duration::from_millis(500));
        loop {
            tokio::select! {
                biased;
                reply = replies.message() => {
                    let Ok(Some(reply)) = reply else { return };
                    if let Some(waiting) = self.waiting.remove(&reply.id) {
                        let _ = waiting.token.send(wire::outcome_from_wire(reply));
                    }
                }
                job = jobs.recv() => {
                    let Some(job) = job else { return };
                    self.begin(job);
                }
                now = sweep.tick() => {
                    // A leader that stands still answers nothing: a new connection finds out.
                    if self.waiting.values().any(|waiting| waiting.deadline < now) {
                        return;
                    }
                }
            }
        }
    }

    fn end(&mut self) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            let outcome = if waiting.is_write {
                Outcome::Unknown("the connection to the leader was lost")
            } else {
                Outcome::NotDone(NotDone::NotLeader(None))
            };
            let _ = waiting.token.send(outcome);
        }
    }
}

/// Serves the commands that another node forwards here.
pub(super) async fn serve(host: HostHandle, mut requests: Streaming<ForwardRequest>, replies: mpsc::Sender<Result<ForwardReply, Status>>) {
    let mut outcomes = FuturesUnordered::new();
    loop {
        let reply = tokio::select! {
            biased;
            Some(reply) = outcomes.next(), if !outcomes.is_empty() => reply,
            request = requests.message() => {
                let Ok(Some(request)) = request else { return };
                let (id, outcome) = (request.id, submit(&host, request));
                outcomes.push(async move {
                    let outcome = outcome.await.unwrap_or(Outcome::Unknown("the leader is stopping"));
                    wire::outcome_to_wire(id, &outcome)
                });
                continue;
            }
        };
        if replies.send(Ok(reply)).await.is_err() {
            return;
        }
    }
}

/// The call that another node forwards: one for a shard. What a connection answers by itself is never forwarded, and no shard could evaluate it.
pub fn call_of(arguments: Vec<Bytes>) -> Result<Call, ErrorReply> {
    let call = command::parse(arguments)?;
    if matches!(call.spec.run, Run::Connection(_)) {
        return Err(ErrorReply::new(format!(
            "ERR '{}' was forwarded, and is answered by the node that the client is with",
            call.spec.name
        )));
    }
    Ok(call)
}

fn submit(host: &HostHandle, request: ForwardRequest) -> oneshot::Receiver<Outcome> {
    let (token, outcome) = oneshot::channel();
    let refusal = match call_of(request.arguments) {
        _ if request.to != host.store.0 => Outcome::NotDone(NotDone::NotLeader(None)),
        Err(error) => Outcome::Reply(strata_kv::Reply::Error(error)),
        Ok(call) => {
            let (shard, is_beside_queue) = (ShardId(request.shard), request.is_beside_queue);
            let lease = host.routes.borrow().lease(shard).filter(|_| is_beside_queue).cloned();
            let grant = match lease.map(|lease| host.read_by_lease(&lease, &call)) {
                Some(Leased::Reply(reply)) => {
                    let _ = token.send(Outcome::Reply(reply));
                    return outcome;
                }
                Some(Leased::Disk(grant)) => Some(grant),
                Some(Leased::Host) | None => None,
            };
            host.submit(vec![Command { shard, call, is_beside_queue, grant, room: ReplyRoom::default(), token }]);
            return outcome;
        }
    };
    let _ = token.send(refusal);
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_answers_is_no_call_for_a_shard() {
        let call = |words: &[&'static str]| call_of(words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect());
        assert_eq!(call(&["GET", "k"]).map(|call| call.spec.name).map_err(|error| error.text().to_owned()), Ok("get"));
        for words in [&["PING"][..], &["CLIENT", "ID"], &["COMMAND"], &["NOTHING"]] {
            assert!(call(words).is_err(), "{words:?}");
        }
    }
}
