//! What the API server is told by kubectl, as people do it, and what it says, typed.

use super::command::{Call, Said};
use crate::{failure::Failure, harness::wait};
use kube::{Api, Client, Resource, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;
use std::{fmt::Debug, path::Path, time::Duration};

/// How long one call of kubectl may take.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// How long one read may take.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// The namespace of all that is declared here.
pub const NAMESPACE: &str = "default";

/// An API server: the one that `KUBECONFIG` names.
#[derive(Clone)]
pub struct Kube {
    client: Client,
}

/// What [`Kube`] reads: plain objects of the namespace.
pub trait Kind: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned {}
impl<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned> Kind for K {}

impl Kube {
    /// The API server of the environment.
    pub async fn connect() -> Result<Kube, Failure> {
        let client = Client::try_default().await.map_err(Failure::of("reach Kubernetes (is KUBECONFIG set?)"))?;
        Ok(Kube { client })
    }

    /// Applies a manifest.
    pub async fn apply(&self, manifest: &str) -> Result<(), Failure> {
        kubectl(&["apply", "--filename", "-"]).input(manifest).run().await.map(drop)
    }

    /// Applies a file, or every file of a folder.
    pub async fn apply_file(&self, path: &Path) -> Result<(), Failure> {
        kubectl(&["apply", "--filename", &path.display().to_string()]).run().await.map(drop)
    }

    /// Applies a manifest that must be refused; gives the refusal.
    pub async fn refusal(&self, manifest: &str) -> Result<String, Failure> {
        let said = kubectl(&["apply", "--filename", "-"]).input(manifest).say().await?;
        let taken = || format!("the API server took what it must refuse:\n{manifest}");
        Failure::unless(!said.status.success(), taken)?;
        Ok(said.errors.trim().to_owned())
    }

    /// Deletes objects, and waits until they are gone. What is not there is deleted already.
    pub async fn delete(&self, arguments: &[&str]) -> Result<(), Failure> {
        let mut all = vec!["delete", "--ignore-not-found", "--timeout=50s"];
        all.extend(arguments);
        kubectl(&all).run().await.map(drop)
    }

    /// Merges a patch into an object.
    pub async fn patch(&self, kind: &str, name: &str, patch: &str) -> Result<(), Failure> {
        kubectl(&["patch", kind, name, "--type", "merge", "--patch", patch]).run().await.map(drop)
    }

    /// Any other thing that kubectl does.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String, Failure> {
        kubectl(arguments).run().await
    }

    /// The same, with a manifest as its input.
    pub async fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> Result<String, Failure> {
        kubectl(arguments).input(manifest).run().await
    }

    /// A command within a pod, however it ends.
    pub async fn exec(&self, pod: &str, command: &[&str]) -> Result<Said, Failure> {
        let mut all = vec!["exec", pod, "--"];
        all.extend(command);
        kubectl(&all).say().await
    }

    /// After a failure: what Kubernetes and the operator say.
    pub async fn autopsy(&self) -> String {
        let mut text = String::new();
        for arguments in [
            &["get", "kvc,pods,pvc", "--output", "wide"][..],
            &["get", "kvc", "--output", "jsonpath={range .items[*]}{.metadata.name}: {.status}{'\\n'}{end}"],
            &["get", "events", "--field-selector", "type=Warning", "--sort-by", ".lastTimestamp"],
            &["logs", "deployment/strata", "--tail", "8"],
        ] {
            text += &self.kubectl(arguments).await.unwrap_or_else(|failure| failure.to_string());
        }
        text
    }

    /// An object as it is now; `None` if there is none.
    pub async fn find<K: Kind>(&self, name: &str) -> Result<Option<K>, Failure> {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        let what = format!("read {} {name}", K::kind(&()));
        match tokio::time::timeout(READ_DEADLINE, api.get_opt(name)).await {
            Ok(found) => found.map_err(Failure::of(what)),
            Err(_) => Err(Failure::Late { what, seconds: READ_DEADLINE.as_secs(), seen: "no answer".to_owned() }),
        }
    }

    /// All objects with these labels.
    pub async fn list<K: Kind>(&self, labels: &str) -> Result<Vec<K>, Failure> {
        let api: Api<K> = Api::namespaced(self.client.clone(), NAMESPACE);
        let (what, wanted) = (format!("list {} with {labels}", K::kind(&())), ListParams::default().labels(labels));
        match tokio::time::timeout(READ_DEADLINE, api.list(&wanted)).await {
            Ok(found) => Ok(found.map_err(Failure::of(what))?.items),
            Err(_) => Err(Failure::Late { what, seconds: READ_DEADLINE.as_secs(), seen: "no answer".to_owned() }),
        }
    }

    /// Looks at an object until `condition` gives a value; what it says otherwise is what a late failure repeats.
    pub async fn until<K: Kind, T>(
        &self,
        name: &str,
        deadline: Duration,
        what: &str,
        mut condition: impl FnMut(&K) -> Result<T, String>,
    ) -> Result<T, Failure> {
        wait::until(deadline, what, async || {
            wait::pause(LOOK).await;
            let found = self.find::<K>(name).await.map_err(|failure| failure.to_string())?;
            condition(&found.ok_or_else(|| format!("there is no {} {name}", K::kind(&())))?)
        })
        .await
    }
}

/// How often an object is read while something is waited for: an API server is not to be worn out.
const LOOK: Duration = Duration::from_millis(100);

fn kubectl(arguments: &[&str]) -> Call {
    Call::new("kubectl", arguments, CALL_DEADLINE)
}
