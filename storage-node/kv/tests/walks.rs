//! Walks over keys and fields: whatever the pages, everything that stays is seen.

use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;
use strata_base::{Hlc, SlotRange};
use strata_kv::{
    Facts, Overlay, Reply, View,
    command::{self, Call, scan},
    limits, slot,
    testing::MapStore,
};

/// Shards of even ranges, each with everything applied.
struct Table {
    shards: Vec<(SlotRange, MapStore)>,
    hlc: Hlc,
}

fn call(words: &[&str]) -> Call {
    command::parse(words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()).expect("a well-formed call")
}

impl Table {
    fn new(shards: u16) -> Table {
        let shards = SlotRange::split_evenly(shards).into_iter().map(|slots| (slots, MapStore::default())).collect();
        Table { shards, hlc: Hlc::ZERO }
    }

    fn evaluate(&mut self, slot: u16, call: &Call) -> Reply {
        self.hlc = self.hlc.next(1_700_000_000_000);
        let (slots, tablet) = self.shards.iter_mut().find(|(slots, _)| slots.contains(slot)).expect("the shards cover every slot");
        let mut overlay = Overlay::default();
        overlay.begin_round();
        let mut view = View::with_facts(tablet, &mut overlay, self.hlc, Facts { slots: *slots, ..Facts::default() });
        let reply = call.evaluate(&mut view);
        let effects = view.finish().effects;
        effects.iter().for_each(|effect| tablet.apply(effect));
        reply
    }

    fn ask(&mut self, words: &[&str]) -> Reply {
        let call = call(words);
        let slot = call.slot().expect("keys of one slot").expect("a slot");
        self.evaluate(slot, &call)
    }

    /// Walks by the given request, whose word `at` is the cursor; the pages.
    fn walk(&mut self, words: &[&str], at: usize, next: &mut dyn FnMut(Reply) -> Reply) -> Vec<Vec<String>> {
        let (mut cursor, mut pages) = ("0".to_owned(), Vec::new());
        loop {
            let mut words = words.to_vec();
            words[at] = &cursor;
            let reply = self.ask(&words);
            let Reply::Array(parts) = next(reply) else { panic!("a page is an array") };
            let [Reply::Bulk(after), Reply::Array(page)] = &parts[..] else { panic!("a page is a cursor and items") };
            let text = |item: &Reply| {
                if let Reply::Bulk(text) = item { String::from_utf8_lossy(text).into_owned() } else { panic!("an item is a string") }
            };
            pages.push(page.iter().map(text).collect());
            cursor = String::from_utf8_lossy(after).into_owned();
            if cursor == "0" {
                return pages;
            }
            assert!(cursor.parse::<i64>().is_ok(), "clients read a cursor as a number of 63 bits");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn scan_sees_every_key_once_over_all_shards(shards in 1..9_u16, keys in 0..120_usize, tags in 1..20_usize, count in 1..30_usize) {
        let mut table = Table::new(shards);
        let names: BTreeSet<String> = (0..keys).map(|key| if key % 3 == 0 { format!("{{tag{}}}{key}", key % tags) } else { format!("key{key}") }).collect();
        names.iter().for_each(|name| drop(table.ask(&["SET", name, "v"])));
        let pages = table.walk(&["SCAN", "0", "COUNT", &count.to_string()], 1, &mut |reply| reply);
        let seen: Vec<String> = pages.into_iter().flatten().collect();
        prop_assert_eq!(seen.len(), names.len(), "no key comes twice");
        prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), names);
    }

    #[test]
    fn a_redirected_scan_sees_the_keys_of_its_own_shards(keys in 0..80_usize, count in 1..10_usize, mine in 0..2_usize) {
        let mut table = Table::new(6);
        let names: BTreeSet<String> = (0..keys).map(|key| format!("key{key}")).collect();
        names.iter().for_each(|name| drop(table.ask(&["SET", name, "v"])));
        let ranges: Vec<SlotRange> = table.shards.iter().skip(mine).step_by(2).map(|(slots, _)| *slots).collect();
        // The next slot of mine: the slot itself, or the first of a later range.
        let next = |slot: u16| ranges.iter().find(|range| range.last() >= slot).map(|range| slot.max(range.first()));
        let pages = table.walk(&["SCAN", "0", "COUNT", &count.to_string()], 1, &mut |reply| scan::redirect(reply, next));
        let is_mine = |name: &String| ranges.iter().any(|range| range.contains(slot::slot_of(name.as_bytes())));
        let seen: BTreeSet<String> = pages.into_iter().flatten().filter(is_mine).collect();
        prop_assert_eq!(seen, names.into_iter().filter(is_mine).collect::<BTreeSet<_>>());
    }

    #[test]
    fn hscan_sees_every_field_once(fields in 1..1_500_usize, count in 1..200_usize) {
        let mut table = Table::new(1);
        for field in 0..fields {
            table.ask(&["HSET", "hash", &field.to_string(), "v"]);
        }
        let pages = table.walk(&["HSCAN", "hash", "0", "COUNT", &count.to_string()], 2, &mut |reply| reply);
        prop_assert!(fields as u64 <= limits::SMALL_HASH_FIELDS_MAX || pages.iter().all(|page| page.len() <= count * 2));
        let seen: Vec<String> = pages.into_iter().flat_map(|page| page.into_iter().step_by(2)).collect();
        prop_assert_eq!(seen.len(), fields);
        prop_assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), fields);
    }
}

#[test]
fn a_large_tag_comes_in_windows() {
    let mut table = Table::new(1);
    let keys = limits::SCAN_RECORDS_MAX * 5 / 2;
    for key in 0..keys {
        table.ask(&["SET", &format!("{{tag}}{key}"), "v"]);
    }
    table.ask(&["SET", "other", "v"]);
    let pages = table.walk(&["SCAN", "0", "COUNT", "10"], 1, &mut |reply| reply);
    assert_eq!(pages.iter().filter(|page| page.len() > 1).count(), 3, "two and a half pages' worth of one tag");
    assert!(pages.iter().all(|page| page.len() <= limits::SCAN_RECORDS_MAX));
    let seen: Vec<String> = pages.into_iter().flatten().collect();
    assert_eq!(seen.len(), keys + 1);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), keys + 1);
}

#[test]
fn every_key_of_a_shard_is_drawn_sooner_or_later() {
    let mut table = Table::new(1);
    let names = ["a", "b", "c", "{t}1", "{t}2", "{t}3"];
    names.iter().for_each(|name| drop(table.ask(&["SET", name, "v"])));
    let (_, tablet) = &table.shards[0];
    let draw = |random| {
        let mut overlay = Overlay::default();
        let mut view = View::with_facts(tablet, &mut overlay, Hlc::from_millis(1), Facts { random, ..Facts::default() });
        if let Reply::Bulk(key) = call(&["RANDOMKEY"]).evaluate(&mut view) { key } else { panic!("a key is there") }
    };
    let drawn: BTreeSet<Bytes> = (0..500).map(draw).collect();
    assert_eq!(drawn.len(), names.len());
}
