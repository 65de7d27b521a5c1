//! `strata-operator`: reads its settings, waits for its turn, and looks after the KVClusters of one namespace.

use clap::Parser;
use futures_util::{StreamExt, TryFuture};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{apps::v1::StatefulSet, coordination::v1::Lease, core::v1::Pod},
};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    runtime::{Controller, controller, reflector::ObjectRef, watcher},
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, net::Ipv4Addr, process::ExitCode, sync::Arc, sync::Mutex};
use strata_crds::{KVBackup, KVCluster, KVObjectStore, KVRestore};
use strata_operator::{
    Context, back_off, backup,
    bucket::Inquiries,
    error::Error,
    lease,
    limits::{LEASE_BEAT, RECONCILES_MAX},
    metrics::Metrics,
    names::LABEL_CLUSTER,
    object_store,
    probes::{self, Readiness},
    reconcile,
    resources::Defaults,
    restore,
    settings::Settings,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

const _: () = assert!(
    !strata_base::planted::CAN_PLANT,
    "an operator that rules cannot make mistakes on purpose: build it without the feature `planted`"
);

fn main() -> ExitCode {
    let settings = Settings::parse();
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log).unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().json().with_env_filter(filter).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run(settings)),
        Err(error) => Err(format!("cannot start the runtime: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            tracing::error!(reason, "ends");
            ExitCode::FAILURE
        }
    }
}

/// Runs until asked to end, or until it must: the error says why.
async fn run(settings: Settings) -> Result<(), String> {
    let readiness = Arc::new(watch::Sender::new(Some("starting".to_owned())));
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, settings.status_port)).await;
    let listener = listener.map_err(|error| format!("cannot listen on the status port {}: {error}", settings.status_port))?;
    let mut tasks = JoinSet::new();
    let metrics = Arc::new(Metrics::default());
    let served = (readiness.clone(), metrics.clone());
    tasks.spawn(async move { probes::serve(listener, served.0, served.1).await.map_err(|error| format!("the status port: {error}")) });
    tasks.spawn(async move { look_after(settings, readiness, metrics).await });
    tasks.spawn(asked_to_end());
    tasks.join_next().await.map_or(Ok(()), |ended| ended.map_err(|error| error.to_string())?)
}

async fn asked_to_end() -> Result<(), String> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|error| error.to_string())?;
    terminate.recv().await;
    Ok(())
}

async fn look_after(settings: Settings, readiness: Arc<watch::Sender<Readiness>>, metrics: Arc<Metrics>) -> Result<(), String> {
    let client = Client::try_default().await.map_err(|error| format!("cannot reach Kubernetes: {error}"))?;
    wait_for_kinds(&client, &settings, &readiness).await;
    // Ready before it leads: another operator may lead for months.
    readiness.send_replace(None);
    let leases: Api<Lease> = Api::namespaced(client.clone(), &settings.namespace);
    let held = lease::acquire(leases, &settings.lease, &settings.identity).await.map_err(|error| error.to_string())?;
    let context = Arc::new(Context {
        identity: format!("{}/{}", settings.identity, held.transitions()),
        lease_transitions: held.transitions(),
        defaults: Defaults { node_image: settings.node_image.clone() },
        namespace_uid: tokio::sync::OnceCell::new(),
        metrics,
        inquiries: Inquiries::default(),
        failures: Mutex::new(BTreeMap::new()),
        client: client.clone(),
        settings: settings.clone(),
    });
    tokio::select! {
        biased;
        lost = held.keep() => Err(lost),
        () = control_all(client, settings, context) => Err("the controllers ended".to_owned()),
    }
}

/// Waits until Kubernetes knows every kind, naming those that it does not.
async fn wait_for_kinds(client: &Client, settings: &Settings, readiness: &watch::Sender<Readiness>) {
    let mut beat = tokio::time::interval(LEASE_BEAT);
    loop {
        beat.tick().await;
        let namespace = &settings.namespace;
        let mut problems = Vec::new();
        problems.extend(problem(Api::<KVCluster>::namespaced(client.clone(), namespace), "KVCluster").await);
        problems.extend(problem(Api::<KVObjectStore>::namespaced(client.clone(), namespace), "KVObjectStore").await);
        problems.extend(problem(Api::<KVBackup>::namespaced(client.clone(), namespace), "KVBackup").await);
        problems.extend(problem(Api::<KVRestore>::namespaced(client.clone(), namespace), "KVRestore").await);
        if problems.is_empty() {
            return;
        }
        let reason = problems.join("; ");
        tracing::warn!(reason, "waits");
        readiness.send_replace(Some(reason));
    }
}

async fn problem<K>(api: Api<K>, kind: &str) -> Option<String>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.list(&ListParams::default().limit(1)).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) if status.code == 404 => Some(format!("the kind {kind} is missing: install the chart strata-crds")),
        Err(error) => Some(format!("{kind} cannot be listed: {error}")),
    }
}

/// One controller for each kind. Jobs and stores come to themselves again by time; clusters are told of their pods too.
async fn control_all(client: Client, settings: Settings, context: Arc<Context>) {
    tokio::join!(
        control_one(&client, &settings, object_store::reconcile, context.clone()),
        control_one(&client, &settings, backup::reconcile, context.clone()),
        control_one(&client, &settings, restore::reconcile, context.clone()),
        control(client.clone(), settings.clone(), context.clone()),
    );
}

async fn control_one<K, Pass, Ended>(client: &Client, settings: &Settings, pass: Pass, context: Arc<Context>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    Pass: FnMut(Arc<K>, Arc<Context>) -> Ended,
    Ended: TryFuture<Ok = controller::Action, Error = Error> + Send + 'static,
{
    let objects: Api<K> = Api::namespaced(client.clone(), &settings.namespace);
    Controller::new(objects, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(RECONCILES_MAX))
        .run(pass, back_off, context)
        .for_each(|_| std::future::ready(()))
        .await;
}

async fn control(client: Client, settings: Settings, context: Arc<Context>) {
    let clusters: Api<KVCluster> = Api::namespaced(client.clone(), &settings.namespace);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), &settings.namespace);
    let pods: Api<Pod> = Api::namespaced(client, &settings.namespace);
    let namespace = settings.namespace;
    let owner = move |pod: Pod| {
        let name = pod.metadata.labels.as_ref().and_then(|labels| labels.get(LABEL_CLUSTER)).cloned();
        name.map(|name| ObjectRef::<KVCluster>::new(&name).within(&namespace))
    };
    Controller::new(clusters, watcher::Config::default())
        .with_config(controller::Config::default().concurrency(RECONCILES_MAX))
        .owns(sets, watcher::Config::default())
        .watches(pods, watcher::Config::default().labels(LABEL_CLUSTER), owner)
        .run(reconcile, back_off, context)
        .for_each(|_| std::future::ready(()))
        .await;
}
