use super::*;
use clap::Parser;
use std::collections::{BTreeMap, BTreeSet};
use strata_base::{IncarnationId, ShardId};
use strata_engine::tier::verify::ShardRestorable;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

const FLAGS: [&str; 10] = [
    "--endpoint",
    "http://10.0.0.7:7070",
    "--bucket",
    "archive",
    "--path",
    "shop/orders",
    "--access-key-id-file",
    "/etc/id",
    "--secret-access-key-file",
    "/etc/secret",
];

fn parsed(flags: &[&str]) -> Result<config::Archive, String> {
    let line = Line::try_parse_from([&["verify-bucket"], flags].concat()).map_err(|error| error.to_string())?;
    settings(&line.arguments, std::iter::empty()).map_err(|error| error.to_string())
}

fn report() -> Report {
    let shard = |shard, gap| ShardRestorable { shard: ShardId(shard), index: 12, last_write_ms: 1_700_000_000_123, gap };
    Report {
        incarnations: vec![
            Restorable { incarnation: IncarnationId(1), shards: Ok(vec![shard(2, None), shard(3, Some((12, 15)))]) },
            Restorable { incarnation: IncarnationId(5), shards: Err("shop/orders/x is missing".into()) },
        ],
        choice: Ok(IncarnationId(5)),
        damaged: BTreeMap::from([("shop/orders/a".into(), "its checksum is wrong".into())]),
        missing: BTreeSet::from(["shop/orders/x".into()]),
        unreferenced: (0..52).map(|nth| format!("shop/orders/left-{nth:02}")).collect(),
        objects: 60,
        bytes: 4_096,
    }
}

#[test]
fn the_bucket_is_named_by_flags_or_by_a_configuration_whose_keys_flags_replace() {
    assert_eq!(parsed(&FLAGS).expect("flags suffice").region, "us-east-1");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.toml");
    let node = "data_dir = '/data'\n[tls]\nca = 'ca.pem'\ncertificate = 'node.pem'\nkey = 'node.key'\n";
    let archive = "[archive]\nendpoint = 'http://a'\nbucket = 'b'\npath = 'p'\naccess_key_id_file = 'i'\nsecret_access_key_file = 's'\n";
    std::fs::write(&file, format!("{node}{archive}")).expect("a file is written");
    let config = file.display().to_string();
    assert_eq!(parsed(&["--config", &config]).expect("the section suffices").bucket, "b");
    assert_eq!(parsed(&["--config", &config, "--bucket", "other"]).expect("a flag replaces a key").bucket, "other");

    std::fs::write(&file, node).expect("a file is written");
    for (flags, named) in
        [(&["--config", &config][..], "[archive]"), (&FLAGS[..8], "--secret-access-key-file"), (&["--config", "/none"], "/none")]
    {
        let refused = parsed(flags).expect_err("something is missing");
        assert!(refused.contains(named), "{refused}");
    }
}

#[test]
fn the_text_says_what_is_worth_what() {
    let text = as_text(&report(), &parsed(&FLAGS).expect("flags suffice"));
    let expected = [
        "shop/orders in bucket archive at http://10.0.0.7:7070: 60 objects, 4096 bytes",
        "incarnation 0000000000000001: 2 shards, the last write at 2023-11-14T22:13:20.123Z",
        "  shard 0000000000000002: index 12, written last at 2023-11-14T22:13:20.123Z",
        "  shard 0000000000000003: index 12, written last at 2023-11-14T22:13:20.123Z; entries 13 to 14 are nowhere, and what lies behind is lost",
        "incarnation 0000000000000005: cannot be restored: shop/orders/x is missing",
        "a restore that names no incarnation takes 0000000000000005",
        "damaged: shop/orders/a: its checksum is wrong",
        "missing: shop/orders/x",
    ];
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..expected.len()], expected, "{text}");
    let end = ["unreferenced: and 2 more; --json names all", "verdict: not sound damaged=1 missing=1 unreferenced=52"];
    assert_eq!(lines[lines.len() - 2..], end, "{text}");
}

#[test]
fn the_json_says_all_of_it() {
    let value = as_json(&report(), &parsed(&FLAGS).expect("flags suffice"));
    assert_eq!(value["isSound"], json!(false));
    assert_eq!(value["place"], json!({ "store": "http://10.0.0.7:7070", "bucket": "archive" }));
    assert_eq!(value["incarnations"][0]["shards"][1]["gap"], json!([12, 15]));
    assert_eq!(value["incarnations"][1]["error"], json!("shop/orders/x is missing"));
    assert_eq!(value["choice"], json!({ "incarnation": "0000000000000005" }));
    assert_eq!(value["damaged"][0]["key"], json!("shop/orders/a"));
    assert_eq!(value["unreferenced"].as_array().map(Vec::len), Some(52));
}

#[test]
fn moments_are_those_of_the_calendar() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_827_696_001, "2000-02-29T12:34:56.001Z"),
        (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
        (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
    ] {
        assert_eq!(moment(ms), text);
    }
}
