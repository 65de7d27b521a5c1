//! A bare connection to a port: for clients that no library would be, and with a deadline on every step.

use crate::failure::Failure;
use std::{io, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long a node may take for each step: to accept, to read on, to answer, to hang up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most that is listened to until a hang-up, in bytes.
const HEARD_BYTES_MAX: u64 = 256 << 20;

/// A connection to a port of this machine.
pub struct Socket {
    stream: TcpStream,
    port: u16,
}

impl Socket {
    /// Connects, and says nothing.
    pub async fn connect(port: u16) -> Result<Socket, Failure> {
        let connected = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await;
        let connected = connected.map_err(|_| Failure::broken(format!("port {port} accepts nobody")))?;
        let stream = connected.map_err(Failure::of(format!("connect to port {port}")))?;
        stream.set_nodelay(true).map_err(Failure::of("send without delay"))?;
        Ok(Socket { stream, port })
    }

    /// Says something, all of which the node takes.
    pub async fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let said = self.in_time("reads on", self.port, async |stream| stream.write_all(bytes).await).await?;
        said.map_err(|error| Failure::broken(format!("port {} hung up in the middle of a sentence: {error}", self.port)))
    }

    /// Says something, or as much of it as the node takes before it hangs up, which is its right.
    pub async fn try_say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.in_time("reads on, nor hangs up", self.port, async |stream| stream.write_all(bytes).await).await.map(drop)
    }

    /// Closes its own half: this was the last word, and answers may still come.
    pub async fn close_half(&mut self) -> Result<(), Failure> {
        // A connection that the node has closed already has no half to close.
        self.in_time("closes", self.port, async |stream| stream.shutdown().await).await.map(drop)
    }

    /// Listens until this reply has come, and fails at any other.
    pub async fn hear(&mut self, reply: &[u8]) -> Result<(), Failure> {
        let mut heard = vec![0; reply.len()];
        let mut length = 0;
        let port = self.port;
        let listening = self.in_time("answers", port, async |stream| {
            while length < heard.len() && heard[..length] == reply[..length] {
                match stream.read(&mut heard[length..]).await? {
                    0 => return Err(io::Error::other("it hung up")),
                    more => length += more,
                }
            }
            Ok(())
        });
        let listened = listening.await?;
        let is_it = listened.is_ok() && heard == reply;
        Failure::unless(is_it, || {
            format!("port {port} should answer {}, and it said {} ({listened:?})", shown(reply), shown(&heard[..length]))
        })
    }

    /// Listens until a line ends, and returns it without its end.
    pub async fn hear_line(&mut self) -> Result<String, Failure> {
        let port = self.port;
        let mut line = Vec::new();
        let listened = self
            .in_time("ends its line", port, async |stream| {
                while !line.ends_with(b"\r\n") {
                    line.push(stream.read_u8().await?);
                }
                Ok(())
            })
            .await?;
        listened.map_err(|error| Failure::broken(format!("port {port} said {} and no more: {error}", shown(&line))))?;
        Ok(String::from_utf8_lossy(line.trim_ascii_end()).into_owned())
    }

    /// Listens to one bulk string.
    pub async fn hear_bulk(&mut self) -> Result<Vec<u8>, Failure> {
        let (port, head) = (self.port, self.hear_line().await?);
        let length = head.strip_prefix('$').and_then(|length| length.parse::<usize>().ok());
        let length = length.ok_or_else(|| Failure::broken(format!("port {port} should answer a bulk string, and it said {head:?}")))?;
        let mut bulk = vec![0; length + 2];
        let listened = self.in_time("ends its reply", port, async |stream| stream.read_exact(&mut bulk).await).await?;
        listened.map_err(|error| Failure::broken(format!("port {port} did not end its reply: {error}")))?;
        bulk.truncate(length);
        Ok(bulk)
    }

    /// Listens until the node hangs up, and returns what it said.
    pub async fn hear_out(&mut self) -> Result<Vec<u8>, Failure> {
        let mut heard = Vec::new();
        // A reset is a hang-up too, and loses nothing of what was read before it.
        drop(self.in_time("hangs up", self.port, async |stream| stream.take(HEARD_BYTES_MAX).read_to_end(&mut heard).await).await?);
        Ok(heard)
    }

    async fn in_time<T>(
        &mut self,
        what: &str,
        port: u16,
        step: impl AsyncFnOnce(&mut TcpStream) -> io::Result<T>,
    ) -> Result<io::Result<T>, Failure> {
        let late = || Failure::broken(format!("waited {} s until port {port} {what}", PATIENCE.as_secs()));
        timeout(PATIENCE, step(&mut self.stream)).await.map_err(|_| late())
    }
}

/// Says something, closes its own half, and listens until the node hangs up.
pub async fn converse(port: u16, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut socket = Socket::connect(port).await?;
    socket.try_say(bytes).await?;
    socket.close_half().await?;
    socket.hear_out().await
}

/// As [`converse`], but goes on listening as an HTTP client does: a server may take a half-closed connection for a client that left.
pub async fn ask(port: u16, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut socket = Socket::connect(port).await?;
    socket.try_say(bytes).await?;
    socket.hear_out().await
}

/// The beginning of what was said, for a sentence.
pub fn shown(bytes: &[u8]) -> String {
    const SHOWN_BYTES: usize = 100;
    format!("{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES)]))
}
