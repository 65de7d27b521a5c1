//! Snapshots: a tablet's files instead of a log that is no longer there.

use super::{Host, Outcome, event::Effect, replica::Replica};
use crate::{
    agreement::{Agreed, AgreementKind},
    descriptor::{APPLIED_KEY, Applied, DESCRIPTOR_KEY, Descriptor},
};
use bytes::Bytes;
use std::{collections::BTreeMap, sync::Arc};
use strata_base::{
    PeerId, ShardId,
    planted::{Mistake, planted},
};
use strata_engine::{
    log::{LogState, ReplicaBatch},
    tablet::{Tablet, TabletFamily},
};
use strata_raft_group::SnapshotInstall;

impl<T> Host<T> {
    /// A snapshot is here, whole. Its tablet says which entry it holds; the message may say an earlier one, since files are taken after it.
    pub(super) fn on_snapshot_arrived(&mut self, shard: ShardId, from: PeerId, to: PeerId, bytes: &Bytes, tablet: Arc<dyn Tablet>) {
        let Some(replica) = self.replicas.get_mut(&shard) else { return };
        if replica.group.peer() != to || replica.stopped.is_some() {
            return;
        }
        let Ok(State { applied, descriptor, .. }) = read_state(&tablet) else { return };
        if descriptor.store_of(from).is_none() {
            return;
        }
        // Raft may refuse it, and have taken another one in this very turn.
        if replica.group.receive_snapshot(bytes, (applied.index, applied.term), &descriptor.configuration()) {
            replica.arrived = Some(tablet);
        }
        self.touch(shard);
    }

    pub(super) fn on_snapshot_sent(&mut self, shard: ShardId, to: PeerId, succeeded: bool) {
        if let Some(replica) = self.replicas.get_mut(&shard) {
            replica.group.snapshot_sent(to, succeeded);
            self.touch(shard);
        }
    }

    /// Raft took the snapshot: its tablet becomes the next generation. The record that says so goes into the log, synced, together with the
    /// cut of everything before; until then a crash leaves the old generation in force.
    pub(super) fn install_snapshot(&mut self, replica: &mut Replica<T>, install: &SnapshotInstall) {
        let Some(arrived) = replica.arrived.take() else {
            return self.stop(replica, "Raft took a snapshot that never arrived".to_owned());
        };
        let generation = 1 + replica.generation.max(self.generations_gone.get(&replica.shard).copied().unwrap_or(0));
        let adopted = self.stores.tablets.adopt(replica.shard, generation, &arrived);
        let state = adopted.and_then(|tablet| read_state(&tablet).map(|state| (tablet, state)));
        let (tablet, State { applied, descriptor, agreed }) = match state {
            Ok(found) => found,
            Err(error) => return self.stop(replica, error.to_string()),
        };
        assert_eq!((applied.index, applied.term), (install.index, install.term), "the snapshot's tablet holds what Raft was told");
        replica.tablet = Some(tablet);
        replica.generation = generation;
        replica.applied = if planted(Mistake::SnapshotWithoutHlc) { Applied { hlc: replica.applied.hlc, ..applied } } else { applied };
        replica.flushed = applied.index;
        replica.is_flushing = false;
        replica.unflushed_bytes = 0;
        replica.hlc = replica.hlc.max(applied.hlc);
        replica.descriptor = Some(descriptor);
        replica.agreed = agreed;
        replica.last_write = applied.index;
        replica.correspondents.clear();
        replica.is_recorded = true;
        let states = vec![(LogState::Replica, replica.record().encode())];
        let (drop_after, cut_before) = (Some(install.index), Some(install.index + 1));
        self.append(ReplicaBatch { shard: replica.shard, drop_after, cut_before, entries: Vec::new(), states }, true);
        let write = self.next_write();
        self.after_write.push((write, Effect::RetainTablet { shard: replica.shard, keep: Some(generation) }));
        self.end_covered(replica, install.index);
    }

    /// Entries that the snapshot covers: whether ours were among them nobody can say.
    fn end_covered(&mut self, replica: &mut Replica<T>, index: u64) {
        let later = replica.pending.split_off(&(index + 1));
        for pending in std::mem::replace(&mut replica.pending, later).into_values() {
            for (token, _) in pending.replies {
                self.done(token, Outcome::Unknown("a snapshot replaced the log that would tell"));
            }
        }
    }
}

/// What a tablet says of itself.
pub(super) struct State {
    pub(super) applied: Applied,
    pub(super) descriptor: Descriptor,
    pub(super) agreed: BTreeMap<AgreementKind, Agreed>,
}

/// Reads what a tablet says of itself.
pub(super) fn read_state(tablet: &Arc<dyn Tablet>) -> Result<State, strata_engine::EngineError> {
    let damaged = |reason: &str| strata_engine::EngineError::Damaged { what: "a tablet".to_owned(), reason: reason.to_owned() };
    let applied = tablet.get(TabletFamily::System, APPLIED_KEY)?.ok_or_else(|| damaged("it has no applied state"))?;
    let applied = Applied::decode(&applied).ok_or_else(|| damaged("its applied state does not decode"))?;
    let descriptor = tablet.get(TabletFamily::System, DESCRIPTOR_KEY)?.ok_or_else(|| damaged("it has no descriptor"))?;
    let descriptor = Descriptor::decode(&descriptor).map_err(|reason| damaged(&reason))?;
    let mut agreed = BTreeMap::new();
    for kind in AgreementKind::ALL {
        if let Some(value) = tablet.get(TabletFamily::System, kind.key())? {
            agreed.insert(kind, Agreed::decode(value).ok_or_else(|| damaged("an agreed document does not decode"))?);
        }
    }
    Ok(State { applied, descriptor, agreed })
}
