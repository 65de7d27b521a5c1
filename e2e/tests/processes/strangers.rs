//! Callers that have no business here, and bytes that make no sense.

use fastrand::Rng;
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use strata_base::Epoch;
use strata_e2e::{
    failure::Failure,
    harness::{certificates::Authority, node_client::NodeClient, process::Options},
    scene::{Scene, play},
    workload::Size,
};
use strata_node_api::OrderKind;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// How long a node may take to answer or to hang up.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_caller_without_the_certificate_is_refused() -> Result<(), Failure> {
    play("a_caller_without_the_certificate_is_refused", Options::one_node(2), async |scene| {
        scene.cluster.bootstrap().await?;
        let ours = scene.cluster.authority().certificate().to_owned();
        let elsewhere = scene.cluster.folder().join("elsewhere");
        std::fs::create_dir_all(&elsewhere).map_err(Failure::of("create a folder"))?;
        let stranger = Authority::create(&elsewhere)?.sign("operator")?;
        let callers =
            [("no certificate", NodeClient::anonymous(&ours)), ("the certificate of another authority", NodeClient::new(&ours, &stranger))];
        let ports = scene.cluster.ports(0);
        for (what, caller) in callers {
            let caller = caller.map_err(Failure::Broken)?;
            let mut order = scene.cluster.order_for(0, OrderKind::EvictLeaders { for_millis: 60_000 });
            order.epoch = Epoch(77);
            for port in [ports.api, ports.peer] {
                if let Ok(report) = caller.report(port).await {
                    return Err(Failure::broken(format!("a caller with {what} was shown {report:?}")));
                }
                if let Ok(answer) = caller.order(port, &order).await {
                    return Err(Failure::broken(format!("the order of a caller with {what} was answered with {answer:?}")));
                }
            }
        }
        for port in [ports.api, ports.peer] {
            let said = converse(port, b"GET /v1/report HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            let sentence = || format!("port {port} speaks without TLS: {}", String::from_utf8_lossy(&said));
            Failure::unless(!said.starts_with(b"HTTP/1.1 200"), sentence)?;
        }
        let probe = ask(ports.status, b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let sentence = || format!("a probe, which needs no certificate, got {:?}", String::from_utf8_lossy(&probe));
        Failure::unless(probe.starts_with(b"HTTP/1.1 200"), sentence)?;
        let report = scene.cluster.report(0).await.map_err(Failure::Broken)?;
        let is_untouched = (report.epoch, report.evicted_millis) == (Epoch(1), 0);
        Failure::unless(is_untouched, || format!("a stranger was obeyed: {report:?}"))?;
        let load = scene.load(Size::default());
        load.until_acknowledged(100).await?;
        scene.judge(load).await
    })
}

#[test]
fn resp_garbage_harms_nobody() -> Result<(), Failure> {
    play("resp_garbage_harms_nobody", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        let lives = lives(scene).await?;
        for bytes in rude() {
            for node in scene.cluster.indexes() {
                let ports = scene.cluster.ports(node);
                for port in [ports.plain, ports.cluster] {
                    let said = converse(port, &bytes).await?;
                    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
                    let sentence = || format!("{shown:?} was answered with {:?}", String::from_utf8_lossy(&said));
                    Failure::unless(said.is_empty() || said.starts_with(b"-"), sentence)?;
                }
            }
        }
        let random = Arc::new(random_bytes(scene.seed));
        let mut mob = JoinSet::new();
        for nth in 0..random.len() {
            let ports = scene.cluster.ports(nth % 3);
            let (port, random) = (if nth % 2 == 0 { ports.plain } else { ports.cluster }, random.clone());
            mob.spawn(async move { converse(port, &random[nth]).await.map(drop) });
        }
        mob.join_all().await.into_iter().collect::<Result<(), Failure>>()?;
        let idlers = idle_connections(scene).await?;
        load.until_acknowledged(300).await?;
        drop(idlers);
        let now = self::lives(scene).await?;
        Failure::unless(now == lives, || format!("a process ended and came back: lives were {lives:?}, and are {now:?}"))?;
        scene.judge(load).await
    })
}

/// Requests that are certainly malformed: each gets an error and a hang-up, or only the hang-up.
fn rude() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = [
        &b"*1\r\n$-5\r\n"[..],
        b"*-7\r\n$4\r\nPING\r\n*3\r\n:1\r\n",
        b"*2\r\n$3\r\nGET\r\n:7\r\n",
        b"*1\r\n$99999999999999999999\r\n",
        b"*1\r\n$2147483647\r\n",
        b"*2147483647\r\n$3\r\nGET\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n$4\r\nPI\0G\r\n",
        b"*notanumber\r\n",
        b"SET key \"unbalanced\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ]
    .map(<[u8]>::to_vec)
    .into();
    all.push(b"*1\r\n".repeat(100_000));
    all.push(vec![b'a'; 128 << 10]);
    all
}

/// Bytes that may or may not mean something; beginnings of RESP among them, so that some get past the first byte.
fn random_bytes(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(seed);
    let mut one = || {
        let mut bytes = match random.u32(..3) {
            0 => b"*3\r\n$3\r\nSET\r\n$9\r\ngarbage-k\r\n".to_vec(),
            1 => format!("*{}\r\n${}\r\n", random.u8(..), random.u8(..)).into_bytes(),
            _ => Vec::new(),
        };
        bytes.extend((0..random.usize(1..2_000)).map(|_| random.u8(..)));
        bytes
    };
    (0..60).map(|_| one()).collect()
}

/// Connections that say half a command and then nothing, and some that only close their own half.
async fn idle_connections(scene: &Scene) -> Result<Vec<TcpStream>, Failure> {
    let mut idlers = Vec::new();
    for nth in 0..60 {
        let port = scene.cluster.ports(nth % 3).plain;
        let mut stream = connect(port).await?;
        stream.write_all(b"*2\r\n$3\r\nGET\r\n$10\r\nhal").await.map_err(Failure::of("write half a command"))?;
        if nth % 2 == 0 {
            stream.shutdown().await.map_err(Failure::of("close one half"))?;
        }
        idlers.push(stream);
    }
    Ok(idlers)
}

/// Says something, closes its own half, and listens until the other side hangs up.
async fn converse(port: u16, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    talk_to(port, bytes, true).await
}

/// Like [`converse`], but goes on listening as an HTTP client does: a server may take a half-closed connection for a client that left.
async fn ask(port: u16, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    talk_to(port, bytes, false).await
}

async fn talk_to(port: u16, bytes: &[u8], is_last_word: bool) -> Result<Vec<u8>, Failure> {
    let mut stream = connect(port).await?;
    let mut said = Vec::new();
    let talk = async {
        // The node may hang up in the middle of our sentence: that is its right.
        if stream.write_all(bytes).await.is_ok() && is_last_word {
            drop(stream.shutdown().await);
        }
        drop((&mut stream).take(64 << 10).read_to_end(&mut said).await);
    };
    match tokio::time::timeout(PATIENCE, talk).await {
        Ok(()) => Ok(said),
        Err(_) => Err(Failure::broken(format!("port {port} neither answered nor hung up within {} s", PATIENCE.as_secs()))),
    }
}

async fn connect(port: u16) -> Result<TcpStream, Failure> {
    let connected = tokio::time::timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
    let refused = Failure::of(format!("connect to port {port}"));
    connected.map_err(|_| Failure::broken(format!("port {port} accepts nobody")))?.map_err(refused)
}

async fn lives(scene: &Scene) -> Result<Vec<u64>, Failure> {
    let mut lives = Vec::new();
    for node in scene.cluster.indexes() {
        lives.push(scene.cluster.report(node).await.map_err(Failure::Broken)?.life);
    }
    Ok(lives)
}
