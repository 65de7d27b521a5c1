//! Applying committed entries: bytes into the tablet, in one batch with the applied index; then the replies.

use super::{Host, Outcome, order::ChangeContext, replica::Replica, tier::archived_entry};
use crate::{
    agreement::{Agreed, Agreement, Comparison, LogEntry},
    bridge::apply_effect,
    descriptor::{APPLIED_KEY, Applied, DESCRIPTOR_KEY},
};
use bytes::Bytes;
use std::vec::IntoIter;
use strata_base::{
    Epoch,
    planted::{Mistake, planted},
};
use strata_engine::tablet::{TabletChange, TabletFamily};
use strata_node_api::MemberChange;
use strata_raft_group::{Committed, Payload};

impl<T> Host<T> {
    /// Applies entries in order. An entry that cannot be applied stops the replica; none is ever skipped.
    pub(super) fn apply(&mut self, replica: &mut Replica<T>, committed: Vec<Committed>) {
        let mut committed = committed.into_iter();
        while committed.len() > 0 && replica.stopped.is_none() {
            self.apply_batch(replica, &mut committed);
        }
    }

    /// Applies entries in one batch, the first comparison being the last of them: what is compared is what the tablet holds right behind it.
    fn apply_batch(&mut self, replica: &mut Replica<T>, committed: &mut IntoIter<Committed>) {
        let mut changes = Vec::new();
        let mut applied = replica.applied;
        let mut places = Vec::with_capacity(committed.len());
        let mut archived = Vec::new();
        let mut comparison = None;
        while comparison.is_none()
            && let Some(entry) = committed.next()
        {
            places.push((entry.index, entry.term));
            let for_archive = self.tier.is_some().then(|| archived_entry(&entry, applied.hlc));
            match apply_entry(replica, entry, &mut changes, &mut applied) {
                Ok(found) => comparison = found,
                Err(reason) => return self.stop(replica, reason),
            }
            archived.extend(for_archive.map(|entry| strata_engine::tier::Entry { hlc: applied.hlc, ..entry }));
        }
        changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(APPLIED_KEY), applied.encode()));
        let Some(tablet) = &replica.tablet else { return self.stop(replica, "it has entries to apply and no tablet".to_owned()) };
        if let Err(error) = tablet.write(changes) {
            return self.stop(replica, error.to_string());
        }
        replica.applied = applied;
        replica.tell_lease();
        replica.group.applied(applied.index);
        if let Some(comparison) = comparison {
            self.begin_comparison(replica, comparison.number);
        }
        self.tell_committed(replica, archived);
        for (index, term) in places {
            self.resolve(replica, index, term);
        }
        for pending in replica.take_overtaken() {
            self.refuse_pending(pending);
        }
    }

    /// An entry is applied: the commands it carries are done, those it overwrote are not.
    fn resolve(&mut self, replica: &mut Replica<T>, index: u64, term: u64) {
        let Some(pending) = replica.pending.remove(&index) else { return };
        if pending.term != term && !planted(Mistake::IndexWithoutTerm) {
            return self.refuse_pending(pending);
        }
        if replica.is_serving() {
            replica.overlay.applied(pending.round);
        }
        for (token, reply) in pending.replies {
            self.done(token, Outcome::Reply(reply));
        }
    }

    /// The replica can go on no more. The others of its shard can.
    pub(super) fn stop(&mut self, replica: &mut Replica<T>, reason: String) {
        replica.stopped.get_or_insert(reason);
    }
}

/// A document counts if its number follows the last one.
fn agree<T>(replica: &mut Replica<T>, agreement: Agreement, changes: &mut Vec<TabletChange>) {
    let Agreement { kind, number, document, .. } = agreement;
    let next = replica.agreed.get(&kind).map_or(0, |last| last.number + 1);
    if number == next {
        let agreed = Agreed { number, document };
        changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(kind.key()), agreed.encode()));
        replica.agreed.insert(kind, agreed);
    }
}

/// Adds what an entry does to a batch; tells where it asks for a comparison.
fn apply_entry<T>(
    replica: &mut Replica<T>,
    committed: Committed,
    changes: &mut Vec<TabletChange>,
    applied: &mut Applied,
) -> Result<Option<Comparison>, String> {
    let Committed { index, term, payload } = committed;
    assert!(index > applied.index, "entries are applied once and in order: {index} after {}", applied.index);
    (applied.index, applied.term) = (index, term);
    match payload {
        Payload::Empty => {}
        Payload::Normal(bytes) => {
            replica.unflushed_bytes += bytes.len() as u64;
            let entry = LogEntry::decode(bytes).map_err(|error| format!("cannot apply entry {index}: {error}"))?;
            applied.hlc = applied.hlc.max(entry.hlc());
            match entry {
                LogEntry::Commands(entry) => {
                    replica.last_write = index;
                    for effect in entry.effects {
                        apply_effect(effect, changes, &mut applied.counts);
                    }
                }
                LogEntry::Agreement(agreement) => agree(replica, agreement, changes),
                LogEntry::Comparison(comparison) => return Ok(Some(comparison)),
            }
        }
        Payload::Change { context, change } => {
            replica.suspend_lease();
            let configuration = replica.group.apply_change(&change).map_err(|error| format!("cannot apply entry {index}: {error}"))?;
            let descriptor = replica.descriptor.as_mut().ok_or("a change of members reached a replica without a descriptor")?;
            for change in ChangeContext::decode(&context)?.changes {
                if let MemberChange::Put { member } = change {
                    descriptor.stores.retain(|(peer, _)| *peer != member.peer);
                    descriptor.stores.push((member.peer, member.store));
                }
            }
            descriptor.set_configuration(&configuration);
            descriptor.epoch = Epoch(descriptor.epoch.0 + 1);
            changes.push(TabletChange::Put(TabletFamily::System, Bytes::from_static(DESCRIPTOR_KEY), descriptor.encode()));
        }
    }
    Ok(None)
}
