//! The guard as a whole.

mod actions;
mod fields;
mod odd;
mod plain;
