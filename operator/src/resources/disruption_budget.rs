//! One node at a time may be drained by those who look after Kubernetes.

use super::metadata;
use crate::names::Names;
use k8s_openapi::{
    api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use strata_crds::KVCluster;

pub(super) fn disruption_budget(cluster: &KVCluster) -> PodDisruptionBudget {
    let names = Names::of(cluster);
    let selector = LabelSelector { match_labels: Some(names.selector()), ..LabelSelector::default() };
    let spec = PodDisruptionBudgetSpec {
        max_unavailable: Some(IntOrString::Int(1)),
        selector: Some(selector),
        ..PodDisruptionBudgetSpec::default()
    };
    PodDisruptionBudget { metadata: metadata(cluster, names.cluster), spec: Some(spec), ..PodDisruptionBudget::default() }
}
