//! What the API server refuses, and in which words.

use crate::world::World;
use std::{fs, path::PathBuf};
use strata_e2e::{failure::Failure, place::repository, say::say};

/// Each file says in its first line with which sentence it is refused: one document at its creation, of two the second as a change of the
/// first.
pub async fn what_makes_no_sense_is_refused_in_a_sentence(world: &mut World) -> Result<(), Failure> {
    // Nobody shall begin with what is created only to be changed.
    world.kube.kubectl(&["scale", "deployment/strata", "--replicas=0"]).await?;
    let folder = repository().join("crds/testdata/refused");
    let entries = fs::read_dir(&folder).map_err(Failure::of(format!("read {}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let mut wrong = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).map_err(Failure::of(format!("read {}", file.display())))?;
        if let Err(failure) = is_refused(world, &text).await {
            wrong.push(format!("{}: {failure}", file.display()));
        }
    }
    world.kube.kubectl(&["scale", "deployment/strata", "--replicas=1"]).await?;
    world.kube.kubectl(&["rollout", "status", "deployment/strata", "--timeout=50s"]).await?;
    Failure::unless(wrong.is_empty(), || wrong.join("\n"))?;
    say(format!("{} objects are refused, each with its sentence", files.len()));
    Failure::unless(files.len() >= 39, || "objects are missing from crds/testdata/refused".to_owned())
}

async fn is_refused(world: &World, text: &str) -> Result<(), Failure> {
    let sentence = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
    let sentence = sentence.ok_or_else(|| Failure::broken("the first line must be `# refused: …`"))?;
    let documents: Vec<&str> = text.split("\n---\n").collect();
    if let [first, _] = documents[..] {
        world.kube.apply(first).await?;
    }
    let refusal = world.kube.refusal(documents[documents.len() - 1]).await;
    if let [first, _] = documents[..] {
        world.kube.kubectl_with(&["delete", "--filename", "-"], first).await?;
    }
    let refusal = refusal?;
    Failure::unless(refusal.contains(sentence), || format!("refused with other words: {refusal}"))
}
