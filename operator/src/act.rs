//! Does what was decided. The only writer to Kubernetes, and the only one who gives orders.

use crate::{
    Context,
    certificates::{self, Entries},
    decide::{Act, Decision},
    error::Error,
    names::{FIELD_MANAGER, Names},
    observe::{Seen, secret},
    resources::owner,
    status::{Told, news},
};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        coordination::v1::Lease,
        core::v1::{Pod, Secret},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::tz::TimeZone,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::GroupVersionKind,
    runtime::events::{Event, EventType, Recorder},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeSet, fmt::Debug};
use strata_crds::{ErrorClass, KVCluster, KVClusterStatus};
use strata_node_api::Answer;

/// Does all acts in their order, and then writes the status. Persisting that fails ends the pass, since what comes later follows from it. An
/// object that cannot be applied, or a pod that cannot be deleted, fails the pass at its end, so that it does not keep orders from the nodes. An order that is refused or
/// lost fails nothing: orders of one plan do not depend on each other, and the next plan is made from what became of them.
pub async fn act(context: &Context, seen: &Seen, decision: &Decision) -> Result<(), Error> {
    let mut is_persisted = false;
    let mut failed = None;
    for act in &decision.acts {
        match act {
            Act::IssueCertificates => issue_certificates(context, seen).await?,
            Act::Apply(object) => {
                if let Err(error) = apply(context, object).await {
                    tracing::warn!(%error, name = object.name_any(), "not applied");
                    failed = failed.or(Some(error));
                }
            }
            Act::Persist => {
                write_status(context, seen, &decision.status).await?;
                is_persisted = true;
            }
            Act::Order { pod, order, reason } => {
                let given = give(seen, pod, order, reason).await;
                given.unwrap_or_else(|error| tracing::warn!(%error, reason, "an order was not obeyed"));
            }
            Act::Restart { pod } => {
                if let Err(error) = restart(context, seen, pod).await {
                    tracing::warn!(%error, pod, "not restarted");
                    failed = failed.or(Some(error));
                }
            }
        }
    }
    let is_news = seen.observation.cluster.status.as_ref() != Some(&decision.status);
    if is_news && !is_persisted {
        write_status(context, seen, &decision.status).await?;
    }
    failed.map_or(Ok(()), Err)
}

/// Tells of a change, for `kubectl describe`.
pub async fn tell(context: &Context, seen: &Seen, type_: EventType, reason: String, note: String) -> Result<(), Error> {
    let recorder = Recorder::new(context.client.clone(), FIELD_MANAGER.into());
    let reference = kube::Resource::object_ref(&seen.observation.cluster, &());
    let event = Event { type_, reason, note: Some(note), action: "Reconcile".to_owned(), secondary: None };
    Ok(recorder.publish(&event, &reference).await?)
}

/// Writes the status of an object of another kind, under the resourceVersion that it was decided from, and tells of what changed in it.
pub async fn replace_status<K>(context: &Context, before: &K, after: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Told + Clone + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let classes = after.conditions().iter().filter_map(|condition| ErrorClass::named(&condition.reason)).collect::<BTreeSet<_>>();
    context.metrics.note(&K::kind(&()), &after.name_any(), Some(classes.into_iter().collect()));
    if before == after {
        return Ok(());
    }
    let api: Api<K> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let mut written = after.clone();
    written.meta_mut().managed_fields = None;
    api.replace_status(&after.name_any(), &PostParams::default(), &written).await?;
    let Some(news) = news(before.conditions(), after.conditions()) else { return Ok(()) };
    let (kind, name) = (K::kind(&()), after.name_any());
    tracing::info!(%kind, name, condition = news.type_, status = news.status, reason = news.reason, message = news.message, "changed");
    let is_bad = ErrorClass::named(&news.reason).is_some();
    let type_ = if is_bad { EventType::Warning } else { EventType::Normal };
    let event =
        Event { type_, reason: news.reason.clone(), note: Some(news.message.clone()), action: "Reconcile".to_owned(), secondary: None };
    let recorder = Recorder::new(context.client.clone(), FIELD_MANAGER.into());
    Ok(recorder.publish(&event, &after.object_ref(&())).await?)
}

/// Under the resourceVersion that the decision was made from: somebody else's newer status is never overwritten.
async fn write_status(context: &Context, seen: &Seen, status: &KVClusterStatus) -> Result<(), Error> {
    let mut cluster = seen.observation.cluster.clone();
    cluster.status = Some(status.clone());
    cluster.metadata.managed_fields = None;
    let api: Api<KVCluster> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    api.replace_status(&cluster.name_any(), &PostParams::default(), &cluster).await?;
    Ok(())
}

async fn apply(context: &Context, object: &DynamicObject) -> Result<(), Error> {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind));
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &context.settings.namespace, &resource);
    let name = object.name_any();
    api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(object)).await?;
    tracing::info!(kind = types.kind, name, "applied");
    Ok(())
}

async fn issue_certificates(context: &Context, seen: &Seen) -> Result<(), Error> {
    let names = Names::of(&seen.observation.cluster);
    let year = i32::from(seen.observation.now.to_zoned(TimeZone::UTC).year());
    let nodes = match secret(context, &names.authority()).await? {
        Some(authority) => certificates::issue_nodes(&names, &authority, year)?,
        None => {
            let made = certificates::issue(&names, year)?;
            apply_secret(context, seen, names.authority(), made.authority).await?;
            made.nodes
        }
    };
    apply_secret(context, seen, names.certificates(), nodes).await
}

async fn apply_secret(context: &Context, seen: &Seen, name: String, entries: Entries) -> Result<(), Error> {
    let names = Names::of(&seen.observation.cluster);
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(names.namespace.clone()),
            labels: Some(names.labels()),
            owner_references: Some(vec![owner(&seen.observation.cluster)]),
            ..ObjectMeta::default()
        },
        string_data: Some(entries),
        ..Secret::default()
    };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &names.namespace);
    api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&secret)).await?;
    tracing::info!(name, "certificates issued");
    Ok(())
}

/// Gives an order to the node of a pod.
pub async fn give(seen: &Seen, pod: &str, order: &strata_node_api::Order, reason: &str) -> Result<(), Error> {
    let failed = |message: String| Error::Node { pod: pod.to_owned(), message };
    let client = seen.client.as_ref().ok_or_else(|| failed("there are no certificates yet".to_owned()))?;
    let address = seen.addresses.get(pod).ok_or_else(|| failed("it has no address".to_owned()))?;
    match client.order(address, order).await.map_err(failed)? {
        Answer::Done | Answer::Accepted => {
            tracing::debug!(pod, reason, epoch = order.epoch.0, "ordered");
            Ok(())
        }
        Answer::Refused { class, message } => Err(failed(format!("refused ({class}): {message}"))),
    }
}

/// Deletes the pod that was looked at, and no successor of its name. A pod that is gone meanwhile needs nothing.
async fn restart(context: &Context, seen: &Seen, pod: &str) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let looked_at = Preconditions { uid: seen.uids.get(pod).cloned(), resource_version: None };
    match api.delete(pod, &DeleteParams::default().preconditions(looked_at)).await {
        Ok(_) => tracing::info!(pod, "restarted"),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => tracing::info!(pod, "restarted by somebody else"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Creates the lease of the leading operator; the election decides what is in it.
pub async fn create_lease(api: &Api<Lease>, lease: &Lease) -> kube::Result<Lease> {
    api.create(&PostParams::default(), lease).await
}

/// Replaces the lease of the leading operator, if nobody else has since.
pub async fn replace_lease(api: &Api<Lease>, name: &str, lease: &Lease) -> kube::Result<Lease> {
    api.replace(name, &PostParams::default(), lease).await
}
