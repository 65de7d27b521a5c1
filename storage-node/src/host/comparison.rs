//! Comparisons of replicas: an entry of the shard's log says where, and every replica digests what it held right behind that entry.
//!
//! ```text
//! order ─► entry ─► applied by every replica ─► a moment of its tablet ─► digested where nobody waits ─► told in reports
//! ```
//!
//! Replicas are at different entries at any moment, and a busy shard is never at rest; what all of them held at one entry can be compared. Nobody
//! collects the digests here: who asked reads the reports. Nothing of it outlives the process: an entry that is applied again is digested again.

use super::{
    Host,
    event::Effect,
    files::FilesWork,
    order::{no_such_shard, refused},
    replica::Replica,
};
use crate::{agreement::Comparison, descriptor::Applied, limits};
use strata_base::ShardId;
use strata_engine::tablet::TabletDigest;
use strata_node_api::{Answer, ComparisonReport, ComparisonState, RefusalClass};

/// What a replica held at the entry of the last comparison.
pub(super) struct Compared {
    number: u64,
    at: Applied,
    /// None while it is digested.
    found: Option<Result<TabletDigest, String>>,
}

impl<T> Host<T> {
    /// The order for a comparison. Given twice before the first is applied, it is in the log twice, and counts once.
    pub(super) fn order_comparison(&mut self, shard: ShardId, number: u64) -> Answer {
        let Some(replica) = self.replicas.get(&shard) else { return no_such_shard(shard) };
        if replica.compared.as_ref().is_some_and(|known| known.number == number) {
            return Answer::Done;
        }
        if !replica.is_serving() {
            return refused(RefusalClass::NotLeader, format!("this node does not lead shard {shard}"));
        }
        if self.propose_beside(shard, |hlc| Comparison { number, hlc }.encode()) {
            Answer::Accepted
        } else {
            refused(
                RefusalClass::NotReady,
                format!("shard {shard} takes no entry now, since its leadership moves or its log is busy: ask again"),
            )
        }
    }

    /// The entry of a comparison is applied, and nothing behind it.
    pub(super) fn begin_comparison(&mut self, replica: &mut Replica<T>, number: u64) {
        if replica.compared.as_ref().is_some_and(|known| known.number == number) {
            return;
        }
        let found = self.begin_digest(replica).err().map(Err);
        replica.compared = Some(Compared { number, at: replica.applied, found });
    }

    fn begin_digest(&mut self, replica: &Replica<T>) -> Result<(), String> {
        if self.digests >= limits::DIGESTS_MAX {
            let digests = self.digests;
            return Err(format!("it digests {digests} tablets already, some perhaps for nobody any more: ask again when that has ended"));
        }
        let tablet = replica.tablet.clone().ok_or("it has no tablet: wait until its leader has sent one")?;
        let moment = tablet.moment().map_err(|error| error.to_string())?;
        self.digests += 1;
        self.effects.push(Effect::Files(FilesWork::Digest { shard: replica.shard, index: replica.applied.index, moment }));
        Ok(())
    }

    /// The digest of what was held at an entry is there; perhaps another comparison has begun meanwhile, even one of the same number, where its order came
    /// again late.
    pub(super) fn on_digested(&mut self, shard: ShardId, index: u64, result: Result<TabletDigest, String>) {
        self.digests = self.digests.saturating_sub(1);
        let compared = self.replicas.get_mut(&shard).and_then(|replica| replica.compared.as_mut());
        if let Some(known) = compared.filter(|known| known.at.index == index) {
            known.found = Some(result);
        }
    }
}

impl Compared {
    pub(super) fn report(&self) -> ComparisonReport {
        let Applied { index, term, hlc, counts } = self.at;
        let state = match &self.found {
            None => ComparisonState::Digesting,
            Some(Ok(digest)) => ComparisonState::Done { records: digest.records, digest: digest.to_string() },
            Some(Err(message)) => ComparisonState::Failed { message: message.clone() },
        };
        ComparisonReport { comparison: self.number, index, term, hlc, keys: counts.keys, expires: counts.expires, state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{descriptor::ReplicaRecord, host::start::tests::host_over};
    use strata_base::PeerId;
    use strata_engine::{
        log::LogState,
        tablet::{MemoryTablet, Tablet},
    };

    #[test]
    fn a_digest_of_another_entry_is_not_taken_for_that_of_the_last_comparison() {
        let (truncated_index, truncated_term, archived_index, archived_hlc) = Default::default();
        let here = ReplicaRecord::Here { peer: PeerId(1), generation: 0, truncated_index, truncated_term, archived_index, archived_hlc };
        let (mut host, shard) = host_over(vec![(LogState::Replica, here.encode())]);
        let compared = Compared { number: 1, at: Applied { index: 9, ..Applied::default() }, found: None };
        host.replicas.get_mut(&shard).expect("it is there").compared = Some(compared);
        let digest = || TabletDigest::of(&*MemoryTablet::default().snapshot()).map_err(|error| error.to_string());
        for (index, is_taken) in [(5, false), (9, true)] {
            host.on_digested(shard, index, digest());
            let found = host.replicas[&shard].compared.as_ref().and_then(|known| known.found.as_ref());
            assert_eq!(found.is_some(), is_taken, "the digest of entry {index}");
        }
    }
}
