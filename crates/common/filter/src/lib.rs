//! The filter language (docs/filter.md): which records are meant, and what is made of them. The device's command line, the
//! hub and its page read the same text in the same way.
//!
//! `service=api level>=error dur>200ms "connection refused" since=2h | stats count by service | top 10`
//!
//! - text: [`parse`] gives a [`Query`], or a [`ParseError`] that points at the character
//! - records: [`Filter::matches`] on anything that is a [`Record`]
//! - pipes: [`Engine`] takes records one by one and ends with an [`Output`]

mod aggregate;
mod engine;
mod error;
mod field;
mod grammar;
mod literal;
mod query;
mod record;
mod resolve;
mod show;
#[cfg(test)]
mod tests;
mod transaction;

pub use engine::{Engine, MAX_GROUPS, MAX_ROWS, Output, Table};
pub use error::ParseError;
pub use field::Field;
pub use literal::{MOMENTS, level_name, level_number, moment, rfc3339_ns};
pub use query::{Aggregate, Comparison, Filter, Function, Pipe, Query, Range, Test};
pub use record::{Record, Value};
pub use transaction::{TRANSACTION_KEYS, is_transaction_key, transaction};

/// The longest query that is read, bytes.
pub const MAX_QUERY: usize = 4096;

/// The most parentheses of a query, outside quotes: the reader goes down into each.
pub const MAX_PARENTHESES: usize = 64;

/// Reads a query. Relative times (`since=2h`) are taken from `now_ns`, Unix nanoseconds.
///
/// # Errors
/// [`ParseError`] with the place of the first character that does not fit, and what would.
pub fn parse(text: &str, now_ns: u64) -> Result<Query, ParseError> {
    resolve::query(grammar::parse(text)?, now_ns)
}
