//! What must hold of what a decoder reads.

use crate::{
    Verdict,
    meter::{FACTOR, bounded_by},
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

/// A format with one encoding for each value: what is written again are the same bytes.
///
/// # Panics
/// When they are not.
pub fn exact<T>(bytes: &[u8], decode: impl FnOnce(Bytes) -> Option<T>, encode: impl FnOnce(&T) -> Bytes) -> Verdict {
    let given = Bytes::copy_from_slice(bytes);
    let Some(value) = bounded_by(FACTOR, bytes, || decode(given)) else { return Verdict::Refused };
    let written = encode(&value);
    assert!(written == bytes, "{bytes:02x?} was read, and is written as {written:02x?}: a value has one encoding");
    Verdict::Taken
}

/// A format in which a value may be written in several ways: what this build writes reads back, and is written the same way again. Values are
/// compared by what is written, since a number that is none equals nothing.
///
/// # Panics
/// When it is not.
pub fn steady<T>(bytes: &[u8], decode: impl Fn(Bytes) -> Option<T>, encode: impl Fn(&T) -> Bytes) -> Verdict {
    let given = Bytes::copy_from_slice(bytes);
    let Some(value) = bounded_by(FACTOR, bytes, || decode(given)) else { return Verdict::Refused };
    let written = encode(&value);
    let again = decode(written.clone()).map(|again| encode(&again));
    assert!(again.as_ref() == Some(&written), "{written:?} was written, and reads back as {again:?}");
    Verdict::Taken
}

/// JSON of plain data.
///
/// # Panics
/// When it does not read back as it was written.
pub fn steady_json<T: Serialize + DeserializeOwned + PartialEq>(bytes: &[u8]) -> Verdict {
    let decode = |bytes: Bytes| serde_json::from_slice::<T>(&bytes).ok();
    steady(bytes, decode, |value| {
        let text = serde_json::to_vec(value).expect("plain data is JSON");
        assert!(serde_json::from_slice::<T>(&text).ok().as_ref() == Some(value), "what was written has another value");
        Bytes::from(text)
    })
}
