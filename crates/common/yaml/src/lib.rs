//! Typed values from YAML 1.2, with the place of what is wrong: the text is read into a tree once, and each type reads from the tree.
//!
//! A reader that is made anew for each type of a large configuration takes some 900 KB of code; the tree is made in one place, and
//! what is left for each type is small.

mod deserialize;
mod error;
mod scalar;
mod spanned;
mod tree;

use serde::de::DeserializeOwned;

pub use error::Error;
pub use spanned::{Place, Spanned};

/// Reads a value from a text with one document; an empty text is `null`.
///
/// # Errors
/// [`Error`] at the first thing that is wrong, with its place where it has one.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let node = tree::parse(text)?;
    T::deserialize(deserialize::Reader(&node)).map_err(|error| error.at(node.place))
}
