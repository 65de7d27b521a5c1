//! Which room may depend on which, and on which crates.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata};

use crate::Finding;

/// The one crate that leaves may share.
const SHARED: &str = "strata-base";
/// What tests of any room may use, and no library.
const FOR_TESTS: &str = "strata-golden";
/// Rooms that know nothing of each other.
const LEAVES: &[&str] =
    &["strata-base", "strata-crds", "strata-engine", "strata-kv", "strata-node-api", "strata-planner", "strata-raft-group"];
/// Rooms that do I/O, and know nothing of each other.
const SHELLS: &[&str] = &["strata-node", "strata-operator"];
/// Rooms without clock, runtime, disk or network, all the way down.
const PURE: &[&str] = &["strata-base", "strata-kv", "strata-node-api", "strata-planner", "strata-raft-group"];
/// What a pure room must not contain, however deep: names that begin so.
const IMPURE: &[&str] =
    &["tokio", "mio", "socket2", "hyper", "rust-rocksdb", "rust-librocksdb-sys", "raft-engine", "kube", "k8s-openapi", "aws-"];
/// Crates that only some rooms may name in their manifest.
const RESERVED: &[(&str, &[&str])] = &[
    ("raft", &["strata-raft-group"]),
    ("rust-rocksdb", &["strata-engine"]),
    ("raft-engine", &["strata-engine"]),
    ("aws-sdk-s3", &["strata-engine"]),
    ("kube", &["strata-crds", "strata-e2e", "strata-operator"]),
    ("k8s-openapi", &["strata-crds", "strata-e2e", "strata-operator"]),
];

/// One package: what it names, and what it is built of.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Path of the manifest from the root of the repository; empty for a package from elsewhere.
    pub manifest: String,
    /// Everything its manifest names, for building and testing too.
    pub named: BTreeSet<String>,
    /// What its library links, one level deep.
    pub normal: BTreeSet<String>,
}

/// Packages by name. Two versions of a package count as one, since the rules are about names.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All packages of the resolved graph.
    pub packages: BTreeMap<String, Package>,
}

impl Graph {
    /// The graph that cargo resolved, with every feature that the workspace switches on.
    ///
    /// # Panics
    /// When the metadata was made without dependencies.
    pub fn from_metadata(metadata: &Metadata) -> Self {
        let resolve = metadata.resolve.as_ref().expect("metadata of cargo holds the resolved graph");
        let mut graph = Self::default();
        for node in &resolve.nodes {
            let package = &metadata[&node.id];
            let entry = graph.packages.entry(package.name.to_string()).or_default();
            if let (true, Ok(manifest)) =
                (metadata.workspace_members.contains(&node.id), package.manifest_path.strip_prefix(&metadata.workspace_root))
            {
                entry.manifest = manifest.to_string();
                entry.named.extend(package.dependencies.iter().map(|dependency| dependency.name.clone()));
            }
            let is_normal = |kind: &cargo_metadata::DepKindInfo| kind.kind == DependencyKind::Normal;
            let linked = node.deps.iter().filter(|dependency| dependency.dep_kinds.iter().any(is_normal));
            entry.normal.extend(linked.map(|dependency| metadata[&dependency.pkg].name.to_string()));
        }
        graph
    }

    /// Packages of the workspace.
    fn rooms(&self) -> impl Iterator<Item = (&String, &Package)> {
        self.packages.iter().filter(|(_, package)| !package.manifest.is_empty())
    }

    /// All packages a library links, with the chain that leads to each.
    fn closure(&self, start: &str) -> BTreeMap<String, String> {
        let mut chains = BTreeMap::from([(start.to_owned(), start.to_owned())]);
        let mut open = vec![start.to_owned()];
        while let Some(name) = open.pop() {
            for next in self.packages.get(&name).into_iter().flat_map(|package| &package.normal) {
                if !chains.contains_key(next) {
                    chains.insert(next.clone(), format!("{} → {next}", chains[&name]));
                    open.push(next.clone());
                }
            }
        }
        chains
    }
}

/// Leaves depend on no room but the shared one, and shells not on each other.
pub fn rooms_apart(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, package) in graph.rooms() {
        if name == FOR_TESTS && !package.named.is_empty() {
            findings.push(Finding::new(
                &package.manifest,
                1,
                format!("a dependency of {name}"),
                "the standard library: every room's tests use it",
            ));
        }
        for dependency in &package.named {
            let is_leaf_on_room = LEAVES.contains(&name.as_str())
                && dependency != SHARED
                && (dependency != FOR_TESTS || package.normal.contains(dependency))
                && graph.packages.get(dependency).is_some_and(|other| !other.manifest.is_empty());
            let is_shell_on_shell = SHELLS.contains(&name.as_str()) && SHELLS.contains(&dependency.as_str());
            if is_leaf_on_room {
                findings.push(Finding::new(
                    &package.manifest,
                    1,
                    format!("{dependency} in the leaf {name}"),
                    format!("{SHARED}, the one crate leaves share"),
                ));
            }
            if is_shell_on_shell {
                findings.push(Finding::new(
                    &package.manifest,
                    1,
                    format!("{dependency} in the shell {name}"),
                    "strata-node-api, what shells say to each other",
                ));
            }
        }
    }
    findings
}

/// Pure rooms link nothing that touches the world.
pub fn pure_rooms(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in PURE {
        let Some(package) = graph.packages.get(*name) else {
            findings.push(Finding::new("Cargo.toml", 1, format!("a workspace without the pure crate {name}"), "its new name in e2e/tidy"));
            continue;
        };
        for (dependency, chain) in graph.closure(name) {
            if IMPURE.iter().any(|impure| dependency.starts_with(impure)) {
                findings.push(Finding::new(&package.manifest, 1, format!("{chain} in a pure crate"), "an argument or an effect"));
            }
        }
    }
    findings
}

/// Crates that belong to one room are named by no other.
pub fn reserved_crates(graph: &Graph) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, package) in graph.rooms() {
        for (reserved, owners) in RESERVED {
            if package.named.contains(*reserved) && !owners.contains(&name.as_str()) {
                findings.push(Finding::new(
                    &package.manifest,
                    1,
                    format!("{reserved} in {name}"),
                    format!("what {} offer", owners.join(" or ")),
                ));
            }
        }
    }
    findings
}

/// Dependencies of a manifest that do not come through `[workspace.dependencies]`.
pub fn inherited(path: &str, manifest: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut in_dependencies = false;
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies") && !line.contains("workspace.");
        } else if in_dependencies
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains("workspace = true")
            && !line.contains(".workspace=true")
        {
            let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
            findings.push(Finding::new(path, number + 1, format!("a version of its own for {name}"), format!("{name}.workspace = true")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rooms, each with what it names and links.
    fn graph(rooms: &[(&str, &[&str])]) -> Graph {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let mut graph = Graph::default();
        for name in PURE {
            graph.packages.insert((*name).to_owned(), Package { manifest: format!("{name}/Cargo.toml"), ..Package::default() });
        }
        for (name, links) in rooms {
            let manifest = if name.starts_with("strata-") { format!("{name}/Cargo.toml") } else { String::new() };
            let named = if manifest.is_empty() { BTreeSet::new() } else { set(links) };
            graph.packages.insert((*name).to_owned(), Package { manifest, named, normal: set(links) });
        }
        graph
    }

    #[test]
    fn good_leaves_share_the_base() {
        let graph = graph(&[("strata-kv", &["strata-base", "bytes"]), ("strata-node", &["strata-kv", "strata-node-api"])]);
        assert_eq!(rooms_apart(&graph), []);
    }

    #[test]
    fn bad_a_leaf_knows_a_leaf_and_a_shell_a_shell() {
        let graph = graph(&[("strata-engine", &["strata-kv"]), ("strata-operator", &["strata-node"]), ("strata-node", &[])]);
        let banned: Vec<String> = rooms_apart(&graph).into_iter().map(|finding| finding.banned).collect();
        assert_eq!(banned, ["strata-kv in the leaf strata-engine", "strata-node in the shell strata-operator"]);
    }

    #[test]
    fn good_the_tests_of_a_leaf_compare_with_what_they_recorded() {
        let mut graph = graph(&[("strata-kv", &["bytes"]), ("strata-golden", &[])]);
        graph.packages.get_mut("strata-kv").expect("it is a pure room").named.insert(FOR_TESTS.to_owned());
        assert_eq!(rooms_apart(&graph), []);
    }

    #[test]
    fn bad_a_leaf_links_what_is_for_tests_and_that_links_anything() {
        let graph = graph(&[("strata-kv", &["strata-golden"]), ("strata-golden", &["bytes"])]);
        let banned: Vec<String> = rooms_apart(&graph).into_iter().map(|finding| finding.banned).collect();
        assert_eq!(banned, ["a dependency of strata-golden", "strata-golden in the leaf strata-kv"]);
    }

    #[test]
    fn good_a_pure_room_links_pure_crates() {
        assert_eq!(pure_rooms(&graph(&[("strata-kv", &["bytes"]), ("strata-node", &["tokio"])])), []);
    }

    #[test]
    fn bad_a_pure_room_links_a_runtime_three_crates_down() {
        let graph = graph(&[("strata-kv", &["helper"]), ("helper", &["deeper"]), ("deeper", &["tokio-util"])]);
        let findings = pure_rooms(&graph);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].banned, "strata-kv → helper → deeper → tokio-util in a pure crate");
    }

    #[test]
    fn bad_a_pure_room_was_renamed() {
        let mut graph = graph(&[]);
        graph.packages.remove("strata-kv");
        assert_eq!(pure_rooms(&graph).len(), 1);
    }

    #[test]
    fn good_the_engine_owns_rocksdb() {
        assert_eq!(reserved_crates(&graph(&[("strata-engine", &["rust-rocksdb", "raft-engine"]), ("strata-raft-group", &["raft"])])), []);
    }

    #[test]
    fn bad_the_host_names_raft() {
        assert_eq!(reserved_crates(&graph(&[("strata-node", &["raft"]), ("strata-engine", &["kube"])])).len(), 2);
    }

    #[test]
    fn good_a_manifest_inherits() {
        let manifest =
            "[package]\nversion = \"1\"\n[dependencies]\nbytes.workspace = true\nserde = { workspace = true, optional = true }\n";
        assert_eq!(inherited("kv/Cargo.toml", manifest), []);
    }

    #[test]
    fn bad_a_manifest_has_versions_of_its_own() {
        let manifest = "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\nserde = { version = \"1\" }\n[features]\na = []\n";
        assert_eq!(inherited("kv/Cargo.toml", manifest).iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 4]);
    }
}
