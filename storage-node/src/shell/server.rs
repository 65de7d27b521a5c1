//! The two client ports.

use super::{connection::Connection, node::NodeView, router::Router};
use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use strata_kv::session::{Port, Session};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// What a client hears when there are too many; Redis's words.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// How long a port rests after a client could not be accepted.
const REST: Duration = Duration::from_millis(100);

/// How many clients a process that may open so many files has room for: those that are `wanted`, and at most one for every second file. A process
/// that cannot open a file for its log must end, and no client may bring that about.
pub fn seats(wanted: u64, files: Option<u64>) -> u64 {
    let seats = files.map_or(wanted, |files| wanted.min(files / 2)).max(1);
    if seats < wanted {
        tracing::warn!(
            seats,
            wanted,
            ?files,
            "fewer clients than limits.connections are let in: raise the limit on open files to twice that"
        );
    }
    seats
}

/// Accepts clients of one port for as long as the process lives.
pub async fn serve(listener: TcpListener, port: Port, router: Router, node: Arc<NodeView>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: whatever has them, it does not get rid of them sooner where this port asks on and on.
                tracing::warn!(%error, "a client was not accepted");
                let _ = timeout(REST, pending::<()>()).await;
                continue;
            }
        };
        let counters = node.counters.clone();
        if counters.connected.fetch_add(1, Relaxed) >= node.connections_max {
            counters.connected.fetch_sub(1, Relaxed);
            counters.refused.fetch_add(1, Relaxed);
            refuse(stream);
            continue;
        }
        let id = counters.accepted.fetch_add(1, Relaxed) + 1;
        // Replies are whole when they are written; waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let mut session = Session::new(id, port, &*node);
        session.address = address.to_string();
        session.local_address = stream.local_addr().map(|address| address.to_string()).unwrap_or_default();
        let connection = Connection { stream, session, router: router.clone(), node: node.clone() };
        connections.spawn(async move {
            if let Err(error) = connection.run().await {
                tracing::debug!(%address, %error, "a client connection ended");
            }
            counters.connected.fetch_sub(1, Relaxed);
        });
    }
}

fn refuse(stream: TcpStream) {
    // What fits the socket's buffer is sent without waiting; a client that cannot take it sees the close.
    let mut stream = stream;
    let _ = futures_util::FutureExt::now_or_never(stream.write_all(TOO_MANY));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_half_of_the_files_to_the_node() {
        assert_eq!(seats(10_000, Some(1_024)), 512);
        assert_eq!(seats(10_000, Some(1 << 20)), 10_000);
        assert_eq!(seats(10_000, None), 10_000, "no limit on files is none on clients");
        assert_eq!(seats(10, Some(1)), 1, "somebody must be able to look");
    }
}
