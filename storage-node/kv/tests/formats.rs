//! What is on disks and in buckets: every line of `testdata/format/v1/` must mean the same for ever.
//!
//! A new version of a format gets a folder of its own beside `v1`; the files of an old one never change.

use bytes::Bytes;
use strata_base::Hlc;
use strata_golden::{fixture, hex, unhex};
use strata_kv::{
    Effect,
    entry::Entry,
    record::{self, Body, Record},
};

/// Encoding and meaning of every line of a fixture.
fn lines(text: &'static str) -> impl Iterator<Item = (Vec<u8>, &'static str)> {
    fixture(text).map(|(encoding, meaning)| (unhex(encoding), meaning))
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

fn meaning_of_record(record: &Record) -> String {
    let body = match &record.body {
        Body::String(value) => format!("string {}", quoted(value)),
        Body::Hash(state) => format!("hash size={} creation={}", state.size, state.creation),
    };
    format!("{body} hlc={} expire_ms={:?}", record.hlc, record.expire_ms)
}

fn meaning_of_effect(effect: &Effect) -> String {
    match effect {
        Effect::Command { hlc } => format!("command {hlc}"),
        Effect::Put { family, key, value } => format!("put {family:?} {} {}", quoted(key), quoted(value)),
        Effect::Delete { family, key } => format!("delete {family:?} {}", quoted(key)),
        Effect::DeleteRange { family, from, to } => format!("range {family:?} {} {}", quoted(from), quoted(to)),
        Effect::DropElements { prefix } => format!("elements {}", quoted(prefix)),
        Effect::Count { keys, expires } => format!("count {keys:+} {expires:+}"),
        Effect::ResetCounts => "reset".to_owned(),
    }
}

#[test]
fn records_of_version_1_mean_what_they_meant() {
    for (encoded, meaning) in lines(include_str!("../testdata/format/v1/records.txt")) {
        let record = Record::decode(b"key", &Bytes::from(encoded.clone())).expect("an old record decodes");
        assert_eq!(meaning_of_record(&record), meaning);
        assert_eq!(hex(&record.encode()), hex(&encoded), "{meaning}");
    }
}

#[test]
fn entries_of_version_1_mean_what_they_meant() {
    for (encoded, meaning) in lines(include_str!("../testdata/format/v1/entries.txt")) {
        let entry = Entry::decode(Bytes::from(encoded.clone())).expect("an old entry decodes");
        let effects: Vec<String> = entry.effects.iter().map(meaning_of_effect).collect();
        assert_eq!(format!("origin={} hlc={} [{}]", entry.origin, entry.hlc, effects.join(", ")), meaning);
        assert_eq!(hex(&entry.encode()), hex(&encoded), "{meaning}");
    }
}

#[test]
fn keys_of_version_1_are_made_as_they_were() {
    for (encoded, meaning) in lines(include_str!("../testdata/format/v1/keys.txt")) {
        let words: Vec<&str> = meaning.split(' ').collect();
        let key = match words[..] {
            ["meta", key] => record::meta_key(&unquoted(key)),
            ["element", key, creation, field] => {
                let prefix = record::element_prefix(&record::meta_key(&unquoted(key)), hlc(creation));
                record::field_key(&prefix, &unquoted(field))
            }
            ["expiry", expire_ms, key] => record::expiry_key(expire_ms.parse().expect("milliseconds"), &record::meta_key(&unquoted(key))),
            ["value", written, value] => record::field_value(hlc(written), &unquoted(value)),
            _ => panic!("{meaning:?} names no key"),
        };
        assert_eq!(hex(&key), hex(&encoded), "{meaning}");
    }
}

fn hlc(text: &str) -> Hlc {
    let (millis, counter) = text.split_once('.').expect("an HLC is `millis.counter`");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    Hlc::from_u64(Hlc::from_millis(number(millis)).as_u64() + number(counter))
}

/// The bytes of a quoted word; `\x00` is its only escape here.
fn unquoted(text: &str) -> Vec<u8> {
    text.trim_matches('"').replace("\\x00", "\0").into_bytes()
}
