//! A proxy before an S3 server: it counts requests and bytes, bounds the rate, and plays the faults that a stopped server cannot.
//!
//! Requests are understood as far as counting needs: HTTP/1.1, whose bodies have a length. Bytes pass unchanged, signatures too, because
//! the host that a client signs is the proxy's own.

use super::wait;
use crate::failure::Failure;
use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Bytes that pass at once.
const PIECE_BYTES: usize = 64 << 10;

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Different requests that are counted by their names, at most; more are a scenario that runs wild.
const NAMES_MAX: usize = 200_000;

/// What the proxy does to those who connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Requests and answers pass.
    Pass,
    /// Connections end at once.
    Refuse,
    /// Every request is answered with an internal error.
    Fail,
    /// Every request is answered with the wish for fewer of them.
    SlowDown,
    /// Requests are taken, and never answered.
    Hang,
    /// Requests pass and take effect, and are never answered.
    Swallow,
    /// Requests pass, and answers end in the middle.
    CutShort,
    /// Requests pass, and in the middle of what is read a bit is flipped. Lists pass unharmed: nothing in them could say so.
    Flip,
}

/// What has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests by method and path, without what follows a question mark.
    pub requests: BTreeMap<(String, String), u64>,
    /// Bytes to the server, heads included.
    pub bytes_up: u64,
    /// Bytes from the server, heads included.
    pub bytes_down: u64,
}

impl Traffic {
    /// How many requests had this method.
    pub fn count(&self, method: &str) -> u64 {
        self.requests.iter().filter(|((of, _), _)| of == method).map(|(_, count)| count).sum()
    }

    /// What has passed since `earlier`.
    pub fn since(&self, earlier: &Traffic) -> Traffic {
        let requests = self.requests.iter().map(|(name, count)| (name.clone(), count - earlier.requests.get(name).unwrap_or(&0)));
        Traffic {
            requests: requests.filter(|(_, count)| *count > 0).collect(),
            bytes_up: self.bytes_up - earlier.bytes_up,
            bytes_down: self.bytes_down - earlier.bytes_down,
        }
    }
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    requests: Mutex<BTreeMap<(String, String), u64>>,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    bytes_per_second: Option<u64>,
    /// When the next byte from the server may pass.
    next: Mutex<Instant>,
}

/// A proxy at work. Dropping it ends it.
pub struct S3Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl S3Proxy {
    /// Listens on `port` for the server on `upstream`, both on the loopback. All answers together pass at `bytes_per_second` at most.
    pub async fn start(port: u16, upstream: u16, bytes_per_second: Option<u64>) -> Result<S3Proxy, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(Failure::of(format!("listen on port {port}")))?;
        let (mode, modes) = watch::channel(Mode::Pass);
        let shared = Arc::new(Shared {
            upstream,
            requests: Mutex::default(),
            bytes_up: AtomicU64::new(0),
            bytes_down: AtomicU64::new(0),
            bytes_per_second,
            next: Mutex::new(Instant::now()),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, modes, shared.clone()));
        Ok(S3Proxy { port, mode, shared, _tasks: tasks })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does something else from now on; connections of the mode before are ended.
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let requests = locked(&self.shared.requests).clone();
        Traffic { requests, bytes_up: load(&self.shared.bytes_up), bytes_down: load(&self.shared.bytes_down) }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, modes: watch::Receiver<Mode>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        let (mut modes, shared) = (modes.clone(), shared.clone());
        connections.spawn(async move {
            let mode = *modes.borrow_and_update();
            tokio::select! {
                biased;
                _ = modes.changed() => {}
                // A connection that breaks is the client's affair.
                _ = serve(client, mode, &shared) => {}
            }
        });
    }
}

async fn serve(client: TcpStream, mode: Mode, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    match mode {
        Mode::Refuse => Ok(()),
        Mode::Fail => refuse(&mut from_client, &mut to_client, ("500 Internal Server Error", "InternalError"), shared).await,
        Mode::SlowDown => refuse(&mut from_client, &mut to_client, ("503 Slow Down", "SlowDown"), shared).await,
        Mode::Hang => loop {
            read(&mut from_client).await?;
        },
        Mode::Pass | Mode::Swallow | Mode::CutShort | Mode::Flip => {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.upstream)).await?;
            server.set_nodelay(true)?;
            let (mut from_server, mut to_server) = server.into_split();
            tokio::select! {
                ended = pass_up(&mut from_client, &mut to_server, shared) => ended,
                ended = pass_down(&mut from_server, &mut to_client, mode, shared) => ended,
            }
        }
    }
}

/// The next bytes; an error where there are no more.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    if from.read_buf(&mut piece).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(piece) }
}

async fn pass_up(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), shared: &Shared) -> io::Result<()> {
    let mut requests = Requests::default();
    loop {
        let piece = read(from).await?;
        requests.take(&piece, shared)?;
        shared.bytes_up.fetch_add(piece.len() as u64, Ordering::Relaxed);
        to.write_all(&piece).await?;
    }
}

async fn pass_down(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin), mode: Mode, shared: &Shared) -> io::Result<()> {
    let mut is_list = false;
    loop {
        let mut piece = read(from).await?;
        shared.pace(piece.len() as u64).await;
        shared.bytes_down.fetch_add(piece.len() as u64, Ordering::Relaxed);
        match mode {
            Mode::Swallow => continue,
            Mode::CutShort => {
                to.write_all(&piece[..piece.len() / 2]).await?;
                return Err(io::Error::other("cut short, as was asked for"));
            }
            Mode::Flip => flip(&mut piece, &mut is_list),
            _ => {}
        }
        to.write_all(&piece).await?;
    }
}

/// Answers all requests with an error of this status and code.
async fn refuse(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    (status, code): (&str, &str),
    shared: &Shared,
) -> io::Result<()> {
    let mut requests = Requests::default();
    let body = format!("<Error><Code>{code}</Code><Message>planted fault</Message></Error>\n");
    let answer = format!("HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    loop {
        let piece = read(from).await?;
        for _ in 0..requests.take(&piece, shared)? {
            to.write_all(answer.as_bytes()).await?;
        }
    }
}

/// Flips a bit in the middle of a piece of an answer's body. Heads stay as they are, and so do lists and errors, which are told by their head.
fn flip(piece: &mut [u8], is_list: &mut bool) {
    let mut body = 0;
    if piece.starts_with(b"HTTP/1.1 ") {
        body = piece.windows(4).position(|window| window == b"\r\n\r\n").map_or(piece.len(), |end| end + 4);
        *is_list = String::from_utf8_lossy(&piece[..body]).contains("application/xml");
    }
    if !*is_list && body < piece.len() {
        let middle = body + (piece.len() - body) / 2;
        piece[middle] ^= 1;
    }
}

impl Shared {
    /// Waits until so many more bytes may pass: each connection takes its turn after what was promised to the others.
    async fn pace(&self, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let now = Instant::now();
        let turn = {
            let mut next = locked(&self.next);
            let turn = (*next).max(now);
            *next = turn + Duration::from_nanos(bytes * 1_000_000_000 / rate);
            turn
        };
        // A timer is no finer than a millisecond; what was passed early is waited for later.
        if turn > now + Duration::from_millis(2) {
            wait::pause(turn - now).await;
        }
    }

    fn count(&self, method: &str, target: &str) {
        let path = target.split('?').next().unwrap_or(target);
        let mut requests = locked(&self.requests);
        if requests.len() < NAMES_MAX {
            *requests.entry((method.to_owned(), path.to_owned())).or_default() += 1;
        }
    }
}

/// Finds where requests begin in the bytes of a connection.
#[derive(Debug, Default)]
struct Requests {
    head: Vec<u8>,
    body_left: u64,
}

impl Requests {
    /// Takes the next bytes; returns how many requests have come to their end.
    fn take(&mut self, mut bytes: &[u8], shared: &Shared) -> io::Result<usize> {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let body = self.body_left.min(bytes.len() as u64);
                self.body_left -= body;
                bytes = &bytes[body as usize..];
                ended += usize::from(self.body_left == 0);
                continue;
            }
            let before = self.head.len();
            self.head.extend_from_slice(bytes);
            let Some(end) = self.head.windows(4).position(|window| window == b"\r\n\r\n") else {
                let is_endless = self.head.len() > HEAD_BYTES_MAX;
                return if is_endless { Err(io::Error::other("a request's head does not end")) } else { Ok(ended) };
            };
            bytes = &bytes[end + 4 - before..];
            let head = String::from_utf8_lossy(&self.head[..end]).into_owned();
            self.head.clear();
            self.body_left = begin(&head, shared)?;
            ended += usize::from(self.body_left == 0);
        }
        Ok(ended)
    }
}

/// Counts a request by its head, and returns the length of its body.
fn begin(head: &str, shared: &Shared) -> io::Result<u64> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Err(io::Error::other("a request has no first line")) };
    shared.count(method, target);
    let mut length = 0;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("a body without a length is not understood here"));
        }
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::ports::Ports;

    /// A server that answers every read of bytes with so many of them.
    async fn serve_bytes(listener: TcpListener, answer: Vec<u8>) {
        let mut connections = JoinSet::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            connections.spawn(async move {
                while read(&mut stream).await.is_ok() {
                    if stream.write_all(&answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    }

    async fn exchange(port: u16, request: &[u8], bytes: usize) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(request).await?;
        let mut answer = vec![0; bytes];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn what_passes_is_counted_and_faults_are_played() {
        let mut ports = Ports::reserve(3).expect("a block is free");
        let (port, upstream) = (ports.take(), ports.take());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, upstream)).await.expect("a port");
        let mut server = JoinSet::new();
        server.spawn(serve_bytes(listener, vec![7; 1_000]));
        let proxy = S3Proxy::start(port, upstream, None).await.expect("a proxy");

        let two = b"PUT /b/k?x=1 HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b/k HTTP/1.1\r\n\r\n";
        assert_eq!(exchange(port, two, 1_000).await.expect("it passes"), vec![7; 1_000]);
        let traffic = proxy.traffic();
        assert_eq!((traffic.count("PUT"), traffic.count("GET"), traffic.bytes_up), (1, 1, two.len() as u64));
        assert_eq!(traffic.requests.keys().next_back(), Some(&("PUT".to_owned(), "/b/k".to_owned())));

        proxy.set_mode(Mode::Fail);
        let failed = exchange(port, two, 12).await.expect("an answer");
        assert_eq!(failed, b"HTTP/1.1 500");
        proxy.set_mode(Mode::SlowDown);
        assert_eq!(exchange(port, two, 12).await.expect("an answer"), b"HTTP/1.1 503");
        proxy.set_mode(Mode::Refuse);
        exchange(port, two, 1).await.expect_err("the connection ends");
        proxy.set_mode(Mode::Hang);
        let hanging = tokio::time::timeout(Duration::from_millis(100), exchange(port, two, 1)).await;
        assert!(hanging.is_err(), "nothing is answered");
        proxy.set_mode(Mode::Swallow);
        let before = proxy.traffic();
        let swallowed = tokio::time::timeout(Duration::from_millis(100), exchange(port, two, 1)).await;
        assert!(swallowed.is_err() && proxy.traffic().since(&before).bytes_down == 1_000, "the server answered, and nobody heard it");
        proxy.set_mode(Mode::CutShort);
        assert!(exchange(port, two, 1_000).await.is_err() && exchange(port, two, 500).await.is_ok(), "half of it comes");
        proxy.set_mode(Mode::Flip);
        let flipped = exchange(port, two, 1_000).await.expect("it passes");
        assert_eq!(flipped.iter().filter(|byte| **byte == 6).count(), 1, "one bit of one byte");
        proxy.set_mode(Mode::Pass);
        exchange(port, two, 1_000).await.expect("it passes again");
        assert_eq!(
            proxy.traffic().since(&traffic).count("PUT"),
            7,
            "whatever became of them, they were counted, but for those refused and hanging"
        );
    }

    #[tokio::test]
    async fn the_rate_is_that_of_all_together() {
        let mut ports = Ports::reserve(4).expect("a block is free");
        let (port, upstream) = (ports.take(), ports.take());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, upstream)).await.expect("a port");
        let mut server = JoinSet::new();
        server.spawn(serve_bytes(listener, vec![7; 100_000]));
        let _proxy = S3Proxy::start(port, upstream, Some(1_000_000)).await.expect("a proxy");
        let start = Instant::now();
        let request = b"GET /b/k HTTP/1.1\r\n\r\n";
        let (one, other) = tokio::join!(exchange(port, request, 100_000), exchange(port, request, 100_000));
        assert!(one.is_ok() && other.is_ok());
        assert!(start.elapsed() >= Duration::from_millis(100), "200 kB at 1 MB/s, the last piece promised: {:?}", start.elapsed());
    }
}
