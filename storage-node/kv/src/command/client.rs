//! `CLIENT …`: what a connection says of itself, and what a node knows of its connections.
//!
//! Sizes of buffers are shown as 0: they are counted per node, not per connection.

use super::{Keys, Run, Spec};
use crate::{
    ErrorReply, Failure, Reply,
    error::shown,
    limits, number,
    session::{self, Node, Replies, Session},
};
use bytes::Bytes;

/// The row of CLIENT.
pub static SPEC: Spec = Spec {
    name: "client",
    arity: -2,
    flags: &[],
    keys: Keys::NONE,
    run: Run::Connection(session::without_subcommand),
    group: "connection",
    since: "2.4.0",
    summary: "A container for commands about connections.",
    subcommands: &[&GETNAME, &HELP, &ID, &INFO, &KILL, &LIST, &NO_EVICT, &NO_TOUCH, &REPLY, &SETINFO, &SETNAME],
};

/// The row of CLIENT GETNAME.
pub static GETNAME: Spec = Spec {
    name: "client|getname",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, session, _| Ok(name_of(session))),
    group: "connection",
    since: "2.6.9",
    summary: "Answers the name of the connection.",
    subcommands: &[],
};

/// The row of CLIENT HELP.
pub static HELP: Spec = Spec {
    name: "client|help",
    arity: 2,
    flags: &["loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, _, _| Ok(session::help(HELP_LINES))),
    group: "connection",
    since: "5.0.0",
    summary: "Answers what CLIENT can do.",
    subcommands: &[],
};

/// The row of CLIENT ID.
pub static ID: Spec = Spec {
    name: "client|id",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|_, session, _| Ok(Reply::Integer(session.id as i64))),
    group: "connection",
    since: "5.0.0",
    summary: "Answers the number of the connection.",
    subcommands: &[],
};

/// The row of CLIENT INFO.
pub static INFO: Spec = Spec {
    name: "client|info",
    arity: 2,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(info),
    group: "connection",
    since: "6.2.0",
    summary: "Describes the connection.",
    subcommands: &[],
};

/// The row of CLIENT KILL.
pub static KILL: Spec = Spec {
    name: "client|kill",
    arity: -3,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(kill),
    group: "connection",
    since: "2.4.0",
    summary: "Closes connections of this node.",
    subcommands: &[],
};

/// The row of CLIENT LIST.
pub static LIST: Spec = Spec {
    name: "client|list",
    arity: -2,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(list),
    group: "connection",
    since: "2.4.0",
    summary: "Describes the connections of this node.",
    subcommands: &[],
};

/// The row of CLIENT NO-EVICT.
pub static NO_EVICT: Spec = Spec {
    name: "client|no-evict",
    arity: 3,
    flags: &["admin", "noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|arguments, session, _| set_flag(arguments, &mut session.is_spared_from_eviction)),
    group: "connection",
    since: "7.0.0",
    summary: "Spares the connection from eviction, which there is none of.",
    subcommands: &[],
};

/// The row of CLIENT NO-TOUCH.
pub static NO_TOUCH: Spec = Spec {
    name: "client|no-touch",
    arity: 3,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(|arguments, session, _| set_flag(arguments, &mut session.is_without_touch)),
    group: "connection",
    since: "7.2.0",
    summary: "Keeps reads from changing the idle time, which there is none of.",
    subcommands: &[],
};

/// The row of CLIENT REPLY.
pub static REPLY: Spec = Spec {
    name: "client|reply",
    arity: 3,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(reply),
    group: "connection",
    since: "3.2.0",
    summary: "Chooses whether the connection gets replies.",
    subcommands: &[],
};

/// The row of CLIENT SETINFO.
pub static SETINFO: Spec = Spec {
    name: "client|setinfo",
    arity: 4,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(set_info),
    group: "connection",
    since: "7.2.0",
    summary: "Names the library of the client.",
    subcommands: &[],
};

/// The row of CLIENT SETNAME.
pub static SETNAME: Spec = Spec {
    name: "client|setname",
    arity: 3,
    flags: &["noscript", "loading", "stale"],
    keys: Keys::NONE,
    run: Run::Connection(set_name),
    group: "connection",
    since: "2.6.9",
    summary: "Names the connection.",
    subcommands: &[],
};

const HELP_LINES: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "GETNAME",
    "    Return the name of the current connection.",
    "ID",
    "    Return the ID of the current connection.",
    "INFO",
    "    Return information about the current client connection.",
    "KILL <ip:port>",
    "    Kill connection made from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Kill connections of this node. Options are ID, ADDR, LADDR, USER, TYPE and SKIPME.",
    "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> [<id> ...]]",
    "    Return information about the connections of this node.",
    "NO-EVICT (ON|OFF)",
    "    Accepted: connections are never evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Accepted: reads never change a key.",
    "REPLY (ON|OFF|SKIP)",
    "    Control the replies sent to the current connection.",
    "SETINFO (LIB-NAME|LIB-VER) <value>",
    "    Set the name or version of the client library.",
    "SETNAME <name>",
    "    Assign the name <name> to the current connection.",
];

fn name_of(session: &Session) -> Reply {
    if session.name.is_empty() { Reply::Null } else { Reply::Bulk(session.name.clone()) }
}

/// A name is a word of printable ASCII, so that CLIENT LIST can be cut at spaces.
pub(super) fn check_name(name: &[u8]) -> Result<(), ErrorReply> {
    const BAD_NAME: ErrorReply = ErrorReply::fixed("ERR Client names cannot contain spaces, newlines or special characters.");
    if is_word(name) { Ok(()) } else { Err(BAD_NAME) }
}

fn is_word(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_graphic)
}

fn set_name(arguments: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    check_name(&arguments[2])?;
    session.name = arguments[2].clone();
    Ok(Reply::OK)
}

fn set_info(arguments: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    let (option, value) = (&arguments[2], &arguments[3]);
    let place = match option.to_ascii_lowercase().as_slice() {
        b"lib-name" => &mut session.library_name,
        b"lib-ver" => &mut session.library_version,
        _ => return Err(ErrorReply::new(format!("ERR Unrecognized option '{}'", shown(option, limits::SHOWN_BYTES_MAX))).into()),
    };
    if !is_word(value) {
        let option = shown(option, limits::SHOWN_BYTES_MAX);
        return Err(ErrorReply::new(format!("ERR {option} cannot contain spaces, newlines or special characters.")).into());
    }
    *place = value.clone();
    Ok(Reply::OK)
}

fn set_flag(arguments: &[Bytes], flag: &mut bool) -> Result<Reply, Failure> {
    *flag = match arguments[2].to_ascii_uppercase().as_slice() {
        b"ON" => true,
        b"OFF" => false,
        _ => return Err(ErrorReply::SYNTAX.into()),
    };
    Ok(Reply::OK)
}

fn reply(arguments: &[Bytes], session: &mut Session, _: &dyn Node) -> Result<Reply, Failure> {
    session.replies = match arguments[2].to_ascii_uppercase().as_slice() {
        b"ON" => Replies::On,
        b"OFF" => Replies::Off,
        // This reply and the next; while replies are off, they stay so.
        b"SKIP" if session.replies == Replies::Off => Replies::Off,
        b"SKIP" => Replies::Skip(2),
        _ => return Err(ErrorReply::SYNTAX.into()),
    };
    Ok(Reply::OK)
}

fn info(_: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    Ok(Reply::Verbatim("txt", Bytes::from(session.describe(node.now_ms()) + "\n")))
}

/// Whether the connections of a type are all of ours, or none: every client is a normal one.
fn parse_type(word: &[u8]) -> Result<bool, ErrorReply> {
    match word.to_ascii_uppercase().as_slice() {
        b"NORMAL" => Ok(true),
        b"MASTER" | b"REPLICA" | b"SLAVE" | b"PUBSUB" => Ok(false),
        _ => Err(ErrorReply::new(format!("ERR Unknown client type '{}'", shown(word, limits::SHOWN_BYTES_MAX)))),
    }
}

fn list(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let mut ids = None;
    let mut is_shown = true;
    match &arguments[2..] {
        [] => {}
        [option, kind] if option.eq_ignore_ascii_case(b"type") => is_shown = parse_type(kind)?,
        [option, wanted @ ..] if option.eq_ignore_ascii_case(b"id") && !wanted.is_empty() => {
            let parse = |id: &Bytes| number::parse_integer(id).ok_or(ErrorReply::fixed("ERR Invalid client ID"));
            ids = Some(wanted.iter().map(parse).collect::<Result<Vec<i64>, _>>()?);
        }
        _ => return Err(ErrorReply::SYNTAX.into()),
    }
    let mut sessions = node.other_clients(session.id);
    sessions.push(session.clone());
    sessions.sort_by_key(|session| session.id);
    sessions.retain(|session| is_shown && ids.as_ref().is_none_or(|ids| ids.contains(&(session.id as i64))));
    let lines: String = sessions.iter().map(|session| session.describe(node.now_ms()) + "\n").collect();
    Ok(Reply::Verbatim("txt", Bytes::from(lines)))
}

/// Which connections KILL closes: those that all given options name.
struct Victims {
    id: Option<i64>,
    address: Option<Bytes>,
    local_address: Option<Bytes>,
    are_shown: bool,
    spares_me: bool,
}

impl Victims {
    fn parse(options: &[Bytes]) -> Result<Victims, ErrorReply> {
        let mut victims = Victims { id: None, address: None, local_address: None, are_shown: true, spares_me: true };
        for pair in options.chunks(2) {
            let [option, value] = pair else { return Err(ErrorReply::SYNTAX) };
            match option.to_ascii_uppercase().as_slice() {
                b"ID" => {
                    let id = number::parse_integer(value).filter(|id| *id > 0);
                    victims.id = Some(id.ok_or(ErrorReply::fixed("ERR client-id should be greater than 0"))?);
                }
                b"ADDR" => victims.address = Some(value.clone()),
                b"LADDR" => victims.local_address = Some(value.clone()),
                b"TYPE" => victims.are_shown &= parse_type(value)?,
                b"USER" if &value[..] == b"default" => {}
                b"USER" => return Err(ErrorReply::new(format!("ERR No such user '{}'", shown(value, limits::SHOWN_BYTES_MAX)))),
                b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => victims.spares_me = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"no") => victims.spares_me = false,
                _ => return Err(ErrorReply::SYNTAX),
            }
        }
        Ok(victims)
    }

    fn include(&self, session: &Session) -> bool {
        self.are_shown
            && self.id.is_none_or(|id| id == session.id as i64)
            && self.address.as_ref().is_none_or(|address| address == session.address.as_bytes())
            && self.local_address.as_ref().is_none_or(|address| address == session.local_address.as_bytes())
    }
}

fn kill(arguments: &[Bytes], session: &mut Session, node: &dyn Node) -> Result<Reply, Failure> {
    let is_old_form = arguments.len() == 3;
    let victims = if is_old_form {
        let address = Some(arguments[2].clone());
        Victims { id: None, address, local_address: None, are_shown: true, spares_me: false }
    } else {
        Victims::parse(&arguments[2..])?
    };
    let mut closed = 0;
    for other in node.other_clients(session.id) {
        closed += i64::from(victims.include(&other) && node.close_client(other.id));
    }
    if !victims.spares_me && victims.include(session) {
        session.is_closing = true;
        closed += 1;
    }
    match (is_old_form, closed) {
        (false, _) => Ok(Reply::Integer(closed)),
        (true, 0) => Err(ErrorReply::fixed("ERR No such client").into()),
        (true, _) => Ok(Reply::OK),
    }
}
