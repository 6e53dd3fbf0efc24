//! Reading and writing queries.

pub mod ast;
mod cursor;
mod error;
mod lexer;
mod logs;
mod metrics;
mod print;

pub use cursor::{MAX_DEPTH, MAX_LENGTH};
pub use error::ParseError;

use ast::{Expr, LogExpr, Matcher};
use cursor::Cursor;
use lexer::Token;

/// Reads a query.
///
/// # Errors
/// [`ParseError`] with the place of what is wrong.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let mut cursor = Cursor::new(text)?;
    let mut ahead = 0;
    while matches!(cursor.ahead(ahead), Some(Token::Sign("("))) {
        ahead += 1;
    }
    let is_logs = matches!(cursor.ahead(ahead), Some(Token::Sign("{")));
    let expr = if is_logs {
        Expr::Logs(logs::log_expr(&mut cursor)?)
    } else {
        Expr::Metric(metrics::metric_expr(&mut cursor, 0)?)
    };
    if cursor.peek().is_some() {
        return Err(cursor.unexpected("expecting the end of the query"));
    }
    // What stages say in languages of their own is looked at now, too.
    crate::check(&expr).map_err(|what| ParseError::new(text, 0, what))?;
    Ok(expr)
}

/// Reads a selector with its stages.
///
/// # Errors
/// [`ParseError`] with the place of what is wrong.
pub fn parse_logs(text: &str) -> Result<LogExpr, ParseError> {
    match parse(text)? {
        Expr::Logs(logs) => Ok(logs),
        Expr::Metric(_) => Err(ParseError::new(text, 0, "only log queries are supported here")),
    }
}

/// Reads a selector alone.
///
/// # Errors
/// [`ParseError`] with the place of what is wrong.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, ParseError> {
    let mut cursor = Cursor::new(text)?;
    let matchers = logs::selector(&mut cursor)?;
    match cursor.peek() {
        None => Ok(matchers),
        Some(_) => Err(cursor.unexpected("expecting the end of the selector")),
    }
}
