//! What is wrong with a text, and where.

use std::fmt;

use serde::de;

use crate::spanned::Place;

/// The first thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    what: String,
    place: Place,
    is_missing: bool,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>, place: Place) -> Self {
        Self(Box::new(Inner { what: what.into(), place, is_missing: false }))
    }

    /// The same at a place, where it has none yet.
    pub(crate) fn at(mut self, place: Place) -> Self {
        if !self.0.place.is_known() {
            self.0.place = place;
        }
        self
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.0.place
    }

    /// Whether something is not there that must be.
    pub fn is_missing(&self) -> bool {
        self.0.is_missing
    }

    /// What is wrong, without its place.
    pub fn what(&self) -> &str {
        &self.0.what
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.place.is_known() {
            true => write!(f, "line {}, column {}: {}", self.0.place.line(), self.0.place.column(), self.0.what),
            false => f.write_str(&self.0.what),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(what: T) -> Self {
        Self::new(what.to_string(), Place::UNKNOWN)
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error = Self::new(format!("missing field `{field}`"), Place::UNKNOWN);
        error.0.is_missing = true;
        error
    }
}
