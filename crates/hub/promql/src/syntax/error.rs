//! What is wrong with a query's text, and where.

use crate::syntax::ast::Span;
use std::fmt;

/// A query that is none: line and column (from 1), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where, in bytes.
    pub span: Span,
    /// Line and column.
    pub position: (usize, usize),
    /// Why.
    pub message: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, span: Span, message: impl Into<String>) -> Self {
        Self { span, position: position(query, span.start), message: message.into() }
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.position;
        write!(f, "{line}:{column}: parse error: {}", self.message)
    }
}

/// Line and column of a byte, both from 1.
pub(crate) fn position(query: &str, at: usize) -> (usize, usize) {
    let before = query.as_bytes().get(..at).unwrap_or(query.as_bytes());
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    (line, column)
}
