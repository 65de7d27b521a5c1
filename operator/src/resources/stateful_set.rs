//! One StatefulSet per zone. Pods start in parallel, and only the operator restarts them.

use super::{
    Defaults,
    config_map::{CERTIFICATES, CONFIGURATION, DATA, FILE, OBJECT_STORE, PASSWORD},
    configuration, metadata,
};
use crate::names::{
    ANNOTATION_CONFIGURATION, LABEL_ZONE, Names, PORT_API, PORT_CLUSTER, PORT_PEER, PORT_PLAIN, PORT_STATUS, TOPOLOGY_ZONE, fingerprint,
    zones,
};
use crate::object_store::{ACCESS_KEY, SECRET_KEY};
use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy},
        core::v1::{
            Affinity, Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EnvVar, HTTPGetAction, KeyToPath,
            LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PersistentVolumeClaim,
            PersistentVolumeClaimSpec, PodSecurityContext, PodSpec, PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile,
            SecretVolumeSource, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeResourceRequirements,
        },
    },
    apimachinery::pkg::{
        api::resource::Quantity,
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use std::collections::BTreeMap;
use strata_crds::{Amounts, KVCluster, KVObjectStoreSpec, VolumePolicy};

/// The user that nodes run as. It owns nothing in the image.
const USER: i64 = 65_532;

/// How long a node may take to end: its leaders are gone before, so it only closes what is open.
const END_SECONDS: i64 = 30;

/// What all pods of a cluster are made from.
#[derive(Clone, Copy)]
struct Given<'a> {
    cluster: &'a KVCluster,
    store: Option<&'a KVObjectStoreSpec>,
    defaults: &'a Defaults,
}

pub(super) fn stateful_sets(cluster: &KVCluster, store: Option<&KVObjectStoreSpec>, defaults: &Defaults) -> Vec<StatefulSet> {
    let given = Given { cluster, store, defaults };
    zones(cluster).into_iter().map(|(zone, nodes)| stateful_set(given, &zone, nodes)).collect()
}

fn stateful_set(given: Given<'_>, zone: &str, nodes: i32) -> StatefulSet {
    let cluster = given.cluster;
    let names = Names::of(cluster);
    let mut selector = names.selector();
    if !zone.is_empty() {
        selector.insert(LABEL_ZONE.to_owned(), zone.to_owned());
    }
    let mut metadata = metadata(cluster, names.stateful_set(zone));
    metadata.labels.get_or_insert_default().extend(selector.clone());
    let kept = |policy| if policy == VolumePolicy::Delete { "Delete" } else { "Retain" }.to_owned();
    let spec = StatefulSetSpec {
        replicas: Some(nodes),
        service_name: Some(names.headless()),
        selector: LabelSelector { match_labels: Some(selector.clone()), ..LabelSelector::default() },
        pod_management_policy: Some("Parallel".to_owned()),
        update_strategy: Some(StatefulSetUpdateStrategy { type_: Some("OnDelete".to_owned()), rolling_update: None }),
        persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
            when_deleted: Some(kept(cluster.spec.deletion_policy.volumes)),
            when_scaled: Some("Retain".to_owned()),
        }),
        template: template(given, zone, selector),
        volume_claim_templates: Some(vec![claim(cluster)]),
        ..StatefulSetSpec::default()
    };
    StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() }
}

fn claim(cluster: &KVCluster) -> PersistentVolumeClaim {
    let storage = &cluster.spec.storage;
    let requests = [("storage".to_owned(), Quantity(storage.size.0.clone()))].into();
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
        storage_class_name: storage.class_name.clone(),
        resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
        ..PersistentVolumeClaimSpec::default()
    };
    let metadata = ObjectMeta { name: Some("data".to_owned()), labels: Some(Names::of(cluster).selector()), ..ObjectMeta::default() };
    PersistentVolumeClaim { metadata, spec: Some(spec), ..PersistentVolumeClaim::default() }
}

fn template(given: Given<'_>, zone: &str, selector: BTreeMap<String, String>) -> PodTemplateSpec {
    let cluster = given.cluster;
    let names = Names::of(cluster);
    let overlay = &cluster.spec.pod_template;
    // Ours come last, so that none of them can be overridden.
    let mut labels = overlay.labels.clone();
    labels.extend(names.labels());
    labels.extend(selector.clone());
    let mut annotations = overlay.annotations.clone();
    annotations.insert(ANNOTATION_CONFIGURATION.to_owned(), fingerprint(&configuration(cluster, given.store)));
    let secrets = &overlay.image_pull_secrets;
    let secrets: Vec<LocalObjectReference> = secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect();
    let spec = PodSpec {
        service_account_name: Some(names.account()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(END_SECONDS),
        security_context: Some(pod_security()),
        affinity: (!zone.is_empty()).then(|| in_zone(zone)),
        topology_spread_constraints: Some(vec![over_hosts(selector)]),
        node_selector: (!overlay.node_selector.is_empty()).then(|| overlay.node_selector.clone()),
        tolerations: (!overlay.tolerations.is_empty()).then(|| overlay.tolerations.clone()),
        priority_class_name: overlay.priority_class_name.clone(),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        containers: vec![container(given, zone)],
        volumes: Some(volumes(given)),
        ..PodSpec::default()
    };
    PodTemplateSpec {
        metadata: Some(ObjectMeta { labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() }),
        spec: Some(spec),
    }
}

fn container(given: Given<'_>, zone: &str) -> Container {
    let Given { cluster, store, defaults } = given;
    let port = |name: &str, port: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    };
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts =
        vec![mount("data", DATA, false), mount("configuration", CONFIGURATION, true), mount("certificates", CERTIFICATES, true)];
    mounts.extend(cluster.spec.auth.as_ref().map(|_| mount("password", PASSWORD, true)));
    mounts.extend(store.map(|_| mount("object-store", OBJECT_STORE, true)));
    let zone = if zone.is_empty() { "default" } else { zone };
    let image = cluster.spec.image.clone().unwrap_or_else(|| format!("{}:{}", defaults.node_image, cluster.spec.version));
    Container {
        name: "strata-node".to_owned(),
        image: Some(image),
        image_pull_policy: Some(format!("{:?}", cluster.spec.pod_template.image_pull_policy)),
        command: Some(vec!["/usr/local/bin/strata-node".to_owned()]),
        args: Some(vec!["--config".to_owned(), format!("{CONFIGURATION}/{FILE}")]),
        env: Some(vec![EnvVar { name: "STRATA_ZONE".to_owned(), value: Some(zone.to_owned()), ..EnvVar::default() }]),
        ports: Some(vec![
            port("plain", PORT_PLAIN),
            port("cluster", PORT_CLUSTER),
            port("peer", PORT_PEER),
            port("api", PORT_API),
            port("status", PORT_STATUS),
        ]),
        // A node that replays its log is alive long before it is ready.
        startup_probe: Some(probe("/healthz", 1, 300)),
        liveness_probe: Some(probe("/healthz", 5, 6)),
        readiness_probe: Some(probe("/readyz", 2, 2)),
        resources: resources(cluster),
        security_context: Some(container_security()),
        volume_mounts: Some(mounts),
        ..Container::default()
    }
}

fn probe(path: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    let http_get =
        HTTPGetAction { path: Some(path.to_owned()), port: IntOrString::String("status".to_owned()), ..HTTPGetAction::default() };
    Probe {
        http_get: Some(http_get),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(2),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

fn resources(cluster: &KVCluster) -> Option<ResourceRequirements> {
    let amounts = |amounts: &Amounts| {
        let amount = |name: &str, size: &Option<strata_crds::Size>| size.as_ref().map(|size| (name.to_owned(), Quantity(size.0.clone())));
        let all: BTreeMap<String, Quantity> = amount("cpu", &amounts.cpu).into_iter().chain(amount("memory", &amounts.memory)).collect();
        (!all.is_empty()).then_some(all)
    };
    let (requests, limits) = (amounts(&cluster.spec.resources.requests), amounts(&cluster.spec.resources.limits));
    (requests.is_some() || limits.is_some()).then_some(ResourceRequirements { requests, limits, claims: None })
}

fn volumes(given: Given<'_>) -> Vec<Volume> {
    let Given { cluster, store, .. } = given;
    let names = Names::of(cluster);
    let secret = |name: &str, secret: SecretVolumeSource| Volume { name: name.to_owned(), secret: Some(secret), ..Volume::default() };
    let configuration = ConfigMapVolumeSource { name: names.configuration(), ..ConfigMapVolumeSource::default() };
    let certificates = SecretVolumeSource { secret_name: Some(names.certificates()), ..SecretVolumeSource::default() };
    let mut volumes = vec![
        Volume { name: "configuration".to_owned(), config_map: Some(configuration), ..Volume::default() },
        secret("certificates", certificates),
    ];
    volumes.extend(cluster.spec.auth.as_ref().map(|auth| {
        let reference = &auth.password_secret_ref;
        let item = KeyToPath { key: reference.key.clone(), path: "password".to_owned(), mode: None };
        secret(
            "password",
            SecretVolumeSource { secret_name: Some(reference.name.clone()), items: Some(vec![item]), ..SecretVolumeSource::default() },
        )
    }));
    // A Secret that is missing keeps no pod from serving what its disk holds: the archive says so instead.
    volumes.extend(store.map(|store| {
        let name = Some(store.credentials_secret_ref.name.clone());
        let entry = |key: &str| KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None };
        let items = Some([ACCESS_KEY, SECRET_KEY].map(entry).into());
        secret("object-store", SecretVolumeSource { secret_name: name, optional: Some(true), items, ..SecretVolumeSource::default() })
    }));
    volumes
}

fn pod_security() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        run_as_group: Some(USER),
        fs_group: Some(USER),
        fs_group_change_policy: Some("OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
        ..PodSecurityContext::default()
    }
}

fn container_security() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn in_zone(zone: &str) -> Affinity {
    let expression =
        NodeSelectorRequirement { key: TOPOLOGY_ZONE.to_owned(), operator: "In".to_owned(), values: Some(vec![zone.to_owned()]) };
    let term = NodeSelectorTerm { match_expressions: Some(vec![expression]), match_fields: None };
    let required = NodeSelector { node_selector_terms: vec![term] };
    let node_affinity = NodeAffinity { required_during_scheduling_ignored_during_execution: Some(required), ..NodeAffinity::default() };
    Affinity { node_affinity: Some(node_affinity), ..Affinity::default() }
}

fn over_hosts(selector: BTreeMap<String, String>) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: "kubernetes.io/hostname".to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector { match_labels: Some(selector), ..LabelSelector::default() }),
        ..TopologySpreadConstraint::default()
    }
}
