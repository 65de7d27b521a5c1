//! What every status is made of: conditions, phases of jobs, and errors of one closed list of classes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One aspect of an object's state, as `kubectl wait --for=condition=TYPE` reads it.
pub type Condition = k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// The classes of errors: a closed list, shared by the reasons of conditions and events and by the labels of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ErrorClass {
    /// The object store refused the credentials, or they do not permit this. Correct the Secret or the bucket's policy.
    AccessDenied,
    /// The bucket does not exist. Create it, or correct its name.
    NoSuchBucket,
    /// The store was reached, and has no such object.
    NotFound,
    /// The name of the endpoint does not resolve.
    Dns,
    /// The endpoint's certificate is not trusted.
    Tls,
    /// The store refused the time of the request, or a node's clock is far from those of the others. Correct the clock.
    ClockSkew,
    /// The store asks to slow down.
    Throttled,
    /// No answer within the deadline.
    Timeout,
    /// No connection, or it broke.
    Unreachable,
    /// Something answered that is no S3 store. Correct the endpoint.
    NotS3,
    /// Bytes are not what was stored. The message names the object.
    Damaged,
    /// The path in the bucket belongs to another living cluster. Choose another path.
    ForeignOwner,
    /// A Secret does not exist or lacks an entry.
    SecretMissing,
    /// A referenced object does not exist.
    ReferenceMissing,
    /// Pods do not report, or wait for their volumes. Silence is not emptiness: nothing is decided without them.
    NodesSilent,
    /// A volume belongs to another cluster.
    ForeignStore,
    /// Some volumes survived, too few to go on with. The message says what each choice would lose.
    AmbiguousBootstrap,
    /// More than one incarnation lives under the path. Choose one with a KVRestore.
    AmbiguousLineage,
    /// The path holds a cluster, and the policy is to initialise.
    BucketInUse,
    /// The path holds no cluster, and the policy is to restore.
    NothingToRestore,
    /// The wanted moment is later than what the bucket holds.
    TargetBeyondEnd,
    /// The wanted moment is earlier than what the bucket holds.
    TargetTooEarly,
    /// Shards have no quorum.
    QuorumLost,
    /// Shards have fewer replicas than declared.
    UnderReplicated,
    /// A node's disk is below its reserve. Grow the volume or delete data.
    DiskFull,
    /// A node's disk takes long to sync.
    DiskSlow,
    /// A replica stopped because applying an entry failed.
    ReplicaStopped,
    /// A node's software is older than what its disk holds, or than the declared version.
    WrongVersion,
    /// What no other class describes; the message says what.
    Internal,
}

impl ErrorClass {
    /// The whole list.
    pub const ALL: [ErrorClass; 29] = [
        ErrorClass::AccessDenied,
        ErrorClass::NoSuchBucket,
        ErrorClass::NotFound,
        ErrorClass::Dns,
        ErrorClass::Tls,
        ErrorClass::ClockSkew,
        ErrorClass::Throttled,
        ErrorClass::Timeout,
        ErrorClass::Unreachable,
        ErrorClass::NotS3,
        ErrorClass::Damaged,
        ErrorClass::ForeignOwner,
        ErrorClass::SecretMissing,
        ErrorClass::ReferenceMissing,
        ErrorClass::NodesSilent,
        ErrorClass::ForeignStore,
        ErrorClass::AmbiguousBootstrap,
        ErrorClass::AmbiguousLineage,
        ErrorClass::BucketInUse,
        ErrorClass::NothingToRestore,
        ErrorClass::TargetBeyondEnd,
        ErrorClass::TargetTooEarly,
        ErrorClass::QuorumLost,
        ErrorClass::UnderReplicated,
        ErrorClass::DiskFull,
        ErrorClass::DiskSlow,
        ErrorClass::ReplicaStopped,
        ErrorClass::WrongVersion,
        ErrorClass::Internal,
    ];

    /// The class of this name, as it is written in reasons and labels; `None` if the list has none.
    pub fn named(name: &str) -> Option<ErrorClass> {
        ErrorClass::ALL.into_iter().find(|class| class.name() == name)
    }

    /// Its name, as it is written in reasons and labels.
    pub fn name(self) -> String {
        format!("{self:?}")
    }
}

/// An error, and for how long it has been one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What kind.
    pub class: ErrorClass,
    /// What, and what to do, in one sentence.
    pub message: String,
    /// Whether it is tried again without anybody's doing.
    pub retryable: bool,
    /// Since when.
    pub since: Time,
    /// How often it was tried.
    pub attempts: i32,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JobPhase {
    /// Not begun.
    #[default]
    Pending,
    /// Under way.
    Running,
    /// Held up by something that may pass; it goes on by itself.
    Waiting,
    /// Done, for ever.
    Complete,
    /// Given up, for ever: make another object to try again.
    Failed,
}

impl JobPhase {
    /// Whether nothing changes any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, JobPhase::Complete | JobPhase::Failed)
    }
}

/// A moment, as statuses hold it; the end of time for what no calendar has.
pub fn time_of_millis(unix_millis: u64) -> Time {
    let moment = i64::try_from(unix_millis).ok().and_then(|millis| k8s_openapi::jiff::Timestamp::from_millisecond(millis).ok());
    Time(moment.unwrap_or(k8s_openapi::jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_name() {
        for class in ErrorClass::ALL {
            assert_eq!(ErrorClass::named(&class.name()), Some(class));
            assert_eq!(serde_json::to_value(class).expect("a class is JSON"), class.name());
        }
    }
}
