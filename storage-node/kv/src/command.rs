//! The command table: one file per command, each with its row, its evaluation and its documentation.
//!
//! To add a command, write `command/<name>.rs` beside the others (`set.rs` and `get.rs` are the exemplars), name its `SPEC` in [`TABLE`], and
//! give it a golden script `testdata/<name>.txt`. The table gives the router everything it must know: which arguments are keys, whether
//! the command writes, and how a call over several shards is cut and its replies merged. A container (CLIENT, CLUSTER, COMMAND, CONFIG, OBJECT)
//! has the rows of its subcommands in its file, each with its own arity and evaluation: [`parse`] finds them.

use crate::{ErrorReply, Failure, Reply, View, error::shown, limits, number, session::ConnectionCommand, slot};
use bytes::Bytes;
use strata_base::SLOT_COUNT;

mod append;
mod auth;
mod client;
mod cluster;
mod config;
mod copy;
mod dbsize;
mod decr;
mod decrby;
mod del;
mod echo;
mod exists;
mod expire;
mod expireat;
mod expiretime;
mod flushall;
mod flushdb;
mod get;
mod getdel;
mod getex;
mod getrange;
mod getset;
mod hdel;
mod hello;
mod hexists;
mod hget;
mod hgetall;
mod hincrby;
mod hincrbyfloat;
mod hkeys;
mod hlen;
mod hmget;
mod hmset;
mod hrandfield;
mod hscan;
mod hset;
mod hsetnx;
mod hstrlen;
mod hvals;
mod incr;
mod incrby;
mod incrbyfloat;
mod info;
mod keys;
mod lcs;
mod mget;
mod mset;
mod msetnx;
mod object;
mod persist;
mod pexpire;
mod pexpireat;
mod pexpiretime;
mod ping;
mod psetex;
mod pttl;
mod quit;
mod randomkey;
mod readonly;
mod readwrite;
mod rename;
mod renamenx;
mod reset;
pub mod scan;
mod select;
mod set;
mod setex;
mod setnx;
mod setrange;
mod strlen;
mod substr;
mod table;
mod time;
mod touch;
mod ttl;
mod r#type;
mod unlink;
mod wait;

/// Every command, in the order of COMMAND's reply.
pub static TABLE: &[&Spec] = &[
    &append::SPEC,
    &auth::SPEC,
    &client::SPEC,
    &cluster::SPEC,
    &table::SPEC,
    &config::SPEC,
    &copy::SPEC,
    &dbsize::SPEC,
    &decr::SPEC,
    &decrby::SPEC,
    &del::SPEC,
    &echo::SPEC,
    &exists::SPEC,
    &expire::SPEC,
    &expireat::SPEC,
    &expiretime::SPEC,
    &flushall::SPEC,
    &flushdb::SPEC,
    &get::SPEC,
    &getdel::SPEC,
    &getex::SPEC,
    &getrange::SPEC,
    &getset::SPEC,
    &hdel::SPEC,
    &hello::SPEC,
    &hexists::SPEC,
    &hget::SPEC,
    &hgetall::SPEC,
    &hincrby::SPEC,
    &hincrbyfloat::SPEC,
    &hkeys::SPEC,
    &hlen::SPEC,
    &hmget::SPEC,
    &hmset::SPEC,
    &hrandfield::SPEC,
    &hscan::SPEC,
    &hset::SPEC,
    &hsetnx::SPEC,
    &hstrlen::SPEC,
    &hvals::SPEC,
    &incr::SPEC,
    &incrby::SPEC,
    &incrbyfloat::SPEC,
    &info::SPEC,
    &keys::SPEC,
    &lcs::SPEC,
    &mget::SPEC,
    &mset::SPEC,
    &msetnx::SPEC,
    &object::SPEC,
    &persist::SPEC,
    &pexpire::SPEC,
    &pexpireat::SPEC,
    &pexpiretime::SPEC,
    &ping::SPEC,
    &psetex::SPEC,
    &pttl::SPEC,
    &quit::SPEC,
    &randomkey::SPEC,
    &readonly::SPEC,
    &readwrite::SPEC,
    &rename::SPEC,
    &renamenx::SPEC,
    &reset::SPEC,
    &scan::SPEC,
    &select::SPEC,
    &set::SPEC,
    &setex::SPEC,
    &setnx::SPEC,
    &setrange::SPEC,
    &strlen::SPEC,
    &substr::SPEC,
    &time::SPEC,
    &touch::SPEC,
    &ttl::SPEC,
    &r#type::SPEC,
    &unlink::SPEC,
    &wait::SPEC,
];

/// A row of the command table.
#[derive(Debug)]
pub struct Spec {
    /// The name, in lower case; `container|name` for a subcommand.
    pub name: &'static str,
    /// The number of arguments, name included; negative for "at least".
    pub arity: i32,
    /// Redis's flags, as COMMAND shows them: `write` or `readonly`, `denyoom`, `fast`, ….
    pub flags: &'static [&'static str],
    /// Which arguments are keys.
    pub keys: Keys,
    /// Who evaluates it.
    pub run: Run,
    /// The group of the command in Redis's documentation.
    pub group: &'static str,
    /// The Redis version that has it first.
    pub since: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The rows of its subcommands, if it is a container of them.
    pub subcommands: &'static [&'static Spec],
}

/// Which arguments are keys: the first, the last (negative: from the end), and the step between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// 0 where no argument is a key.
    pub first: usize,
    /// -1 is the last argument.
    pub last: i32,
    /// 2 for pairs of key and value.
    pub step: usize,
}

impl Keys {
    /// No argument is a key.
    pub const NONE: Keys = Keys { first: 0, last: 0, step: 0 };
    /// The first argument is the key.
    pub const ONE: Keys = Keys { first: 1, last: 1, step: 1 };
    /// The first two arguments are keys.
    pub const TWO: Keys = Keys { first: 1, last: 2, step: 1 };
    /// The argument after a subcommand's name is the key.
    pub const SECOND: Keys = Keys { first: 2, last: 2, step: 1 };
    /// Every argument is a key.
    pub const ALL: Keys = Keys { first: 1, last: -1, step: 1 };
    /// Every other argument is a key, followed by its value.
    pub const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };
}

/// Evaluates a call in the shard that owns its keys.
pub type Evaluate = fn(&[Bytes], &mut View<'_>) -> Result<Reply, Failure>;

/// Who evaluates a command.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// The shard of its keys. `split` says what the plain port does with keys of several shards.
    Keyed {
        /// The evaluation.
        evaluate: Evaluate,
        /// How a call over several shards is cut.
        split: Split,
    },
    /// Every shard; the replies are merged.
    EveryShard {
        /// The evaluation of one shard's part.
        evaluate: Evaluate,
        /// How the parts become one reply.
        merge: Merge,
    },
    /// The shard that the cursor in the first argument points into; [`Call::slot`] reads it.
    Cursor(Evaluate),
    /// The shard of the slot whose number is the second argument; [`Call::slot`] reads it.
    Slot(Evaluate),
    /// One shard drawn at random, and the others in turn while the reply is no value.
    AnyShard(Evaluate),
    /// The node that the connection is with.
    Connection(ConnectionCommand),
}

/// What the plain port does with a call whose keys lie in several shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Refuses it: the command is atomic, and shards do not share a log.
    Refuse,
    /// Cuts it into one call per shard; each part is atomic, the whole is not, as with every Redis Cluster client.
    PerShard(Merge),
}

/// How the replies of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Integers are added.
    Sum,
    /// Arrays are laid out in the order of the call's keys.
    InKeyOrder,
    /// Arrays follow each other.
    Concatenate,
    /// All are `+OK`.
    AllOk,
}

/// A call that names an existing command and has the right number of arguments.
#[derive(Clone, Debug)]
pub struct Call {
    /// The row of its command.
    pub spec: &'static Spec,
    /// The arguments, name included.
    pub arguments: Vec<Bytes>,
}

/// The row of a command; its name in any case.
pub fn lookup(name: &[u8]) -> Option<&'static Spec> {
    const NAME_BYTES_MAX: usize = 32;
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(lower)).ok().map(|index| TABLE[index])
}

/// Finds the command of a request and checks the number of its arguments.
pub fn parse(arguments: Vec<Bytes>) -> Result<Call, ErrorReply> {
    let name = arguments.first().map_or(&b""[..], |name| name);
    let mut spec = lookup(name).ok_or_else(|| unknown_command(&arguments))?;
    if let (false, Some(word)) = (spec.subcommands.is_empty(), arguments.get(1)) {
        spec = spec.subcommand(word).ok_or_else(|| unknown_subcommand(spec, word))?;
    }
    let count = arguments.len() as i32;
    if (spec.arity >= 0 && count != spec.arity) || count < -spec.arity {
        return Err(ErrorReply::wrong_arity(spec.name));
    }
    Ok(Call { spec, arguments })
}

fn unknown_subcommand(container: &Spec, word: &Bytes) -> ErrorReply {
    let word = shown(word, limits::SHOWN_BYTES_MAX);
    ErrorReply::new(format!("ERR unknown subcommand '{word}'. Try {} HELP.", container.name.to_ascii_uppercase()))
}

fn unknown_command(arguments: &[Bytes]) -> ErrorReply {
    let name = arguments.first().map(|name| shown(name, limits::SHOWN_BYTES_MAX)).unwrap_or_default();
    let mut beginning = String::new();
    for argument in arguments.iter().skip(1) {
        let Some(left @ 1..) = limits::SHOWN_BYTES_MAX.checked_sub(beginning.len()) else { break };
        beginning.push_str(&format!("'{}' ", shown(argument, left)));
    }
    ErrorReply::new(format!("ERR unknown command '{name}', with args beginning with: {beginning}"))
}

impl Spec {
    /// The row of a subcommand; its name in any case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Spec> {
        let is_it = |spec: &&&Spec| spec.name.split_once('|').is_some_and(|(_, name)| name.as_bytes().eq_ignore_ascii_case(word));
        self.subcommands.iter().find(is_it).copied()
    }

    /// Whether the command may write.
    pub fn is_write(&self) -> bool {
        self.flags.contains(&"write")
    }

    /// Whether the command may make data grow; refused while the disk is below its reserve.
    pub fn denies_oom(&self) -> bool {
        self.flags.contains(&"denyoom")
    }
}

impl Call {
    /// Evaluates the call in a shard.
    pub fn evaluate(&self, view: &mut View<'_>) -> Reply {
        match self.try_evaluate(view) {
            Ok(reply) => reply,
            Err(Failure::Reply(error)) => Reply::Error(error),
            Err(Failure::Read(error)) => Reply::Error(ErrorReply::new(format!("ERR {error}"))),
        }
    }

    /// Evaluates the call in a shard; a failure of the store is told apart from the client's mistakes. After [`Failure::Read`] the overlay may
    /// show a part of the command: the replica must stop.
    pub fn try_evaluate(&self, view: &mut View<'_>) -> Result<Reply, Failure> {
        let evaluate = match self.spec.run {
            Run::Keyed { evaluate, .. } | Run::EveryShard { evaluate, .. } => evaluate,
            Run::Cursor(evaluate) | Run::Slot(evaluate) | Run::AnyShard(evaluate) => evaluate,
            Run::Connection(_) => unreachable!("'{}' is evaluated by the connection, not by a shard", self.spec.name),
        };
        let result = evaluate(&self.arguments, view);
        // A store that fails in the middle is another matter: its replica stops, and with it whatever was evaluated.
        let is_refusal = matches!(result, Err(Failure::Reply(_)));
        assert!(!is_refusal || !view.has_written(), "'{}' answered with an error after it had written", self.spec.name);
        result
    }

    /// The positions of the keys among the arguments.
    pub fn key_positions(&self) -> impl Iterator<Item = usize> {
        let Keys { first, last, step } = self.spec.keys;
        let count = self.arguments.len();
        let last = if last < 0 { count.saturating_sub(last.unsigned_abs() as usize) } else { last as usize };
        let range = if step == 0 { 1..1 } else { first..(last + 1).min(count) };
        range.step_by(step.max(1))
    }

    /// The slot that decides who evaluates the call: that of its keys, of its cursor, or the one it names; `None` where any shard, every
    /// shard or the connection does. Refused where its keys lie in several, and where the cursor or slot is none.
    pub fn slot(&self) -> Result<Option<u16>, ErrorReply> {
        match self.spec.run {
            Run::Cursor(_) => return scan::Cursor::parse(&self.arguments[1]).map(|cursor| Some(cursor.slot)),
            Run::Slot(_) => {
                let slot = number::parse_integer(&self.arguments[2]).ok_or(ErrorReply::NOT_AN_INTEGER)?;
                let slot = u16::try_from(slot).ok().filter(|slot| *slot < SLOT_COUNT);
                return slot.map(Some).ok_or(ErrorReply::INVALID_SLOT);
            }
            _ => {}
        }
        let mut found = None;
        for position in self.key_positions() {
            let slot = slot::slot_of(&self.arguments[position]);
            if found.is_some_and(|found| found != slot) {
                return Err(ErrorReply::CROSS_SLOT);
            }
            found = Some(slot);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_lookup_finds_every_command() {
        for spec in TABLE {
            let found = lookup(spec.name.to_ascii_uppercase().as_bytes()).map(|found| found.name);
            assert_eq!(found, Some(spec.name), "TABLE must be sorted by name");
        }
    }

    #[test]
    fn keys_are_found_by_the_row() {
        let call = parse(["DEL", "a", "b", "c"].map(Bytes::from).to_vec()).expect("well formed");
        assert_eq!(call.key_positions().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(call.slot(), Err(ErrorReply::CROSS_SLOT));
    }
}
