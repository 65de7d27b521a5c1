use std::fmt;

/// One place where a rule is broken, and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Path from the root of the repository.
    pub path: String,
    /// Line, counted from one.
    pub line: usize,
    /// What is not allowed here.
    pub banned: String,
    /// What to do instead.
    pub instead: String,
}

impl Finding {
    /// A finding at a line of a file.
    pub fn new(path: &str, line: usize, banned: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, banned: banned.into(), instead: instead.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {} is banned, use {}", self.path, self.line, self.banned, self.instead)
    }
}
