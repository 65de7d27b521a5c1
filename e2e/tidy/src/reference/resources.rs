//! The Kubernetes resources, from the definitions that the API server is given.

use super::{cell, head};
use serde_yaml_ng::Value;

/// The one longer list is that of classes, which has a page of its own.
const CHOICES_SHOWN_MAX: usize = 12;

/// The page of all kinds. `definitions` are custom resource definitions as YAML, each with one version.
pub fn resources(definitions: &[&str]) -> Result<String, String> {
    let mut out = head("Resources", "`crds/generated/`");
    out.push_str(
        "All kinds are namespaced and of the group and version `strata.dev/v1alpha1`; `kubectl get strata` lists them together. A field that\n\
         is not listed here is refused with strict validation, which `kubectl` asks for. `[]` marks the elements of a list, `{}` the values of a map.\n",
    );
    for text in definitions {
        let definition: Value = serde_yaml_ng::from_str(text).map_err(|error| error.to_string())?;
        kind(&definition, &mut out).ok_or_else(|| format!("no definition of a kind: {}", text.lines().nth(4).unwrap_or_default()))?;
    }
    Ok(out)
}

fn kind(definition: &Value, out: &mut String) -> Option<()> {
    let names = &definition["spec"]["names"];
    let version = &definition["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"];
    out.push_str(&format!("\n## {} (`{}`)\n\n", names["kind"].as_str()?, names["shortNames"][0].as_str()?));
    for part in ["spec", "status"] {
        let properties = &schema["properties"][part];
        let says = properties["description"].as_str().unwrap_or_default();
        out.push_str(&format!("### `{part}` of {}\n\n{}\n\n", names["kind"].as_str()?, says));
        out.push_str("| field | type | default | what |\n| --- | --- | --- | --- |\n");
        fields(part, properties, out);
        out.push('\n');
        let mut rules = Vec::new();
        refusals(properties, &mut rules);
        if !rules.is_empty() {
            out.push_str("The API server refuses, in these words:\n\n");
            rules.iter().for_each(|rule| out.push_str(&format!("- {rule}\n")));
            out.push('\n');
        }
    }
    let columns: Vec<&str> =
        version["additionalPrinterColumns"].as_sequence()?.iter().filter_map(|column| column["name"].as_str()).collect();
    out.push_str(&format!("`kubectl get {}` shows: {}.\n", names["plural"].as_str()?, columns.join(", ")));
    Some(())
}

/// A row for each field below a schema, and for theirs.
fn fields(path: &str, schema: &Value, out: &mut String) {
    let Some(properties) = schema["properties"].as_mapping() else { return };
    let required: Vec<&str> = schema["required"].as_sequence().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in properties {
        let Some(name) = name.as_str() else { continue };
        let path = format!("{path}.{name}");
        let default = match (&field["default"], required.contains(&name)) {
            (Value::Null, true) => "required".to_owned(),
            (Value::Null, false) => String::new(),
            (value, _) => format!("`{}`", flow(value)),
        };
        let says = field["description"].as_str().unwrap_or_default();
        out.push_str(&format!("| `{path}` | {} | {} | {} |\n", kind_of(field), cell(&default), cell(says)));
        below(&path, field, out);
    }
}

/// What a list or a map holds, too. Conditions are the same in all of Kubernetes, and not spelt out.
fn below(path: &str, field: &Value, out: &mut String) {
    if path.ends_with(".conditions") {
        return;
    }
    fields(path, field, out);
    fields(&format!("{path}[]"), &field["items"], out);
    fields(&format!("{path}{{}}"), &field["additionalProperties"], out);
}

/// A type in a few words.
fn kind_of(field: &Value) -> String {
    let choices: Vec<String> =
        field["enum"].as_sequence().into_iter().flatten().filter_map(Value::as_str).map(|choice| format!("`{choice}`")).collect();
    if choices.len() > CHOICES_SHOWN_MAX {
        return "one of the [classes](errors.md)".to_owned();
    }
    if !choices.is_empty() {
        return choices.join(", ");
    }
    let kind = field["type"].as_str().unwrap_or("any");
    match (kind, field["format"].as_str()) {
        ("array", _) => format!("list of {}", kind_of(&field["items"])),
        ("object", _) if field["additionalProperties"]["type"].is_string() => format!("map of {}", kind_of(&field["additionalProperties"])),
        ("string", Some(format)) => format.to_owned(),
        _ => kind.to_owned(),
    }
}

/// A value as one would write it on one line.
fn flow(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The messages of all rules below a schema.
fn refusals(schema: &Value, rules: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_sequence().into_iter().flatten() {
        if let Some(message) = rule["message"].as_str().map(cell)
            && !rules.contains(&message)
        {
            rules.push(message);
        }
    }
    for (_, field) in schema["properties"].as_mapping().into_iter().flatten() {
        refusals(field, rules);
    }
    for inner in ["items", "additionalProperties"] {
        if schema[inner].is_mapping() {
            refusals(&schema[inner], rules);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFINITION: &str = "
spec:
  names: {kind: KVThing, plural: kvthings, shortNames: [kvx]}
  versions:
  - additionalPrinterColumns: [{name: Phase}, {name: Age}]
    schema:
      openAPIV3Schema:
        properties:
          spec:
            description: A thing.
            required: [size]
            properties:
              size: {type: string, description: \"How\\n large | wide.\", x-kubernetes-validations: [{message: spec.size cannot shrink, rule: x}]}
              zones: {type: array, default: [], items: {type: object, properties: {name: {type: string, format: date-time}}}}
              labels: {type: object, additionalProperties: {type: string}}
          status:
            properties:
              phase: {type: string, enum: [Pending, Failed], default: Pending}
              conditions: {type: array, items: {type: object, properties: {reason: {type: string}}}}
";

    #[test]
    fn good_every_field_and_rule_is_shown() {
        let page = resources(&[DEFINITION]).expect("it is a definition");
        for part in [
            "## KVThing (`kvx`)\n",
            "| `spec.size` | string | required | How large \\| wide. |\n",
            "| `spec.zones` | list of object | `[]` |  |\n| `spec.zones[].name` | date-time |  |  |\n",
            "| `spec.labels` | map of string |  |  |\n",
            "- spec.size cannot shrink\n",
            "| `status.phase` | `Pending`, `Failed` | `\"Pending\"` |  |\n",
            "`kubectl get kvthings` shows: Phase, Age.\n",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains("reason"), "conditions are the same in all of Kubernetes");
    }

    #[test]
    fn bad_it_is_no_definition() {
        assert!(resources(&["kind: Secret\n"]).is_err() && resources(&[": ["]).is_err());
    }
}
