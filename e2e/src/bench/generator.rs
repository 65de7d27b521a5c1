//! The load on servers that speak RESP: raw bytes over plain sockets, one task for each connection, all on one thread.
//!
//! A connection belongs to one node and asks for keys that this node leads, as a smart client's pool does. It keeps `depth` requests in
//! flight: it writes them together and waits for all their replies. A refusal, such as MOVED, is counted and makes it look where its
//! keys are now.

use super::{
    meter::Latencies,
    routes::{KEY_BYTES, Routes, key_name},
};
use crate::{failure::Failure, harness::wait};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

/// Where values are cut from: random bytes, so that nobody's compression makes them smaller.
const NOISE_BYTES: usize = 1 << 20;

/// How long a connection that was refused or lost waits, so that it does not spin.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// How long replies may take before the run counts as broken.
const REPLY_DEADLINE: Duration = Duration::from_secs(10);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// SET of a random value under a random key.
    Set,
    /// GET of a random key that was set before.
    Get,
}

/// A load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// What is asked.
    pub work: Work,
    /// Connections, all nodes together.
    pub connections: usize,
    /// Requests in flight on each of them.
    pub depth: usize,
    /// The length of a value, in bytes.
    pub value_bytes: usize,
}

/// What a load came to within its measured part.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were answered as they should be.
    pub operations: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// The measured part, in seconds.
    pub seconds: f64,
    /// From the writing of a request to its reply.
    pub latencies: Latencies,
}

impl Tally {
    /// Operations in a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }
}

/// What all connections of a load, whatever it speaks, write down.
#[derive(Default)]
pub struct Ledger {
    tally: RefCell<Tally>,
    is_over: Cell<bool>,
}

impl Ledger {
    /// Whether the load ends.
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Requests that were sent at `sent` are answered.
    pub fn answered(&self, operations: usize, sent: Instant) {
        let mut tally = self.tally.borrow_mut();
        tally.operations += operations as u64;
        tally.latencies.add(sent.elapsed(), operations);
    }

    /// Requests were refused.
    pub fn refused(&self, operations: usize) {
        self.tally.borrow_mut().refused += operations as u64;
    }

    /// Lets the tasks run warm, then measures for `length`; `begins` and `ends` are called at the edges of the measured part.
    pub async fn measure(&self, warm: Duration, length: Duration, begins: impl FnOnce(), ends: impl FnOnce()) -> Tally {
        wait::pause(warm).await;
        self.tally.take();
        begins();
        let start = Instant::now();
        wait::pause(length).await;
        let mut tally = self.tally.take();
        tally.seconds = start.elapsed().as_secs_f64();
        ends();
        self.is_over.set(true);
        tally
    }
}

/// Sets every key once.
pub async fn fill(routes: &Routes, value_bytes: usize, seed: u64) -> Result<(), Failure> {
    const BATCH: usize = 512;
    let mut random = fastrand::Rng::with_seed(seed);
    let noise = noise(seed);
    for (node, keys) in routes.nodes() {
        let mut connection = Wire::connect(node).await.map_err(Failure::of(format!("connect to {node}")))?;
        for keys in keys.chunks(BATCH) {
            keys.iter().for_each(|key| connection.put_set(*key, value(&noise, value_bytes, &mut random)));
            let refused = connection.exchange(keys.len()).await.map_err(Failure::of(format!("fill {node}")))?;
            if refused > 0 {
                return Err(Failure::broken(format!("{node} refused {refused} of {} SETs that fill it", keys.len())));
            }
        }
    }
    Ok(())
}

/// Runs a load; `begins` and `ends` are called at the edges of its measured part.
pub async fn run(
    load: Load,
    routes: Routes,
    (warm, length): (Duration, Duration),
    begins: impl FnOnce(),
    ends: impl FnOnce(),
) -> Result<Tally, Failure> {
    let shared = Rc::new(Shared { load, routes: RefCell::new(Rc::new(routes)), ledger: Ledger::default(), noise: noise(1) });
    let tasks = LocalSet::new();
    for index in 0..load.connections {
        let shared = shared.clone();
        tasks.spawn_local(async move { connection(index, &shared).await });
    }
    let tally = tasks.run_until(shared.ledger.measure(warm, length, begins, ends)).await;
    let ended = tokio::time::timeout(REPLY_DEADLINE, tasks).await;
    ended.map_err(|_| Failure::broken("a connection of the load got no reply for ten seconds"))?;
    Ok(tally)
}

struct Shared {
    load: Load,
    routes: RefCell<Rc<Routes>>,
    ledger: Ledger,
    noise: Vec<u8>,
}

async fn connection(index: usize, shared: &Shared) {
    let mut random = fastrand::Rng::with_seed(index as u64);
    while !shared.ledger.is_over() {
        let routes = shared.routes.borrow().clone();
        let (node, keys) = routes.node(index);
        // Whatever broke it: it is counted, and the place of the keys is asked for again.
        if let Ok(mut wire) = Wire::connect(node).await
            && serve(shared, &mut wire, keys, &mut random).await.is_ok()
        {
            continue;
        }
        shared.ledger.refused(1);
        wait::pause(REFUSED_PAUSE).await;
        if let Ok(newer) = routes.again().await {
            *shared.routes.borrow_mut() = Rc::new(newer);
        }
    }
}

/// Asks until the load is over, or a request is refused.
async fn serve(shared: &Shared, wire: &mut Wire, keys: &[u32], random: &mut fastrand::Rng) -> std::io::Result<()> {
    let Load { work, depth, value_bytes, .. } = shared.load;
    while !shared.ledger.is_over() {
        for _ in 0..depth {
            let key = keys[random.usize(..keys.len())];
            match work {
                Work::Set => wire.put_set(key, value(&shared.noise, value_bytes, random)),
                Work::Get => wire.put_get(key),
            }
        }
        let sent = Instant::now();
        let refused = wire.exchange(depth).await?;
        shared.ledger.answered(depth - refused, sent);
        if refused > 0 {
            shared.ledger.refused(refused);
            return Err(std::io::Error::other("a request was refused"));
        }
    }
    Ok(())
}

/// Random bytes.
pub fn noise(seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut noise = vec![0; NOISE_BYTES];
    random.fill(&mut noise);
    noise
}

/// A piece of them.
pub fn value<'a>(noise: &'a [u8], bytes: usize, random: &mut fastrand::Rng) -> &'a [u8] {
    let from = random.usize(..noise.len() - bytes);
    &noise[from..from + bytes]
}

/// A connection, with what is to be written and what was read of replies.
struct Wire {
    stream: TcpStream,
    output: Vec<u8>,
    input: Vec<u8>,
}

impl Wire {
    async fn connect(node: &str) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(node).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, output: Vec::new(), input: Vec::with_capacity(64 << 10) })
    }

    fn put_set(&mut self, key: u32, value: &[u8]) {
        self.output.extend_from_slice(format!("*3\r\n$3\r\nSET\r\n${KEY_BYTES}\r\n{}\r\n${}\r\n", key_name(key), value.len()).as_bytes());
        self.output.extend_from_slice(value);
        self.output.extend_from_slice(b"\r\n");
    }

    fn put_get(&mut self, key: u32) {
        self.output.extend_from_slice(format!("*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\n{}\r\n", key_name(key)).as_bytes());
    }

    /// Writes what was put, and waits for `count` replies; how many of them were errors or nil.
    async fn exchange(&mut self, count: usize) -> std::io::Result<usize> {
        self.stream.write_all(&self.output).await?;
        self.output.clear();
        let (mut seen, mut refused) = (0, 0);
        let mut position = 0;
        self.input.clear();
        while seen < count {
            match reply(&self.input[position..]) {
                Some((length, is_good)) => {
                    position += length;
                    seen += 1;
                    refused += usize::from(!is_good);
                }
                None if self.stream.read_buf(&mut self.input).await? == 0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        }
        Ok(refused)
    }
}

/// The length of the reply that `input` begins with, if it is whole, and whether it is one that a request hopes for.
fn reply(input: &[u8]) -> Option<(usize, bool)> {
    let line = input.windows(2).position(|pair| pair == b"\r\n")?;
    match input[0] {
        b'$' if input[1] == b'-' => Some((line + 2, false)),
        b'$' => {
            let length: usize = std::str::from_utf8(&input[1..line]).ok()?.parse().ok()?;
            let whole = line + 2 + length + 2;
            (input.len() >= whole).then_some((whole, true))
        }
        first => Some((line + 2, first == b'+')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart_wherever_a_read_ended() {
        assert_eq!(reply(b"+OK\r\n$1\r\n"), Some((5, true)));
        assert_eq!(reply(b"-MOVED 1 host:1\r\n"), Some((17, false)));
        assert_eq!(reply(b"$-1\r\n"), Some((5, false)));
        assert_eq!(reply(b"$3\r\nabc\r\n+"), Some((9, true)));
        for whole in [&b"$3\r\nabc\r\n"[..], b"+OK\r\n"] {
            assert!((0..whole.len()).all(|end| reply(&whole[..end]).is_none()));
        }
    }
}
