//! Two services: one that gives every pod a stable name from before it is ready, and one that clients use.

use super::metadata;
use crate::names::{Names, PORT_API, PORT_CLUSTER, PORT_PEER, PORT_PLAIN, PORT_STATUS};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use strata_crds::KVCluster;

fn port(name: &str, port: u16) -> ServicePort {
    ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(port),
        protocol: Some("TCP".to_owned()),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    }
}

/// Names of pods. They must resolve before the pods are ready, since no node is ready before it hears the others.
pub(super) fn headless(cluster: &KVCluster) -> Service {
    let names = Names::of(cluster);
    let ports = vec![
        port("plain", PORT_PLAIN),
        port("cluster", PORT_CLUSTER),
        port("peer", PORT_PEER),
        port("api", PORT_API),
        port("status", PORT_STATUS),
    ];
    let spec = ServiceSpec {
        cluster_ip: Some("None".to_owned()),
        publish_not_ready_addresses: Some(true),
        selector: Some(names.selector()),
        ports: Some(ports),
        ..ServiceSpec::default()
    };
    Service { metadata: metadata(cluster, names.headless()), spec: Some(spec), ..Service::default() }
}

/// What clients use: any ready node serves any key.
pub(super) fn clients(cluster: &KVCluster) -> Service {
    let names = Names::of(cluster);
    let spec = ServiceSpec {
        selector: Some(names.selector()),
        ports: Some(vec![port("plain", PORT_PLAIN), port("cluster", PORT_CLUSTER)]),
        ..ServiceSpec::default()
    };
    Service { metadata: metadata(cluster, names.cluster.clone()), spec: Some(spec), ..Service::default() }
}
