//! The rows: what is asked of whom.

use super::{
    Ground, endpoints,
    etcd::Etcd,
    found_product,
    generator::{self, Load, Work, fill},
    meter,
    routes::Routes,
    sample::{Measure, Meters, Rounds, Sample, tell_row},
    tell,
};
use crate::{
    failure::Failure,
    harness::{
        process::{Options, ProcessCluster},
        redis_server::{Keeping, RedisServer},
        wait,
    },
    workload::client::Endpoints,
};
use std::{cell::RefCell, sync::Arc, time::Duration};

/// Connections over which etcd's clients share their requests, as its own benchmark does: more cost both sides time and gain nothing.
const ETCD_CHANNELS: usize = 16;

/// How long an idle cluster is watched.
const IDLE: Duration = Duration::from_secs(10);

/// Connections of every row but those that say otherwise.
const CONNECTIONS: usize = 64;

/// A side that speaks RESP.
pub(super) struct Side {
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) processes: Vec<u32>,
}

impl Side {
    pub(super) fn ours(cluster: &ProcessCluster) -> Side {
        Side { endpoints: endpoints(cluster), processes: cluster.processes() }
    }

    fn redis(server: &RedisServer) -> Side {
        Side { endpoints: Arc::new(server.endpoints()), processes: vec![server.process()] }
    }

    pub(super) async fn measure(&self, ground: &Ground, load: Load, keys: u32) -> Result<Sample, Failure> {
        let routes = Routes::ask(self.endpoints.clone(), keys).await?;
        let meters = RefCell::new(Meters::on(self.processes.clone()));
        let (begins, ends) = (|| meters.borrow_mut().begin(), || meters.borrow_mut().end());
        let tally = generator::run(load, routes, ground.times(), begins, ends).await?;
        Ok(meters.into_inner().sample(tally))
    }
}

async fn redis(ground: &mut Ground, keeping: Keeping) -> Result<RedisServer, Failure> {
    if !RedisServer::is_installed() {
        return Err(Failure::Lacking("there is no redis-server: install the package of that name".to_owned()));
    }
    let port = ground.ports.take();
    let folder = ground.folder().join(format!("redis-{port}"));
    std::fs::create_dir_all(&folder).map_err(Failure::of(format!("create {}", folder.display())))?;
    RedisServer::start_keeping(&folder, port, keeping).await
}

/// Three replicas, put beside etcd's three members: the better of two numbers of clients.
pub async fn set_3x(ground: &mut Ground, cluster: &ProcessCluster) -> Result<(), Failure> {
    const NAME: &str = "set_3x_vs_etcd";
    let Some(program) = ground.wish.etcd.clone().filter(|program| program.is_file()) else {
        tell(&format!("skipped: {NAME}: no etcd; `e2e/lab/lab build kube` compiles it, --etcd names it"));
        return Ok(());
    };
    let folder = ground.folder().to_owned();
    let etcd = Etcd::start(&program, &folder, &mut ground.ports).await?;
    let (keys, value_bytes) = (ground.wish.write_keys, ground.wish.value_bytes);
    let mut best = (0.0, 1.0);
    for connections in [64, 512] {
        let mut rounds = Rounds::default();
        for _ in 0..ground.wish.rounds {
            let load = Load { work: Work::Set, connections, depth: 1, value_bytes };
            let ours = Side::ours(cluster).measure(ground, load, keys).await?;
            let meters = RefCell::new(Meters::on(etcd.processes()));
            let (begins, ends) = (|| meters.borrow_mut().begin(), || meters.borrow_mut().end());
            let clients = (connections, ETCD_CHANNELS);
            let tally = etcd.put(clients, (keys, value_bytes), ground.times(), begins, ends).await?;
            rounds.add(&format!("{NAME} {connections} connections"), ours, meters.into_inner().sample(tally));
        }
        let medians = rounds.medians(Measure::Rate);
        let settings = format!("{connections} connections, 3 replicas, etcd {} over {ETCD_CHANNELS} channels", etcd.version());
        tell_row(&format!("{NAME}_{connections}"), "SETs and puts a second", medians, &settings);
        if medians.0 / medians.1 > best.0 / best.1 {
            best = medians;
        }
    }
    tell_row(NAME, "the better of the two", best, "64 and 512 connections");
    Ok(())
}

/// One replica, beside redis-server with `appendfsync always`.
pub async fn set_1x(ground: &mut Ground, cluster: &ProcessCluster) -> Result<(), Failure> {
    let server = redis(ground, Keeping::EveryWrite).await?;
    let load = Load { work: Work::Set, connections: CONNECTIONS, depth: 1, value_bytes: ground.wish.value_bytes };
    let keys = ground.wish.write_keys;
    in_turn(ground, "set_1x_vs_redis_always", (&Side::ours(cluster), &Side::redis(&server)), load, keys).await
}

/// Linearizable GETs of what lies in memory, beside redis-server.
pub async fn get_3x(ground: &mut Ground, cluster: &ProcessCluster, name: &str, depth: usize) -> Result<(), Failure> {
    let server = redis(ground, Keeping::Nothing).await?;
    let (ours, peer) = (Side::ours(cluster), Side::redis(&server));
    let (keys, value_bytes) = (ground.wish.read_keys, ground.wish.value_bytes);
    for side in [&ours, &peer] {
        fill(&Routes::ask(side.endpoints.clone(), keys).await?, value_bytes, 3).await?;
    }
    let load = Load { work: Work::Get, connections: CONNECTIONS, depth, value_bytes };
    in_turn(ground, name, (&ours, &peer), load, keys).await
}

async fn in_turn(ground: &Ground, name: &str, (ours, peer): (&Side, &Side), load: Load, keys: u32) -> Result<(), Failure> {
    let mut rounds = Rounds::default();
    for _ in 0..ground.wish.rounds {
        let ours = ours.measure(ground, load, keys).await?;
        rounds.add(name, ours, peer.measure(ground, load, keys).await?);
    }
    let settings = format!("{} connections with {} in flight each", load.connections, load.depth);
    tell_row(name, "for each second of server CPU", rounds.medians(Measure::PerCore), &settings);
    Ok(())
}

/// What a node of three costs that holds sixteen shards and serves nobody.
pub async fn idle(ground: &Ground) -> Result<(), Failure> {
    let mut wish = ground.wish.clone();
    wish.shards = 16;
    let cluster = found_product(&wish, Options::three_nodes(16)).await?;
    cluster.until_whole().await?;
    let before: Vec<f64> = cluster.processes().iter().map(|node| meter::cpu_seconds(&[*node])).collect();
    wait::pause(IDLE).await;
    let (mut cores, mut resident) = (0.0_f64, 0);
    for (node, before) in cluster.processes().into_iter().zip(before) {
        cores = cores.max((meter::cpu_seconds(&[node]) - before) / IDLE.as_secs_f64());
        resident = resident.max(meter::resident_bytes(node).unwrap_or(0));
    }
    tell(&format!(
        "bench idle_16_shards resident={} MiB core={:.1}% (the worst of three nodes, {} s)",
        resident >> 20,
        cores * 100.0,
        IDLE.as_secs()
    ));
    Ok(())
}
