//! What a node's disk holds beside logs and records, and its configuration.

use super::Target;
use crate::{
    Verdict,
    check::{exact, steady},
    meter::{CONFIGURATION_FACTOR, bounded_by},
};
use bytes::Bytes;
use strata_base::{Epoch, Hlc, IncarnationId, PeerId, ShardId, SlotRange, StoreId, TableId};
use strata_engine::identity::{Identity, Membership};
use strata_kv::Counts;
use strata_node::{
    agreement::Agreed,
    config::Config,
    descriptor::{Applied, Descriptor, ReplicaRecord},
};
use strata_node_api::{Member, MemberRole};

pub(super) const APPLIED_STATES: Target = Target {
    name: "applied_states",
    from: "a tablet's files",
    sources: &["storage-node/src/descriptor.rs"],
    play: |bytes| exact(bytes, |bytes| Applied::decode(&bytes), Applied::encode),
    samples: applied_samples,
};

pub(super) const AGREED_DOCUMENTS: Target = Target {
    name: "agreed_documents",
    from: "a tablet's files",
    sources: &["storage-node/src/agreement.rs"],
    play: |bytes| exact(bytes, Agreed::decode, Agreed::encode),
    samples: || vec![("checkpoint", Agreed { number: 7, document: "{}".into() }.encode().to_vec())],
};

pub(super) const DESCRIPTORS: Target = Target {
    name: "descriptors",
    from: "a tablet's files",
    sources: &["storage-node/src/descriptor.rs", "storage-node/base/src/range.rs", "storage-node/base/src/id.rs"],
    play: |bytes| steady(bytes, |bytes| Descriptor::decode(&bytes).ok(), Descriptor::encode),
    samples: descriptor_samples,
};

pub(super) const REPLICA_RECORDS: Target = Target {
    name: "replica_records",
    from: "the log on disk",
    sources: &["storage-node/src/descriptor.rs"],
    play: |bytes| steady(bytes, |bytes| ReplicaRecord::decode(&bytes).ok(), ReplicaRecord::encode),
    samples: record_samples,
};

pub(super) const IDENTITIES: Target = Target {
    name: "identities",
    from: "the file STORE",
    sources: &["storage-node/engine/src/identity.rs", "storage-node/src/host.rs", "storage-node/src/host/tier.rs"],
    play: |bytes| steady(bytes, |bytes| Identity::decode(&bytes).ok(), |identity| Bytes::from(identity.encode())),
    samples: identity_samples,
};

pub(super) const CONFIGURATIONS: Target = Target {
    name: "configurations",
    from: "the node's configuration file",
    sources: &["storage-node/src/config.rs", "storage-node/src/config/archive.rs"],
    play: configurations,
    samples: configuration_samples,
};

fn configurations(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let parse = || Config::parse(text, "node.toml", std::iter::empty());
    match bounded_by(CONFIGURATION_FACTOR, bytes, parse) {
        Ok(config) => {
            let again = parse().expect("it was taken a moment ago");
            assert_eq!(format!("{config:?}"), format!("{again:?}"), "one text has one meaning");
            Verdict::Taken
        }
        Err(error) => {
            assert!(error.to_string().starts_with("node.toml: "), "a refusal names the file: {error}");
            Verdict::Refused
        }
    }
}

fn applied_samples() -> Vec<(&'static str, Vec<u8>)> {
    let applied = Applied { index: 100, term: 5, hlc: Hlc::from_millis(1_700_000_000_000), counts: Counts { keys: 9, expires: 2 } };
    vec![("some", applied.encode().to_vec()), ("none", Applied::default().encode().to_vec())]
}

fn descriptor_samples() -> Vec<(&'static str, Vec<u8>)> {
    let members: Vec<Member> =
        (1..=3).map(|peer| Member { peer: PeerId(peer), store: StoreId(100 + peer), role: MemberRole::Voter }).collect();
    let fresh = Descriptor::create(ShardId(7), TableId(0), SlotRange::ALL, &members);
    let (learners, outgoing, learners_next) = (vec![PeerId(4)], vec![PeerId(1)], vec![PeerId(2)]);
    let joint = Descriptor { epoch: Epoch(9), learners, outgoing, learners_next, auto_leave: true, ..fresh.clone() };
    vec![("fresh", fresh.encode().to_vec()), ("joint", joint.encode().to_vec())]
}

fn record_samples() -> Vec<(&'static str, Vec<u8>)> {
    let here = ReplicaRecord::Here {
        peer: PeerId(3),
        generation: 2,
        truncated_index: 40,
        truncated_term: 5,
        archived_index: 38,
        archived_hlc: Hlc::from_millis(1_700_000_000_000),
    };
    vec![("here", here.encode().to_vec()), ("gone", ReplicaRecord::Gone { peer: PeerId(3) }.encode().to_vec())]
}

fn identity_samples() -> Vec<(&'static str, Vec<u8>)> {
    let empty = Identity::new(StoreId(0xa7));
    let membership = Membership { cluster: "6f1c9a54-0f7e-4c38-9a55-0f6f2b1d7a10".to_owned(), incarnation: IncarnationId(2) };
    let directory = serde_json::json!([{
        "store": "00000000000000a7", "zone": "a", "peer": "node-0:6390", "clientHost": "10.0.0.7", "plainPort": 6379, "clusterPort": 6380
    }]);
    let archive = serde_json::json!({ "namespaceUid": "n", "kvClusterUid": "k", "mayContinue": true, "document": "{}" });
    let member = Identity { membership: Some(membership), epoch: Epoch(4), directory, archive, is_published: true, ..empty.clone() };
    vec![("empty", empty.encode()), ("member", member.encode())]
}

fn configuration_samples() -> Vec<(&'static str, Vec<u8>)> {
    let minimal = "data_dir = '/data'\n[tls]\nca = 'ca.pem'\ncertificate = 'node.pem'\nkey = 'node.key'\n";
    let full = format!(
        "zone = \"b\"\ncluster = 'orders'\n{minimal}\n[listen]\nplain = '127.0.0.1:0'\ncluster = '[::1]:6380'\n[auth]\npassword_file = '/p'\n\
         [limits]\nconnections = 7\nblock_cache_bytes = 1_048_576\ndirect_io = true\n[raft]\ntick_millis = 50\nleases = false\n\
         [archive]\nendpoint = 'http://10.0.0.7:7070'\nbucket = 'archive'\npath = 'shop/orders'\naccess_key_id_file = '/i'\n\
         secret_access_key_file = '/s'\non_store_down = 'KeepThenDrop'\n[checkpoint]\ninterval_seconds = 0\n"
    );
    vec![("minimal", minimal.as_bytes().to_vec()), ("full", full.into_bytes())]
}
