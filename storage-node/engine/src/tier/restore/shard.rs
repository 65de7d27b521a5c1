//! The plan of one shard.

use super::{Heads, Options, PlanError, RunPlace, ShardPlan, Step, Target};
use crate::tier::{
    Cut,
    documents::{CheckpointDocument, ParentReference},
    layout::{LifeId, Name},
    lineage::{self, Stretch},
    survey::{LifeSurvey, Survey},
};
use strata_base::{Hlc, ShardId, SlotRange, TableId};

type Base = Option<(ParentReference, CheckpointDocument)>;

pub(super) struct Scope<'a> {
    pub(super) survey: &'a Survey,
    pub(super) target: &'a Target,
    pub(super) options: &'a Options,
    pub(super) heads: &'a Heads,
    pub(super) past: &'a [Stretch],
    pub(super) shard: ShardId,
}

/// A place whose heads must be read before the plan is possible.
type Need = RunPlace;

impl Scope<'_> {
    pub(super) fn plan(&self, table: TableId, slots: SlotRange) -> Result<Result<ShardPlan, Need>, PlanError> {
        let base = self.base()?;
        let start = base.as_ref().map_or(self.start(), |(_, document)| document.at);
        let pieces = self.pieces();
        let (mut steps, torn) = contiguous(&pieces, start.index);
        let reached = steps.last().map_or(start.index, |step| step.to);
        let cut = match self.cut(start, &mut steps) {
            Ok(Ok(cut)) => cut,
            Ok(Err(need)) => return Ok(Err(need)),
            Err(error) => return Err(if self.options.accept_damage { error } else { self.check_damage(start.hlc).err().unwrap_or(error) }),
        };
        // Where the log goes on behind the cut, nothing is missing before it.
        if cut.index == reached && !matches!(self.target, Target::Cuts(_)) && !self.options.accept_damage {
            self.check_damage(start.hlc)?;
        }
        if base.is_none() {
            self.check_beginning(cut)?;
        }
        let gap = if cut.index < reached { None } else { torn.or_else(|| self.known_behind(reached)) };
        Ok(Ok(ShardPlan { shard: self.shard, table, slots, base, steps, cut, gap }))
    }

    /// What only a later checkpoint has: nobody can tell which of it came before the target.
    fn known_behind(&self, reached: u64) -> Option<(u64, u64)> {
        let behind = self.checkpoints().map(|(_, document)| document.at.index).filter(|index| *index > reached).min()?;
        Some((reached, behind + 1))
    }

    /// Where the shard began empty.
    fn start(&self) -> Cut {
        self.past.first().map_or(Cut::default(), |oldest| oldest.start)
    }

    /// The last moment that counts, and the last index.
    fn bounds(&self) -> Result<(Hlc, u64), PlanError> {
        let until = |ms: u64| Hlc::from_u64(Hlc::from_millis(ms.saturating_add(1)).as_u64() - 1);
        match self.target {
            Target::Latest => Ok((Hlc::MAX, u64::MAX)),
            Target::Time(ms) | Target::Backup { until_ms: ms, .. } => Ok((until(*ms), u64::MAX)),
            Target::Cuts(cuts) => {
                let cut = cuts.get(&self.shard).ok_or(PlanError::ShardNotNamed { shard: self.shard })?;
                Ok((Hlc::MAX, cut.index))
            }
        }
    }

    /// All checkpoints on the shard's past, with their places.
    fn checkpoints(&self) -> impl Iterator<Item = (&Stretch, &CheckpointDocument)> {
        self.past.iter().flat_map(|stretch| {
            let found = self.survey.incarnations.get(&stretch.at).and_then(|found| found.checkpoints.get(&stretch.shard));
            found.into_iter().flat_map(|documents| documents.values()).filter_map(move |document| {
                let Cut { fork_epoch, index, .. } = document.at;
                // A child may checkpoint before its first entry: then it holds its parent's last one.
                let at_cut = stretch.origin.is_some_and(|origin| (origin.cut.fork_epoch, origin.cut.index) == (fork_epoch, index));
                let empty = stretch.origin.is_none() && index == stretch.start.index;
                if stretch.holds(fork_epoch, index) || (at_cut && index <= stretch.until) || empty {
                    Some((stretch, document))
                } else {
                    None
                }
            })
        })
    }

    fn base(&self) -> Result<Base, PlanError> {
        if let Target::Backup { checkpoints, .. } = self.target {
            let number = checkpoints.get(&self.shard).ok_or(PlanError::ShardNotNamed { shard: self.shard })?;
            let own = self.past.last().ok_or(PlanError::ShardNotNamed { shard: self.shard })?;
            let key = own.at.path.key(Name::Checkpoint(own.at.incarnation, own.shard, *number));
            let found = self.checkpoints().find(|(stretch, document)| stretch.at == own.at && document.number == *number);
            return match (found, self.survey.damaged.get(&(own.at.place.clone(), key.clone()))) {
                (Some((stretch, document)), _) => Ok(Some((stretch.at.clone(), document.clone()))),
                (None, Some(what)) => Err(PlanError::Damaged { key, what: what.clone() }),
                (None, None) => Err(PlanError::Missing { key }),
            };
        }
        let (until, last) = self.bounds()?;
        let reachable = self.checkpoints().filter(|(_, document)| document.at.hlc <= until && document.at.index <= last);
        let newest = reachable.max_by_key(|(_, document)| (document.at.index, document.at.fork_epoch, document.number));
        Ok(newest.map(|(stretch, document)| (stretch.at.clone(), document.clone())))
    }

    fn lives(&self) -> impl Iterator<Item = (&Stretch, &LifeSurvey, LifeId)> {
        self.past.iter().flat_map(|stretch| {
            let lives = self.survey.incarnations.get(&stretch.at).into_iter().flat_map(|found| &found.lives);
            lives.map(move |(life, survey)| (stretch, survey, *life))
        })
    }

    /// Everything of the log that counts, as steps of whole runs cut to the stretches they count in.
    fn pieces(&self) -> Vec<Step> {
        let mut pieces = Vec::new();
        for (stretch, survey, _) in self.lives() {
            for (footer, _) in survey.objects() {
                for (run, number) in footer.runs.iter().zip(0..).filter(|(run, _)| run.shard == stretch.shard) {
                    let Some((after, until)) = stretch.bounds_of(run.fork_epoch) else { continue };
                    let (from, to) = (run.first.max(after + 1), run.last.min(until));
                    if from <= to {
                        let place = RunPlace { at: stretch.at.clone(), object: footer.at, run: number };
                        pieces.push(Step { place, run: run.clone(), from, to });
                    }
                }
            }
        }
        pieces.sort_by(|one, other| (one.from, other.to, &one.place).cmp(&(other.from, one.to, &other.place)));
        pieces
    }

    /// Cuts the steps where the target ends.
    fn cut(&self, start: Cut, steps: &mut Vec<Step>) -> Result<Result<Cut, Need>, PlanError> {
        let (until, last) = self.bounds()?;
        let mut kept = 0;
        for step in steps.iter_mut() {
            if step.from > last || (step.from == step.run.first && step.run.first_hlc > until) {
                break;
            }
            step.to = step.to.min(last);
            kept += 1;
            if step.run.last_hlc > until {
                let Some(heads) = self.heads.get(&step.place) else { return Ok(Err(step.place.clone())) };
                let inside = heads.iter().filter(|(index, ..)| (step.from..=step.to).contains(index));
                let end = inside.take_while(|(_, _, hlc)| *hlc <= until).last();
                match end {
                    None => kept -= 1,
                    Some((index, ..)) if *index == step.to => continue,
                    Some((index, ..)) => step.to = *index,
                }
                break;
            }
        }
        steps.truncate(kept);
        let cut = match steps.last() {
            None => start,
            Some(step) => match self.position(step) {
                Some(cut) => cut,
                None => return Ok(Err(step.place.clone())),
            },
        };
        match self.target {
            Target::Cuts(cuts) => match cuts.get(&self.shard) {
                Some(wanted) if *wanted == cut => Ok(Ok(cut)),
                Some(wanted) => Err(PlanError::CutUnreachable { shard: self.shard, cut: *wanted, reached: cut.index }),
                None => Err(PlanError::ShardNotNamed { shard: self.shard }),
            },
            _ => Ok(Ok(cut)),
        }
    }

    /// The position of a step's last entry, where it is known.
    fn position(&self, step: &Step) -> Option<Cut> {
        let run = &step.run;
        let (term, hlc) = if step.to == run.last {
            (run.last_term, run.last_hlc)
        } else {
            self.heads.get(&step.place)?.iter().find(|(index, ..)| *index == step.to).map(|(_, term, hlc)| (*term, *hlc))?
        };
        Some(Cut { fork_epoch: run.fork_epoch, index: step.to, term, hlc })
    }

    /// Without a base the shard began empty. Where a later checkpoint knows more than the log reaches, the log's beginning is gone.
    fn check_beginning(&self, cut: Cut) -> Result<(), PlanError> {
        if let Some(oldest) = self.past.first() {
            lineage::require_parent(self.survey, oldest)?;
        }
        let earliest = self.checkpoints().map(|(_, document)| document.at).min_by_key(|at| at.index);
        match (self.target, earliest) {
            (Target::Time(target_ms), Some(at)) if cut.index == self.start().index && at.index > cut.index && !self.reaches(at.index) => {
                Err(PlanError::TooEarly { shard: self.shard, earliest_ms: at.hlc.millis(), target_ms: *target_ms })
            }
            _ => Ok(()),
        }
    }

    /// Whether the log alone reaches an index from the shard's beginning.
    fn reaches(&self, index: u64) -> bool {
        contiguous(&self.pieces(), self.start().index).0.last().is_some_and(|step| step.to >= index)
    }

    /// Refuses what may be lost in damaged or missing objects: all but those that hold nothing later than the base.
    fn check_damage(&self, base: Hlc) -> Result<(), PlanError> {
        for (stretch, survey, life) in self.lives() {
            for seq in survey.unreadable().chain(survey.missing()) {
                if survey.behind(seq).is_some_and(|behind| behind.made <= base) {
                    continue;
                }
                let key = stretch.at.path.key(Name::Log(stretch.at.incarnation, life, seq));
                return Err(match self.survey.damaged.get(&(stretch.at.place.clone(), key.clone())) {
                    Some(what) => PlanError::Damaged { key, what: what.clone() },
                    None => PlanError::Missing { key },
                });
            }
        }
        Ok(())
    }
}

/// The steps that follow `start` without a gap, each index once; and the gap behind them, if anything lies beyond.
fn contiguous(pieces: &[Step], start: u64) -> (Vec<Step>, Option<(u64, u64)>) {
    let mut steps: Vec<Step> = Vec::new();
    let mut reached = start;
    let mut best: Option<&Step> = None;
    let mut take = |best: &mut Option<&Step>, reached: &mut u64| {
        if let Some(step) = best.take().filter(|step| step.to > *reached) {
            steps.push(Step { from: *reached + 1, ..step.clone() });
            *reached = step.to;
        }
    };
    for piece in pieces.iter().filter(|piece| piece.to > start) {
        if piece.from > reached + 1 {
            take(&mut best, &mut reached);
        }
        if piece.from > reached + 1 {
            return (steps, Some((reached, piece.from)));
        }
        if best.is_none_or(|best| best.to < piece.to) {
            best = Some(piece);
        }
    }
    take(&mut best, &mut reached);
    (steps, None)
}
