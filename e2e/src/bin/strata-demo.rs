//! `strata-demo`: what `make demo` runs. See `strata_e2e::demo` for the story.

use clap::Parser;
use std::process::ExitCode;
use strata_e2e::{
    demo::{Wish, ground, story},
    failure::Failure,
};

/// A cluster on a real Kubernetes on this machine, that outlives everything but its bucket.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name of the lab; what runs under this name already is ended first.
    #[arg(long, default_value = "demo")]
    lab: String,
    /// Leave the archive out: the story then ends where the bucket is needed.
    #[arg(long)]
    without_archive: bool,
    /// Play the story: within the lab's network, where this program starts itself.
    #[arg(long, hide = true)]
    inside: bool,
}

fn main() -> Result<ExitCode, Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let is_well = runtime.map_err(Failure::of("start a runtime"))?.block_on(async {
        if arguments.inside {
            return story(&Wish { lab: arguments.lab, has_archive: !arguments.without_archive }).await;
        }
        let mut inside = vec!["--inside".to_owned(), "--lab".to_owned(), arguments.lab.clone()];
        inside.extend(arguments.without_archive.then(|| "--without-archive".to_owned()));
        ground::begin(&arguments.lab, &inside).await
    });
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
