//! What clients send, and what they are answered.

use super::Target;
use crate::{
    Verdict,
    check::steady,
    meter::{FACTOR, bounded_by},
    resp_frame::expect_one_value,
};
use bytes::{Bytes, BytesMut};
use strata_base::Hlc;
use strata_kv::{
    ErrorReply, Overlay, Protocol, Reply, View,
    command::{self, Call, Run},
    entry::Entry,
    resp::{ProtocolError, RequestReader},
    session::{Port, Session},
    testing::{FixedNode, MapStore},
};
use strata_node::shell::{forward, reply_codec};

pub(super) const RESP_REQUESTS: Target = Target {
    name: "resp_requests",
    from: "clients, before they have authenticated",
    sources: &["storage-node/kv/src/resp.rs", "storage-node/kv/src/number.rs"],
    play: resp_requests,
    samples: requests,
};

pub(super) const COMMANDS: Target = Target {
    name: "commands",
    from: "clients, and other nodes that forward for them: arguments, up to their evaluation",
    sources: &["storage-node/kv/src/command.rs", "storage-node/kv/src/split.rs", "storage-node/kv/src/command/scan.rs"],
    play: commands,
    samples: pipelines,
};

pub(super) const REPLIES: Target = Target {
    name: "replies",
    from: "other nodes that lead",
    sources: &["storage-node/src/shell/reply_codec.rs"],
    play: replies,
    samples: reply_samples,
};

type Requests = (Vec<Vec<Bytes>>, Option<ProtocolError>);

/// Reads requests from bytes that come in pieces, up to the first error, after which a connection closes.
fn read(bytes: &[u8], piece: usize, is_restricted: bool) -> Requests {
    let (mut reader, mut input, mut requests) = (RequestReader::default(), BytesMut::new(), Vec::new());
    reader.restrict(is_restricted);
    for part in bytes.chunks(piece) {
        input.extend_from_slice(part);
        loop {
            match reader.next(&mut input) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => return (requests, Some(error)),
            }
        }
    }
    (requests, None)
}

fn request(arguments: &[Bytes]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn resp_requests(bytes: &[u8]) -> Verdict {
    let whole = bounded_by(FACTOR, bytes, || read(bytes, bytes.len().max(1), false));
    for piece in [1, 3, 17] {
        assert_eq!(read(bytes, piece, false), whole, "requests in pieces of {piece} bytes are other ones");
    }
    let restricted = bounded_by(FACTOR, bytes, || read(bytes, bytes.len().max(1), true));
    assert!(whole.0.starts_with(&restricted.0), "whoever has not authenticated asks for less, not for something else");
    for asked in &whole.0 {
        let written = request(asked);
        assert_eq!(read(&written, written.len(), false), (vec![asked.clone()], None));
    }
    if whole.0.is_empty() || whole.1.is_some() { Verdict::Refused } else { Verdict::Taken }
}

/// A shard and a connection to its node, of the simplest kind.
struct World {
    store: MapStore,
    session: Session,
    node: FixedNode,
    hlc: Hlc,
}

impl World {
    fn new() -> World {
        let node = FixedNode { now_ms: 1_700_000_000_000, ..FixedNode::default() };
        World { store: MapStore::default(), session: Session::new(1, Port::Cluster, &node), hlc: Hlc::from_millis(node.now_ms), node }
    }

    /// Whatever was asked has an answer, and what it changes survives the log.
    fn run(&mut self, call: &Call) -> Reply {
        if let Err(error) = self.session.admit(call) {
            return Reply::Error(error);
        }
        if matches!(call.spec.run, Run::Connection(_)) {
            return call.answer(&mut self.session, &self.node);
        }
        self.hlc = self.hlc.next(0);
        let mut overlay = Overlay::default();
        let mut view = View::new(&self.store, &mut overlay, self.hlc);
        let reply = call.evaluate(&mut view);
        let entry = Entry { origin: 0, hlc: self.hlc, effects: view.finish().effects };
        assert_eq!(Entry::decode(entry.encode()).as_ref(), Ok(&entry), "what was decided reads as it was written");
        entry.effects.iter().for_each(|effect| self.store.apply(effect));
        reply
    }
}

fn commands(bytes: &[u8]) -> Verdict {
    let (mut verdict, mut world) = (Verdict::Refused, World::new());
    for asked in read(bytes, bytes.len().max(1), false).0 {
        let parsed = bounded_by(FACTOR, bytes, || command::parse(asked.clone()));
        match parsed {
            Ok(call) => {
                verdict = Verdict::Taken;
                let count = call.arguments.len();
                assert!(call.key_positions().all(|position| position < count), "a key is an argument");
                // A refusal is an answer, too.
                let _ = call.slot();
                if let Ok(parts) = call.split(usize::from) {
                    let keys: usize = parts.iter().map(|part| part.key_order.len()).sum();
                    assert_eq!(keys, call.key_positions().count(), "each key is in one part");
                }
                framed(&world.run(&call));
            }
            Err(error) => framed(&Reply::Error(error)),
        }
        if let Err(error) = forward::call_of(asked) {
            framed(&Reply::Error(error));
        }
    }
    verdict
}

/// A reply is one value in both versions of the protocol.
fn framed(reply: &Reply) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut out = BytesMut::new();
        reply.encode(protocol, &mut out);
        expect_one_value(&out);
    }
}

fn replies(bytes: &[u8]) -> Verdict {
    let encode = |reply: &Reply| {
        framed(reply);
        let mut out = BytesMut::new();
        reply_codec::encode(reply, &mut out);
        out.freeze()
    };
    steady(bytes, reply_codec::decode, encode)
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    let words = |words: &[&'static str]| request(&words.iter().map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>());
    let pipeline = [words(&["GET", "user:7"]), words(&["SET", "user:7", "Ada", "PX", "1000", "NX"])].concat();
    vec![
        ("get", words(&["GET", "user:7"])),
        ("pipeline", pipeline),
        ("pairs", words(&["MSET", "{a}1", "x", "{a}2", "", "{b}1", "y"])),
        ("subcommand", words(&["CLUSTER", "COUNTKEYSINSLOT", "16383"])),
        ("cursor", words(&["SCAN", "4611686018427387904", "MATCH", "u*", "COUNT", "10"])),
        ("hash", words(&["HSET", "h", "field", "value", "other", "a\r\nb"])),
        ("connection", words(&["HELLO", "3", "AUTH", "default", "secret"])),
        ("unknown", words(&["FROBNICATE", "a", "b\0c"])),
        ("inline", b"SET user:7 \"A\\x64a\\n\" EX 10\r\nPING\n".to_vec()),
        ("quotes", b"ECHO 'it\\'s' \"\\\"\"\r\n\r\n  \r\nQUIT\r\n".to_vec()),
        ("empty", b"*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n".to_vec()),
    ]
}

/// Requests that belong together: later ones read what earlier ones wrote.
fn pipelines() -> Vec<(&'static str, Vec<u8>)> {
    let words = |line: &'static str| request(&line.split(' ').map(|word| Bytes::from_static(word.as_bytes())).collect::<Vec<_>>());
    let pipeline = |lines: &[&'static str]| lines.iter().flat_map(|line| words(line)).collect::<Vec<u8>>();
    let strings =
        ["SET k 12 PX 1000", "INCRBY k 7", "APPEND k x", "GETRANGE k 0 -1", "SETRANGE k 5 abc", "GETEX k EXAT 1800000000", "TTL k"];
    let hashes = ["HSET h f 1 g two", "HINCRBYFLOAT h f 0.5", "HGETALL h", "HRANDFIELD h -3 WITHVALUES", "HSCAN h 0 COUNT 5", "HDEL h f g"];
    let keys =
        ["MSET {t}a 1 {t}b 2", "COPY {t}a {t}c REPLACE", "RENAME {t}b {t}a", "KEYS {t}[a-c]*", "SCAN 0 MATCH * TYPE string", "FLUSHALL"];
    let node = [
        "HELLO 3",
        "CLIENT SETNAME me",
        "CLIENT LIST",
        "CLIENT REPLY SKIP",
        "INFO all",
        "COMMAND INFO get",
        "CONFIG GET *",
        "CLUSTER SLOTS",
    ];
    let texts = ["SET {t}x ohmytext", "SET {t}y mynewtext", "LCS {t}x {t}y IDX MINMATCHLEN 2", "OBJECT ENCODING {t}x", "EXPIRE {t}x 10 NX"];
    let mut samples: Vec<_> = requests().into_iter().filter(|(name, _)| *name != "unknown").collect();
    samples.extend([("strings", pipeline(&strings)), ("hashes", pipeline(&hashes)), ("keys", pipeline(&keys))]);
    samples.extend([("node", pipeline(&node)), ("texts", pipeline(&texts))]);
    samples
}

fn reply_samples() -> Vec<(&'static str, Vec<u8>)> {
    let pair = |key: &'static str, value: Reply| (Reply::bulk(key), value);
    let samples = [
        ("status", Reply::OK),
        ("error", Reply::Error(ErrorReply::WRONG_TYPE)),
        ("integer", Reply::Integer(i64::MIN)),
        ("bulk", Reply::bulk("a\r\nb")),
        ("null", Reply::Null),
        ("null_array", Reply::NullArray),
        ("double", Reply::Double(-1.5)),
        ("not_a_number", Reply::Double(f64::NAN)),
        ("verbatim", Reply::Verbatim("txt", "hello".into())),
        ("array", Reply::Array(vec![Reply::Integer(1), Reply::Null, Reply::Array(vec![Reply::bulk("")])])),
        ("map", Reply::Map(vec![pair("k", Reply::Array(vec![])), pair("l", Reply::bulk("v"))])),
        ("pairs", Reply::Pairs(vec![pair("f", Reply::bulk("v"))])),
        ("set", Reply::Set(vec![Reply::bulk("m"), Reply::bulk("n")])),
    ];
    let encode = |reply: &Reply| {
        let mut out = BytesMut::new();
        reply_codec::encode(reply, &mut out);
        out.to_vec()
    };
    samples.iter().map(|(name, reply)| (*name, encode(reply))).collect()
}
