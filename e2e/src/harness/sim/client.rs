//! Clients: one command or one short pipeline at a time each, on whatever node they believe in.

use super::{
    Check, Simulation,
    account::{Account, Expected},
    node::EPOCH_MILLIS,
    pairs,
    planted::Planted,
    queue::{Action, MILLI, SECOND, Token},
};
use crate::history::{Call, Fate, History, Operation};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use strata_base::{Hlc, ShardId};
use strata_kv::{Overlay, Reply, View, command, slot::slot_of};
use strata_node::bridge::TabletReader;
use strata_node::host::{ColdRead, Command, Event, Leased, NotDone, Outcome, ReplyRoom};
use strata_node::pipeline::PipelineOrder;

/// Commands twice are told apart from their originals by this bit; nobody waits for their outcome.
const GHOST: Token = 1 << 63;

/// How many outcomes may be unknown until other keys are used, since each of them makes a judgement longer.
const UNKNOWN_PER_PAGE: u32 = 6;

/// How many commands until other keys are used.
const COMMANDS_PER_PAGE: u32 = 600;

/// The longest that a node may keep a client waiting, in microseconds: a command's deadline, and some.
const PATIENCE: u64 = 8 * SECOND;

/// A command that waits for its outcome.
pub(super) struct Pending {
    pub(super) client: usize,
    pub(super) node: usize,
    key: String,
    call: Call,
    expected: Expected,
    since: u64,
}

#[derive(Default)]
struct Client {
    target: usize,
    /// What had no effect, and is given again, one by one.
    again: VecDeque<(String, Call)>,
    /// Commands that it waits for.
    waiting: usize,
}

/// All clients, and their account.
#[derive(Default)]
pub(super) struct Crowd {
    clients: Vec<Client>,
    pub(super) pending: BTreeMap<Token, Pending>,
    pub(super) history: History,
    next_token: Token,
    unique: u64,
    /// How often everything was lost.
    pub(super) life: u32,
    /// Keys that were ever asked for.
    pub(super) known: BTreeSet<String>,
    /// Shards of which it is known what this life begins with.
    pub(super) inherited: BTreeSet<ShardId>,
    page: u32,
    page_commands: u32,
    page_unknown: u32,
    pub(super) account: Account,
    /// Once it is there, what is left to do; nothing else is begun.
    closing: Option<VecDeque<(String, Call)>>,
    pub(super) acknowledged: u64,
    pub(super) unknown: u64,
    /// Commands that a full disk refused.
    pub(super) refused: u64,
}

impl Crowd {
    pub(super) fn new(clients: usize) -> Crowd {
        Crowd { clients: (0..clients).map(|_| Client::default()).collect(), ..Crowd::default() }
    }

    /// Whether nobody waits and nothing is left to do.
    pub(super) fn is_idle(&self) -> bool {
        let is_done = self.clients.iter().all(|client| client.waiting == 0 && client.again.is_empty());
        is_done && self.pending.is_empty() && self.closing.as_ref().is_some_and(VecDeque::is_empty)
    }

    /// Begins nothing any more but `calls`.
    pub(super) fn close_with(&mut self, calls: Vec<(String, Call)>) {
        self.closing = Some(calls.into());
    }

    /// Begins new commands again.
    pub(super) fn reopen(&mut self) {
        self.closing = None;
    }

    /// Every disk is lost: what was acknowledged is another incarnation's. The next one begins with what is found at its cuts.
    pub(super) fn forget(&mut self) {
        self.account = Account::default();
        self.life += 1;
        self.clients.iter_mut().for_each(|client| client.again.clear());
    }

    /// What is left to do, for a failure's sentence.
    pub(super) fn unserved(&self) -> String {
        let waiting = self.pending.values().map(|pending| (&pending.key, pending.call.name));
        let again = self.clients.iter().flat_map(|client| &client.again).map(|(key, call)| (key, call.name));
        let left = self.closing.iter().flatten().map(|(key, call)| (key, call.name));
        format!("{:?}", waiting.chain(again).chain(left).take(8).collect::<Vec<_>>())
    }

    /// Reads of everything that was promised.
    pub(super) fn last_looks(&self) -> Vec<(String, Call)> {
        self.account.keys().map(|key| (key.clone(), Call::plain("get"))).collect()
    }

    /// Holds the last reply for each key to what was promised.
    pub(super) fn judge_last_looks(&self) -> Result<(), String> {
        let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
        let of_life = self.of_life("");
        for operation in self.history.operations() {
            if let (Fate::Ok(value), "get", Some(key)) = (&operation.fate, operation.call.name, operation.key.strip_suffix(&of_life)) {
                last.insert(key, value);
            }
        }
        self.account.judge_last_looks(&last)
    }

    /// What a client asks that only reads.
    fn choose_read(&self, draws: &mut fastrand::Rng) -> (String, Call) {
        let page = self.page;
        match draws.u8(..4) {
            0 => (format!("counter:{}", draws.u8(..3)), Call::plain("get")),
            1 => (format!("text:{page}:{}", draws.u8(..5)), Call::plain("get")),
            2 => pairs::call(99, &format!("pair:{page}:{}", draws.u8(..3)), String::new()),
            _ => (format!("hash:{page}:{}", draws.u8(..4)), Call::plain("hgetall")),
        }
    }

    /// The next commands of a client: one, or some that go to one node together.
    fn choose(&mut self, number: usize, draws: &mut fastrand::Rng, may_expire: bool) -> Vec<(String, Call)> {
        self.page_commands += 1;
        if self.page_commands >= COMMANDS_PER_PAGE || self.page_unknown >= UNKNOWN_PER_PAGE {
            (self.page, self.page_commands, self.page_unknown) = (self.page + 1, 0, 0);
        }
        self.unique += 1;
        let (unique, page, dice) = (format!("v{}", self.unique), self.page, draws.u32(..100));
        match draws.u32(..100) {
            0..20 => vec![(format!("counter:{}", draws.u8(..3)), Call::plain(if dice < 85 { "incr" } else { "get" }))],
            20..35 => {
                let key = format!("own:{number}:{}", draws.u8(..3));
                own_calls(dice).into_iter().map(|name| (key.clone(), own_call(name, &unique))).collect()
            }
            35..45 => vec![pairs::call(dice, &format!("pair:{page}:{}", draws.u8(..3)), unique)],
            45..75 => vec![(format!("text:{page}:{}", draws.u8(..5)), text_call(dice, unique, may_expire))],
            _ => {
                let field = format!("f{}", draws.u8(..3));
                vec![(format!("hash:{page}:{}", draws.u8(..4)), hash_call(dice, field, unique))]
            }
        }
    }

    fn record(&mut self, pending: &Pending, now: u64, fate: Fate) -> Result<(), String> {
        match &fate {
            Fate::Ok(_) => self.acknowledged += 1,
            Fate::Unknown => {
                self.unknown += 1;
                self.page_unknown += u32::from(pending.key.contains(&format!(":{}:", self.page)));
            }
            Fate::Failed => {}
        }
        let judged = self.account.settle(&pending.key, &pending.call, &pending.expected, &fate);
        let judged = judged.and_then(|()| pairs::judge(&pending.key, &pending.call, &fate));
        let (client, start_nanos, end_nanos) = (pending.client as u32, Crowd::nanos(pending.since), Crowd::nanos(now));
        for (key, call, fate) in pairs::each(&pending.key, &pending.call, &fate) {
            let of_life = self.of_life(&key);
            self.known.insert(key);
            let key = of_life;
            self.history.record(Operation { client, key, call, start_nanos, end_nanos, fate });
        }
        judged
    }
}

/// What a client does with a key of its own, in one pipeline.
fn own_calls(dice: u32) -> Vec<&'static str> {
    match dice {
        0..50 => vec!["set"],
        50..65 => vec!["set", "get"],
        65..80 => vec!["get", "set"],
        _ => vec!["get"],
    }
}

fn own_call(name: &'static str, unique: &str) -> Call {
    if name == "set" { Call::with("set", unique) } else { Call::plain("get") }
}

fn text_call(dice: u32, unique: String, may_expire: bool) -> Call {
    match dice {
        0..30 => Call::with("set", unique),
        30..65 => Call::plain("get"),
        65..72 => Call::with("append", unique),
        72..79 => Call::plain("del"),
        79..83 => Call::with("setnx", unique),
        83..87 => Call::plain("getdel"),
        87..94 if may_expire => Call::with("pexpire", 400 + 40 * (dice - 87)),
        94..97 if may_expire => Call { name: "set", arguments: vec![unique, "PX".to_owned(), "700".to_owned()] },
        _ => Call::with("expire", 100_000),
    }
}

fn hash_call(dice: u32, field: String, unique: String) -> Call {
    match dice {
        0..35 => Call { name: "hset", arguments: vec![field, unique] },
        35..60 => Call::with("hget", field),
        60..70 => Call::with("hdel", field),
        70..85 => Call::plain("hgetall"),
        85..95 => Call::plain("hlen"),
        _ => Call::plain("del"),
    }
}

impl Simulation {
    /// The shard of a key.
    pub(super) fn shard_of(&self, key: &str) -> ShardId {
        let slot = slot_of(key.as_bytes());
        let found = self.hand.shards.iter().find(|(_, slots)| slots.contains(slot));
        found.map(|(shard, _)| *shard).expect("every slot has a shard")
    }

    /// A client that waits for nothing gives its next command.
    pub(super) fn client_steps(&mut self, number: usize) {
        if self.hand.shards.is_empty() {
            // Nobody serves yet.
            return self.queue.after(100 * MILLI, Action::Client { number });
        }
        let crowd = &mut self.crowd;
        let client = &mut crowd.clients[number];
        if client.waiting > 0 {
            return;
        }
        let next = match (client.again.pop_front(), &mut crowd.closing) {
            (Some(again), _) => vec![again],
            (None, Some(closing)) => closing.pop_front().into_iter().collect(),
            (None, None) if number == 0 && self.options.has_reader => {
                if self.draws.clients.u8(..3) == 0 {
                    client.target = self.draws.clients.usize(..self.nodes.len());
                }
                vec![crowd.choose_read(&mut self.draws.clients)]
            }
            (None, None) => crowd.choose(number, &mut self.draws.clients, self.options.time_is_sound),
        };
        if next.is_empty() {
            return self.queue.after(10 * MILLI, Action::Client { number });
        }
        let target = self.crowd.clients[number].target;
        if self.nodes[target].host.is_none() {
            // Nobody takes the connection: nothing happened.
            let client = &mut self.crowd.clients[number];
            client.again.extend(next);
            client.target = self.draws.clients.usize(..self.nodes.len());
            let pause = self.draws.clients.u64(5 * MILLI..50 * MILLI);
            return self.queue.after(pause, Action::Client { number });
        }
        self.give(number, target, &next);
    }

    /// Gives a pipeline to a node.
    fn give(&mut self, number: usize, node: usize, calls: &[(String, Call)]) {
        let since = self.queue.now();
        let mut tokens = Vec::new();
        for (nth, (key, call)) in calls.iter().enumerate() {
            self.crowd.next_token += 1;
            let expected = self.crowd.account.expect(key, call, &calls[..nth]);
            let pending = Pending { client: number, node, key: key.clone(), call: call.clone(), expected, since };
            self.crowd.pending.insert(self.crowd.next_token, pending);
            tokens.push(self.crowd.next_token);
        }
        self.crowd.clients[number].waiting = calls.len();
        self.send_commands(node, &tokens, calls);
        if self.planted == Some(Planted::CommandsTwice) && self.draws.clients.u8(..20) == 0 {
            let ghosts: Vec<Token> = tokens.iter().map(|token| token | GHOST).collect();
            self.send_commands(node, &ghosts, calls);
        }
        if self.options.abandons {
            let is_hasty = self.draws.clients.u8(..100) == 0;
            let patience =
                if is_hasty { self.draws.clients.u64(..500 * MILLI) } else { self.draws.clients.u64(100 * MILLI..1_500 * MILLI) };
            tokens.iter().for_each(|token| self.queue.after(patience, Action::Abandon { token: *token }));
        }
        if self.planted == Some(Planted::StaleReads) {
            for (token, (key, call)) in tokens.into_iter().zip(calls) {
                if let Some(reply) = self.read_stale(node, key, call) {
                    self.command_done(token, &Outcome::Reply(reply));
                }
            }
        }
    }

    /// What the tablet of a node holds, whoever leads.
    fn read_stale(&mut self, node: usize, key: &str, call: &Call) -> Option<Reply> {
        let tablet =
            self.nodes[node].disk.tablets.newest(self.shard_of(key)).filter(|_| call.name == "get" && self.crowd.closing.is_none())?;
        let (reader, mut nothing) = (TabletReader(tablet), Overlay::default());
        let mut view = View::new(&reader, &mut nothing, Hlc::from_millis(EPOCH_MILLIS + self.queue.now() / MILLI));
        let words = ["get", key].map(|word| Bytes::copy_from_slice(word.as_bytes()));
        command::parse(words.to_vec()).ok().map(|call| call.evaluate(&mut view))
    }

    /// What a connection makes of a pipeline.
    fn send_commands(&mut self, node: usize, tokens: &[Token], calls: &[(String, Call)]) {
        let (mut order, mut commands) = (PipelineOrder::default(), Vec::new());
        for (token, (key, call)) in tokens.iter().zip(calls) {
            let is_torn = self.planted == Some(Planted::PairsTorn) && call.name == "mset";
            let arguments = if is_torn { &call.arguments[..1] } else { &call.arguments[..] };
            let words = [call.name, key].into_iter().chain(arguments.iter().map(String::as_str));
            let call = command::parse(words.map(|word| Bytes::copy_from_slice(word.as_bytes())).collect());
            let call = call.expect("the simulation's commands are well-formed");
            let (shard, is_write) = (self.shard_of(key), call.spec.is_write());
            // A read that was forwarded in vain goes through the queue the second time.
            let is_beside_queue = order.is_beside_queue(shard, is_write) && self.draws.clients.u8(..4) > 0;
            commands.push(Command { shard, call, is_beside_queue, grant: None, room: ReplyRoom::default(), token: *token });
            order.begin(shard, is_write, &mut commands);
        }
        let life = self.nodes[node].life;
        let delay = self.draws.clients.u64(50..2 * MILLI);
        self.queue.after(delay, Action::Arrive { node, life, event: Event::Commands(commands) });
    }

    /// What a connection does before it asks the host: reads that a lease allows are answered; the other commands.
    pub(super) fn read_by_leases(&mut self, node: usize, commands: Vec<Command<Token>>) -> Vec<Command<Token>> {
        let at = &self.nodes[node];
        let (routes, now_ms, is_stalled) = (at.routes.clone(), self.reader_ms(node), at.stalled_until > self.queue.now());
        let leased = |command: &Command<Token>| {
            let may_read = command.is_beside_queue && !is_stalled;
            let lease = routes.lease(command.shard).filter(|_| may_read);
            lease.map_or(Leased::Host, |lease| lease.read(&command.call, || now_ms))
        };
        let mut others = Vec::new();
        for command in commands {
            match leased(&command) {
                Leased::Reply(reply) => {
                    let outcome = Outcome::Reply(reply);
                    self.trace.note((command.token, format!("{outcome:?}")));
                    self.leased_reads += 1;
                    self.check_lease(node, command.shard);
                    self.command_done(command.token, &outcome);
                }
                Leased::Disk(grant) => {
                    self.check_lease(node, command.shard);
                    match ColdRead::by_lease(Command { grant: Some(grant), ..command }, || now_ms) {
                        Ok(read) => self.begin_cold_read(node, Box::new(read)),
                        Err(command) => others.push(command),
                    }
                }
                Leased::Host => others.push(command),
            }
        }
        others
    }

    /// A node says what became of a command.
    pub(super) fn command_done(&mut self, token: Token, outcome: &Outcome) {
        let Some(pending) = self.crowd.pending.remove(&token) else { return };
        let believed = self.planted == Some(Planted::RefusalsBelieved) && pending.call.name == "set";
        let fate = match outcome {
            Outcome::Reply(reply) if is_refusal(reply) => Fate::Failed,
            Outcome::Reply(reply) => Fate::Ok(value(&pending.call, reply)),
            Outcome::NotDone(_) if believed => Fate::Ok("OK".into()),
            Outcome::NotDone(_) => Fate::Failed,
            Outcome::Unknown(_) => Fate::Unknown,
        };
        self.crowd.refused += u64::from(matches!(outcome, Outcome::Reply(_)) && fate == Fate::Failed);
        let mut pause = self.draws.clients.u64(MILLI..=self.options.think_micros);
        if let (Outcome::NotDone(why), Fate::Failed) = (outcome, &fate) {
            let hinted = match why {
                NotDone::NotLeader(Some(store)) => self.nodes.iter().position(|node| node.store() == *store),
                _ => None,
            };
            let hinted = hinted.filter(|node| *node != pending.node && self.draws.clients.u8(..10) > 0);
            if hinted.is_none() {
                pause = self.draws.clients.u64(10 * MILLI..100 * MILLI);
            }
            let client = &mut self.crowd.clients[pending.client];
            client.target = hinted.unwrap_or_else(|| self.draws.clients.usize(..self.nodes.len()));
            client.again.push_back((pending.key.clone(), pending.call.clone()));
        }
        self.settle(&pending, fate, pause);
    }

    /// A client stops waiting: it will never know.
    pub(super) fn abandon(&mut self, token: Token) {
        if let Some(pending) = self.crowd.pending.remove(&token) {
            self.crowd.clients[pending.client].target = self.draws.clients.usize(..self.nodes.len());
            self.settle(&pending, Fate::Unknown, MILLI);
        }
    }

    fn settle(&mut self, pending: &Pending, fate: Fate, pause: u64) {
        // A last look that failed is taken again.
        if fate == Fate::Unknown && self.crowd.closing.is_some() && pending.call.name == "get" {
            self.crowd.clients[pending.client].again.push_back((pending.key.clone(), pending.call.clone()));
        }
        if let Err(sentence) = self.crowd.record(pending, self.queue.now(), fate) {
            self.breaks(Check::Account.says(sentence));
        }
        let client = &mut self.crowd.clients[pending.client];
        client.waiting -= 1;
        if client.waiting == 0 {
            self.queue.after(pause, Action::Client { number: pending.client });
        }
    }

    /// The connections of a node broke.
    pub(super) fn abandon_all_at(&mut self, node: usize) {
        let at_node = self.crowd.pending.iter().filter(|(_, pending)| pending.node == node);
        let tokens: Vec<Token> = at_node.map(|(token, _)| *token).collect();
        tokens.into_iter().for_each(|token| self.abandon(token));
    }

    /// Every command is answered in time, or its node is gone.
    pub(super) fn look_at_patience(&mut self) {
        let now = self.queue.now();
        let late = self.crowd.pending.iter().find(|(_, pending)| {
            let awake_since = pending.since.max(self.nodes[pending.node].stalled_until);
            now > awake_since + PATIENCE
        });
        if let Some((token, pending)) = late {
            let sentence =
                format!("node {} never said what became of command {token}, {} {}", pending.node, pending.call.name, pending.key);
            self.breaks(Check::Liveness.says(sentence));
        }
    }
}

/// Whether a full disk refused it: then it was not done, and its client asks for something else.
fn is_refusal(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(error) if error.to_string().starts_with("OOM "))
}

/// A reply, as the checker reads it.
fn value(call: &Call, reply: &Reply) -> Value {
    match reply {
        Reply::Status(text) => (*text).into(),
        Reply::Error(error) => json!({ "error": error.to_string() }),
        Reply::Integer(number) => (*number).into(),
        Reply::Bulk(bytes) => text(bytes).into(),
        Reply::Null => Value::Null,
        Reply::Array(replies) if call.name == "mget" => replies.iter().map(|reply| value(call, reply)).collect(),
        Reply::Map(pairs) if call.name == "hgetall" => {
            let word = |reply: &Reply| if let Reply::Bulk(bytes) = reply { text(bytes) } else { format!("unexpected {reply:?}") };
            json!({ "fields": pairs.iter().map(|(field, value)| (word(field), word(value))).collect::<BTreeMap<_, _>>() })
        }
        other => format!("unexpected {other:?}").into(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
