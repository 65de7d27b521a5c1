//! `LCS key1 key2 [LEN] [IDX [MINMATCHLEN length] [WITHMATCHLEN]]`: the longest common subsequence of two strings.
//!
//! By the table of lengths of all pairs of prefixes, walked back from its end; where both directions are equally good the second string is
//! shortened, so that the answer is Redis's among equals. The table is bounded by [`limits::LCS_BYTES_MAX`].

use super::{Keys, Run, Spec, Split};
use crate::{ErrorReply, Failure, Reply, View, limits, number, record::Body};
use bytes::Bytes;

/// The row of LCS.
pub static SPEC: Spec = Spec {
    name: "lcs",
    arity: -3,
    flags: &["readonly"],
    keys: Keys::TWO,
    run: Run::Keyed { evaluate, split: Split::Refuse },
    group: "string",
    since: "7.0.0",
    summary: "Answers the longest common subsequence of two strings.",
    subcommands: &[],
};

const NOT_STRINGS: ErrorReply = ErrorReply::fixed("ERR The specified keys must contain string values");
const LENGTH_AND_INDEXES: ErrorReply = ErrorReply::fixed("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LARGE: ErrorReply = ErrorReply::fixed("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");

#[derive(Default)]
struct Options {
    length: bool,
    indexes: bool,
    match_lengths: bool,
    shortest_match: i64,
}

fn evaluate(arguments: &[Bytes], view: &mut View<'_>) -> Result<Reply, Failure> {
    let (first, second) = (view.load(&arguments[1])?, view.load(&arguments[2])?);
    let text = |record: Option<crate::record::Record>| match record.map(|record| record.body) {
        None => Ok(Bytes::new()),
        Some(Body::String(value)) => Ok(value),
        Some(_) => Err(NOT_STRINGS),
    };
    let (first, second) = (text(first)?, text(second)?);
    let options = parse_options(&arguments[3..])?;
    let table = Table::fill(&first, &second)?;
    let length = Reply::Integer(i64::from(table.at(first.len(), second.len())));
    if options.length {
        return Ok(length);
    }
    let runs = table.runs(&first, &second);
    if options.indexes {
        let shown = runs.iter().filter(|run| run.length as i64 >= options.shortest_match);
        let matches = shown.map(|run| run.describe(options.match_lengths)).collect();
        return Ok(Reply::Map(vec![(Reply::bulk("matches"), Reply::Array(matches)), (Reply::bulk("len"), length)]));
    }
    let parts: Vec<&[u8]> = runs.iter().rev().map(|run| &first[run.first..run.first + run.length]).collect();
    Ok(Reply::Bulk(Bytes::from(parts.concat())))
}

fn parse_options(words: &[Bytes]) -> Result<Options, ErrorReply> {
    let mut options = Options::default();
    let mut rest = words;
    while let [word, after @ ..] = rest {
        rest = after;
        match (word.to_ascii_uppercase().as_slice(), after) {
            (b"IDX", _) => options.indexes = true,
            (b"LEN", _) => options.length = true,
            (b"WITHMATCHLEN", _) => options.match_lengths = true,
            (b"MINMATCHLEN", [length, after @ ..]) => {
                options.shortest_match = number::parse_integer(length).ok_or(ErrorReply::NOT_AN_INTEGER)?;
                rest = after;
            }
            _ => return Err(ErrorReply::SYNTAX),
        }
    }
    if options.length && options.indexes { Err(LENGTH_AND_INDEXES) } else { Ok(options) }
}

/// A stretch that both strings have: where it begins in each.
struct CommonRun {
    first: usize,
    second: usize,
    length: usize,
}

impl CommonRun {
    fn describe(&self, with_length: bool) -> Reply {
        let range = |start: usize| Reply::Array(vec![Reply::Integer(start as i64), Reply::Integer((start + self.length - 1) as i64)]);
        let length = with_length.then_some(Reply::Integer(self.length as i64));
        Reply::Array([range(self.first), range(self.second)].into_iter().chain(length).collect())
    }
}

/// The length of the longest common subsequence of every pair of prefixes.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    fn fill(first: &[u8], second: &[u8]) -> Result<Table, ErrorReply> {
        let width = second.len() + 1;
        let cells = (first.len() + 1) * width;
        if cells * size_of::<u32>() > limits::LCS_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        let mut table = Table { lengths: vec![0; cells], width };
        for (row, left) in first.iter().enumerate() {
            for (column, right) in second.iter().enumerate() {
                table.lengths[(row + 1) * width + column + 1] =
                    if left == right { table.at(row, column) + 1 } else { table.at(row, column + 1).max(table.at(row + 1, column)) };
            }
        }
        Ok(table)
    }

    fn at(&self, first: usize, second: usize) -> u32 {
        self.lengths[first * self.width + second]
    }

    /// The stretches of one longest common subsequence, from the last to the first.
    fn runs(&self, first: &[u8], second: &[u8]) -> Vec<CommonRun> {
        let mut runs: Vec<CommonRun> = Vec::new();
        let (mut row, mut column) = (first.len(), second.len());
        while row > 0 && column > 0 {
            if first[row - 1] == second[column - 1] {
                match runs.last_mut() {
                    Some(run) if run.first == row && run.second == column => {
                        (run.first, run.second, run.length) = (row - 1, column - 1, run.length + 1);
                    }
                    _ => runs.push(CommonRun { first: row - 1, second: column - 1, length: 1 }),
                }
                (row, column) = (row - 1, column - 1);
            } else if self.at(row - 1, column) > self.at(row, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        runs
    }
}
