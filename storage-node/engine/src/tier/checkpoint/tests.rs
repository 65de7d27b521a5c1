use super::*;
use crate::{
    objects::{FaultyObjects, MemoryObjects, PerMille, SimulatedObjects, Upload},
    tier::{
        limits::PART_BYTES,
        testing::{INCARNATION, Simulated, layout, place},
    },
};
use strata_base::Hlc;

type Disk = BTreeMap<String, Bytes>;

fn disk(files: &[(&str, usize, u8)]) -> Disk {
    files.iter().map(|(name, size, fill)| ((*name).to_owned(), vec![*fill; *size].into())).collect()
}

fn request(disk: &Disk, number: u64, previous: Option<CheckpointDocument>) -> CheckpointRequest {
    let file = |(name, bytes): (&String, &Bytes)| LocalFile { name: name.clone(), size: bytes.len() as u64, crc32: crc32fast::hash(bytes) };
    CheckpointRequest {
        place: place(),
        layout: layout(),
        incarnation: INCARNATION,
        shard: ShardId(7),
        number,
        at: Cut { fork_epoch: 0, index: 10 * (number + 1), term: 2, hlc: Hlc::from_millis(1_000) },
        source: "store/peer/1".into(),
        files: disk.iter().map(file).collect(),
        previous,
        nonce: u128::from(number) + 1,
        part_bytes: PART_BYTES,
    }
}

struct Run {
    end: Option<CheckpointEffect>,
    /// Effects seen, as one line each.
    trace: Vec<String>,
    store: Simulated<CheckpointEvent>,
}

/// Runs a checkpoint until it ends, or until `stop` effects were carried out, as if the process had died there.
fn run(checkpoint: Checkpoint, disk: &Disk, store: Simulated<CheckpointEvent>, stop: usize) -> Run {
    run_until(checkpoint, disk, store, |done, _| done == stop)
}

/// Likewise; `stops` is told how many effects were carried out.
fn run_until(
    mut checkpoint: Checkpoint,
    disk: &Disk,
    mut store: Simulated<CheckpointEvent>,
    stops: impl Fn(usize, &MemoryObjects) -> bool,
) -> Run {
    let mut trace = Vec::new();
    for now_ms in (0..3_000_000).step_by(50) {
        let mut events = store.due(now_ms);
        events.push(CheckpointEvent::Tick);
        while let Some(event) = events.pop() {
            for effect in checkpoint.step(now_ms, event) {
                if stops(trace.len(), store.bucket()) {
                    return Run { end: None, trace, store };
                }
                match effect {
                    CheckpointEffect::Call(call) => {
                        trace.push(format!("ask {}", call.request.key()));
                        store.submit(now_ms, call, |id, answered| CheckpointEvent::Answered { id, answered });
                    }
                    CheckpointEffect::ReadFile { name, offset, length } => {
                        trace.push(format!("read {name} {offset}"));
                        let bytes = disk[&name].slice(offset as usize..(offset + length) as usize);
                        events.push(CheckpointEvent::FileRead { name, offset, bytes: Ok(bytes) });
                    }
                    CheckpointEffect::Propose { number, digest, bytes } => {
                        assert_eq!(digest, Digest::of(&bytes));
                        trace.push(format!("propose {number}"));
                        events.push(CheckpointEvent::Agreed);
                    }
                    end => return Run { end: Some(end), trace, store },
                }
            }
        }
    }
    panic!("a checkpoint ends: {:?}", checkpoint.problem())
}

fn healthy(seed: u64) -> Simulated<CheckpointEvent> {
    Simulated::new(FaultyObjects::new(MemoryObjects::default(), PerMille::default(), seed), seed)
}

/// Every document in the bucket names files that are there, whole.
fn check_references(store: &MemoryObjects, expected: &[(u64, &Disk)]) {
    for (number, disk) in expected {
        let bytes = store.peek(&layout().key(Name::Checkpoint(INCARNATION, ShardId(7), *number))).expect("the document is there");
        let document = CheckpointDocument::decode(&bytes).expect("it is whole");
        assert_eq!(document.files.len(), disk.len());
        for file in document.files {
            let held = store.peek(&layout().key(Name::File(INCARNATION, file.object, file.kind())));
            assert_eq!(held.as_ref(), disk.get(&file.name), "{}", file.name);
        }
    }
}

fn written(run: &Run) -> CheckpointDocument {
    match &run.end {
        Some(CheckpointEffect::Written(document)) => document.clone(),
        other => panic!("it is written, not {other:?}"),
    }
}

#[test]
fn files_come_first_and_the_document_last() {
    let disk = disk(&[("CURRENT", 16, 1), ("000001.sst", 100, 2), ("000002.sst", (2 * PART_BYTES + 5) as usize, 3), ("empty.sst", 0, 0)]);
    let run = run(Checkpoint::new(request(&disk, 0, None)), &disk, healthy(1), usize::MAX);
    check_references(run.store.bucket(), &[(0, &disk)]);
    let proposed = run.trace.iter().position(|line| line == "propose 0").expect("it is proposed");
    assert!(run.trace[..proposed].iter().all(|line| !line.contains("/ckpt/")));
    assert!(run.trace[proposed + 1..].iter().all(|line| line.contains("/ckpt/")));
    assert_eq!(written(&run).size(), disk.values().map(|bytes| bytes.len() as u64).sum::<u64>());
}

#[test]
fn what_the_bucket_has_is_not_uploaded_again() {
    let before = disk(&[("000001.sst", 100, 1), ("000002.sst", 100, 2), ("MANIFEST-1", 10, 1)]);
    let first = run(Checkpoint::new(request(&before, 0, None)), &before, healthy(1), usize::MAX);
    let after = disk(&[("000001.sst", 100, 1), ("000003.sst", 50, 3), ("MANIFEST-1", 12, 9)]);
    let second = run(Checkpoint::new(request(&after, 1, Some(written(&first)))), &after, first.store, usize::MAX);
    let read: Vec<&String> = second.trace.iter().filter(|line| line.starts_with("read")).collect();
    assert_eq!(read, ["read 000003.sst 0", "read MANIFEST-1 0"]);
    check_references(second.store.bucket(), &[(0, &before), (1, &after)]);
    let again = Checkpoint::new(request(&after, 2, Some(written(&second))));
    assert_eq!(again.progress(), (0, 0), "an idle checkpoint uploads no data");
    let elsewhere = Checkpoint::new(CheckpointRequest { source: "store/peer/2".into(), ..request(&after, 2, Some(written(&second))) });
    assert_eq!(elsewhere.progress(), (0, 162), "the same name in another tablet is another file");
}

#[test]
fn a_file_that_changes_under_it_ends_the_attempt() {
    let disk = disk(&[("000001.sst", 100, 1)]);
    let mut wrong = request(&disk, 0, None);
    wrong.files[0].crc32 ^= 1;
    let run = run(Checkpoint::new(wrong), &disk, healthy(1), usize::MAX);
    assert!(matches!(&run.end, Some(CheckpointEffect::Failed(message)) if message.contains("000001.sst")), "{:?}", run.end);
    assert_eq!(run.store.bucket().keys(), Vec::<String>::new());
}

#[test]
fn dying_at_any_step_leaves_nothing_dangling_and_the_next_attempt_succeeds() {
    let before = disk(&[("000001.sst", 100, 1)]);
    let after = disk(&[("000001.sst", 100, 1), ("000002.sst", (PART_BYTES + 9) as usize, 2), ("CURRENT", 16, 3)]);
    for stop in 0..40 {
        let first = run(Checkpoint::new(request(&before, 0, None)), &before, healthy(1), usize::MAX);
        let previous = written(&first);
        let died = run(Checkpoint::new(request(&after, 1, Some(previous.clone()))), &after, first.store, stop);
        check_references(died.store.bucket(), &[(0, &before)]);
        if died.end.is_some() {
            assert!(stop > 8, "the walk reached every step");
            return;
        }
        let store = Simulated::new(FaultyObjects::new(died.store.bucket().fork(), PerMille::default(), 1), 1);
        let last = if died.trace.contains(&"propose 1".to_owned()) {
            let document = Checkpoint::new(request(&after, 1, Some(previous))).document;
            run(Checkpoint::resume(place(), &layout(), document), &after, store, usize::MAX)
        } else {
            let anew = CheckpointRequest { nonce: 99, ..request(&after, 1, Some(previous)) };
            run(Checkpoint::new(anew), &after, store, usize::MAX)
        };
        check_references(last.store.bucket(), &[(0, &before), (1, &after)]);
    }
    panic!("the walk must end");
}

#[test]
fn an_upload_that_somebody_aborts_is_begun_anew() {
    let disk = disk(&[("000001.sst", 100, 1), ("000002.sst", (4 * PART_BYTES + 9) as usize, 2), ("CURRENT", 16, 3)]);
    let abort_all = |store: &MemoryObjects| {
        let list = Request::ListUploads { prefix: layout().prefix(), after: None };
        let Ok(Response::Uploads { uploads, .. }) = store.answer(0, list).result else { panic!("uploads are listed") };
        for Upload { key, upload } in &uploads {
            store.answer(0, Request::AbortUpload { key: key.clone(), upload: upload.clone() }).result.expect("it is aborted");
        }
        uploads.len()
    };
    let mut aborted = 0;
    for moment in 0..30 {
        let count = std::cell::Cell::new(0);
        let abort_once = |done: usize, store: &MemoryObjects| {
            if done == moment {
                count.set(abort_all(store));
            }
            false
        };
        let run = run_until(Checkpoint::new(request(&disk, 0, None)), &disk, healthy(1), abort_once);
        check_references(run.store.bucket(), &[(0, &disk)]);
        aborted += count.get();
    }
    assert!(aborted > 5, "the walk met an upload at {aborted} moments only");
}

#[test]
fn a_store_that_fails_only_delays() {
    let disk = disk(&[("000001.sst", 100, 1), ("000002.sst", (2 * PART_BYTES + 9) as usize, 2), ("CURRENT", 16, 3)]);
    for seed in 0..25 {
        let faults = PerMille {
            internal: 100,
            throttled: 50,
            timeout_without_effect: 80,
            timeout_with_effect: 80,
            late: 50,
            flipped: 50,
            truncated: 50,
            lagging: 0,
        };
        let store = Simulated::new(FaultyObjects::new(MemoryObjects::default(), faults, seed), seed);
        let run = run(Checkpoint::new(request(&disk, 0, None)), &disk, store, usize::MAX);
        check_references(run.store.bucket(), &[(0, &disk)]);
    }
}
