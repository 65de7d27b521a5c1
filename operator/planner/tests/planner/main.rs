//! The planner against golden scripts and against random clusters.

mod golden;
mod property;
mod world;
