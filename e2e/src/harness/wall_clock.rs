//! Wall clocks that are wrong, for one process at a time: a library between the process and the system, preloaded, shows what a file says. Nothing of the product
//! knows of it. Monotonic clocks, the times of files and waits of any length are left alone.
//!
//! Debian's libfaketime cannot do it: it allocates when it is first asked for the time, and jemalloc asks while it holds its lock.

use super::process::test_folder;
use crate::failure::Failure;
use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::task::JoinSet;

/// The library's source.
const SOURCE: &str = include_str!("wall_clock.c");

/// The library, built; it goes with the last who has it.
#[derive(Debug)]
pub struct Library {
    folder: tempfile::TempDir,
}

impl Library {
    /// Builds it; `Lacking` where there is no C compiler.
    pub fn build() -> Result<Library, Failure> {
        let folder = tempfile::Builder::new().prefix("wall-clock-").tempdir_in(test_folder()?).map_err(Failure::of("make a folder"))?;
        let library = Library { folder };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O2", "-x", "c", "-", "-o"]).arg(library.path());
        let compiler = compiler.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let lacking =
            |error| Failure::Lacking(format!("cc does not work here, which builds what makes clocks wrong (package g++): {error}"));
        let mut compiler = compiler.map_err(lacking)?;
        let written = compiler.stdin.take().expect("it was asked for above").write_all(SOURCE.as_bytes());
        let output = compiler.wait_with_output().map_err(Failure::of("wait for cc"))?;
        let words = String::from_utf8_lossy(&output.stderr);
        Failure::unless(written.is_ok() && output.status.success(), || format!("cc failed: {}", words.trim()))?;
        Ok(library)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("libwallclock.so")
    }
}

/// What a wall clock shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The time that is so many milliseconds later than the system's, or earlier.
    Off {
        /// How many.
        millis: i64,
    },
    /// This moment, in milliseconds since the Unix epoch, and for ever.
    Still {
        /// Which.
        unix_millis: u64,
    },
}

impl Shown {
    /// The system's time.
    pub const RIGHT: Shown = Shown::Off { millis: 0 };

    /// As the library reads it: by how much the clock is ahead, and where it stands still, in nanoseconds.
    fn words(self) -> [i64; 2] {
        match self {
            Shown::Off { millis } => [millis * 1_000_000, 0],
            Shown::Still { unix_millis } => [0, unix_millis as i64 * 1_000_000],
        }
    }
}

/// The wall clock of one process, as long as whoever has it wants; the process may end and start again.
#[derive(Clone, Debug)]
pub struct WallClock {
    library: Arc<Library>,
    path: PathBuf,
    file: Arc<File>,
}

impl WallClock {
    /// A clock that is right, and is told what to show by a file in `folder`, which must exist.
    pub fn right(library: Arc<Library>, folder: &Path) -> Result<WallClock, Failure> {
        let path = folder.join("clock");
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path);
        let file = file.map_err(Failure::of(format!("create {}", path.display())))?;
        let clock = WallClock { library, path, file: Arc::new(file) };
        clock.show(Shown::RIGHT)?;
        Ok(clock)
    }

    /// From now on it shows this.
    pub fn show(&self, shown: Shown) -> Result<(), Failure> {
        // Written in place, since the process has mapped it.
        let bytes: Vec<u8> = shown.words().into_iter().flat_map(i64::to_ne_bytes).collect();
        self.file.write_all_at(&bytes, 0).map_err(Failure::of(format!("write {}", self.path.display())))
    }

    /// What a process must find in its environment to go by this clock.
    pub fn environment(&self) -> [(&'static str, OsString); 2] {
        [("LD_PRELOAD", self.library.path().into()), ("WALL_CLOCK_FILE", self.path.clone().into())]
    }
}

/// A wall clock that jumps again and again, until it is told otherwise or this is dropped.
#[derive(Debug)]
pub struct Jumps(JoinSet<()>);

impl Jumps {
    /// Lets a clock be off by each of these in turn, in milliseconds, for `each`.
    pub fn begin(clock: WallClock, offsets: Vec<i64>, each: Duration) -> Jumps {
        let mut jumps = JoinSet::new();
        jumps.spawn(async move {
            let mut beat = tokio::time::interval(each);
            for millis in offsets.iter().cycle() {
                beat.tick().await;
                // Whoever looks at the clock sees whether it jumps.
                drop(clock.show(Shown::Off { millis: *millis }));
            }
        });
        Jumps(jumps)
    }

    /// Ends it. The clock shows what it showed last.
    pub async fn end(mut self) {
        self.0.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::say::say;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_process_sees_its_own_wall_clock() {
        let library = match Library::build() {
            Err(Failure::Lacking(why)) => return say(format!("skipped: a_process_sees_its_own_wall_clock: {why}")),
            library => Arc::new(library.expect("the library is built")),
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = WallClock::right(library, folder.path()).expect("a clock");
        let seconds = || {
            let output = Command::new("date").arg("+%s").envs(clock.environment()).output().expect("date runs");
            String::from_utf8_lossy(&output.stdout).trim().parse::<i64>().expect("date prints a number")
        };
        let now = || UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as i64);
        for (millis, off) in [(0, 0), (-3_600_000, -3_600), (600_000, 600)] {
            clock.show(Shown::Off { millis }).expect("the clock is told");
            assert!((seconds() - now() - off).abs() <= 5, "{millis}");
        }
        clock.show(Shown::Still { unix_millis: 1_700_000_000_250 }).expect("the clock is told");
        assert_eq!(seconds(), 1_700_000_000);
    }
}
