//! What only one module may name. Each row of the table is an invariant of the architecture, stated as an absence.

use crate::Finding;
use crate::repository::File;
use crate::rust::{blank_words, line_of, words};

/// Words that only some places may use.
#[derive(Debug)]
pub struct Absence {
    /// The words, as they stand in code.
    pub words: &'static [&'static str],
    /// Where the rule looks: paths that begin so.
    pub within: &'static str,
    /// Where the words may stand: paths that begin so.
    pub except: &'static [&'static str],
    /// What to use elsewhere.
    pub instead: &'static str,
}

/// The absences of this repository.
pub const ABSENCES: &[Absence] = &[
    Absence {
        words: &["rocksdb"],
        within: "",
        except: &["storage-node/engine/src/tablet"],
        instead: "the Tablet port; only the engine's tablet module names RocksDB",
    },
    Absence {
        words: &["raft_engine"],
        within: "",
        except: &["storage-node/engine/src/log"],
        instead: "the LogStore port; only the engine's log module names raft-engine",
    },
    Absence {
        words: &["aws_sdk_s3"],
        within: "",
        except: &["storage-node/engine/src/objects"],
        instead: "the Objects port; only the engine's objects module names the S3 client",
    },
    // Every call of kube's `Api` that writes takes one of these; reads take `ListParams`, `GetParams` or nothing.
    Absence {
        words: &["PostParams", "PatchParams", "Patch", "DeleteParams", "EvictParams", "Recorder", "finalizer"],
        within: "operator/src/",
        except: &["operator/src/act.rs", "operator/src/act/"],
        instead: "an action carried out by act.rs, the only writer to Kubernetes",
    },
];

/// Places where a file names what it may not.
pub fn absences(file: &File, rules: &[Absence]) -> Vec<Finding> {
    let code = blank_words(&file.text);
    let mut findings = Vec::new();
    for rule in rules {
        let is_exempt = rule.except.iter().any(|prefix| file.path.starts_with(prefix));
        if !file.path.starts_with(rule.within) || is_exempt {
            continue;
        }
        for word in rule.words {
            findings.extend(words(&code, word).map(|at| Finding::new(&file.path, line_of(&code, at), format!("`{word}`"), rule.instead)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_the_tablet_names_rocksdb_and_others_only_speak_of_it() {
        let tablet = File::new("storage-node/engine/src/tablet/open.rs", "use rocksdb::DB;\n");
        let host = File::new("storage-node/src/host.rs", "// rocksdb stalls are seen here\nlet name = \"rocksdb\";\n");
        assert_eq!(absences(&tablet, ABSENCES), []);
        assert_eq!(absences(&host, ABSENCES), []);
    }

    #[test]
    fn bad_the_host_names_rocksdb() {
        let host = File::new("storage-node/src/host.rs", "\nuse rocksdb::DB;\n");
        let findings = absences(&host, ABSENCES);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].line, findings[0].banned.as_str()), (2, "`rocksdb`"));
    }

    #[test]
    fn bad_a_reconciler_writes() {
        let reconcile = File::new("operator/src/reconcile.rs", "api.delete(name, &DeleteParams::default()).await?;\n");
        assert_eq!(absences(&reconcile, ABSENCES).len(), 1);
        let act = File::new("operator/src/act.rs", "api.delete(name, &DeleteParams::default()).await?;\n");
        assert_eq!(absences(&act, ABSENCES), []);
    }
}
