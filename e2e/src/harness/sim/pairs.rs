//! Keys that are written two at a time, always with one value: whoever reads both in one command sees the same of both.

use crate::history::{Call, Fate};
use serde_json::Value;

/// A command on both keys of a pair, by the first of them: the second one follows among the arguments.
pub(super) fn call(dice: u32, name: &str, unique: String) -> (String, Call) {
    let [first, second] = ["a", "b"].map(|which| format!("{{{name}}}{which}"));
    let written = vec![unique.clone(), second.clone(), unique];
    let call = match dice {
        0..40 => Call { name: "mset", arguments: written },
        40..50 => Call { name: "msetnx", arguments: written },
        _ => Call { name: "mget", arguments: vec![second] },
    };
    (first, call)
}

/// What a command on a pair did to each of its keys, for a judge who looks at one key at a time; of any other command, just that.
pub(super) fn each(key: &str, call: &Call, fate: &Fate) -> Vec<(String, Call, Fate)> {
    let (name, second) = match (call.name, &call.arguments[..]) {
        ("mset", [_, second, _]) => ("set", second),
        ("msetnx", [_, second, _]) => ("setnx", second),
        ("mget", [second]) => ("get", second),
        _ => return vec![(key.to_owned(), call.clone(), fate.clone())],
    };
    let arguments = if name == "get" { Vec::new() } else { call.arguments[..1].to_vec() };
    let of = |nth: usize| match fate {
        Fate::Ok(Value::Array(values)) => Fate::Ok(values.get(nth).cloned().unwrap_or_default()),
        fate => fate.clone(),
    };
    let keys = [key, second].into_iter().enumerate();
    keys.map(|(nth, key)| (key.to_owned(), Call { name, arguments: arguments.clone() }, of(nth))).collect()
}

/// Whether both keys of a pair were seen with one value.
pub(super) fn judge(key: &str, call: &Call, fate: &Fate) -> Result<(), String> {
    match fate {
        Fate::Ok(Value::Array(values)) if call.name == "mget" && values.windows(2).any(|two| two[0] != two[1]) => {
            Err(format!("mget {key} said {values:?}, and both are written together"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_on_a_pair_is_one_on_each_of_its_keys() {
        let (key, set) = call(0, "pair", "v".to_owned());
        let ok = Fate::Ok(json!("OK"));
        let parts = |key: &str| (key.to_owned(), Call::with("set", "v"), ok.clone());
        assert_eq!(each(&key, &set, &ok), [parts("{pair}a"), parts("{pair}b")]);
        let (key, get) = call(99, "pair", "v".to_owned());
        let torn = Fate::Ok(json!(["v", null]));
        let seen = each(&key, &get, &torn).into_iter().map(|(_, call, fate)| (call, fate));
        assert_eq!(seen.collect::<Vec<_>>(), [json!("v"), json!(null)].map(|value| (Call::plain("get"), Fate::Ok(value))));
        assert!(judge(&key, &get, &torn).is_err() && judge(&key, &get, &Fate::Ok(json!(["v", "v"]))).is_ok());
        assert_eq!(each("own", &Call::plain("get"), &ok), [("own".to_owned(), Call::plain("get"), ok.clone())]);
    }
}
