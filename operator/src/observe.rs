//! Reads all that a decision needs: the cluster live, what exists of it, and what its nodes say.

use crate::{
    Context,
    bucket::Access,
    certificates::Entries,
    decide,
    error::Error,
    names::{self, ANNOTATION_FINGERPRINT, LABEL_ZONE, Names},
    node_client::NodeClient,
    object_store,
    observation::{Observation, PodFact, RestoreFact, SecretsFact, StoreFact},
};
use futures_util::future::join_all;
use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Namespace, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    jiff::Timestamp,
};
use kube::{Api, Resource, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};
use strata_crds::{ErrorClass, KVBackup, KVCluster, KVObjectStore, KVRestore};
use strata_node_api::Report;

/// What was read, and how the nodes are reached.
pub struct Seen {
    /// What the decision is made from.
    pub observation: Observation,
    /// The addresses of pods that have one.
    pub addresses: BTreeMap<String, String>,
    /// The UIDs of the pods: a successor has the name of the pod that was looked at, and another UID.
    pub uids: BTreeMap<String, String>,
    /// How nodes are called; `None` before there are certificates.
    pub client: Option<NodeClient>,
}

/// Reads a cluster. `None` where it is gone or going.
pub async fn observe(context: &Context, name: &str) -> Result<Option<Seen>, Error> {
    let clusters: Api<KVCluster> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let Some(cluster) = clusters.get_opt(name).await?.filter(|cluster| cluster.metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    let names = Names::of(&cluster);
    let authority = secret(context, &names.authority()).await?;
    let client = authority.as_ref().and_then(|entries| NodeClient::new(entries).ok());
    let certificates = secret(context, &names.certificates()).await?;
    let sets: Vec<StatefulSet> = list(context, &names).await?;
    let pods: Vec<Pod> = list(context, &names).await?;
    // After the pods: a claim is bound before its pod is placed, so that one without a volume now never had one.
    let claims: Vec<PersistentVolumeClaim> = list(context, &names).await?;
    let addresses: BTreeMap<String, String> = pods.iter().filter_map(|pod| Some((pod.name_any(), address(pod)?))).collect();
    let uids = pods.iter().filter_map(|pod| Some((pod.name_any(), pod.uid()?))).collect();
    let reports = reports(client.as_ref(), &addresses).await;
    let restore = restore(context, &cluster).await?;
    let (stores, access) = stores(context, &cluster, restore.as_ref()).await?;
    let mut observation = Observation {
        now: Timestamp::now(),
        identity: context.identity.clone(),
        lease_transitions: context.lease_transitions,
        defaults: context.defaults.clone(),
        applied: applied(context, &names, &sets).await?,
        secrets: SecretsFact { authority: client.is_some(), certificates: certificates.is_some() },
        pods: pods.iter().map(|pod| (pod.name_any(), fact(pod, &sets, &claims))).collect(),
        reports,
        namespace_uid: if cluster.spec.archive.is_some() { namespace_uid(context).await? } else { String::new() },
        living: BTreeSet::new(),
        stores,
        restore,
        answers: BTreeMap::new(),
        cluster,
    };
    ask(context, &mut observation, &access).await?;
    Ok(Some(Seen { observation, addresses, uids, client }))
}

/// Asks buckets what the decision needs to know, one question after the other, as long as answers lead to questions.
async fn ask(context: &Context, seen: &mut Observation, access: &BTreeMap<String, Access>) -> Result<(), Error> {
    let mut has_asked = false;
    // Every life of an object asks anew.
    let incarnation = seen.cluster.status.as_ref().and_then(|status| status.incarnation.clone()).unwrap_or_default();
    let asker = format!("{}/{incarnation}", seen.cluster.uid().unwrap_or_default());
    while let Some(question) = decide::question(seen) {
        let Some(access) = access.get(&question.store) else { break };
        if !has_asked {
            // Asked live, after the lists above: who is not in it now is gone.
            let clusters: Api<KVCluster> = Api::namespaced(context.client.clone(), &context.settings.namespace);
            seen.living = clusters.list(&ListParams::default()).await?.items.iter().filter_map(ResourceExt::uid).collect();
            has_asked = true;
        }
        let answer = context.inquiries.ask(seen.now, &asker, &question, access);
        seen.answers.insert(question, answer);
    }
    if !has_asked {
        context.inquiries.forget(&asker);
    }
    Ok(())
}

async fn namespace_uid(context: &Context) -> Result<String, Error> {
    let read = async {
        let api: Api<Namespace> = Api::all(context.client.clone());
        Ok::<_, Error>(api.get(&context.settings.namespace).await?.uid().unwrap_or_default())
    };
    context.namespace_uid.get_or_try_init(|| read).await.cloned()
}

/// The KVRestore that a cluster refers to, and the KVBackup that this one refers to.
async fn restore(context: &Context, cluster: &KVCluster) -> Result<Option<RestoreFact>, Error> {
    let Some(reference) = &cluster.spec.bootstrap.restore_ref else { return Ok(None) };
    restore_fact(context, &reference.name).await.map(Some)
}

/// A KVRestore by its name, and the KVBackup that it refers to.
pub async fn restore_fact(context: &Context, name: &str) -> Result<RestoreFact, Error> {
    let restores: Api<KVRestore> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let backups: Api<KVBackup> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let found = restores.get_opt(name).await?;
    let backup = match found.as_ref().and_then(|restore| restore.spec.target.backup.as_ref()) {
        Some(backup) => backups.get_opt(backup).await?,
        None => None,
    };
    Ok(RestoreFact { name: name.to_owned(), found, backup })
}

type Stores = (BTreeMap<String, StoreFact>, BTreeMap<String, Access>);

/// The object stores that a cluster refers to, and how they are asked.
async fn stores(context: &Context, cluster: &KVCluster, restore: Option<&RestoreFact>) -> Result<Stores, Error> {
    let archive = cluster.spec.archive.as_ref().map(|archive| archive.object_store_ref.name.clone());
    let source = restore.and_then(|fact| fact.found.as_ref()).map(|restore| restore.spec.source.object_store_ref.name.clone());
    let (mut facts, mut all) = Stores::default();
    for name in archive.into_iter().chain(source).collect::<BTreeSet<String>>() {
        let (fact, access) = store(context, &name).await?;
        all.extend(access.map(|access| (name.clone(), access)));
        facts.insert(name, fact);
    }
    Ok((facts, all))
}

/// A KVObjectStore by its name, and how it is asked.
pub async fn store(context: &Context, name: &str) -> Result<(StoreFact, Option<Access>), Error> {
    let stores: Api<KVObjectStore> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let Some(found) = stores.get_opt(name).await? else {
        let message = format!("the KVObjectStore {name} does not exist: create it, or correct the reference");
        return Ok((StoreFact { spec: None, problem: Some((ErrorClass::ReferenceMissing, message)) }, None));
    };
    let access = object_store::access(context, &found.spec).await?;
    let problem = access.as_ref().err().cloned();
    Ok((StoreFact { spec: Some(found.spec), problem }, access.ok()))
}

async fn list<K>(context: &Context, names: &Names) -> Result<Vec<K>, Error>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &names.namespace);
    let labels = format!("{}={}", names::LABEL_CLUSTER, names.cluster);
    Ok(api.list(&ListParams::default().labels(&labels)).await?.items)
}

/// The entries of a Secret as text; `None` where there is no such Secret.
pub async fn secret(context: &Context, name: &str) -> Result<Option<Entries>, Error> {
    Ok(secret_and_version(context, name).await?.map(|(entries, _)| entries))
}

/// The entries of a Secret as text, and its version; `None` where there is no such Secret.
pub async fn secret_and_version(context: &Context, name: &str) -> Result<Option<(Entries, String)>, Error> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let found = api.get_opt(name).await?;
    let text = |bytes: k8s_openapi::ByteString| String::from_utf8(bytes.0).unwrap_or_default();
    Ok(found.map(|secret| {
        let version = secret.resource_version().unwrap_or_default();
        (secret.data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, text(bytes))).collect(), version)
    }))
}

async fn applied(context: &Context, names: &Names, sets: &[StatefulSet]) -> Result<BTreeMap<(String, String), String>, Error> {
    let mut all = BTreeMap::new();
    note(&mut all, sets);
    note(&mut all, &list::<Service>(context, names).await?);
    note(&mut all, &list::<ConfigMap>(context, names).await?);
    note(&mut all, &list::<ServiceAccount>(context, names).await?);
    note(&mut all, &list::<PodDisruptionBudget>(context, names).await?);
    note(&mut all, &list::<NetworkPolicy>(context, names).await?);
    Ok(all)
}

fn note<K: Resource<DynamicType = ()>>(all: &mut BTreeMap<(String, String), String>, objects: &[K]) {
    for object in objects {
        if let Some(fingerprint) = object.annotations().get(ANNOTATION_FINGERPRINT) {
            all.insert((K::kind(&()).into_owned(), object.name_any()), fingerprint.clone());
        }
    }
}

fn address(pod: &Pod) -> Option<String> {
    pod.status.as_ref()?.pod_ip.clone().filter(|address| !address.is_empty())
}

fn fact(pod: &Pod, sets: &[StatefulSet], claims: &[PersistentVolumeClaim]) -> PodFact {
    let zone = pod.labels().get(LABEL_ZONE);
    let set = sets.iter().find(|set| set.labels().get(LABEL_ZONE) == zone);
    // Before the set's controller has seen the newest template, nothing can be said of its pods.
    let wanted = set.and_then(|set| {
        let status = set.status.as_ref()?;
        (status.observed_generation >= set.metadata.generation).then(|| status.update_revision.clone())?
    });
    let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    let mut fact = PodFact {
        waits: phase.filter(|phase| phase != "Running"),
        is_outdated: wanted.is_some_and(|wanted| pod.labels().get("controller-revision-hash") != Some(&wanted)),
        lacks_volume: lacks_volume(pod, claims),
        ..PodFact::default()
    };
    for status in statuses {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        let reason = waiting.and_then(|waiting| waiting.reason.clone());
        fact.is_crashed |= reason.as_deref() == Some("CrashLoopBackOff");
        fact.waits = reason.or(fact.waits);
    }
    fact
}

/// Whether the pod was placed, and stays, while one of the claims that it names is bound to no volume.
fn lacks_volume(pod: &Pod, claims: &[PersistentVolumeClaim]) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let is_placed = spec.node_name.is_some() && pod.metadata.deletion_timestamp.is_none();
    let mut named = spec.volumes.iter().flatten().filter_map(|volume| Some(&volume.persistent_volume_claim.as_ref()?.claim_name));
    let has_none = |claim: &PersistentVolumeClaim| claim.spec.as_ref().is_none_or(|spec| spec.volume_name.is_none());
    is_placed && named.any(|name| claims.iter().any(|claim| claim.name_any() == *name && has_none(claim)))
}

async fn reports(client: Option<&NodeClient>, addresses: &BTreeMap<String, String>) -> BTreeMap<String, Report> {
    let Some(client) = client else { return BTreeMap::new() };
    let asked = addresses.iter().map(|(pod, address)| async move {
        let report = client.report(address).await.inspect_err(|error| tracing::debug!(pod, error, "no report"));
        Some((pod.clone(), report.ok()?))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(node: Value, deleted: Value) -> Pod {
        let volume = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-orders-a-0"}});
        let metadata = json!({"name": "orders-a-0", "deletionTimestamp": deleted});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"containers": [], "nodeName": node, "volumes": [volume]}}))
            .expect("a pod")
    }

    fn claim(name: &str, volume: Value) -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"volumeName": volume}})).expect("a claim")
    }

    #[test]
    fn a_pod_that_was_placed_before_its_claim_had_a_volume_lacks_it() {
        let (here, nowhere, never, now) = (json!("node-1"), Value::Null, Value::Null, json!("2026-01-01T00:00:00Z"));
        let unbound = claim("data-orders-a-0", Value::Null);
        assert!(lacks_volume(&pod(here.clone(), never.clone()), &[claim("data-orders-b-0", json!("disk-2")), unbound.clone()]));
        let cases = [
            (pod(nowhere, never.clone()), unbound.clone(), "it waits to be placed"),
            (pod(here.clone(), now), unbound, "it goes already"),
            (pod(here.clone(), never.clone()), claim("data-orders-a-0", json!("disk-1")), "it has one"),
            (pod(here, never), claim("data-orders-b-0", Value::Null), "the claim is another one's"),
        ];
        for (pod, claim, why) in cases {
            assert!(!lacks_volume(&pod, &[claim]), "{why}");
        }
    }
}
