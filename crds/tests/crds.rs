//! Generated files are equal to their source, examples parse, and every refusal has a rule that says it.

use serde::{Serialize, de::DeserializeOwned};
use serde_yaml_ng::Value;
use std::{fs, path::Path};
use strata_crds::{KVBackup, KVCluster, KVObjectStore, KVRestore, definitions, yaml};
use strata_golden::{compare, expect_all, files};

/// A template of the chart: the definition, kept when the chart is uninstalled, and nothing that Helm would interpret.
fn template(definition: &str) -> String {
    let escaped = definition.replace("{{", r#"{{ "{{" }}"#);
    let (head, tail) = escaped.split_once("metadata:\n").expect("a definition has metadata");
    format!("{head}metadata:\n  annotations:\n    helm.sh/resource-policy: keep\n{tail}")
}

#[test]
fn generated_files_are_equal_to_their_source() {
    expect_all(definitions().into_iter().flat_map(|(name, definition)| {
        let text = yaml(&definition);
        let chart = format!("../charts/strata-crds/templates/{name}.yaml");
        [compare(format!("generated/{name}.yaml"), &text), compare(chart, &template(&text))]
    }));
}

/// The documents of a file.
fn documents(path: &Path) -> Vec<Value> {
    use serde::Deserialize;
    let text = fs::read_to_string(path).expect("a manifest is readable");
    serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).expect("a manifest is YAML")).collect()
}

/// Everything that the manifest says is in what the type made of it: nothing is misspelt.
fn is_within(said: &Value, understood: &Value) -> Result<(), String> {
    match (said, understood) {
        (Value::Mapping(said), Value::Mapping(understood)) => said.iter().try_for_each(|(key, value)| {
            let name = key.as_str().unwrap_or("?");
            let other = understood.get(key).ok_or_else(|| format!("{name} is no field"))?;
            is_within(value, other).map_err(|error| format!("{name}: {error}"))
        }),
        (said, understood) if said == understood => Ok(()),
        (said, understood) => Err(format!("{said:?} was read as {understood:?}")),
    }
}

fn check_type<T: DeserializeOwned + Serialize>(document: &Value) -> Result<(), String> {
    let typed: T = serde_yaml_ng::from_value(document.clone()).map_err(|error| error.to_string())?;
    is_within(document, &serde_yaml_ng::to_value(typed).expect("an object is YAML"))
}

#[test]
fn examples_are_what_the_types_say() {
    let mut failures = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for path in files("examples", ".yaml") {
        for document in documents(&path) {
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            let result = match kind.as_str() {
                "KVCluster" => check_type::<KVCluster>(&document),
                "KVObjectStore" => check_type::<KVObjectStore>(&document),
                "KVBackup" => check_type::<KVBackup>(&document),
                "KVRestore" => check_type::<KVRestore>(&document),
                "Secret" => Ok(()),
                other => Err(format!("{other} is no kind of ours")),
            };
            failures.extend(result.err().map(|error| format!("{}: {kind}: {error}", path.display())));
            kinds.insert(kind);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(kinds.len(), 5, "there is an example of every kind, and a Secret: {kinds:?}");
}

/// Every message of every rule in a definition.
fn messages(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            if let (Some(_), Some(message)) = (mapping.get("rule"), mapping.get("message").and_then(Value::as_str)) {
                out.push(message.to_owned());
            }
            mapping.values().for_each(|value| messages(value, out));
        }
        Value::Sequence(items) => items.iter().for_each(|item| messages(item, out)),
        _ => {}
    }
}

/// `testdata/refused/*.yaml`: the first line is `# refused: ` and the sentence; one document is refused at creation, of two the second
/// is refused as a change of the first. The Kubernetes scenarios apply them to a real API server; here every rule must have its object.
#[test]
fn every_rule_has_an_object_that_it_refuses() {
    let mut said = Vec::new();
    definitions().iter().for_each(|(_, definition)| messages(&serde_yaml_ng::to_value(definition).expect("YAML"), &mut said));
    let mut shown = Vec::new();
    for path in files("testdata/refused", ".yaml") {
        let text = fs::read_to_string(&path).expect("a manifest is readable");
        let sentence = text.lines().next().and_then(|line| line.strip_prefix("# refused: "));
        let sentence = sentence.unwrap_or_else(|| panic!("{}: the first line must be `# refused: …`", path.display()));
        assert!(!documents(&path).is_empty() && documents(&path).len() <= 2, "{}: one object, or two versions of it", path.display());
        shown.push(sentence.to_owned());
    }
    let unshown: Vec<&String> = said.iter().filter(|message| !shown.contains(message)).collect();
    assert!(unshown.is_empty(), "no object in testdata/refused shows: {unshown:#?}");
}

#[test]
fn schemas_are_structural_and_keep_nothing_unknown() {
    for (name, definition) in definitions() {
        let text = yaml(&definition);
        assert!(!text.contains("x-kubernetes-preserve-unknown-fields"), "{name} keeps unknown fields");
        for format in ["uint", "double"] {
            assert!(!text.contains(&format!("format: {format}")), "{name} has a format that the API server does not know: {format}");
        }
    }
}
