//! Redis semantics as pure functions: RESP, key and record encoding, and one file per command.
//!
//! ```text
//!  bytes ──► resp ──► command table ──► evaluate(arguments, view) ──► reply ──► resp ──► bytes
//!                                            │        ▲
//!                                         effects     │ overlay (proposed) over tablet (applied)
//!                                            ▼        │
//!                                          entry ─► the log ─► apply: the effects, byte for byte
//! ```
//!
//! - A command never sees a socket, a thread or a clock. Its time is the [`Hlc`](strata_base::Hlc) of its [`View`], its randomness a number
//!   in there too: evaluated twice over the same view it gives the same reply and the same effects.
//! - Evaluation happens once, on the leader. What is replicated are [`Effect`]s: bytes to put and to delete, with no semantics left.
//! - A reply that is an error has no effects. [`Call::try_evaluate`](command::Call::try_evaluate) asserts it.
//! - A key is hashed once per command, and its record read once.
//! - The encodings in [`record`] and [`entry`] are a public format: versioned, documented there, and kept by fixtures.
//!
//! One worked example, the whole life of a SET but for the log:
//!
//! ```
//! use strata_base::Hlc;
//! use strata_kv::{Overlay, Reply, View, command, testing::MapStore};
//!
//! let tablet = MapStore::default();
//! let mut overlay = Overlay::default();
//! let call = command::parse(vec!["SET".into(), "user:7".into(), "Ada".into()]).expect("a well-formed call");
//!
//! let mut view = View::new(&tablet, &mut overlay, Hlc::from_millis(1_700_000_000_000));
//! assert_eq!(call.evaluate(&mut view), Reply::OK);
//! let evaluation = view.finish();
//! assert_eq!(evaluation.effects.len(), 2, "one record, and one more key in the shard's count");
//! ```
//!
//! What a host does with a request, by the row of its command ([`command::Run`]):
//!
//! | row | cluster port | plain port |
//! | --- | --- | --- |
//! | [`Keyed`](command::Run::Keyed) | the shard of [`Call::slot`](command::Call::slot) | the parts of [`Call::split`](command::Call::split), then [`Call::merge`](command::Call::merge) |
//! | [`EveryShard`](command::Run::EveryShard) | the shards this node leads, then `merge` | every shard, then `merge` |
//! | [`Cursor`](command::Run::Cursor) | the shard of `slot`, then [`redirect`](command::scan::redirect) | the shard of `slot` |
//! | [`Slot`](command::Run::Slot) | the shard of `slot` | refused by [`Session::admit`](session::Session::admit) |
//! | [`AnyShard`](command::Run::AnyShard) | a shard this node leads, the others in turn while there is no value | likewise of all shards |
//! | [`Connection`](command::Run::Connection) | [`Call::answer`](command::Call::answer) | the same |
//!
//! Before any of them [`Session::admit`](session::Session::admit) says whether the connection may ask at all; after any of them, and after an
//! error, [`Session::takes_reply`](session::Session::takes_reply) says whether it wants to hear. Beside requests the leader of a shard runs
//! [`expiry::remove_due`] as a command of its own.
//!
//! How it is judged: scripts with recorded replies (`testdata/*.txt`), random streams against redis-server reply by reply
//! (`tests/differential.rs`), properties of encodings, overlay and walks, and fixtures of the formats (`testdata/format/v1`).
//!
//! Not done here, and why: lists, sets, sorted sets, streams, scripts and transactions are later issues; the type byte of a record and the
//! command table are where they will go. Cold values are the tiering issue's: reading one will be a third kind of [`Failure`]. A hash is
//! copied or renamed within one entry, so a large one is refused; a name of its own for elements would make that a matter of one record.

pub mod command;
mod effect;
pub mod entry;
mod error;
pub mod expiry;
mod float;
mod glob;
pub mod limits;
mod number;
mod overlay;
mod random;
pub mod record;
pub mod resp;
pub mod session;
pub mod slot;
pub mod split;
pub mod testing;
mod view;

pub use effect::{Effect, Family};
pub use error::{ErrorReply, Failure, ReadError};
pub use overlay::{Layered, Overlay, Read, Round, Visitor};
pub use resp::{Protocol, Reply};
pub use view::{Counts, Evaluation, Facts, FieldVisitor, Hash, KeyVisitor, View};
