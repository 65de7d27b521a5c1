//! All data, digested on the client's side, against the client's own log.

use super::{
    load::{Expected, Model},
    loss::Known,
    reader::{self, Shape},
    stage::Done,
    writer::{Ack, value_of},
};
use crate::{failure::Failure, harness::kubernetes::cluster::Cluster};
use sha2::{Digest, Sha256};

/// What is there, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Keys that are there, as they must be.
    pub keys: usize,
    /// SHA-256 over all of them, in the order of their names.
    pub digest: String,
    /// Acknowledged writes older than `recovery.latest` that are gone.
    pub lost_older: usize,
    /// Younger ones.
    pub lost_within: usize,
}

/// Reads everything, and judges it.
pub async fn run(cluster: &Cluster, model: &Model, acks: &[Ack], known: &Known) -> Done<Found> {
    let shape = |expected: &Expected| if matches!(expected, Expected::Hash(_)) { Shape::Hash } else { Shape::Text };
    let mut keys: Vec<(String, Shape)> = model.iter().map(|(key, expected)| (key.clone(), shape(expected))).collect();
    keys.extend(acks.iter().map(|ack| (ack.key.clone(), Shape::Text)));
    let there = reader::read(cluster, keys).await?;

    let wrong: Vec<&String> = model.iter().filter(|(key, expected)| there.get(*key) != Some(expected)).map(|(key, _)| key).collect();
    let loaded = || format!("{} of {} keys loaded before the backup are gone or wrong, such as {}", wrong.len(), model.len(), wrong[0]);
    Failure::unless(wrong.is_empty(), loaded)?;
    let mut found = Found { keys: there.len(), digest: digest(&there), ..Found::default() };
    let mut lost_bytes_at_reading = 0;
    for ack in acks {
        match there.get(&ack.key) {
            Some(Expected::Text(text)) if *text == value_of(&ack.key) => {}
            Some(other) => return Err(Failure::broken(format!("{} holds {other:?}, which nobody wrote", ack.key))),
            None if ack.at_millis < known.latest_millis => found.lost_older += 1,
            None => {
                found.lost_within += 1;
                if ack.at_millis < known.read_millis {
                    lost_bytes_at_reading += (ack.key.len() + value_of(&ack.key).len()) as i64;
                }
            }
        }
    }
    let older = || format!("{} acknowledged writes older than recovery.latest are gone", found.lost_older);
    Failure::unless(found.lost_older == 0, older)?;
    let risk = || {
        format!("{lost_bytes_at_reading} bytes acknowledged before recovery was read are gone, and {} were at risk", known.bytes_at_risk)
    };
    Failure::unless(lost_bytes_at_reading <= known.bytes_at_risk, risk)?;
    let words = format!(
        "{} keys are as they were written; of the last moment {} of {} acknowledged writes are missing, within what was at risk",
        found.keys,
        found.lost_within,
        acks.len()
    );
    Ok((found, words))
}

fn digest(there: &Model) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    for (key, value) in there {
        add(key);
        match value {
            Expected::Text(text) => add(text),
            Expected::Hash(fields) => fields.iter().for_each(|(field, value)| {
                add(field);
                add(value);
            }),
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
