//! What befalls the operators and the Kubernetes below them, as plain data, and what of it a seed draws.

use super::{
    limits::FAULTS_MAX,
    options::Options,
    queue::{MILLI, SECOND},
    schedule::{Fault, TimedFault},
};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use std::fmt;

/// In one of so many seeds operators found and mend the cluster, and not a hand.
const SHARE: u8 = 4;

/// How much longer the trouble lasts, in microseconds: amid it operators take about so long to found the cluster, and clients wait.
const FOUNDING_MICROS: u64 = 20 * SECOND;

/// How often what goes wrong around an operator, in thousandths: requests to Kubernetes and to nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorTrouble {
    /// Failure domains that the KVCluster names: three, or none.
    pub zones: usize,
    /// A read of Kubernetes shows an older version.
    pub stale: u64,
    /// A write to Kubernetes fails, and nothing happened.
    pub lost: u64,
    /// A write to Kubernetes fails, yet it happened.
    pub unheard: u64,
    /// A node's report does not come in time.
    pub silent: u64,
    /// An order does not reach its node.
    pub dropped: u64,
    /// An order reaches its node twice, the second time late.
    pub late: u64,
}

/// Something that befalls an operator, or the Kubernetes below it. Lengths are in microseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OperatorFault {
    /// Every operator is killed after so many more acts, and another one begins `micros` later.
    Kill { acts: u8, micros: u64 },
    /// Another operator takes over, and those before do not notice for `micros`.
    Second { micros: u64 },
    /// Kubernetes answers nobody for `micros`.
    Away { micros: u64 },
    /// What Kubernetes shows is of any time, for `micros`.
    Stale { micros: u64 },
    /// Kubernetes is rebuilt with nothing in it, and the KVCluster is declared anew; operators notice within `micros`. Only once the cluster serves.
    Rebuilt { micros: u64 },
    /// Operators and a node do not reach each other for `micros`.
    Unreached { node: usize, micros: u64 },
    /// Another template of pods is declared, so that every pod is to be restarted.
    Rollout,
}

impl OperatorTrouble {
    fn draw(options: &Options, draws: &mut Rng) -> OperatorTrouble {
        let zones = if options.nodes >= 3 && draws.bool() { 3 } else { 0 };
        let mut often = |bound: u64| if draws.bool() { draws.u64(..bound) } else { 0 };
        OperatorTrouble {
            zones,
            stale: often(150),
            lost: often(100),
            unheard: often(100),
            silent: often(100),
            dropped: often(100),
            late: often(200),
        }
    }
}

/// Draws whether operators look after the cluster, which `is_always` makes sure of, and what befalls them.
pub(super) fn draw(options: &mut Options, is_always: bool, draws: &mut Rng) -> Vec<TimedFault> {
    if draws.u8(..SHARE) > 0 && !is_always {
        return Vec::new();
    }
    options.trouble_micros += FOUNDING_MICROS;
    let trouble = OperatorTrouble::draw(options, draws);
    let calm_micros = draws.u64(500 * MILLI..=3 * SECOND);
    let (mut at_micros, mut faults) = (draws.u64(..2 * SECOND), Vec::new());
    while at_micros < options.trouble_micros && faults.len() < FAULTS_MAX / 4 {
        faults.push(TimedFault { at_micros, fault: Fault::Operator(one(options, draws)) });
        at_micros += draws.u64(1..2 * calm_micros);
    }
    options.operator = Some(trouble);
    faults
}

fn one(options: &Options, draws: &mut Rng) -> OperatorFault {
    let micros = if draws.u8(..4) == 0 { draws.u64(..6 * SECOND) } else { draws.u64(..SECOND) };
    match draws.u8(..13) {
        0..4 => OperatorFault::Kill { acts: draws.u8(..24), micros },
        4..6 => OperatorFault::Second { micros },
        6..8 => OperatorFault::Away { micros },
        8 => OperatorFault::Stale { micros },
        9 => OperatorFault::Rebuilt { micros },
        10 => OperatorFault::Rollout,
        _ => OperatorFault::Unreached { node: draws.usize(..options.nodes), micros },
    }
}

impl fmt::Display for OperatorFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: &u64| format!("{}.{:03} ms", micros / MILLI, micros % MILLI);
        match self {
            OperatorFault::Kill { acts, micros } => {
                write!(out, "the operator is killed after {acts} more acts, and another one begins {} later", ms(micros))
            }
            OperatorFault::Second { micros } => {
                write!(out, "another operator takes over, and those before do not notice for {}", ms(micros))
            }
            OperatorFault::Away { micros } => write!(out, "Kubernetes answers nobody for {}", ms(micros)),
            OperatorFault::Stale { micros } => write!(out, "what Kubernetes shows is of any time, for {}", ms(micros)),
            OperatorFault::Rebuilt { micros } => {
                write!(out, "Kubernetes is rebuilt with nothing in it, which operators notice within {}", ms(micros))
            }
            OperatorFault::Unreached { node, micros } => {
                write!(out, "operators and node {node} do not reach each other for {}", ms(micros))
            }
            OperatorFault::Rollout => write!(out, "another template of pods is declared"),
        }
    }
}
