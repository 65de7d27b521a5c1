//! `strata-node verify-replicas`: has the replicas of a running cluster compared, each shard at one entry of its log, and says which of them differ.
//!
//! ```text
//! reports ─► look ─► order the leader ─► reports ─► look ─► … ─► one line for each shard
//! ```
//!
//! Exit codes: 0 all are equal, 1 some differ, 2 it could not be told of all.

use crate::{
    config::{Config, ConfigError, Tls},
    run::seed,
    shell::{
        api_client::ApiClient,
        clock::SystemClock,
        tls::{Certificates, TlsError},
    },
};
use clap::Args;
use futures_util::future::join_all;
use std::{collections::BTreeSet, io::Write, path::PathBuf, process::ExitCode, time::Duration};
use strata_base::ShardId;
use strata_node_api::{Answer, NodeState, Order, OrderKind};
use tokio::time::{Interval, MissedTickBehavior};

mod look;

use look::{Look, Seen, Verdict, look, unreachable};

/// How often nodes are asked how far they are.
const LOOK: Duration = Duration::from_millis(200);

/// How long an order may take to be seen in reports until it is given again, in milliseconds.
const ORDER_AGAIN_MILLIS: u64 = 3_000;

/// Which cluster to verify, and how long it may take.
#[derive(Args)]
pub struct Arguments {
    /// A node's configuration whose section [tls] names the certificates; the flags below replace single keys of it.
    #[arg(long)]
    config: Option<PathBuf>,
    /// The authority that signed the certificates of all nodes, in PEM.
    #[arg(long, required_unless_present = "config")]
    ca: Option<PathBuf>,
    /// The certificate to show them, in PEM: the operator's, or a node's.
    #[arg(long, required_unless_present = "config")]
    certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, required_unless_present = "config")]
    key: Option<PathBuf>,
    /// Where a node serves reports and orders, such as orders-0.orders:6391. Given again for every node of the cluster: all replicas are asked.
    #[arg(long = "node", required = true, value_parser = parse_address)]
    nodes: Vec<String>,
    /// The name that nodes' certificates carry where it is not the host above, such as strata-node.
    #[arg(long)]
    server_name: Option<String>,
    /// Compare this shard only, named by its 16 hexadecimal digits; may be given again. All of them where none is named.
    #[arg(long = "shard")]
    shards: Vec<ShardId>,
    /// How long what may pass by itself is put up with, in seconds: a node that does not answer, a shard that nobody leads.
    #[arg(long, default_value_t = 30)]
    patience_seconds: u64,
    /// How long the comparison of one shard may take, in seconds: every replica reads all that it holds.
    #[arg(long, default_value_t = 600)]
    deadline_seconds: u64,
}

/// Why nothing can be said about the cluster.
#[derive(Debug, thiserror::Error)]
enum CannotAsk {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Certificates(#[from] TlsError),
    #[error("{0}")]
    Settings(String),
    #[error("cannot start: {0}")]
    Start(#[from] std::io::Error),
    #[error("{0}")]
    Silence(String),
}

/// What came of all shards.
#[derive(Default)]
struct Tally {
    equal: usize,
    different: usize,
    unknown: usize,
    /// The nodes that never answered, if any: they may have shards that nobody else knows.
    silent: Option<String>,
}

impl Tally {
    fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Equal(_) => self.equal += 1,
            Verdict::Different(_) => self.different += 1,
            Verdict::Unknown(_) => self.unknown += 1,
        }
    }

    /// The last line, and the exit code.
    fn conclude(&self) -> (String, u8) {
        let Tally { equal, different, unknown, silent } = self;
        let (word, code) = match (different, unknown, silent) {
            (1.., ..) => ("different", 1),
            (0, 0, None) => ("equal", 0),
            _ => ("unknown", 2),
        };
        let shards = equal + different + unknown;
        (format!("verdict: {word} shards={shards} equal={equal} different={different} unknown={unknown}"), code)
    }
}

/// Compares, prints, and says by the exit code how it went.
pub fn run(arguments: &Arguments, variables: impl Iterator<Item = (String, String)>) -> ExitCode {
    let verified = certificates(arguments, variables).and_then(|certificates| {
        let client = ApiClient::new(&certificates, arguments.server_name.as_deref()).map_err(CannotAsk::Settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clock = SystemClock::start();
        let draws = fastrand::Rng::with_seed(seed(clock));
        let nodes = arguments.nodes.iter().map(|address| Node { address: address.clone(), silent: None }).collect();
        runtime.block_on(Verification { arguments, nodes, client, clock, draws }.run())
    });
    match verified {
        Ok(tally) => {
            if let Some(silent) = &tally.silent {
                tell(silent);
            }
            let (line, code) = tally.conclude();
            print(&line);
            ExitCode::from(code)
        }
        Err(why) => {
            tell(&why.to_string());
            ExitCode::from(2)
        }
    }
}

/// The certificates that are meant: the configuration's, with what flags replace.
fn certificates(arguments: &Arguments, variables: impl Iterator<Item = (String, String)>) -> Result<Certificates, CannotAsk> {
    let base = match &arguments.config {
        Some(file) => Config::load(file, variables)?.tls,
        None => Tls { ca: PathBuf::new(), certificate: PathBuf::new(), key: PathBuf::new() },
    };
    let paths = Tls {
        ca: arguments.ca.clone().unwrap_or(base.ca),
        certificate: arguments.certificate.clone().unwrap_or(base.certificate),
        key: arguments.key.clone().unwrap_or(base.key),
    };
    Ok(Certificates::load(&paths)?)
}

/// A host with a port.
fn parse_address(text: &str) -> Result<String, String> {
    let parsed = text.parse::<hyper::http::uri::Authority>();
    match parsed.map(|authority| authority.port_u16()) {
        Ok(Some(_)) => Ok(text.to_owned()),
        _ => Err("expected host:port, such as orders-0.orders:6391".to_owned()),
    }
}

/// A node, and since when it has not answered: in monotonic milliseconds, with why.
struct Node {
    address: String,
    silent: Option<(u64, String)>,
}

struct Verification<'a> {
    arguments: &'a Arguments,
    nodes: Vec<Node>,
    client: ApiClient,
    clock: SystemClock,
    draws: fastrand::Rng,
}

impl Verification<'_> {
    /// Compares one shard after the other: each is read whole on all of its nodes.
    async fn run(mut self) -> Result<Tally, CannotAsk> {
        let seen = self.first_look().await?;
        let reports = seen.iter().filter_map(|seen| seen.report.as_ref().ok());
        let known: BTreeSet<ShardId> = reports.flat_map(|report| report.shards.iter().map(|replica| replica.shard)).collect();
        let shards = if self.arguments.shards.is_empty() { known.into_iter().collect() } else { self.arguments.shards.clone() };
        if shards.is_empty() {
            return Err(CannotAsk::Silence("none of the nodes that answer has a replica of anything: name nodes of a cluster".to_owned()));
        }
        let mut tally = Tally { silent: unreachable(&seen), ..Tally::default() };
        for shard in shards {
            let verdict = self.compare(shard).await;
            tally.add(&verdict);
            match verdict {
                Verdict::Equal(sentence) | Verdict::Different(sentence) => print(&format!("shard {shard}: {sentence}")),
                Verdict::Unknown(why) => print(&format!("shard {shard}: not compared: {why}")),
            }
        }
        Ok(tally)
    }

    /// Waits for all nodes, and then does with those that answer; with none, there is nothing to compare.
    async fn first_look(&mut self) -> Result<Vec<Seen>, CannotAsk> {
        let (mut beat, mut progress) = (beat(), Progress::default());
        loop {
            beat.tick().await;
            let seen = self.ask_all().await;
            let Some(silent) = unreachable(&seen) else { return Ok(seen) };
            if self.is_over(self.silent_since(), self.arguments.patience_seconds) {
                return if seen.iter().any(|seen| seen.report.is_ok()) { Ok(seen) } else { Err(CannotAsk::Silence(silent)) };
            }
            progress.tell(self.clock, silent);
        }
    }

    /// Has the replicas of a shard compared, until they were or its time is over.
    async fn compare(&mut self, shard: ShardId) -> Verdict {
        let Arguments { patience_seconds, deadline_seconds, .. } = *self.arguments;
        let (mut beat, mut progress, begun) = (beat(), Progress::default(), self.clock.monotonic_ms());
        let mut comparison = self.draws.u64(..);
        let (mut ordered_ms, mut lacks_ms, mut spent_ms): (Option<u64>, Option<u64>, Option<u64>) = (None, None, None);
        loop {
            beat.tick().await;
            let seen = self.ask_all().await;
            let now = self.clock.monotonic_ms();
            let (why, since) = match look(shard, comparison, &seen) {
                Look::Ended(verdict) => return verdict,
                Look::Waits(why) => (why, None),
                // What has been silent for long is not waited for again with every shard.
                Look::Lacks(why) => (why, Some(self.silent_since().unwrap_or(now).min(*lacks_ms.get_or_insert(now)))),
                Look::Spent(why) => {
                    (comparison, ordered_ms) = (self.draws.u64(..), None);
                    (why, Some(*spent_ms.get_or_insert(now)))
                }
                Look::Begin(leader) if ordered_ms.is_none_or(|at| now - at >= ORDER_AGAIN_MILLIS) => {
                    ordered_ms = Some(now);
                    let ordered = self.order(&seen[leader], shard, comparison).await;
                    let Err(why) = ordered else { continue };
                    (format!("{} was ordered to begin: {why}", seen[leader].node), Some(*lacks_ms.get_or_insert(now)))
                }
                Look::Begin(leader) => {
                    (format!("the order to {} is not in its log yet", seen[leader].node), Some(*lacks_ms.get_or_insert(now)))
                }
            };
            if since.is_none() {
                lacks_ms = None;
            } else if self.is_over(since, patience_seconds) {
                return Verdict::Unknown(why);
            }
            if self.is_over(Some(begun), deadline_seconds) {
                return Verdict::Unknown(format!("it took longer than --deadline-seconds {deadline_seconds}: {why}"));
            }
            progress.tell(self.clock, format!("shard {shard}: {why}"));
        }
    }

    fn is_over(&self, since_ms: Option<u64>, seconds: u64) -> bool {
        since_ms.is_some_and(|since| self.clock.monotonic_ms().saturating_sub(since) >= seconds.saturating_mul(1_000))
    }

    /// When the first of the nodes that do not answer fell silent.
    fn silent_since(&self) -> Option<u64> {
        self.nodes.iter().filter_map(|node| Some(node.silent.as_ref()?.0)).min()
    }

    /// Asks all nodes, but for those that have not answered for longer than anybody is patient.
    async fn ask_all(&mut self) -> Vec<Seen> {
        let (client, patience_seconds) = (&self.client, self.arguments.patience_seconds);
        let ask = |node: &Node| {
            let (address, silent) = (node.address.clone(), node.silent.clone());
            let given_up = silent.filter(|(since, _)| self.is_over(Some(*since), patience_seconds));
            async move {
                let report = match given_up {
                    Some((_, why)) => Err(why),
                    None => client.report(&address).await,
                };
                Seen { node: address, report }
            }
        };
        let seen = join_all(self.nodes.iter().map(ask)).await;
        let now = self.clock.monotonic_ms();
        for (node, seen) in self.nodes.iter_mut().zip(&seen) {
            let since = node.silent.take().map_or(now, |(since, _)| since);
            node.silent = seen.report.as_ref().err().map(|why| (since, why.clone()));
        }
        seen
    }

    /// Orders a leader to begin a comparison, at the epoch that it knows: nothing of what the operator decides is touched.
    async fn order(&self, leader: &Seen, shard: ShardId, comparison: u64) -> Result<(), String> {
        let report = leader.report.as_ref().map_err(Clone::clone)?;
        let NodeState::Member { cluster, incarnation } = &report.state else { return Err("it belongs to no cluster any more".to_owned()) };
        let order = OrderKind::Compare { shard, comparison };
        let order = Order { epoch: report.epoch, cluster: cluster.clone(), incarnation: *incarnation, store: report.store, order };
        match self.client.order(&leader.node, &order).await? {
            Answer::Done | Answer::Accepted => Ok(()),
            Answer::Refused { class, message } => Err(format!("{class}: {message}")),
        }
    }
}

fn beat() -> Interval {
    let mut beat = tokio::time::interval(LOOK);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

/// A line of the answer.
fn print(line: &str) {
    // Whoever closed the output reads the exit code.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line for people, beside the answer.
fn tell(line: &str) {
    // Progress that nobody reads is no failure.
    let _ = writeln!(std::io::stderr(), "verify-replicas: {line}");
}

/// What people were told last of what is waited for, and when.
#[derive(Default)]
struct Progress {
    told: Option<(String, u64)>,
}

impl Progress {
    /// Tells news, and no more than people can read.
    fn tell(&mut self, clock: SystemClock, news: String) {
        const PAUSE_MILLIS: u64 = 2_000;
        let now = clock.monotonic_ms();
        if self.told.as_ref().is_none_or(|(known, at)| *known != news && now - at >= PAUSE_MILLIS) {
            tell(&news);
            self.told = Some((news, now));
        }
    }
}

#[cfg(test)]
mod tests;
