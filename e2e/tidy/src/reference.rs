//! The reference pages of the book, written from the sources: what a program reads is said once, beside the code that reads it.
//!
//! Each page is a pure function from files to text. `tests/repository.rs` compares the pages with those in `docs/src/reference/`, and
//! `UPDATE=1 cargo test -p strata-tidy` writes them anew.

mod classes;
mod commands;
mod configuration;
mod resources;
mod source;

pub use classes::classes;
pub use commands::commands;
pub use configuration::configuration;
pub use resources::resources;
pub use source::{Field, Structure, structures};

/// What a generated page begins with, behind its title.
fn head(title: &str, from: &str) -> String {
    format!("# {title}\n\n<!-- Written from {from}: `UPDATE=1 cargo test -p strata-tidy` writes it anew. -->\n\n")
}

/// A cell of a table: one line, without the character that ends cells.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Documentation of Rust as a page shows it: names in brackets are no links there.
fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let Some((name, behind)) = after.split_once("`]") else { break };
        let name = name.rsplit("::").next().unwrap_or(name);
        out.push_str(&format!("{before}`{name}`"));
        rest = behind;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_and_a_name_is_no_link() {
        assert_eq!(cell("a\n  b | c"), "a b \\| c");
        assert_eq!(prose("see [`limits::KEY`], or [a] list[`"), "see `KEY`, or [a] list[`");
    }
}
