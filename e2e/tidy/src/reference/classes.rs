//! The classes of errors, from the list that conditions take them from.

use super::{cell, head, prose};
use crate::company::variants;
use crate::repository::File;

/// The page of all classes: those that a store's failure can have come from the object tier's own list.
pub fn classes(shown: &File, store: &File) -> String {
    let of_stores: Vec<String> = variants(&store.text, "ErrorClass").into_iter().map(|(name, _)| name).collect();
    let mut out = head("Classes of errors", "`crds/src/condition.rs`");
    out.push_str(
        "Reasons of conditions and `status.problem.class` come from one closed list. A class is added now and then, and never renamed. The\n\
         message beside a class says what happened and what to do. Those of stores are what logs and metrics of a node name too.\n\n\
         | class | of stores | what it says |\n| --- | --- | --- |\n",
    );
    for (name, words) in variants(&shown.text, "ErrorClass") {
        let of_store = if of_stores.contains(&name) { "yes" } else { "" };
        out.push_str(&format!("| `{name}` | {of_store} | {} |\n", cell(&prose(&words))));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_row() {
        let list = |text: &str| File::new("a.rs", &format!("pub enum ErrorClass {{\n{text}\n}}\n"));
        let page = classes(&list("    /// It is full.\n    DiskFull,\n    /// No name.\n    Dns,"), &list("    /// The name.\n    Dns,"));
        assert!(page.ends_with("| `DiskFull` |  | It is full. |\n| `Dns` | yes | No name. |\n"), "{page}");
    }
}
