//! From a query's text to its tree and back.

pub mod ast;
mod check;
pub(crate) mod error;
pub(crate) mod functions;
pub(crate) mod lengths;
mod lexer;
mod parser;
mod print;
mod types;

pub use error::ParseError;
pub use functions::Function;
pub use parser::{MAX_DEPTH, MAX_LENGTH, MAX_TIME, parse};
