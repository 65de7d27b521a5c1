//! Histories are judged while the siege goes on.

use super::tally::Figure;
use crate::{
    checker,
    failure::Failure,
    history::{Fate, History},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Histories that are judged at once, at most; the next one waits.
const AT_ONCE: usize = 2;

/// The judges at work.
pub struct Judges {
    folder: PathBuf,
    operations: Arc<Figure>,
    verdicts: JoinSet<Result<(), Failure>>,
    taken: usize,
}

impl Judges {
    /// Judges that keep the histories of violations in a folder, and count the commands that they have judged.
    pub fn new(folder: &Path, operations: Arc<Figure>) -> Judges {
        Judges { folder: folder.to_owned(), operations, verdicts: JoinSet::new(), taken: 0 }
    }

    /// Has a history judged. A violation in an earlier one may come to light here.
    pub async fn take(&mut self, history: History) -> Result<(), Failure> {
        while self.verdicts.len() >= AT_ONCE {
            self.hear().await?;
        }
        while let Some(verdict) = self.verdicts.try_join_next() {
            verdict.map_err(Failure::of("judge a history"))??;
        }
        self.taken += 1;
        let (path, operations) = (self.folder.join(format!("history-{}.jsonl", self.taken)), self.operations.clone());
        self.verdicts.spawn_blocking(move || judge(&history, &path, &operations));
        Ok(())
    }

    /// Waits for all verdicts.
    pub async fn finish(&mut self) -> Result<(), Failure> {
        while !self.verdicts.is_empty() {
            self.hear().await?;
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), Failure> {
        match self.verdicts.join_next().await {
            Some(verdict) => verdict.map_err(Failure::of("judge a history"))?,
            None => Ok(()),
        }
    }
}

fn judge(history: &History, path: &Path, operations: &Figure) -> Result<(), Failure> {
    let happened = history.operations().iter().filter(|operation| operation.fate != Fate::Failed).count();
    if happened == 0 {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::of("start a runtime"))?;
    runtime.block_on(checker::linearizable(history, path))?;
    operations.add(happened as u64);
    // What was judged is of no more use; a file that cannot be removed goes with the folder.
    drop(std::fs::remove_file(path));
    drop(std::fs::remove_file(path.with_extension("verdict")));
    Ok(())
}
