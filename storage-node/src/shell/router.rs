//! The router: from a call to the node that leads its shard, and back.
//!
//! A command that certainly had no effect is held and tried again until its deadline, since clients give up redirects within half a second. One
//! that may have had an effect is never tried again.

use super::{
    deadline,
    driver::{HostHandle, Token},
    forward::ForwardJob,
    peer_client::Peers,
};
use crate::{
    host::{Command, Grant, Leased, NotDone, Outcome, ReadLease, ReplyRoom},
    limits,
    routes::{Route, RouteTable},
};
use std::{sync::Arc, time::Duration};
use strata_base::{ShardId, StoreId};
use strata_kv::{
    ErrorReply, Reply,
    command::{
        Call, Run,
        scan::{self, Cursor},
    },
    session::Port,
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tracing::Instrument;

/// How long a command is held before the next try, unless the routes change first.
const HOLD: Duration = Duration::from_millis(20);

/// Finds leaders.
#[derive(Clone)]
pub struct Router {
    host: HostHandle,
    peers: Peers,
}

/// Where a part of a call goes.
#[derive(Clone, Debug)]
struct Target {
    shard: ShardId,
    /// A slot of it, for MOVED.
    slot: u16,
}

/// A command that was given to this node's host at once.
pub struct Begun {
    outcome: oneshot::Receiver<Outcome>,
    target: Target,
    room: ReplyRoom,
    deadline: Instant,
    span: tracing::Span,
}

impl Begun {
    /// The shard it went to.
    pub fn shard(&self) -> ShardId {
        self.target.shard
    }
}

impl Router {
    /// A router over a host and its peers.
    pub fn new(host: HostHandle, peers: Peers) -> Router {
        Router { host, peers }
    }

    /// Who leads what, now.
    pub fn routes(&self) -> Arc<RouteTable> {
        self.host.routes.borrow().clone()
    }

    /// The shortest way: a read of a shard that this node leads, and may answer for without asking anybody. `may_pass` says whether nothing that
    /// the connection has begun on the shard is unanswered.
    pub fn read_at_once(&self, call: &Call, may_pass: impl Fn(ShardId) -> bool) -> Leased {
        match self.lease_for(call, may_pass) {
            Some(lease) => self.host.read_by_lease(&lease, call),
            None => Leased::Host,
        }
    }

    fn lease_for(&self, call: &Call, may_pass: impl Fn(ShardId) -> bool) -> Option<Arc<ReadLease>> {
        let slot = call.slot().ok()??;
        let routes = self.host.routes.borrow();
        let shard = routes.by_slot(slot).map(|route| route.shard).filter(|shard| may_pass(*shard))?;
        routes.lease(shard).cloned()
    }

    /// The short way, for most calls: one shard, led by this node. The command is added to `batch`, which is to be submitted before anything
    /// is waited for.
    pub fn begin(
        &self,
        (call, grant): (&Call, Option<Box<Grant>>),
        batch: &mut Vec<Command<Token>>,
        room: &ReplyRoom,
        is_beside_queue: impl Fn(ShardId) -> bool,
    ) -> Option<Begun> {
        let Run::Keyed { .. } = call.spec.run else { return None };
        let slot = call.slot().ok()??;
        let routes = self.host.routes.borrow();
        let route = routes.by_slot(slot).filter(|route| route.leader == Some(self.host.store))?;
        let target = Target { shard: route.shard, slot };
        drop(routes);
        let (token, outcome) = oneshot::channel();
        let is_beside_queue = is_beside_queue(target.shard);
        batch.push(Command { shard: target.shard, call: call.clone(), is_beside_queue, grant, room: room.clone(), token });
        let span = tracing::debug_span!("command", name = call.spec.name, shard = %target.shard, is_beside_queue);
        Some(Begun { outcome, target, room: room.clone(), deadline: command_deadline(), span })
    }

    /// Gives what was begun to the host, in the order of calls.
    pub fn submit(&self, batch: &mut Vec<Command<Token>>) {
        if !batch.is_empty() {
            self.host.submit(std::mem::take(batch));
        }
    }

    /// Ends what was begun; what had no effect goes the long way. `None` where it had no room for its reply and `may_come_late` is false: it
    /// would be done after its successors.
    pub async fn finish(&self, port: Port, call: Call, begun: Begun, may_come_late: bool) -> Option<Reply> {
        let span = begun.span.clone();
        self.await_outcome(port, call, begun, may_come_late).instrument(span).await
    }

    async fn await_outcome(&self, port: Port, call: Call, begun: Begun, may_come_late: bool) -> Option<Reply> {
        let deadline = match outcome_of(&call, begun.outcome, begun.deadline).await {
            Outcome::NotDone(_) if !begun.room.is_spent() => begun.deadline,
            Outcome::NotDone(_) if !may_come_late => return None,
            // It has waited for its client to take the replies before it, which is nobody else's delay.
            Outcome::NotDone(_) => command_deadline(),
            outcome => return Some(to_reply(outcome)),
        };
        Some(self.route_one(port, call, begun.target, deadline).await)
    }

    /// The long way: any call, to any node.
    pub async fn route(&self, port: Port, call: Call) -> Reply {
        let span = tracing::debug_span!("command", name = call.spec.name);
        self.route_anyhow(port, call).instrument(span).await
    }

    async fn route_anyhow(&self, port: Port, call: Call) -> Reply {
        let deadline = command_deadline();
        match call.spec.run {
            Run::Keyed { .. } => self.route_keyed(port, call, deadline).await,
            Run::EveryShard { .. } => self.route_everywhere(port, call, deadline).await,
            Run::Slot(_) => match call.slot() {
                Ok(slot) => self.route_slot(port, call, slot.unwrap_or_default(), deadline).await,
                Err(error) => Reply::Error(error),
            },
            Run::Cursor(_) => self.route_cursor(port, call, deadline).await,
            Run::AnyShard(_) => self.route_anywhere(port, call, deadline).await,
            Run::Connection(_) => Reply::Error(ErrorReply::new("ERR this command is answered by the connection")),
        }
    }

    async fn route_keyed(&self, port: Port, call: Call, deadline: Instant) -> Reply {
        match (port, call.slot()) {
            (_, Ok(Some(slot))) => self.route_slot(port, call, slot, deadline).await,
            (_, Ok(None)) => Reply::Error(ErrorReply::wrong_arity(call.spec.name)),
            (Port::Cluster, Err(error)) => Reply::Error(error),
            (Port::Plain, Err(_)) => self.route_split(call, deadline).await,
        }
    }

    async fn route_slot(&self, port: Port, call: Call, slot: u16, deadline: Instant) -> Reply {
        match self.await_route(deadline, |routes| routes.by_slot(slot).map(|route| route.shard)).await {
            Some(shard) => self.route_one(port, call, Target { shard, slot }, deadline).await,
            None => nobody_leads(port),
        }
    }

    /// A step of a walk over the keys. On the cluster port a node walks the shards that name it first, whoever leads them: a leader that moves
    /// loses a client no keys.
    async fn route_cursor(&self, port: Port, mut call: Call, deadline: Instant) -> Reply {
        let slot = match call.slot() {
            Ok(slot) => slot.unwrap_or_default(),
            Err(error) => return Reply::Error(error),
        };
        if port == Port::Plain {
            return self.route_slot(port, call, slot, deadline).await;
        }
        let own = self.host.store;
        let next_of = |routes: &RouteTable, slot: u16| {
            let mine = routes.in_slot_order().into_iter().filter(|route| route.stores.first() == Some(&own)).map(|route| route.slots);
            mine.filter(|slots| slots.last() >= slot).map(|slots| slots.first().max(slot)).min()
        };
        match next_of(&self.routes(), slot) {
            None => return Reply::Array(vec![Reply::bulk("0"), Reply::Array(Vec::new())]),
            Some(next) if next == slot => {}
            Some(next) => call.arguments[1] = Cursor::at_slot(next).as_u64().to_string().into(),
        }
        let slot = next_of(&self.routes(), slot).unwrap_or(slot);
        let reply = self.route_slot(Port::Plain, call, slot, deadline).await;
        scan::redirect(reply, |slot| next_of(&self.routes(), slot))
    }

    async fn route_split(&self, call: Call, deadline: Instant) -> Reply {
        let routes = self.routes();
        let order = routes.in_slot_order();
        let shard_of = |slot: u16| order.iter().position(|route| route.slots.contains(slot)).unwrap_or(usize::MAX);
        let parts = match call.split(shard_of) {
            Ok(parts) => parts,
            Err(error) => return Reply::Error(error),
        };
        let mut replies = Vec::with_capacity(parts.len());
        let mut under_way = Vec::with_capacity(parts.len());
        for part in parts {
            let Some(route) = order.get(part.shard) else { return nobody_leads(Port::Plain) };
            let target = Target { shard: route.shard, slot: route.slots.first() };
            under_way.push(async { (part.key_order, self.route_one(Port::Plain, part.call, target, deadline).await) });
        }
        for reply in futures_util::future::join_all(under_way).await {
            replies.push(reply);
        }
        call.merge(replies)
    }

    async fn route_everywhere(&self, port: Port, call: Call, deadline: Instant) -> Reply {
        let routes = self.routes();
        let all = routes.in_slot_order();
        let own = |route: &&&Route| port == Port::Plain || route.leader == Some(self.host.store);
        if all.is_empty() {
            return nobody_leads(port);
        }
        let under_way = all.iter().filter(own).map(|route| {
            let target = Target { shard: route.shard, slot: route.slots.first() };
            // On the cluster port a node answers for what it leads; where leadership has just moved, the command follows it.
            async { (Vec::new(), self.route_one(Port::Plain, call.clone(), target, deadline).await) }
        });
        let replies = futures_util::future::join_all(under_way.collect::<Vec<_>>()).await;
        call.merge(replies)
    }

    async fn route_anywhere(&self, port: Port, call: Call, deadline: Instant) -> Reply {
        let routes = self.routes();
        let own = |route: &&&Route| port == Port::Plain || route.leader == Some(self.host.store);
        let mut reply = Reply::Null;
        for route in routes.in_slot_order().iter().filter(own) {
            let target = Target { shard: route.shard, slot: route.slots.first() };
            reply = self.route_one(Port::Plain, call.clone(), target, deadline).await;
            if reply != Reply::Null {
                break;
            }
        }
        reply
    }

    /// Tries until the command is done, refused, of unknown fate, or overdue.
    async fn route_one(&self, port: Port, call: Call, target: Target, deadline: Instant) -> Reply {
        loop {
            let leader = self.host.routes.borrow().by_shard(target.shard).and_then(|route| route.leader);
            let mut why = NotDone::NotLeader(None);
            if let Some(leader) = leader {
                if leader != self.host.store && port == Port::Cluster {
                    return self.moved(target.slot, leader);
                }
                let attempt = tracing::debug_span!("attempt", shard = %target.shard, %leader);
                match self.try_once(&call, &target, leader).instrument(attempt).await {
                    Outcome::NotDone(refused) => why = refused,
                    outcome => return to_reply(outcome),
                }
            }
            if deadline::has_come(deadline) {
                return overdue(port, why);
            }
            let mut routes = self.host.routes.clone();
            // Either is a reason to try again.
            let _ = timeout_at(deadline.min(deadline::after(HOLD)), routes.changed()).await;
        }
    }

    async fn try_once(&self, call: &Call, target: &Target, leader: StoreId) -> Outcome {
        let (token, outcome) = oneshot::channel();
        if leader == self.host.store {
            let (shard, call, room) = (target.shard, call.clone(), ReplyRoom::default());
            self.host.submit(vec![Command { shard, call, is_beside_queue: false, grant: None, room, token }]);
        } else {
            let is_write = call.spec.is_write();
            let arguments = call.arguments.clone();
            // This connection waits for each command in turn here, so nothing of its own can be ahead in that shard's queue.
            self.peers.forward(leader, ForwardJob { shard: target.shard, arguments, is_write, is_beside_queue: !is_write, token });
        }
        outcome_of(call, outcome, command_deadline()).await
    }

    async fn await_route<R>(&self, deadline: Instant, find: impl Fn(&RouteTable) -> Option<R>) -> Option<R> {
        let mut routes = self.host.routes.clone();
        loop {
            if let Some(found) = find(&routes.borrow_and_update()) {
                return Some(found);
            }
            timeout_at(deadline, routes.changed()).await.ok()?.ok()?;
        }
    }

    fn moved(&self, slot: u16, leader: StoreId) -> Reply {
        let routes = self.host.routes.borrow();
        match routes.node(leader) {
            Some(node) => Reply::Error(ErrorReply::new(format!("MOVED {slot} {}:{}", node.client_host, node.cluster_port))),
            None => nobody_leads(Port::Cluster),
        }
    }
}

fn command_deadline() -> Instant {
    deadline::after(Duration::from_millis(limits::COMMAND_DEADLINE_MILLIS))
}

/// What became of a command. Whoever has it answers by its deadline; one that hangs, on a disk perhaps, holds no client.
async fn outcome_of(call: &Call, outcome: oneshot::Receiver<Outcome>, deadline: Instant) -> Outcome {
    match timeout_at(deadline + deadline::GRACE, outcome).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Unknown("the node is stopping"),
        Err(_) if call.spec.is_write() => Outcome::Unknown("the node did not answer in time"),
        Err(_) => Outcome::NotDone(NotDone::Deadline),
    }
}

fn to_reply(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Reply(reply) => reply,
        Outcome::Unknown(reason) => unknown(reason),
        Outcome::NotDone(why) => overdue(Port::Plain, why),
    }
}

fn unknown(reason: &str) -> Reply {
    Reply::Error(ErrorReply::new(format!("UNKNOWN the command may have been applied, {reason}")))
}

fn nobody_leads(port: Port) -> Reply {
    match port {
        Port::Plain => Reply::Error(ErrorReply::fixed("ERR nobody leads the shard of this key; nothing was done, try again")),
        Port::Cluster => Reply::Error(ErrorReply::fixed("CLUSTERDOWN Hash slot not served")),
    }
}

/// The command certainly had no effect. Only cluster clients understand an invitation to try again.
fn overdue(port: Port, why: NotDone) -> Reply {
    match (port, why) {
        (_, NotDone::NotLeader(_) | NotDone::Stopped) => nobody_leads(port),
        (Port::Cluster, NotDone::Busy | NotDone::Deadline) => {
            Reply::Error(ErrorReply::fixed("TRYAGAIN the shard is busy; nothing was done"))
        }
        (Port::Plain, NotDone::Busy | NotDone::Deadline) => {
            Reply::Error(ErrorReply::fixed("ERR the shard is busy; nothing was done, try again"))
        }
    }
}
