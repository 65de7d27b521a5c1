use super::*;
use proptest::prelude::*;

const AT: LogPlace = LogPlace { incarnation: IncarnationId(1), life: LifeId(2), seq: 3 };

const MADE: Hlc = Hlc::from_millis(1_700_000_001_000);

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let payloads = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6);
    let run = (any::<u64>(), 0..3_u64, 1..u64::MAX / 2, payloads).prop_map(|(shard, fork_epoch, first, payloads)| {
        let entries = payloads
            .into_iter()
            .zip(first..)
            .map(|(payload, index)| Entry { index, term: index / 2, hlc: Hlc::from_u64(index), payload: payload.into() })
            .collect();
        Run { shard: ShardId(shard), fork_epoch, entries }
    });
    proptest::collection::vec(run, 0..5)
}

fn sample() -> Vec<Run> {
    let entry =
        |index, text: &'static str| Entry { index, term: 4, hlc: Hlc::from_millis(1_700_000_000_000 + index), payload: text.into() };
    vec![
        Run { shard: ShardId(7), fork_epoch: 0, entries: vec![entry(10, "first"), entry(11, ""), entry(12, "third")] },
        Run { shard: ShardId(9), fork_epoch: 1, entries: vec![entry(500, "of another shard")] },
    ]
}

proptest! {
    #[test]
    fn runs_survive_their_object(runs in runs(), confirmed in 0..4_u64) {
        let bytes = encode(AT, confirmed, Hlc::from_u64(confirmed), &runs);
        let (footer, entries) = decode(&bytes, AT).expect("it was just written");
        prop_assert_eq!(footer.confirmed, confirmed);
        prop_assert_eq!(entries, runs.iter().map(|run| run.entries.clone()).collect::<Vec<_>>());
        prop_assert_eq!(end_bytes(runs.len()), bytes.len() as u64 - footer.runs.last().map_or(8, |run| run.offset + run.length));
    }

    #[test]
    fn a_flipped_bit_or_a_lost_end_is_noticed(runs in runs(), place in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let bytes = encode(AT, 0, Hlc::ZERO, &runs);
        let place = place.index(bytes.len());
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << bit;
        prop_assert!(decode(&flipped.into(), AT).is_err());
        prop_assert!(decode(&bytes.slice(..place), AT).is_err());
    }

    #[test]
    fn no_bytes_make_decoding_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), honest: bool) {
        if honest && bytes.len() > TAIL_BYTES {
            // A footer whose checksum and length are right, so that its content is read.
            let length = bytes.len() - TAIL_BYTES;
            let footer_length = length.saturating_sub(8);
            let crc32 = crc32fast::hash(&bytes[length - footer_length..length]);
            bytes.truncate(length);
            bytes.put_u32(footer_length as u32);
            bytes.put_u32(crc32);
            bytes.put_u8(VERSION);
            bytes.put_slice(MAGIC);
        }
        let size = bytes.len() as u64;
        let _either = decode_end(bytes.into(), size, AT);
    }
}

#[test]
fn the_footer_is_found_from_the_end() {
    let bytes = encode(AT, 3, MADE, &sample());
    let size = bytes.len() as u64;
    let last = |count: u64| bytes.slice((size - count) as usize..);
    let Ok(End::Longer(needed)) = decode_end(last(20), size, AT) else { panic!("twenty bytes hold no footer") };
    assert_eq!(needed, end_bytes(2));
    let Ok(End::Footer(footer)) = decode_end(last(needed), size, AT) else { panic!("now it is all there") };
    assert_eq!(footer.runs[0].first..=footer.runs[0].last, 10..=12);
    let run = &footer.runs[1];
    let entries = decode_run(run, bytes.slice(run.offset as usize..(run.offset + run.length) as usize)).expect("a run stands alone");
    assert_eq!(entries, sample()[1].entries);
}

#[test]
fn a_run_that_ends_where_numbers_end_is_refused() {
    let run = Run { shard: ShardId(7), fork_epoch: 0, entries: vec![sample()[0].entries[0].clone()] };
    let mut bytes = encode(AT, 0, Hlc::ZERO, &[run]).to_vec();
    let footer = bytes.len() - TAIL_BYTES - FOOTER_HEAD_BYTES - SUMMARY_BYTES;
    // Its first index and its last.
    bytes[footer + FOOTER_HEAD_BYTES + 16..][..16].fill(0xff);
    let tail = bytes.len() - TAIL_BYTES;
    let crc32 = crc32fast::hash(&bytes[footer..tail]);
    bytes[tail + 4..tail + 8].copy_from_slice(&crc32.to_be_bytes());
    assert_eq!(decode(&bytes.into(), AT), Err(Form("a run's index is beyond every log")));
}

#[test]
fn an_object_under_anothers_name_is_noticed() {
    let bytes = encode(AT, 0, Hlc::ZERO, &sample());
    let error = decode(&bytes, LogPlace { seq: 4, ..AT }).expect_err("must be refused");
    assert_eq!(error.to_string(), "it says it is number 3 of life 0000000000000002 of incarnation 0000000000000001");
}

#[test]
fn the_fixture_of_version_1_opens() {
    let fixture = Bytes::from_static(include_bytes!("../../../testdata/format/v1/log_object.bin"));
    let (footer, entries) = decode(&fixture, AT).expect("a fixture must open for ever");
    assert_eq!((footer.confirmed, footer.made, footer.runs.len()), (3, MADE, 2));
    assert_eq!(entries, sample().into_iter().map(|run| run.entries).collect::<Vec<_>>());
    assert_eq!(encode(AT, 3, MADE, &sample()), fixture, "version 1 is what this build writes");
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = encode(AT, 0, Hlc::ZERO, &sample()).to_vec();
    let place = bytes.len() - 8;
    bytes[place] = 2;
    assert_eq!(decode(&bytes.into(), AT), Err(LogObjectError::Version(2)));
}
