//! Who may reach the nodes: clients the client ports, everybody in the cluster the read-only port of probes and metrics, and the internal
//! ports only nodes of the same cluster and the operator. Those ports ask for a certificate as well.

use super::metadata;
use crate::names::{Names, PORT_API, PORT_CLUSTER, PORT_PEER, PORT_PLAIN, PORT_STATUS};
use k8s_openapi::{
    api::networking::v1::{NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use std::collections::BTreeMap;
use strata_crds::KVCluster;

fn ports(ports: &[u16]) -> Option<Vec<NetworkPolicyPort>> {
    let port = |port: &u16| NetworkPolicyPort {
        port: Some(IntOrString::Int(i32::from(*port))),
        protocol: Some("TCP".to_owned()),
        ..NetworkPolicyPort::default()
    };
    Some(ports.iter().map(port).collect())
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}

pub(super) fn network_policy(cluster: &KVCluster) -> NetworkPolicy {
    let names = Names::of(cluster);
    let pods = |labels| NetworkPolicyPeer { pod_selector: Some(selector(labels)), ..NetworkPolicyPeer::default() };
    let operator = [("app.kubernetes.io/name".to_owned(), "strata-operator".to_owned())].into();
    let anybody = NetworkPolicyIngressRule { ports: ports(&[PORT_PLAIN, PORT_CLUSTER, PORT_STATUS]), from: None };
    let insiders =
        NetworkPolicyIngressRule { ports: ports(&[PORT_PEER, PORT_API]), from: Some(vec![pods(names.selector()), pods(operator)]) };
    let spec = NetworkPolicySpec {
        pod_selector: Some(selector(names.selector())),
        policy_types: Some(vec!["Ingress".to_owned()]),
        ingress: Some(vec![anybody, insiders]),
        egress: None,
    };
    NetworkPolicy { metadata: metadata(cluster, names.cluster), spec: Some(spec) }
}
