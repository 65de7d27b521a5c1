//! KVObjectStore: how a bucket is reached, and whether it answers. Probed by writing, reading, listing and deleting one small object.
//!
//! - The first probe that fails shows its class; the first that succeeds heals. Nothing restarts for it.
//! - The probe's object lies outside of every cluster's path, under the UID of the KVObjectStore.
//!
//! Not done here, and why: `spec.pathStyle: false` and `spec.caSecretRef` are not obeyed yet, since the S3 client knows neither; a store that
//! asks for one says so in its condition. New credentials are not held back until they are probed: nodes mount the Secret itself.

use crate::{
    Context, act,
    bucket::{self, Access},
    error::Error,
    limits::{PROBE_PERIOD, PROBE_PERIOD_FAILING},
    observe,
    status::{self, Change},
    within_deadline,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{Api, ResourceExt, runtime::controller::Action};
use std::{sync::Arc, time::Duration};
use strata_crds::{ErrorClass, KVObjectStore, KVObjectStoreSpec, KVObjectStoreStatus, Problem};
use strata_engine::{
    objects::{Credentials, ObjectError, Objects, Request, Response},
    tier::Place,
};

/// The Secret's entry with the access key's id.
pub const ACCESS_KEY: &str = "accessKeyID";
/// The Secret's entry with the secret access key.
pub const SECRET_KEY: &str = "secretAccessKey";

/// The bucket that a KVObjectStore declares.
pub fn place(spec: &KVObjectStoreSpec) -> Place {
    let amazon = || format!("https://s3.{}.amazonaws.com", spec.region);
    let endpoint = spec.endpoint.as_ref().map(|endpoint| endpoint.trim_end_matches('/').to_owned());
    Place { store: endpoint.unwrap_or_else(amazon), bucket: spec.bucket.clone() }
}

/// How to ask a bucket, or why it cannot be asked.
pub async fn access(context: &Context, spec: &KVObjectStoreSpec) -> Result<Result<Access, (ErrorClass, String)>, Error> {
    let name = &spec.credentials_secret_ref.name;
    let unsupported = |what: &str| Ok(Err((ErrorClass::Internal, format!("this version does not know {what}: leave it out"))));
    if spec.ca_secret_ref.is_some() {
        return unsupported("spec.caSecretRef");
    }
    if !spec.path_style {
        return unsupported("spec.pathStyle false");
    }
    let Some((entries, version)) = observe::secret_and_version(context, name).await? else {
        return Ok(Err((
            ErrorClass::SecretMissing,
            format!("the Secret {name} does not exist: create it with {ACCESS_KEY} and {SECRET_KEY}"),
        )));
    };
    let entry = |key: &str| entries.get(key).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (Some(access_key_id), Some(secret_access_key)) = (entry(ACCESS_KEY), entry(SECRET_KEY)) else {
        return Ok(Err((ErrorClass::SecretMissing, format!("the Secret {name} lacks {ACCESS_KEY} or {SECRET_KEY}: add what is missing"))));
    };
    let credentials = Credentials::Given { access_key_id, secret_access_key };
    Ok(Ok(Access { place: place(spec), region: spec.region.clone(), credentials, version }))
}

/// One pass over one KVObjectStore.
pub async fn reconcile(object: Arc<KVObjectStore>, context: Arc<Context>) -> Result<Action, Error> {
    within_deadline(&*object, &context, pass(&object.name_any(), &context)).await
}

async fn pass(name: &str, context: &Context) -> Result<Action, Error> {
    let api: Api<KVObjectStore> = Api::namespaced(context.client.clone(), &context.settings.namespace);
    let Some(store) = api.get_opt(name).await?.filter(|store| store.metadata.deletion_timestamp.is_none()) else {
        context.metrics.note("KVObjectStore", name, None);
        return Ok(Action::await_change());
    };
    let access = access(context, &store.spec).await?;
    let now = Timestamp::now();
    if let Some(wait) = not_due(now, &store, access.as_ref().ok().map(|access| access.version.as_str())) {
        return Ok(Action::requeue(wait));
    }
    let probed = match &access {
        Ok(access) => {
            let key = format!("strata-probe/{}", store.uid().unwrap_or_default());
            probe(&bucket::objects(access, &access.place), &key).await.map_err(|error| (class_of(&error), error.message))
        }
        Err(trouble) => Err(trouble.clone()),
    };
    let next = decide(Timestamp::now(), &store, probed, access.ok().map(|access| access.version));
    let wait = if next.problem.is_some() { PROBE_PERIOD_FAILING } else { PROBE_PERIOD };
    act::replace_status(context, &store, &KVObjectStore { status: Some(next), ..store.clone() }).await?;
    Ok(Action::requeue(wait))
}

/// How long the last probe still holds: until its time is over, or the spec or the credentials are others.
pub fn not_due(now: Timestamp, store: &KVObjectStore, version: Option<&str>) -> Option<Duration> {
    let status = store.status.as_ref()?;
    let is_same = Some(status.observed_generation) == store.metadata.generation && status.credentials_version.as_deref() == version;
    let period = if status.problem.is_some() { PROBE_PERIOD_FAILING } else { PROBE_PERIOD };
    let age = Duration::try_from(now.duration_since(status.probed_at.as_ref()?.0)).ok()?;
    period.checked_sub(age).filter(|left| is_same && !left.is_zero())
}

/// Writes an object, reads it back, lists it and deletes it.
pub async fn probe(store: &dyn Objects, key: &str) -> Result<(), ObjectError> {
    let text = b"Written and deleted by the operator, to see whether the bucket answers.\n".as_slice();
    store.call(Request::put(key, text)).await?;
    match store.call(Request::get(key)).await? {
        Response::Bytes { bytes, .. } if bytes == text => {}
        _ => return Err(ObjectError::damaged(key, "it does not read as it was written")),
    }
    store.call(Request::List { prefix: key.to_owned(), after: None }).await?;
    store.call(Request::Delete { key: key.to_owned() }).await?;
    Ok(())
}

/// The class of a store's error, in the words of conditions.
pub fn class_of(error: &ObjectError) -> ErrorClass {
    ErrorClass::named(error.class.name()).unwrap_or(ErrorClass::Internal)
}

/// What is said after a probe.
pub fn decide(
    now: Timestamp,
    store: &KVObjectStore,
    probed: Result<(), (ErrorClass, String)>,
    version: Option<String>,
) -> KVObjectStoreStatus {
    let old = store.status.clone().unwrap_or_default();
    let problem = probed.err().map(|(class, message)| {
        let before = old.problem.as_ref().filter(|before| before.class == class);
        Problem {
            class,
            message,
            // Every probe is tried again, so that whatever is mended heals.
            retryable: true,
            since: before.map_or(Time(now), |before| before.since.clone()),
            attempts: before.map_or(1, |before| before.attempts.saturating_add(1)),
        }
    });
    let (reason, message) = match &problem {
        Some(problem) => (problem.class.name(), problem.message.clone()),
        None => ("Answers".to_owned(), "an object was written, read back, listed and deleted".to_owned()),
    };
    let change = Change { now, generation: store.metadata.generation, reason, message };
    KVObjectStoreStatus {
        observed_generation: store.metadata.generation.unwrap_or_default(),
        probed_at: Some(Time(now)),
        credentials_version: version,
        conditions: vec![status::condition(&old.conditions, &change, "Ready", problem.is_none())],
        problem,
    }
}
