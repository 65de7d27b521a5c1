//! What members say to each other, and what their logs hold of Raft: every line of `testdata/format/v1/` must mean the same for ever.

use bytes::Bytes;
use strata_golden::{check_fixture, hex, unhex};
use strata_raft_group::{HardState, peek};

#[test]
fn hard_states_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/hard_states.txt", |encoding| {
        let state = HardState::decode(&unhex(encoding)).expect("an old hard state decodes");
        assert_eq!(hex(&state.encode()), encoding, "version 1 is what this build writes");
        format!("{state:?}")
    });
}

#[test]
fn half_a_hard_state_is_refused() {
    for length in (0..40).filter(|length| *length != 24) {
        assert_eq!(HardState::decode(&vec![1; length]), None, "{length} bytes");
    }
}

#[test]
fn messages_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/messages.txt", |encoding| {
        let bytes = Bytes::from(unhex(encoding));
        let written = peek::rewritten(&bytes).expect("an old message decodes");
        assert_eq!(hex(&written), encoding, "version 1 is what this build writes");
        peek::meaning(&bytes).expect("it was just read").trim().to_owned()
    });
}

#[test]
fn changes_of_version_1_mean_what_they_meant() {
    check_fixture("testdata/format/v1/changes.txt", |encoding| {
        peek::meaning_of_change(&Bytes::from(unhex(encoding))).expect("an old change decodes").trim().to_owned()
    });
}
