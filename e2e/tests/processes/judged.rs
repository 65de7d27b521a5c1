//! The judge itself, tried on a server that is known: who keeps every promise passes, and who forgets is caught.

use strata_e2e::{
    failure::Failure,
    harness::{ports::Ports, redis_server::RedisServer},
    say::say,
    workload::{Load, Size},
};
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_its_promises_passes() -> Result<(), Failure> {
    let Some((server, folder, _ports)) = server("a_server_that_keeps_its_promises_passes").await? else { return Ok(()) };
    let load = Load::start(server.endpoints(), 1, Size::default());
    load.until_acknowledged(3_000).await?;
    load.finish().await?.judge(&server.endpoints(), &folder.path().join("history.jsonl")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_is_caught_by_every_witness() -> Result<(), Failure> {
    let Some((mut server, folder, _ports)) = server("a_server_that_forgets_is_caught_by_every_witness").await? else { return Ok(()) };
    let load = Load::start(server.endpoints(), 2, Size::default());
    load.until_acknowledged(1_000).await?;
    server.restart().await?;
    load.until_acknowledged(500).await?;
    let ledger = load.finish().await?;
    let endpoints = std::sync::Arc::new(server.endpoints());
    let history = strata_e2e::checker::linearizable(&ledger.history, &folder.path().join("history.jsonl")).await;
    let caught = [("history", history.is_err()), ("acknowledged keys", ledger.acks.judge(&endpoints).await.is_err())];
    for (witness, is_caught) in caught {
        Failure::unless(is_caught, || format!("the server lost everything, and its {witness} did not show it"))?;
    }
    Failure::unless(ledger.tally.judge(0).is_err(), || "a counter that fell to 0 was believed".to_owned())
}

async fn server(test: &str) -> Result<Option<(RedisServer, TempDir, Ports)>, Failure> {
    if !RedisServer::is_installed() {
        say(format!("skipped: {test}: there is no redis-server (Debian package redis-server)"));
        return Ok(None);
    }
    let folder = tempfile::tempdir().map_err(Failure::of("make a folder"))?;
    let mut ports = Ports::reserve(1)?;
    let server = RedisServer::start(folder.path(), ports.take()).await?;
    Ok(Some((server, folder, ports)))
}
