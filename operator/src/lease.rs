//! One operator leads: a small election over the Lease API.
//!
//! The lease's transitions are the epoch that orders begin from, so an operator that was thought dead and comes back is refused by nodes.
//! Who cannot renew ends its process before another one may take over. Expiry is judged by observed change and the taker's own beats, never by
//! comparing clocks.

use crate::{
    act,
    error::Error,
    limits::{LEASE_BEAT, LEASE_BEATS_EXPIRED, LEASE_BEATS_HELD},
};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{Api, api::ObjectMeta};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// A lease that is held.
pub struct Held {
    api: Api<Lease>,
    lease: Lease,
}

/// Waits until the lease is ours.
pub async fn acquire(api: Api<Lease>, name: &str, identity: &str) -> Result<Held, Error> {
    let mut beat = interval(LEASE_BEAT);
    let mut unchanged = 0;
    let mut last: Option<Option<String>> = None;
    loop {
        beat.tick().await;
        let found = api.get_opt(name).await?;
        let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        unchanged = if last.as_ref() == Some(&version) { unchanged + 1 } else { 0 };
        last = Some(version);
        if let Some(taken) = take(&api, found, name, identity, unchanged).await? {
            tracing::info!(name, identity, transitions = transitions(&taken), "leads");
            return Ok(Held { api, lease: taken });
        }
    }
}

/// Takes a lease that is nobody's, ours or expired. `None` where it is another one's, or another one was quicker.
async fn take(api: &Api<Lease>, found: Option<Lease>, name: &str, identity: &str, unchanged: u32) -> Result<Option<Lease>, Error> {
    let taken = match found {
        None => {
            let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(spec(identity, 1)) };
            act::create_lease(api, &lease).await
        }
        Some(mut lease) => {
            let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
            if !holder.is_empty() && holder != identity && unchanged < LEASE_BEATS_EXPIRED {
                return Ok(None);
            }
            let transitions = i32::try_from(transitions(&lease)).unwrap_or(i32::MAX).saturating_add(1);
            lease.spec = Some(spec(identity, transitions));
            act::replace_lease(api, name, &lease).await
        }
    };
    match taken {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn spec(identity: &str, transitions: i32) -> LeaseSpec {
    let seconds = LEASE_BEAT.as_secs() * u64::from(LEASE_BEATS_EXPIRED);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(seconds).ok(),
        lease_transitions: Some(transitions),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    }
}

fn transitions(lease: &Lease) -> u64 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
}

impl Held {
    /// How often the leadership has changed hands.
    pub fn transitions(&self) -> u64 {
        transitions(&self.lease)
    }

    /// Renews until that is not possible any more, and says why. The caller's process must end then.
    pub async fn keep(mut self) -> String {
        let mut beat = interval(LEASE_BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut missed = 0;
        loop {
            beat.tick().await;
            let name = self.lease.metadata.name.clone().unwrap_or_default();
            if let Some(spec) = &mut self.lease.spec {
                spec.renew_time = Some(MicroTime(Timestamp::now()));
            }
            match timeout(LEASE_BEAT, act::replace_lease(&self.api, &name, &self.lease)).await {
                Ok(Ok(lease)) => {
                    self.lease = lease;
                    missed = 0;
                }
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
                    return format!("the lease {name} was taken or deleted by somebody else");
                }
                Ok(Err(_)) | Err(_) => missed += 1,
            }
            if missed >= LEASE_BEATS_HELD {
                return format!("the lease {name} could not be renewed: the API server does not answer");
            }
        }
    }
}
