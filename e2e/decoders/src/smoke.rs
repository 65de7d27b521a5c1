//! The bounded part: what is kept, and so many mutations of it.

use crate::{Target, Verdict, mutation::mutated};
use fastrand::Rng;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

/// What a smoke did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes that were kept.
    pub kept: usize,
    /// Mutations of them.
    pub mutations: usize,
    /// Those of both that decoded.
    pub taken: usize,
}

/// The folder of the fuzzing crate, which holds what is kept. Cargo tells a test where its crate lies, and that comes first: with a target folder
/// that several checkouts share, the one that this was compiled in may be gone.
pub fn home() -> PathBuf {
    let told = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).map(|folder| folder.join("../fuzz"));
    told.filter(|folder| folder.join("seeds").is_dir()).unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz"))
}

/// The files of `<home>/<kind>/<target>/`, in the order of their names; none where there is no such folder.
pub fn kept(kind: &str, target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = home().join(kind).join(target);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    let read = |path: PathBuf| Some((path.file_name()?.to_string_lossy().into_owned(), fs::read(&path).ok()?));
    paths.into_iter().filter_map(read).collect()
}

/// Plays what is kept for a target, then mutations of its seeds that follow from `seed`. The error names what went wrong, and shows the bytes as
/// the text of a Rust literal.
pub fn smoke(target: &Target, seed: u64, mutations: usize) -> Result<Figures, String> {
    let (seeds, found) = (kept("seeds", target.name), kept("found", target.name));
    let mut figures = Figures { kept: seeds.len() + found.len(), mutations, taken: 0 };
    for (name, bytes) in seeds.iter().chain(&found) {
        figures.taken += usize::from(play(target, bytes).map_err(|error| format!("{name}: {error}"))? == Verdict::Taken);
    }
    let mut bytes: Vec<Vec<u8>> = seeds.into_iter().chain(found).map(|(_, bytes)| bytes).collect();
    bytes.push(Vec::new());
    let mut rng = Rng::with_seed(seed);
    for nth in 0..mutations {
        let mutation = mutated(&bytes, &mut rng);
        let verdict = play(target, &mutation).map_err(|error| format!("mutation {nth} of seed {seed}: {error}"))?;
        figures.taken += usize::from(verdict == Verdict::Taken);
    }
    Ok(figures)
}

/// Plays bytes, and turns a panic into an error.
pub fn play(target: &Target, bytes: &[u8]) -> Result<Verdict, String> {
    catch_unwind(AssertUnwindSafe(|| (target.play)(bytes))).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let said = said.unwrap_or_else(|| "a panic without words".to_owned());
        format!("{} says {said:?} of these {} bytes: b\"{}\"", target.name, bytes.len(), bytes.escape_ascii())
    })
}
