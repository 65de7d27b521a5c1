//! A Redis client as users have one, with its retries off, and with an honest account of what it does not know.

use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::{sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// How long a connection may take to be made.
const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// How long a reply may take: longer than a node holds a command while it looks for a leader, which is 5 s.
const REPLY_DEADLINE: Duration = Duration::from_secs(7);

/// Which port a client uses, and so what it understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// A plain client, on the port that forwards.
    Plain,
    /// A client that speaks Redis Cluster, on the port that redirects.
    Cluster,
}

/// Where the nodes of a cluster are, for clients.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// For plain clients, as `host:port`.
    pub plain: Vec<String>,
    /// For Redis Cluster clients, as `host:port`.
    pub cluster: Vec<String>,
}

/// What a client knows after a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The reply.
    Replied(Value),
    /// The command had no effect, certainly; why.
    Failed(String),
    /// Nobody can tell whether the command has, or will have, an effect; why.
    Unknown(String),
}

enum Connection {
    Plain(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// One client, with at most one command under way. It reconnects to another node whenever it has lost its connection.
pub struct RedisClient {
    door: Door,
    endpoints: Arc<Endpoints>,
    next_node: usize,
    connection: Option<Connection>,
}

impl RedisClient {
    /// A client that goes through `door`, to node number `first_node` at first.
    pub fn new(door: Door, endpoints: Arc<Endpoints>, first_node: usize) -> RedisClient {
        RedisClient { door, endpoints, next_node: first_node, connection: None }
    }

    /// Sends one command, once, and waits for what becomes of it.
    pub async fn call(&mut self, command: &Cmd) -> Outcome {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => match connect(self.door, &self.endpoints, self.next_node).await {
                Ok(connection) => none.insert(connection),
                Err(error) => {
                    self.next_node += 1;
                    return Outcome::Failed(format!("nothing was sent: {error}"));
                }
            },
        };
        let exchange = async {
            match connection {
                Connection::Plain(connection) => connection.req_packed_command(command).await,
                Connection::Cluster(connection) => connection.req_packed_command(command).await,
            }
        };
        let outcome = match tokio::time::timeout(REPLY_DEADLINE, exchange).await {
            Ok(result) => judge(result),
            Err(_) => (Outcome::Unknown(format!("no reply within {} s", REPLY_DEADLINE.as_secs())), Fate::Lost),
        };
        if outcome.1 == Fate::Lost {
            self.connection = None;
            self.next_node += 1;
        }
        outcome.0
    }

    /// Sends a command, and expects a reply.
    pub async fn ask(&mut self, command: &Cmd) -> Result<Value, String> {
        match self.call(command).await {
            Outcome::Replied(value) => Ok(value),
            Outcome::Failed(reason) | Outcome::Unknown(reason) => Err(reason),
        }
    }
}

/// A Redis Cluster client with many commands under way, for whoever moves much data. It finds lost connections again by itself, and where it does not,
/// as the library's client may when slots and connections change at once, everybody goes on with a new one.
#[derive(Clone)]
pub struct SharedClient {
    endpoints: Arc<Endpoints>,
    current: Arc<Mutex<Shared>>,
}

/// The connection that all use now.
struct Shared {
    generation: u64,
    connection: ClusterConnection,
}

impl SharedClient {
    /// Connects through the cluster's door.
    pub async fn connect(endpoints: &Endpoints) -> RedisResult<SharedClient> {
        let shared = Shared { generation: 0, connection: connect_shared(endpoints).await? };
        Ok(SharedClient { endpoints: Arc::new(endpoints.clone()), current: Arc::new(Mutex::new(shared)) })
    }

    /// Sends one command, once, and waits for what becomes of it.
    pub async fn call(&self, command: &Cmd) -> Outcome {
        let (generation, mut connection) = {
            let current = self.current.lock().await;
            (current.generation, current.connection.clone())
        };
        match tokio::time::timeout(REPLY_DEADLINE, connection.req_packed_command(command)).await {
            Ok(result) => judge(result).0,
            Err(_) => {
                self.renew(generation).await;
                Outcome::Unknown(format!("no reply within {} s", REPLY_DEADLINE.as_secs()))
            }
        }
    }

    /// Replaces a connection that lost a request, and may answer none any more. The first who asks does it for all.
    async fn renew(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation
            && let Ok(connection) = connect_shared(&self.endpoints).await
        {
            *current = Shared { generation: generation + 1, connection };
        }
    }
}

async fn connect_shared(endpoints: &Endpoints) -> RedisResult<ClusterConnection> {
    let client = cluster_client(endpoints.cluster.iter().map(|address| format!("redis://{address}/")))?;
    within(CONNECT_DEADLINE * 4, client.get_async_connection()).await
}

fn cluster_client(nodes: impl Iterator<Item = String>) -> RedisResult<redis::cluster::ClusterClient> {
    ClusterClientBuilder::new(nodes).retries(0).connection_timeout(CONNECT_DEADLINE).response_timeout(REPLY_DEADLINE).build()
}

/// What became of the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Alive,
    Lost,
}

async fn connect(door: Door, endpoints: &Endpoints, first: usize) -> RedisResult<Connection> {
    match door {
        Door::Plain => {
            let address = &endpoints.plain[first % endpoints.plain.len()];
            let config =
                AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT_DEADLINE)).set_response_timeout(Some(REPLY_DEADLINE));
            let client = Client::open(format!("redis://{address}/"))?;
            // Connecting sends commands of its own: a frozen node accepts and answers nothing.
            let connecting = client.get_multiplexed_async_connection_with_config(&config);
            within(CONNECT_DEADLINE, connecting).await.map(Connection::Plain)
        }
        Door::Cluster => {
            let count = endpoints.cluster.len();
            let seeds = (0..count).map(|nth| format!("redis://{}/", endpoints.cluster[(first + nth) % count]));
            let client = cluster_client(seeds)?;
            within(CONNECT_DEADLINE * 4, client.get_async_connection()).await.map(Connection::Cluster)
        }
    }
}

async fn within<T>(deadline: Duration, connecting: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = || RedisError::from((ErrorKind::Io, "connecting took too long"));
    tokio::time::timeout(deadline, connecting).await.unwrap_or_else(|_| Err(late()))
}

/// What a result says of the command and of the connection. An error reply other than UNKNOWN is a promise that nothing happened.
fn judge(result: RedisResult<Value>) -> (Outcome, Fate) {
    let error = match result.and_then(Value::extract_error) {
        Ok(value) => return (Outcome::Replied(value), Fate::Alive),
        Err(error) => error,
    };
    let text = error.to_string();
    match error.kind() {
        ErrorKind::Extension if error.code() == Some("UNKNOWN") => (Outcome::Unknown(text), Fate::Alive),
        ErrorKind::Server(_) | ErrorKind::Extension => (Outcome::Failed(text), Fate::Alive),
        // The cluster client found no connection to send on.
        ErrorKind::ClusterConnectionNotFound | ErrorKind::InvalidClientConfig => (Outcome::Failed(text), Fate::Lost),
        ErrorKind::Io if error.is_connection_refusal() => (Outcome::Failed(text), Fate::Lost),
        _ => (Outcome::Unknown(text), Fate::Lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(reply: &str) -> Outcome {
        judge(redis::parse_redis_value(reply.as_bytes())).0
    }

    #[test]
    fn only_an_unknown_outcome_and_a_lost_connection_leave_doubt() {
        assert_eq!(judged("+OK\r\n"), Outcome::Replied(Value::Okay));
        for refusal in ["-TRYAGAIN no leader\r\n", "-MOVED 1 127.0.0.1:1\r\n", "-CLUSTERDOWN x\r\n", "-ERR x\r\n", "-OOM x\r\n"] {
            assert!(matches!(judged(refusal), Outcome::Failed(_)), "{refusal}");
        }
        assert!(matches!(judged("-UNKNOWN the command may have been applied, deadline\r\n"), Outcome::Unknown(_)));
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(matches!(judge(Err(reset.into())).0, Outcome::Unknown(_)));
    }
}
