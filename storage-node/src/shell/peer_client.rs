//! The way to other nodes: one link for each, with a connection for messages, one for forwarded commands and one for snapshots.

use super::{
    deadline,
    driver::{HostHandle, Input},
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
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use strata_base::StoreId;
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet, time::timeout_at};
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

/// Messages on their way to one node. They outlive the streams that carry them.
type Outgoing = Arc<Mutex<mpsc::Receiver<Vec<PeerMessage>>>>;

fn poll_messages(outgoing: &Outgoing, context: &mut Context<'_>) -> Poll<Option<Vec<PeerMessage>>> {
    let mut outgoing = outgoing.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut messages) = ready!(outgoing.poll_recv(context)) else { return Poll::Ready(None) };
    while let Ok(more) = outgoing.try_recv() {
        messages.extend(more);
    }
    Poll::Ready(Some(messages))
}

/// Delivers messages over one stream, and begins another when it ends. The connection itself takes them from the queue, whatever has gathered at
/// once: no task between costs another switch.
async fn deliver(peers: Peers, to: StoreId, mut client: PeerClient<Channel>, outgoing: mpsc::Receiver<Vec<PeerMessage>>) {
    let outgoing: Outgoing = Arc::new(Mutex::new(outgoing));
    loop {
        let (from, queue) = (peers.inner.own.0, outgoing.clone());
        let envelopes = futures_util::stream::poll_fn(move |context| {
            let messages = ready!(poll_messages(&queue, context));
            Poll::Ready(messages.map(|messages| Envelope { from, to: to.0, messages: messages.into_iter().map(wire::to_wire).collect() }))
        });
        match client.deliver(envelopes).await {
            // The queue has ended, and with it the link.
            Ok(_) if outgoing.lock().unwrap_or_else(PoisonError::into_inner).is_closed() => return,
            Ok(_) => {}
            Err(status) => tracing::debug!(%to, %status, "the stream of messages ended"),
        }
        if let Some(host) = peers.inner.host.get() {
            // A host that is busy learns it from the silence.
            let _ = host.offer(Input::Event(Event::Unreachable(to)));
        }
        let retry_at = deadline::after(RETRY);
        while let Ok(messages) = timeout_at(retry_at, poll_fn(|context| poll_messages(&outgoing, context))).await {
            if messages.is_none() {
                return;
            }
        }
    }
}
