//! The operator's pure parts against recorded files.

mod bucket;
mod builders;
mod decide;
mod jobs;
