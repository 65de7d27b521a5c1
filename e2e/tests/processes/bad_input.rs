//! Bytes that make no sense, and clients that no library would be: each is answered, refused by name or hung up on, and the others do not notice.

use fastrand::Rng;
use std::{sync::Arc, time::Duration};
use strata_e2e::{
    failure::Failure,
    harness::{
        node_process::Settings,
        process::Options,
        socket::{Socket, ask, converse, shown},
        wait,
    },
    scene::{Scene, play},
    workload::{Size, slot::key_within},
};
use tokio::task::JoinSet;

/// How long a node may take to see that clients have left.
const LEAVING_DEADLINE: Duration = Duration::from_secs(10);

/// How many connections a node has room for where it is short of them: enough for a load and for what looks at it.
const SEATS: usize = 48;

/// What a client hears where there is no room.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// What a client pipelines before its last word: pairs of commands for all shards, and reads of one shard that its node leads, more than a connection
/// has under way at once.
const PAIRS: usize = 60;
const READS: usize = 1_500;

/// The longest value, in bytes, and the longest line.
const VALUE_BYTES_MAX: usize = 64 << 20;
const LINE_BYTES_MAX: usize = 64 << 10;

/// A node may hang up on what is longer than this before it has read it.
const READ_AT_ONCE_BYTES: usize = 64 << 10;

/// How much memory a node may take while clients claim to send far more, in bytes: a load goes on meanwhile.
const CLAIMS_BYTES_MAX: u64 = 256 << 20;

/// How many clients never read, and how much memory each may cost, in bytes: what the node keeps of replies at most, and a little for its own.
const SLOTHS: u64 = 2;
const SLOTH_BYTES_MAX: u64 = (256 + 64) << 20;

/// The value that they ask for, in bytes.
const HEAVY_BYTES: usize = 4 << 20;

#[test]
fn resp_garbage_harms_nobody() -> Result<(), Failure> {
    play("resp_garbage_harms_nobody", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let load = scene.load(Size::default());
        let before = lives(scene).await?;
        for bytes in rude() {
            for node in scene.cluster.indexes() {
                let ports = scene.cluster.ports(node);
                for port in [ports.plain, ports.cluster] {
                    let said = converse(port, &bytes).await?;
                    let sentence = || format!("{} was answered with {}", shown(&bytes), shown(&said));
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
        load.until_acknowledged(300).await?;
        scene.judge(load).await?;
        let now = lives(scene).await?;
        Failure::unless(now == before, || format!("a process ended and came back: lives were {before:?}, and are {now:?}"))
    })
}

#[test]
fn one_connection_too_many_is_refused_until_others_leave() -> Result<(), Failure> {
    let settings = Settings { connections: SEATS, ..Settings::default() };
    play("one_connection_too_many_is_refused_until_others_leave", Options { settings, ..Options::one_node(2) }, async |scene| {
        scene.cluster.bootstrap().await?;
        let doors = [scene.cluster.ports(0).plain, scene.cluster.ports(0).cluster];
        let mut seated = Vec::new();
        for nth in 0..SEATS {
            seated.push(welcome(doors[nth % 2]).await?);
        }
        for port in doors.repeat(20) {
            let said = Socket::connect(port).await?.hear_out().await?;
            Failure::unless(said == TOO_MANY, || format!("one client too many should hear so, and heard {}", shown(&said)))?;
        }
        for (nth, client) in seated.iter_mut().enumerate() {
            client.say(format!("SET seat-{nth} {nth}\r\nGET seat-{nth}\r\n").as_bytes()).await?;
            client.hear(format!("+OK\r\n${}\r\n{nth}\r\n", nth.to_string().len()).as_bytes()).await?;
        }
        for (left, port) in doors.into_iter().enumerate() {
            seated.pop();
            let room = wait::until(LEAVING_DEADLINE, "a seat is free", async || welcome(port).await.map_err(|full| full.to_string()));
            seated.insert(left, room.await?);
        }
        let said = Socket::connect(doors[0]).await?.hear_out().await?;
        Failure::unless(said == TOO_MANY, || format!("all seats are taken again, and one more heard {}", shown(&said)))?;
        drop(seated);
        until_clients_are(scene, &[1]).await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(100).await?;
        scene.judge(load).await
    })
}

#[test]
fn a_client_that_has_said_its_last_word_hears_every_reply() -> Result<(), Failure> {
    play("a_client_that_has_said_its_last_word_hears_every_reply", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        scene.cluster.spread_leaders().await?;
        let (before, view) = (clients(scene).await?, scene.cluster.view().await);
        for node in scene.cluster.indexes() {
            let own = key_within(view.led_by(node)[0], "own-");
            for last_word in ["", "GET half-of-a-comm", "*2\r\n$3\r\nGET\r\n$10\r\nhal"] {
                let (mut requests, mut replies) = (String::new(), String::new());
                for nth in 0..PAIRS {
                    requests += &format!("SET last-{node}-{nth} {nth:04}\r\nGET last-{node}-{nth}\r\n");
                    replies += &format!("+OK\r\n$4\r\n{nth:04}\r\n");
                }
                requests += &(format!("SET {own} 1\r\n") + &format!("GET {own}\r\n").repeat(READS) + last_word);
                replies += &("+OK\r\n".to_owned() + &"$1\r\n1\r\n".repeat(READS));
                let said = converse(scene.cluster.ports(node).plain, requests.as_bytes()).await?;
                let sentence = || format!("{} bytes of replies were due, {} came: {}", replies.len(), said.len(), shown(&said));
                Failure::unless(said == replies.as_bytes(), sentence)?;
            }
            // Who closes its half and never reads must leave no connection behind either.
            let mut silent = Socket::connect(scene.cluster.ports(node).plain).await?;
            silent.say(b"PING\r\n").await?;
            silent.close_half().await?;
        }
        until_clients_are(scene, &before).await
    })
}

#[test]
fn oversized_and_nested_frames_are_protocol_errors() -> Result<(), Failure> {
    play("oversized_and_nested_frames_are_protocol_errors", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let before = clients(scene).await?;
        let load = scene.load(Size::default());
        for node in scene.cluster.indexes() {
            let ports = scene.cluster.ports(node);
            for port in [ports.plain, ports.cluster] {
                for (bytes, error) in monstrous() {
                    let said = ask(port, &bytes).await?;
                    let due = format!("-ERR Protocol error: {error}\r\n");
                    // Where the node hangs up before it has read everything, its last word may be lost on the way.
                    let is_lost = said.is_empty() && bytes.len() > READ_AT_ONCE_BYTES;
                    let sentence = || format!("{} should be answered {due:?}, and was {}", shown(&bytes), shown(&said));
                    Failure::unless(is_lost || said == due.as_bytes(), sentence)?;
                }
                load.until_acknowledged(20).await?;
            }
        }
        load.until_acknowledged(100).await?;
        scene.judge(load).await?;
        until_clients_are(scene, &before).await
    })
}

#[test]
fn slow_writers_are_answered_when_they_are_done() -> Result<(), Failure> {
    play("slow_writers_are_answered_when_they_are_done", Options::three_nodes(4), async |scene| {
        scene.cluster.bootstrap().await?;
        let before = clients(scene).await?;
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        let memory = scene.cluster.peak_bytes()?;
        let (mut stuck, mut boastful) = (Vec::new(), Vec::new());
        for nth in 0..60 {
            let port = scene.cluster.ports(nth % 3).plain;
            let mut half = Socket::connect(port).await?;
            half.say(format!("*3\r\n$3\r\nSET\r\n$7\r\nslow-{nth:02}\r\n$5\r\nhal").as_bytes()).await?;
            stuck.push(half);
            let mut claim = Socket::connect(port).await?;
            claim.say(format!("*3\r\n$3\r\nSET\r\n$7\r\nhuge-{nth:02}\r\n${VALUE_BYTES_MAX}\r\nx").as_bytes()).await?;
            boastful.push(claim);
        }
        for node in scene.cluster.indexes() {
            let mut dawdler = Socket::connect(scene.cluster.ports(node).plain).await?;
            for byte in format!("*3\r\n$3\r\nSET\r\n$9\r\ndawdler-{node}\r\n$4\r\ndone\r\n").bytes() {
                dawdler.say(&[byte]).await?;
                // The others go on between any two of its bytes.
                load.until_acknowledged(1).await?;
            }
            dawdler.hear(b"+OK\r\n").await?;
        }
        let now = scene.cluster.peak_bytes()?;
        let is_modest = memory.iter().zip(&now).all(|(before, now)| *now < before + CLAIMS_BYTES_MAX);
        Failure::unless(is_modest, || format!("what clients claim to send took memory: the nodes had {memory:?} bytes, and have {now:?}"))?;
        for half in &mut stuck {
            half.say(b"f!\r\n").await?;
            half.hear(b"+OK\r\n").await?;
        }
        scene.judge(load).await?;
        drop((stuck, boastful));
        until_clients_are(scene, &before).await
    })
}

/// Frames beyond a limit, and the error that names it.
fn monstrous() -> Vec<(Vec<u8>, &'static str)> {
    let value = vec![b'v'; 60 << 20];
    let mut request = b"*7\r\n$4\r\nMSET\r\n".to_vec();
    for key in ["a", "b"] {
        request.extend(format!("$1\r\n{key}\r\n${}\r\n", value.len()).bytes());
        request.extend(&value);
        request.extend(b"\r\n");
    }
    request.extend(format!("$1\r\nc\r\n${}\r\n", value.len()).bytes());
    vec![
        (format!("*2\r\n$4\r\nECHO\r\n${}\r\n", VALUE_BYTES_MAX + 1).into(), "invalid bulk length"),
        (b"*2\r\n$4\r\nECHO\r\n$9223372036854775807\r\n".into(), "invalid bulk length"),
        (format!("*{}\r\n", (1 << 20) + 1).into(), "invalid multibulk length"),
        (b"*1\r\n".repeat(100), "expected '$', got '*'"),
        (b"*1\r\n".repeat(1 << 20), "expected '$', got '*'"),
        (b"*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\nx\r\n".into(), "expected '$', got '*'"),
        (vec![b'*'; LINE_BYTES_MAX], "too big mbulk count string"),
        ([&b"*1\r\n$"[..], &[b'1'; LINE_BYTES_MAX - 1]].concat(), "too big bulk count string"),
        (vec![b'a'; LINE_BYTES_MAX], "too big inline request"),
        (request, "request exceeds 134217728 bytes"),
    ]
}

#[test]
fn a_client_that_never_reads_is_hung_up_on() -> Result<(), Failure> {
    let settings = Settings { client_write_millis: 2_000, ..Settings::default() };
    play("a_client_that_never_reads_is_hung_up_on", Options { settings, ..Options::one_node(4) }, async |scene| {
        scene.cluster.bootstrap().await?;
        let port = scene.cluster.ports(0).plain;
        let load = scene.load(Size::default());
        load.until_acknowledged(200).await?;
        let mut steady = welcome(port).await?;
        steady.say(format!("*3\r\n$3\r\nSET\r\n$5\r\nheavy\r\n${HEAVY_BYTES}\r\n").as_bytes()).await?;
        steady.say(&[b"v".repeat(HEAVY_BYTES), b"\r\n".to_vec()].concat()).await?;
        steady.hear(b"+OK\r\n").await?;
        let (before, memory) = (clients(scene).await?, scene.cluster.peak_bytes()?);

        let mut sloths = Vec::new();
        for _ in 0..SLOTHS {
            let mut sloth = welcome(port).await?;
            sloth.say("GET heavy\r\n".repeat(1_000).as_bytes()).await?;
            sloths.push(sloth);
        }
        load.until_acknowledged(200).await?;
        until_clients_are(scene, &before).await?;
        let now = scene.cluster.peak_bytes()?;
        let is_modest = now[0] < memory[0] + SLOTHS * SLOTH_BYTES_MAX;
        Failure::unless(is_modest, || format!("unread replies took memory: at most {} bytes before, and {} meanwhile", memory[0], now[0]))?;

        // Who takes its replies gets them all, however many are under way.
        steady.say("GET heavy\r\n".repeat(100).as_bytes()).await?;
        for nth in 0..100 {
            let read = steady.hear_bulk().await?;
            let is_whole = read.len() == HEAVY_BYTES && read.iter().all(|byte| *byte == b'v');
            Failure::unless(is_whole, || format!("reply {nth} has {} bytes: {}", read.len(), shown(&read)))?;
        }
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

async fn lives(scene: &Scene) -> Result<Vec<u64>, Failure> {
    let mut lives = Vec::new();
    for node in scene.cluster.indexes() {
        lives.push(scene.cluster.report(node).await.map_err(Failure::Broken)?.life);
    }
    Ok(lives)
}

/// A client that was let in.
async fn welcome(port: u16) -> Result<Socket, Failure> {
    let mut socket = Socket::connect(port).await?;
    socket.say(b"PING\r\n").await?;
    socket.hear(b"+PONG\r\n").await?;
    Ok(socket)
}

/// How many clients each node has, the one that asks among them.
async fn clients(scene: &Scene) -> Result<Vec<u64>, Failure> {
    let mut counts = Vec::new();
    for node in scene.cluster.indexes() {
        let mut socket = Socket::connect(scene.cluster.ports(node).plain).await?;
        socket.say(b"INFO clients\r\n").await?;
        let info = String::from_utf8_lossy(&socket.hear_bulk().await?).into_owned();
        let count = info.lines().find_map(|line| line.strip_prefix("connected_clients:")?.parse().ok());
        counts.push(count.ok_or_else(|| Failure::broken(format!("node {node} does not count its clients: {info:?}")))?);
    }
    Ok(counts)
}

/// Waits until all clients but these have left, as the nodes count them.
async fn until_clients_are(scene: &Scene, counts: &[u64]) -> Result<(), Failure> {
    wait::until(LEAVING_DEADLINE, &format!("the nodes count {counts:?} clients"), async || {
        let now = clients(scene).await.map_err(|failure| failure.to_string())?;
        if now == counts { Ok(()) } else { Err(format!("they count {now:?}")) }
    })
    .await
}
