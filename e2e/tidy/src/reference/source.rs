//! Just enough of a Rust source to read plain data from it: structures, their fields, and what is said of both.

/// A structure of public fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Structure {
    /// Its name.
    pub name: String,
    /// Its documentation.
    pub words: String,
    /// Its fields, in their order.
    pub fields: Vec<Field>,
}

/// A public field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type, as it is written.
    pub kind: String,
    /// Its documentation.
    pub words: String,
}

/// The structures of a text, as rustfmt lays them out.
pub fn structures(text: &str) -> Vec<Structure> {
    let mut found: Vec<Structure> = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut is_within = false;
    for line in text.lines() {
        let trimmed = line.trim();
        if let Some(said) = trimmed.strip_prefix("///") {
            words.push(said.trim());
        } else if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            found.push(Structure { name: name.to_owned(), words: words.join(" "), fields: Vec::new() });
            words.clear();
            is_within = true;
        } else if line == "}" {
            is_within = false;
        } else if is_within && let Some((name, kind)) = trimmed.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")) {
            let field = Field { name: name.to_owned(), kind: kind.trim_end_matches(',').to_owned(), words: words.join(" ") };
            found.last_mut().expect("a field is within a structure").fields.push(field);
            words.clear();
        } else if !trimmed.starts_with('#') {
            words.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_with_their_words() {
        let text = "/// Lost words.\nuse a;\n\n/// What it is,\n/// and more.\n#[derive(Debug)]\npub struct A {\n    /// A key. Default: 5.\n    #[serde(default)]\n    pub key: u64,\n    hidden: u8,\n    pub bare: Option<B>,\n}\n\nfn f() {\n    pub_like: x\n}\n";
        let field = |name: &str, kind: &str, words: &str| Field { name: name.into(), kind: kind.into(), words: words.into() };
        let fields = vec![field("key", "u64", "A key. Default: 5."), field("bare", "Option<B>", "")];
        assert_eq!(structures(text), [Structure { name: "A".into(), words: "What it is, and more.".into(), fields }]);
    }
}
