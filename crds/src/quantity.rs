//! Sizes and lengths of time, as people write them.

use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An amount: of bytes with a unit, such as `20Gi` or `500M`, or of processors, such as `2` or `500m`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub String);

/// A length of time, such as `1s`, `500ms` or `6h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Period(pub String);

const UNITS: &[(&str, u64)] = &[
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
];

const PERIODS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl Size {
    /// The number of bytes; `None` for what the API server refuses for a size of bytes.
    pub fn bytes(&self) -> Option<u64> {
        scaled(&self.0, UNITS, Some(1))
    }
}

impl Period {
    /// The number of milliseconds; `None` for what the API server refuses.
    pub fn millis(&self) -> Option<u64> {
        scaled(&self.0, PERIODS, None)
    }
}

/// A whole number and its unit; `bare` is the unit of a number without one.
fn scaled(text: &str, units: &[(&str, u64)], bare: Option<u64>) -> Option<u64> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = if unit.is_empty() { bare? } else { units.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The rule of a size in bytes.
pub(crate) fn is_bytes(field: &str) -> Rule {
    let rule = "self.matches('^[1-9][0-9]*(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$')";
    Rule::new(rule).message(format!("{field} is not a size: write a whole number above zero with a unit, such as 20Gi").as_str())
}

/// The rule of an amount that Kubernetes itself interprets.
pub(crate) fn is_quantity(field: &str) -> Rule {
    Rule::new("isQuantity(self)")
        .message(format!("{field} is not a quantity: write a number with or without a unit, such as 2, 500m or 8Gi").as_str())
}

/// The rule of a length of time.
pub(crate) fn is_period(field: &str) -> Rule {
    Rule::new("self.matches('^[1-9][0-9]*(ms|s|m|h)$')")
        .message(format!("{field} is not a length of time: write a whole number above zero with ms, s, m or h, such as 60s").as_str())
}

/// The rule of what cannot be changed.
pub(crate) fn is_immutable(field: &str, remedy: &str) -> Rule {
    Rule::new("self == oldSelf").message(format!("{field} cannot be changed: {remedy}").as_str())
}

// A bound on the length keeps the estimated cost of the rules within what the API server allows.
const LENGTH_MAX: u32 = 20;

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": LENGTH_MAX})
    }
}

impl JsonSchema for Period {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": LENGTH_MAX})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_periods_are_read_with_their_units() {
        let bytes = |text: &str| Size(text.to_owned()).bytes();
        assert_eq!([bytes("20Gi"), bytes("5M"), bytes("7")], [Some(20 << 30), Some(5_000_000), Some(7)]);
        assert_eq!([bytes(""), bytes("Gi"), bytes("1.5Gi"), bytes("1Xi"), bytes("99999999P")], [None; 5]);
        let millis = |text: &str| Period(text.to_owned()).millis();
        assert_eq!([millis("500ms"), millis("6h"), millis("2m")], [Some(500), Some(21_600_000), Some(120_000)]);
        assert_eq!([millis("5"), millis("s"), millis("-1s")], [None; 3]);
    }
}
