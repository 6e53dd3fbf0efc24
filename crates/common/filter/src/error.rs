//! Errors that point at the character.

use std::fmt;
use std::ops::Range;

/// Why a text is not a query. Shown in one line; [`ParseError::pointed`] adds the text with a mark below the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {})", self.column())]
pub struct ParseError {
    text: String,
    /// Bytes of the text.
    at: Range<usize>,
    message: String,
}

impl ParseError {
    pub(crate) fn new(text: &str, at: Range<usize>, message: impl Into<String>) -> Self {
        let end = at.end.min(text.len());
        Self { text: text.to_owned(), at: at.start.min(end)..end, message: message.into() }
    }

    /// What is wrong and what to write instead, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The first character that does not fit, counted from 1.
    pub fn column(&self) -> usize {
        self.text.get(..self.at.start).map_or(0, |before| before.chars().count()) + 1
    }

    /// How many characters do not fit: at least 1.
    pub fn width(&self) -> usize {
        self.text.get(self.at.clone()).map_or(0, |what| what.chars().count()).max(1)
    }

    /// For a terminal: the message, the query, and a mark below what does not fit.
    pub fn pointed(&self) -> impl fmt::Display {
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let mark = "^".repeat(self.width());
        format!("{}\n  {line}\n  {mark:>width$}", self.message, width = self.column() - 1 + self.width())
    }
}
