//! The way to other nodes: one link for each, with a connection for messages, one for forwarded commands and one for snapshots.

use super::{
    deadline,
    driver::{HostHandle, Input, Token},
    forward::{self, ForwardJob},
    proto::{Envelope, peer_client::PeerClient},
    tls::Certificates,
    wire,
};
use crate::{
    host::{Event, NotDone, Outcome, PeerMessage},
    limits,
    routes::RouteTable,
};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use strata_base::StoreId;
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet, time::timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

/// How long a link waits after its connection was lost, before it tries again.
const RETRY: Duration = Duration::from_millis(50);

/// How long a connection may take to be made.
pub(super) const CONNECT: Duration = Duration::from_secs(2);

/// The other nodes.
#[derive(Clone)]
pub struct Peers {
    inner: Arc<Inner>,
}

struct Inner {
    own: StoreId,
    certificates: Certificates,
    runtime: Handle,
    links: Mutex<BTreeMap<StoreId, Link>>,
    tasks: Mutex<JoinSet<()>>,
    host: OnceLock<HostHandle>,
}

struct Link {
    address: String,
    messages: mpsc::Sender<Vec<PeerMessage>>,
    jobs: mpsc::Sender<ForwardJob>,
    snapshots: PeerClient<Channel>,
}

impl Peers {
    /// No other node is known yet.
    pub fn new(own: StoreId, certificates: Certificates, runtime: Handle) -> Peers {
        let (links, tasks, host) = (Mutex::default(), Mutex::default(), OnceLock::new());
        Peers { inner: Arc::new(Inner { own, certificates, runtime, links, tasks, host }) }
    }

    /// Where news of lost connections go.
    pub fn set_host(&self, host: HostHandle) {
        // It is set once, by the process's start.
        let _ = self.inner.host.set(host);
    }

    /// Follows the directory: links are made for new nodes and new addresses, and ended for those that are gone.
    pub fn set_nodes(&self, routes: &RouteTable) {
        let mut links = self.links();
        links.retain(|store, link| routes.node(*store).is_some_and(|node| node.peer == link.address));
        for node in routes.nodes().filter(|node| node.store != self.inner.own) {
            if !links.contains_key(&node.store)
                && let Some(link) = self.make_link(node.store, &node.peer)
            {
                links.insert(node.store, link);
            }
        }
    }

    /// Sends messages, or loses them.
    pub fn send(&self, to: StoreId, messages: Vec<PeerMessage>) {
        if let Some(link) = self.links().get(&to) {
            // A full queue loses messages, as a network does.
            let _ = link.messages.try_send(messages);
        }
    }

    /// Sends a command to the node that leads its shard. The outcome comes by the job's token.
    pub fn forward(&self, to: StoreId, job: ForwardJob) {
        let refused = match self.links().get(&to) {
            Some(link) => link.jobs.try_send(job).err().map(|error| error.into_inner()),
            None => Some(job),
        };
        if let Some(job) = refused {
            let _ = job.token.send(Outcome::NotDone(NotDone::NotLeader(None)));
        }
    }

    /// The connection for snapshots.
    pub(super) fn snapshots(&self, to: StoreId) -> Option<PeerClient<Channel>> {
        self.links().get(&to).map(|link| link.snapshots.clone())
    }

    /// Runs a task for as long as the process lives.
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.inner.runtime);
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<StoreId, Link>> {
        self.inner.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_link(&self, store: StoreId, address: &str) -> Option<Link> {
        let client =
            || self.connect(address).map_err(|error| tracing::error!(%store, address, %error, "a node's address is unusable")).ok();
        let (messages, outgoing) = mpsc::channel(1_024);
        let (jobs, incoming) = mpsc::channel::<ForwardJob>(limits::EVENTS_MAX);
        self.run(deliver(self.clone(), store, client()?, outgoing));
        self.run(forward::run(store, client()?, incoming));
        Some(Link { address: address.to_owned(), messages, jobs, snapshots: client()? })
    }

    fn connect(&self, address: &str) -> Result<PeerClient<Channel>, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(self.inner.certificates.tonic_client())?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .initial_stream_window_size(8 << 20)
            .initial_connection_window_size(16 << 20);
        let _in_runtime = self.inner.runtime.enter();
        Ok(PeerClient::new(endpoint.connect_lazy()).max_decoding_message_size(limits::PEER_MESSAGE_BYTES_MAX))
    }
}

/// Delivers messages over one stream, and begins another when it ends.
async fn deliver(peers: Peers, to: StoreId, mut client: PeerClient<Channel>, mut outgoing: mpsc::Receiver<Vec<PeerMessage>>) {
    loop {
        let (stream, envelopes) = mpsc::channel(1_024);
        let call = client.deliver(ReceiverStream::new(envelopes));
        tokio::pin!(call);
        loop {
            tokio::select! {
                biased;
                ended = &mut call => {
                    if let Err(status) = ended {
                        tracing::debug!(%to, %status, "the stream of messages ended");
                    }
                    break;
                }
                messages = outgoing.recv() => {
                    let Some(mut messages) = messages else { return };
                    while let Ok(more) = outgoing.try_recv() {
                        messages.extend(more);
                    }
                    let messages = messages.into_iter().map(wire::to_wire).collect();
                    // A full stream loses messages, as a network does.
                    let _ = stream.try_send(Envelope { from: peers.inner.own.0, to: to.0, messages });
                }
            }
        }
        if let Some(host) = peers.inner.host.get() {
            // A host that is busy learns it from the silence.
            let _ = host.offer(Input::Event(Event::Unreachable(to)));
        }
        let retry_at = deadline::after(RETRY);
        while let Ok(message) = timeout_at(retry_at, outgoing.recv()).await {
            if message.is_none() {
                return;
            }
        }
    }
}

/// Commands for the host of this node, in their order; where its queue is full, they had no effect.
pub fn offer_commands(host: &HostHandle, commands: Vec<crate::host::Command<Token>>) {
    if let Err(Input::Event(Event::Commands(commands))) = host.offer(Input::Event(Event::Commands(commands))) {
        for command in commands {
            let _ = command.token.send(Outcome::NotDone(NotDone::Busy));
        }
    }
}
