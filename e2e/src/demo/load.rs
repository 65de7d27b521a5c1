//! Loads packages: a hash for each, a string with its version, and counters per section.

use super::{packages::Packages, stage::Done};
use crate::{
    failure::Failure,
    harness::{kubernetes::cluster::Cluster, wait},
    workload::client::{Outcome, SharedClient},
};
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use redis::Cmd;
use std::{collections::BTreeMap, time::Duration};

/// Commands under way.
const UNDER_WAY: usize = 256;

/// In how many steps a counter is counted up.
const STEPS: u64 = 20;

/// How often a command that was refused, and so had no effect, is given again.
const ATTEMPTS: u32 = 200;

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// What a key must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A hash with these fields.
    Hash(BTreeMap<String, String>),
    /// A string, which a counter is too.
    Text(String),
}

/// Every key that was loaded.
pub type Model = BTreeMap<String, Expected>;

/// Loads all, and gives what the cluster must hold from now on.
pub async fn load(cluster: &Cluster, packages: Packages) -> Done<Model> {
    let (model, counters) = model(packages);
    let client = SharedClient::connect(&cluster.endpoints().await?).await.map_err(Failure::of("connect to the cluster"))?;
    let sets = model.iter().filter(|(key, _)| !counters.contains_key(*key)).map(|(key, expected)| command(key, expected));
    // A counter is counted up in some steps, so that it is one that counts.
    let step = |total: u64, nth: u64| total / STEPS + u64::from(nth < total % STEPS);
    let counting = |(key, total): (&String, &u64)| {
        let by = |nth: u64| redis::cmd("INCRBY").arg(key).arg(step(*total, nth)).to_owned();
        (0..STEPS).map(by).collect::<Vec<Cmd>>()
    };
    let commands: Vec<Cmd> = sets.chain(counters.iter().flat_map(counting)).collect();
    let count = commands.len();
    let bar = bar(count as u64);
    let start = std::time::Instant::now();
    let mut given = stream::iter(commands).map(|command| give(&client, command)).buffer_unordered(UNDER_WAY);
    while let Some(done) = given.next().await {
        done?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let rate = count as f64 / start.elapsed().as_secs_f64();
    let words = format!("{} keys by {count} commands, {rate:.0} a second", model.len());
    Ok((model, words))
}

fn model(packages: Packages) -> (Model, BTreeMap<String, u64>) {
    let (mut model, mut counters) = (Model::new(), BTreeMap::<String, u64>::new());
    for (name, fields) in packages {
        let number = |field: &str| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        let section = fields.get("Section").map_or("none", String::as_str);
        *counters.entry(format!("section:{section}:packages")).or_default() += 1;
        *counters.entry(format!("section:{section}:bytes")).or_default() += number("Size");
        let version = fields.get("Version").cloned().unwrap_or_default();
        model.insert(format!("version:{name}"), Expected::Text(version));
        model.insert(format!("package:{name}"), Expected::Hash(fields));
    }
    model.extend(counters.iter().map(|(key, total)| (key.clone(), Expected::Text(total.to_string()))));
    (model, counters)
}

fn command(key: &str, expected: &Expected) -> Cmd {
    match expected {
        Expected::Text(text) => redis::cmd("SET").arg(key).arg(text).to_owned(),
        Expected::Hash(fields) => {
            let mut command = redis::cmd("HSET").arg(key).to_owned();
            for (field, value) in fields {
                command.arg(field).arg(value);
            }
            command
        }
    }
}

/// Gives a command until it is done. Nothing is broken on purpose here, so an outcome that nobody knows is a failure.
async fn give(client: &SharedClient, command: Cmd) -> Result<(), Failure> {
    let mut reason = String::new();
    for _ in 0..ATTEMPTS {
        match client.call(&command).await {
            Outcome::Replied(_) => return Ok(()),
            Outcome::Failed(why) => reason = why,
            Outcome::Unknown(why) => return Err(Failure::broken(format!("nothing is broken, and a write has no known outcome: {why}"))),
        }
        wait::pause(PAUSE).await;
    }
    Err(Failure::broken(format!("a write was refused {ATTEMPTS} times, the last time with: {reason}")))
}

/// Drawn on a terminal, and silent in a pipe.
pub fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("    {bar:40} {pos} of {len}, {per_sec}, {eta} to go");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
