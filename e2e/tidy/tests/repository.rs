//! Every rule of `strata_tidy`, run over this repository.

use std::sync::LazyLock;

use cargo_metadata::MetadataCommand;
use strata_tidy::dependency::Graph;
use strata_tidy::repository::{File, Repository, root};
use strata_tidy::{Finding, absence, book, company, dependency, link, manner, place, reference, size};

static REPOSITORY: LazyLock<Repository> = LazyLock::new(Repository::load);
static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    // One platform, so that crates of others need not be downloaded.
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"].map(str::to_owned);
    let metadata = MetadataCommand::new().current_dir(root()).other_options(options).exec().expect("cargo describes the workspace");
    Graph::from_metadata(&metadata)
});

const RATCHET: &str = "e2e/tidy/ratchet.txt";
const PURE_LINTS: &str = "storage-node/base/clippy.toml";

#[track_caller]
fn check(findings: impl IntoIterator<Item = Finding>) {
    let mut lines: Vec<String> = findings.into_iter().map(|finding| finding.to_string()).collect();
    lines.sort();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}

fn text(path: &str) -> &str {
    REPOSITORY.get(path).map_or_else(|| panic!("{path} is missing, and rules depend on it"), |file| &file.text)
}

#[test]
fn leaves_and_shells_know_nothing_of_each_other() {
    check(dependency::rooms_apart(&GRAPH));
}

#[test]
fn pure_crates_link_nothing_that_touches_the_world() {
    check(dependency::pure_rooms(&GRAPH));
}

#[test]
fn engines_belong_to_one_room_each() {
    check(dependency::reserved_crates(&GRAPH));
}

#[test]
fn dependencies_come_through_the_workspace() {
    let manifests = REPOSITORY.files.iter().filter(|file| file.path.ends_with("Cargo.toml"));
    check(manifests.flat_map(|file| dependency::inherited(&file.path, &file.text)));
}

#[test]
fn only_one_module_names_each_engine() {
    check(REPOSITORY.rust().flat_map(|file| absence::absences(file, absence::ABSENCES)));
}

#[test]
fn functions_and_files_are_small() {
    let ratchet = size::parse_ratchet(text(RATCHET)).expect("the ratchet parses");
    let measures: Vec<size::Measure> = REPOSITORY.rust().flat_map(size::measure).collect();
    check(size::oversized(&measures, &ratchet, RATCHET));
}

#[test]
fn tests_do_not_sleep() {
    check(REPOSITORY.rust().flat_map(manner::sleeps));
}

#[test]
fn tests_run_and_assert() {
    check(REPOSITORY.rust().flat_map(manner::idle_tests));
}

#[test]
fn suppressions_give_a_reason() {
    check(REPOSITORY.rust().flat_map(manner::suppressions));
}

#[test]
fn commands_have_golden_scripts() {
    let scripts: Vec<_> = REPOSITORY.files.iter().filter(|file| file.path.starts_with("storage-node/kv/testdata/")).collect();
    check(company::golden_scripts(&REPOSITORY.paths(), &scripts));
}

#[test]
fn crates_begin_with_a_page() {
    check(REPOSITORY.rust().flat_map(company::crate_pages));
}

#[test]
fn dependencies_are_explained() {
    check(company::dependency_page(text("Cargo.toml"), text(company::DEPENDENCY_PAGE)));
}

#[test]
fn failures_of_a_store_have_one_name() {
    let file = |path| REPOSITORY.get(path).unwrap_or_else(|| panic!("{path} is missing, and a rule depends on it"));
    check(company::shared_classes(file(company::STORE_CLASSES), file(company::SHOWN_CLASSES)));
}

#[test]
fn pure_crates_share_the_stricter_lints() {
    check(company::stricter_lints(text("clippy.toml"), PURE_LINTS, text(PURE_LINTS)));
    let pure = ["storage-node/kv", "storage-node/node-api", "storage-node/raft-group", "operator/planner"];
    for folder in pure {
        assert_eq!(text(&format!("{folder}/clippy.toml")), text(PURE_LINTS), "{folder}/clippy.toml is not the shared list: link it");
    }
}

#[test]
fn the_judge_may_not_sleep_either() {
    let bans = company::clippy_bans(text("e2e/clippy.toml"));
    for ban in ["std::thread::sleep", "tokio::time::sleep", "tokio::time::sleep_until"] {
        assert!(bans.contains(ban), "e2e/clippy.toml lost {ban}");
    }
}

#[test]
fn links_resolve() {
    let pages = REPOSITORY.files.iter().filter(|file| file.has_extension("md"));
    check(pages.flat_map(|file| link::broken(file, |path| link::lookup(&REPOSITORY, path))));
}

#[test]
fn pages_are_listed() {
    let summary = REPOSITORY.get(book::SUMMARY).expect("the book has a table of contents");
    check(book::unlisted(summary, &REPOSITORY.paths()));
}

#[test]
fn decisions_have_one_form() {
    let decisions: Vec<&File> = REPOSITORY.files.iter().filter(|file| file.path.starts_with(book::DECISIONS)).collect();
    assert!(decisions.len() > 3, "the decisions were not found");
    check(decisions.iter().flat_map(|file| book::decision(file)));
    let sources: Vec<&File> = REPOSITORY.rust().collect();
    check(decisions.into_iter().flat_map(|file| book::kept(file, &sources)));
}

/// The files of a folder.
fn within(folder: &str) -> Vec<&'static File> {
    let files: Vec<&File> = REPOSITORY.files.iter().filter(|file| file.path.starts_with(folder)).collect();
    assert!(!files.is_empty(), "{folder} holds nothing, and a page follows from it");
    files
}

#[test]
fn reference_pages_are_equal_to_their_sources() {
    let file = |path| REPOSITORY.get(path).unwrap_or_else(|| panic!("{path} is missing, and a page follows from it"));
    let definitions: Vec<&str> = within("crds/generated/").into_iter().map(|file| file.text.as_str()).collect();
    let pages = [
        ("commands", reference::commands(file("storage-node/kv/src/command.rs"), &within("storage-node/kv/src/command/"))),
        ("configuration", reference::configuration(&within("storage-node/src/config"))),
        ("errors", Ok(reference::classes(file(company::SHOWN_CLASSES), file(company::STORE_CLASSES)))),
        ("resources", reference::resources(&definitions)),
    ];
    strata_golden::expect_all(
        pages.into_iter().map(|(name, page)| strata_golden::compare(root().join(format!("docs/src/reference/{name}.md")), &page?)),
    );
}

#[test]
fn nothing_names_a_machine() {
    let is_ours = |file: &&File| !file.path.ends_with("go.sum") && !file.path.ends_with("Cargo.lock");
    let checkout = root();
    check(REPOSITORY.files.iter().filter(is_ours).flat_map(|file| place::places(file, &checkout)));
}
