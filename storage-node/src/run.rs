//! From a configuration to a running node, and to its end.

use crate::{
    config::{Archive, Config, OnStoreDown},
    host::{HostSettings, Stores, TierSettings},
    limits,
    shell::{
        api::{self, TlsListener},
        clock::SystemClock,
        driver::{self, Fatal, HostHandle, Surroundings},
        files::clear_checkpoints,
        node::{ClientCounters, NodeView},
        objects::ObjectStores,
        peer_client::Peers,
        peer_server::PeerServer,
        proto::peer_server::PeerServer as PeerService,
        router::Router,
        server,
        snapshot::{INCOMING, OUTGOING},
        status::{self, Status},
        tls::Certificates,
    },
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{error::Error, io, path::Path, sync::Arc};
use strata_base::StoreId;
use strata_engine::{
    identity::Identity,
    log::RaftEngineLogStore,
    tablet::{RocksSettings, RocksTabletStore},
    tier::{Place, archive::WhenFull, layout::Layout, limits::PART_BYTES},
};
use strata_kv::session::Port;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
};
use tonic::transport::server::TcpIncoming;

type Failure = Box<dyn Error + Send + Sync>;

/// Runs a node until it is told to end, or must.
pub fn run(config: Config, config_file: &Path) -> Result<(), Failure> {
    start_logging();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(config, config_file));
    // Threads that wait for the disk are not waited for: everything acknowledged is durable.
    runtime.shutdown_background();
    outcome
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    // A span says when it ends how long it took. At the default level there are none: `RUST_LOG=strata_node=debug` follows every command.
    let spans = tracing_subscriber::fmt::format::FmtSpan::CLOSE;
    tracing_subscriber::fmt().json().with_env_filter(filter).with_span_events(spans).with_writer(io::stderr).init();
}

/// The sockets of a node.
struct Listeners {
    plain: TcpListener,
    cluster: TcpListener,
    peer: TcpListener,
    api: TcpListener,
    status: TcpListener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Listeners, Failure> {
        let listen = &config.listen;
        let bind = async |key: &str, address| {
            let bound = TcpListener::bind(address).await;
            bound.map_err(|error| Failure::from(format!("cannot listen on {address} (listen.{key}): {error}")))
        };
        let listeners = Listeners {
            plain: bind("plain", listen.plain).await?,
            cluster: bind("cluster", listen.cluster).await?,
            peer: bind("peer", listen.peer).await?,
            api: bind("api", listen.api).await?,
            status: bind("status", listen.status).await?,
        };
        tracing::info!(
            plain = %listeners.plain.local_addr()?,
            cluster = %listeners.cluster.local_addr()?,
            peer = %listeners.peer.local_addr()?,
            api = %listeners.api.local_addr()?,
            status = %listeners.status.local_addr()?,
            "listening"
        );
        Ok(listeners)
    }
}

async fn serve(config: Config, config_file: &Path) -> Result<(), Failure> {
    let certificates = Certificates::load(&config.tls)?;
    let (api_tls, peer_tls) = (certificates.rustls_server()?, certificates.tonic_server());
    let clock = SystemClock::start();
    let identity = open_identity(&config, clock)?;
    let password = read_password(&config)?;
    let listeners = Listeners::bind(&config).await?;
    let ports = (listeners.plain.local_addr()?.port(), listeners.cluster.local_addr()?.port());
    let peers = Peers::new(identity.store, certificates, tokio::runtime::Handle::current());
    let tablets = open_tablets(&config)?;
    let (host, fatal) = start_host(&config, identity, clock, &peers, tablets.clone())?;
    peers.set_host(host.clone());

    let mut tasks: JoinSet<Result<(), Failure>> = JoinSet::new();
    let open = move |path: &Path| tablets.open_received(path).map_err(|error| error.to_string());
    let peer_server = PeerServer { host: host.clone(), incoming: config.data_dir.join(INCOMING), open: Arc::new(open) };
    let service = PeerService::new(peer_server).max_decoding_message_size(crate::limits::PEER_MESSAGE_BYTES_MAX);
    let incoming = TcpIncoming::from(listeners.peer).with_nodelay(Some(true));
    let transport = tonic::transport::Server::builder()
        .tls_config(peer_tls)?
        .initial_stream_window_size(8 << 20)
        .initial_connection_window_size(16 << 20);
    tasks.spawn(async move { Ok(transport.clone().add_service(service).serve_with_incoming(incoming).await?) });

    let counters = Arc::new(ClientCounters::default());
    let api = axum::serve(TlsListener::new(listeners.api, api_tls)?, api::router(host.clone()));
    tasks.spawn(async move { Ok(api.await?) });
    let pages = status::router(Status { host: host.clone(), counters: counters.clone() });
    tasks.spawn(async move { Ok(axum::serve(listeners.status, pages).await?) });

    let node = Arc::new(NodeView {
        host: host.clone(),
        clock,
        counters,
        password,
        ports,
        connections_max: server::seats(config.limits.connections as u64, open_files_max()),
        client_write_millis: config.limits.client_write_millis,
        config_file: config_file.display().to_string(),
    });
    let router = Router::new(host, peers);
    for (listener, port) in [(listeners.plain, Port::Plain), (listeners.cluster, Port::Cluster)] {
        let (router, node) = (router.clone(), node.clone());
        tasks.spawn(async move {
            server::serve(listener, port, router, node).await;
            Ok(())
        });
    }
    until_the_end(tasks, fatal).await
}

/// How many files the process may open, after taking as many as an unprivileged process may; `None` for any number.
fn open_files_max() -> Option<u64> {
    let limits = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits });
    if raised.is_ok() { limits.maximum } else { limits.current }
}

/// Waits until the process is told to end, or must.
async fn until_the_end(mut tasks: JoinSet<Result<(), Failure>>, fatal: oneshot::Receiver<String>) -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        reason = fatal => return Err(reason.unwrap_or_else(|_| "the host ended".to_owned()).into()),
        Some(ended) = tasks.join_next() => return ended.map_err(Failure::from).flatten(),
    }
    tracing::info!("told to end");
    Ok(())
}

fn open_identity(config: &Config, clock: SystemClock) -> Result<Identity, Failure> {
    let data_dir = &config.data_dir;
    std::fs::create_dir_all(data_dir).map_err(|error| format!("cannot create data_dir {}: {error}", data_dir.display()))?;
    if let Some(identity) = Identity::load(data_dir)? {
        let refusal = identity.membership.as_ref().and_then(|membership| config.refuse_disk_of(&membership.cluster));
        return refusal.map_or(Ok(identity), |refusal| Err(refusal.into()));
    }
    let identity = Identity::new(StoreId(seed(clock).max(1)));
    identity.store(data_dir)?;
    tracing::info!(store = %identity.store, "this disk is used for the first time");
    Ok(identity)
}

fn read_password(config: &Config) -> Result<Option<Vec<u8>>, Failure> {
    let Some(path) = &config.auth.password_file else { return Ok(None) };
    let mut password = std::fs::read(path).map_err(|error| format!("cannot read auth.password_file {}: {error}", path.display()))?;
    while password.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        password.pop();
    }
    if password.is_empty() {
        return Err(format!("auth.password_file {} is empty: write a password into it, or leave the key out", path.display()).into());
    }
    Ok(Some(password))
}

fn open_tablets(config: &Config) -> Result<Arc<RocksTabletStore>, Failure> {
    for leftover in [INCOMING, OUTGOING] {
        // Transfers that a crash ended; a folder that cannot be removed now is in nobody's way.
        let _ = std::fs::remove_dir_all(config.data_dir.join(leftover));
    }
    let limits = &config.limits;
    let settings = RocksSettings {
        block_cache_bytes: limits.block_cache_bytes,
        write_buffer_bytes: limits.write_buffer_bytes,
        direct_io: limits.direct_io,
    };
    Ok(Arc::new(RocksTabletStore::new(&config.data_dir.join("tablets"), settings)?))
}

fn start_host(
    config: &Config,
    identity: Identity,
    clock: SystemClock,
    peers: &Peers,
    tablets: Arc<RocksTabletStore>,
) -> Result<(HostHandle, oneshot::Receiver<String>), Failure> {
    let log = Arc::new(RaftEngineLogStore::open(&config.data_dir.join("log"), config.limits.log_bytes)?);
    let (fatal, ended) = Fatal::channel();
    let settings = HostSettings {
        seed: seed(clock),
        tick_millis: config.raft.tick_millis,
        log_bytes: config.limits.log_bytes,
        disk_reserve_bytes: config.limits.disk_reserve_bytes,
        leases: config.raft.leases,
        pledge_millis: limits::PLEDGE_MILLIS,
        zone: config.zone.clone(),
        tier: config.archive.as_ref().map(|archive| tier_settings(config, archive)),
    };
    clear_checkpoints(&config.data_dir);
    let objects = config.archive.as_ref().map(|archive| ObjectStores::new(archive, tokio::runtime::Handle::current()));
    let around = Surroundings { clock, peers: peers.clone(), data_dir: config.data_dir.clone(), objects, fatal };
    let (host, _threads) = driver::start(settings, Stores { log, tablets, identity }, around)?;
    Ok((host, ended))
}

fn tier_settings(config: &Config, archive: &Archive) -> TierSettings {
    TierSettings {
        place: Place { store: archive.endpoint.clone(), bucket: archive.bucket.clone() },
        layout: Layout::new(archive.path.clone()).expect("the configuration was checked"),
        flush_interval_ms: archive.flush_interval_millis,
        local_log_bound_bytes: archive.local_log_bound_bytes,
        when_full: match archive.on_store_down {
            OnStoreDown::KeepThenRefuseWrites => WhenFull::RefuseWrites,
            OnStoreDown::KeepThenDrop => WhenFull::DropAndRecordGap,
        },
        checkpoint_interval_ms: Some(config.checkpoint.interval_seconds * 1_000).filter(|interval| *interval > 0),
        part_bytes: PART_BYTES,
    }
}

/// A number that no other process has: from the system's random source, or from the time where there is none.
pub(crate) fn seed(clock: SystemClock) -> u64 {
    let mut bytes = [0; 8];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut source| io::Read::read_exact(&mut source, &mut bytes));
    match read {
        Ok(()) => u64::from_ne_bytes(bytes),
        Err(_) => clock.now().wall_ms << 20 ^ clock.micros() ^ u64::from(std::process::id()),
    }
}
