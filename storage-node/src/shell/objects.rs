//! The stores of objects: what the machines of the object tier ask is asked here, and the answer handed back.
//!
//! Credentials are those of the configuration, whatever the bucket; they are not shown to another endpoint than the configured one.

use crate::{config, limits};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use strata_engine::{
    objects::{ErrorClass, ObjectError, Objects},
    tier::{Answered, Call, Place},
};
use tokio::{runtime::Handle, sync::Semaphore, task::JoinSet};
use tracing::Instrument;

/// The buckets of one store.
#[derive(Clone)]
pub struct ObjectStores {
    inner: Arc<Inner>,
}

struct Inner {
    settings: config::Archive,
    runtime: Handle,
    buckets: Mutex<BTreeMap<String, Arc<dyn Objects>>>,
    under_way: Semaphore,
    tasks: Mutex<JoinSet<()>>,
}

impl ObjectStores {
    /// Stores that were not yet asked for anything; requests run on `runtime`.
    pub fn new(settings: &config::Archive, runtime: Handle) -> ObjectStores {
        let under_way = Semaphore::new(limits::OBJECT_REQUESTS_MAX);
        let (buckets, tasks) = (Mutex::default(), Mutex::default());
        ObjectStores { inner: Arc::new(Inner { settings: settings.clone(), runtime, buckets, under_way, tasks }) }
    }

    /// The bucket of the configuration.
    pub fn place(&self) -> Place {
        Place { store: self.inner.settings.endpoint.clone(), bucket: self.inner.settings.bucket.clone() }
    }

    /// Asks for one thing; `done` gets the answer on a thread that may wait. It is not called where the process ends before.
    pub fn call(&self, call: Call, done: impl FnOnce(Answered) + Send + 'static) {
        let stores = self.clone();
        let task = async move {
            // The permit is held until the answer is taken, so that answers cannot pile up before a host that is busy.
            let _permit = stores.inner.under_way.acquire().await;
            let answered = stores.ask_now(call).await;
            let _ = tokio::task::spawn_blocking(move || done(answered)).await;
        };
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.inner.runtime);
    }

    /// Asks for one thing, from a task.
    pub async fn ask(&self, call: Call) -> Answered {
        let _permit = self.inner.under_way.acquire().await;
        self.ask_now(call).await
    }

    async fn ask_now(&self, call: Call) -> Answered {
        let span = tracing::debug_span!("object", key = call.request.key(), bytes = call.request.size(), call = call.id.0);
        let ask = async {
            let answered = self.bucket(&call.place)?.call(call.request).await;
            match &answered {
                Ok(response) => tracing::debug!(bytes = response.size(), "the store answered"),
                Err(error) if error.is_not_found() => tracing::debug!("the store has no such object"),
                Err(error) => tracing::debug!(class = error.class.name(), %error, "the store failed"),
            }
            answered
        };
        ask.instrument(span).await
    }

    fn bucket(&self, place: &Place) -> Result<Arc<dyn Objects>, ObjectError> {
        let ours = &self.inner.settings.endpoint;
        if place.store.trim_end_matches('/') != ours.trim_end_matches('/') {
            let (bucket, store) = (&place.bucket, &place.store);
            let sentence = format!(
                "bucket {bucket} lies at {store}, and this node has credentials for {ours} only: copy the archive to that store, or set \
                 archive.endpoint"
            );
            return Err(ObjectError::new(ErrorClass::AccessDenied, sentence));
        }
        let mut buckets = self.inner.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = buckets.get(&place.bucket) {
            return Ok(known.clone());
        }
        let bucket = open(&self.inner.settings, &place.bucket)?;
        buckets.insert(place.bucket.clone(), bucket.clone());
        Ok(bucket)
    }
}

#[cfg(feature = "s3")]
fn open(settings: &config::Archive, bucket: &str) -> Result<Arc<dyn Objects>, ObjectError> {
    use std::time::Duration;
    use strata_engine::objects::{Credentials, S3Objects, S3Settings};
    Ok(Arc::new(S3Objects::new(S3Settings {
        endpoint: settings.endpoint.clone(),
        region: settings.region.clone(),
        bucket: bucket.to_owned(),
        credentials: Credentials::Files {
            access_key_id: settings.access_key_id_file.clone(),
            secret_access_key: settings.secret_access_key_file.clone(),
        },
        connect_timeout: Duration::from_millis(limits::OBJECT_CONNECT_MILLIS_MAX),
        deadline: Duration::from_millis(limits::OBJECT_REQUEST_MILLIS_MAX),
    })))
}

#[cfg(not(feature = "s3"))]
fn open(settings: &config::Archive, bucket: &str) -> Result<Arc<dyn Objects>, ObjectError> {
    let endpoint = &settings.endpoint;
    let sentence = format!("bucket {bucket} at {endpoint} cannot be asked: this program was built without the feature s3");
    Err(ObjectError::new(ErrorClass::Internal, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc::sync_channel, time::Duration};
    use strata_engine::{objects::Request, tier::CallId};

    fn stores(runtime: Handle) -> ObjectStores {
        let settings = config::Archive {
            endpoint: "http://127.0.0.1:9".into(),
            region: "us-east-1".into(),
            bucket: "ours".into(),
            path: "shop/orders".into(),
            access_key_id_file: "/nowhere/id".into(),
            secret_access_key_file: "/nowhere/secret".into(),
            flush_interval_millis: 1_000,
            local_log_bound_bytes: 1 << 30,
            on_store_down: config::OnStoreDown::default(),
        };
        ObjectStores::new(&settings, runtime)
    }

    /// What becomes of a request, on the way that the host takes.
    fn asked(store: &str) -> ObjectError {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let place = Place { store: store.into(), bucket: "theirs".into() };
        let (sender, answers) = sync_channel(1);
        let call = Call { id: CallId(1), place, request: Request::get("key") };
        stores(runtime.handle().clone()).call(call, move |answered| sender.send(answered).expect("the test waits"));
        answers.recv_timeout(Duration::from_secs(20)).expect("the answer comes").expect_err("nobody listens there")
    }

    #[test]
    fn credentials_go_to_the_configured_endpoint_only() {
        let error = asked("http://10.9.9.9:7070");
        assert_eq!(error.class, ErrorClass::AccessDenied, "{error}");
        for word in ["theirs", "http://10.9.9.9:7070", "http://127.0.0.1:9", "archive.endpoint"] {
            assert!(error.message.contains(word), "{error}");
        }
    }

    #[cfg(feature = "s3")]
    #[test]
    fn any_bucket_of_the_configured_endpoint_is_asked() {
        for endpoint in ["http://127.0.0.1:9", "http://127.0.0.1:9/"] {
            let error = asked(endpoint);
            assert_eq!(error.class, ErrorClass::AccessDenied, "{error}");
            assert!(error.message.contains("/nowhere/id"), "the files of the configuration are read: {error}");
        }
    }
}
