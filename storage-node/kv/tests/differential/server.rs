//! A redis-server of Debian for the length of a test, and a connection to it.

use bytes::{Bytes, BytesMut};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

const BINARY: &str = "/usr/bin/redis-server";
/// The longest wait for anything that the server does.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running server; killed by its own handle when dropped, and its folder removed.
pub struct Server {
    process: std::process::Child,
    folder: PathBuf,
    pub port: u16,
}

impl Server {
    /// Starts a server without persistence, whose limits are ours.
    pub fn start(name: &str) -> Server {
        assert!(Path::new(BINARY).exists(), "{BINARY} is missing: install Debian's package redis-server (`make deps` does)");
        for _ in 0..5 {
            if let Some(server) = Server::try_start(name) {
                return server;
            }
        }
        panic!("redis-server did not begin to listen, five times")
    }

    /// `None` where the port was taken between its choice and the server's start.
    #[expect(clippy::disallowed_types, reason = "the judge is a process, which this test owns")]
    fn try_start(name: &str) -> Option<Server> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("redis-{name}-{port}"));
        fs::create_dir_all(&folder).expect("a folder in the target directory");
        let process = std::process::Command::new(BINARY)
            .current_dir(&folder)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--proto-max-bulk-len", "64mb", "--databases", "1", "--loglevel", "notice", "--logfile", ""])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("redis-server starts");
        let mut server = Server { process, folder, port };
        let lines = server.follow_log();
        loop {
            match lines.recv_timeout(DEADLINE) {
                Ok(line) if line.contains("Ready to accept connections") => return Some(server),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The lines of the server's log. Its thread ends with the server.
    #[expect(clippy::disallowed_types, reason = "a pipe has no deadline of its own, so a thread reads it")]
    fn follow_log(&mut self) -> Receiver<String> {
        let (sender, receiver) = sync_channel(1_000);
        let log = self.process.stdout.take().expect("its output is piped");
        let follow = move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                // Once the server is ready nobody listens; the pipe is still emptied.
                let _ = sender.try_send(line);
            }
        };
        std::thread::Builder::new().name("redis-log".to_owned()).spawn(follow).expect("a thread starts");
        receiver
    }

    /// A connection.
    #[expect(clippy::disallowed_types, reason = "the judge is asked over a socket")]
    pub fn connect(&self) -> Connection {
        let stream = std::net::TcpStream::connect(("127.0.0.1", self.port)).expect("redis-server listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline is settable");
        stream.set_nodelay(true).expect("an option is settable");
        Connection { stream, input: BytesMut::new() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A connection that asks and waits for the reply.
#[expect(clippy::disallowed_types, reason = "the judge is asked over a socket")]
pub struct Connection {
    stream: std::net::TcpStream,
    input: BytesMut,
}

impl Connection {
    /// The bytes of the reply to a request.
    pub fn ask(&mut self, request: &[Bytes]) -> Bytes {
        let mut out = format!("*{}\r\n", request.len()).into_bytes();
        for argument in request {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
        self.send(&out);
        self.reply()
    }

    /// Sends bytes that may be no request at all.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("redis-server reads");
    }

    /// The bytes of the next reply.
    pub fn reply(&mut self) -> Bytes {
        loop {
            if let Some((_, rest)) = Value::parse(&self.input) {
                let length = self.input.len() - rest.len();
                return self.input.split_to(length).freeze();
            }
            let mut chunk = [0; 65_536];
            let read = self.stream.read(&mut chunk).expect("redis-server answers within the deadline");
            assert!(read > 0, "redis-server closed the connection without a reply");
            self.input.extend_from_slice(&chunk[..read]);
        }
    }
}

/// A reply as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A line: status, error, integer, double, null, with its mark.
    Line(Vec<u8>),
    /// A string of bytes with its mark.
    Bulk(u8, Vec<u8>),
    /// A sequence with its mark; the pairs of a map follow each other.
    Items(u8, Vec<Value>),
}

impl Value {
    /// Reads one reply and returns what follows it; `None` where it is not whole.
    pub fn parse(input: &[u8]) -> Option<(Value, &[u8])> {
        let end = input.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, mut rest) = (&input[..end], &input[end + 2..]);
        let mark = *line.first()?;
        let count = std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse::<i64>().ok());
        match (mark, count) {
            (b'$' | b'=', Some(length @ 0..)) => {
                let bytes = rest.get(..length as usize)?.to_vec();
                Some((Value::Bulk(mark, bytes), rest.get(length as usize + 2..)?))
            }
            (b'*' | b'~' | b'%', Some(count @ 0..)) => {
                let count = if mark == b'%' { count * 2 } else { count };
                let mut items = Vec::new();
                for _ in 0..count {
                    let (item, after) = Value::parse(rest)?;
                    items.push(item);
                    rest = after;
                }
                Some((Value::Items(mark, items), rest))
            }
            _ => Some((Value::Line(line.to_vec()), rest)),
        }
    }

    /// The whole of some bytes.
    pub fn of(bytes: &[u8]) -> Value {
        Value::parse(bytes).expect("a whole reply").0
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Line(line) if line.first() == Some(&b':') => std::str::from_utf8(&line[1..]).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn items(&self) -> Option<&[Value]> {
        if let Value::Items(_, items) = self { Some(items) } else { None }
    }

    /// The text of a string.
    pub fn text(&self) -> &[u8] {
        match self {
            Value::Line(text) | Value::Bulk(_, text) => text,
            Value::Items(..) => b"",
        }
    }
}
