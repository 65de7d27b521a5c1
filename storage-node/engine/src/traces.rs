//! How random traces are drawn that are played on models and on the real thing.

use proptest::test_runner::{Config, RngSeed};

/// So many traces, always the same ones: `PROPTEST_RNG_SEED` and `PROPTEST_CASES` play others, and more of them.
pub(crate) fn config(cases: u32) -> Config {
    const SEED: u64 = 4;
    /// What proptest plays where nobody asks.
    const USUAL_CASES: u32 = 256;
    let asked = Config::default();
    let rng_seed = if asked.rng_seed == RngSeed::Random { RngSeed::Fixed(SEED) } else { asked.rng_seed };
    Config { cases: if asked.cases == USUAL_CASES { cases } else { asked.cases }, rng_seed, failure_persistence: None, ..asked }
}
