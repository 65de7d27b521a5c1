//! `/metrics`: what statuses say, as numbers, in the text format of Prometheus. Rendered from the statuses of the last pass of each object.

use k8s_openapi::jiff::Timestamp;
use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Mutex, PoisonError},
};
use strata_crds::{ClusterPhase, ErrorClass, KVClusterStatus};

/// A gauge: its name, what it says, and how it follows from a cluster's status.
type Gauge<'a> = (&'a str, &'a str, &'a dyn Fn(&KVClusterStatus) -> Option<i64>);

/// The statuses of the last passes.
#[derive(Debug, Default)]
pub struct Metrics {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    clusters: BTreeMap<String, KVClusterStatus>,
    /// Problems by kind, name and class.
    problems: BTreeMap<(String, String), Vec<ErrorClass>>,
    /// Passes by kind and outcome.
    passes: BTreeMap<(String, &'static str), u64>,
}

impl Metrics {
    /// What a pass over a cluster came to; `None` where it is gone.
    pub fn note_cluster(&self, name: &str, status: Option<&KVClusterStatus>) {
        let classes = status.map(|status| status.problems.iter().map(|problem| problem.class).collect());
        self.note("KVCluster", name, classes);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match status {
            Some(status) => drop(state.clusters.insert(name.to_owned(), status.clone())),
            None => drop(state.clusters.remove(name)),
        }
    }

    /// What ails an object; `None` where it is gone.
    pub fn note(&self, kind: &str, name: &str, classes: Option<Vec<ErrorClass>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind.to_owned(), name.to_owned());
        match classes {
            Some(classes) => drop(state.problems.insert(key, classes)),
            None => drop(state.problems.remove(&key)),
        }
    }

    /// That a pass ended.
    pub fn count_pass(&self, kind: &str, is_well: bool) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state.passes.entry((kind.to_owned(), if is_well { "ok" } else { "failed" })).or_default() += 1;
    }

    /// The text.
    pub fn render(&self, now: Timestamp) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let gauges: [Gauge<'_>; 7] = [
            ("strata_cluster_running", "Whether every shard of the cluster serves.", &|status| {
                Some(i64::from(status.phase == ClusterPhase::Running && !has(status, ErrorClass::QuorumLost)))
            }),
            ("strata_cluster_shards", "Shards of the cluster.", &|status| Some(status.shards.as_ref()?.total.into())),
            ("strata_cluster_shards_led", "Shards with a leader that serves.", &|status| Some(status.shards.as_ref()?.led.into())),
            ("strata_cluster_shards_under_replicated", "Shards with fewer replicas than declared.", &|status| {
                Some(status.shards.as_ref()?.under_replicated.into())
            }),
            ("strata_archive_lag_seconds", "How long ago the moment was that the bucket alone brings back.", &|status| {
                let latest = status.recovery.as_ref()?.latest.as_ref()?;
                Some(now.as_second().saturating_sub(latest.0.as_second()).max(0))
            }),
            ("strata_archive_at_risk_bytes", "Bytes of log that only the nodes hold.", &|status| {
                Some(status.recovery.as_ref()?.bytes_at_risk)
            }),
            ("strata_restore_percent", "How much of a restore is fetched, while one is under way.", &|status| {
                Some(status.restore.as_ref()?.percent.into())
            }),
        ];
        for (name, help, value) in gauges {
            head(&mut out, name, help, "gauge");
            for (cluster, status) in &state.clusters {
                if let Some(value) = value(status) {
                    line(&mut out, format_args!("{name}{{cluster=\"{cluster}\"}} {value}"));
                }
            }
        }
        head(&mut out, "strata_problem", "Whether an object has a problem of this class.", "gauge");
        for ((kind, name), classes) in &state.problems {
            for class in classes {
                line(&mut out, format_args!("strata_problem{{kind=\"{kind}\",name=\"{name}\",class=\"{}\"}} 1", class.name()));
            }
        }
        head(&mut out, "strata_operator_passes_total", "Passes over objects, by outcome.", "counter");
        for ((kind, outcome), count) in &state.passes {
            line(&mut out, format_args!("strata_operator_passes_total{{kind=\"{kind}\",outcome=\"{outcome}\"}} {count}"));
        }
        out
    }
}

fn has(status: &KVClusterStatus, class: ErrorClass) -> bool {
    status.problems.iter().any(|problem| problem.class == class)
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    line(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;
    use strata_crds::{RecoveryStatus, time_of_millis};

    #[test]
    fn lag_is_the_age_of_what_the_bucket_brings_back_and_what_is_gone_is_not_told() {
        let metrics = Metrics::default();
        let recovery = RecoveryStatus { latest: Some(time_of_millis(10_000)), bytes_at_risk: 7, ..RecoveryStatus::default() };
        let status = KVClusterStatus { recovery: Some(recovery), ..KVClusterStatus::default() };
        metrics.note_cluster("orders", Some(&status));
        metrics.note("KVBackup", "nightly", Some(vec![ErrorClass::AccessDenied]));
        metrics.count_pass("KVCluster", false);
        let text = metrics.render(time_of_millis(13_000).0);
        for wanted in [
            "strata_archive_lag_seconds{cluster=\"orders\"} 3\n",
            "strata_archive_at_risk_bytes{cluster=\"orders\"} 7\n",
            "strata_problem{kind=\"KVBackup\",name=\"nightly\",class=\"AccessDenied\"} 1\n",
            "strata_operator_passes_total{kind=\"KVCluster\",outcome=\"failed\"} 1\n",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in\n{text}");
        }
        metrics.note_cluster("orders", None);
        assert!(!metrics.render(time_of_millis(13_000).0).contains("cluster=\"orders\""));
    }
}
