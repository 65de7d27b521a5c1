//! The two client ports.

use super::{connection::Connection, node::NodeView, router::Router};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use strata_kv::session::{Port, Session};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What a client hears when there are too many; Redis's words.
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// Accepts clients of one port for as long as the process lives.
pub async fn serve(listener: TcpListener, port: Port, router: Router, node: Arc<NodeView>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: connections that end make room.
                tracing::warn!(%error, "a client was not accepted");
                connections.join_next().await;
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
