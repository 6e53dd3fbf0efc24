//! How long lengths of time are.

use crate::syntax::ast::{BinaryOp, DurationExpr, Length};

/// The longest time, in seconds.
pub(super) const MAX_SECONDS: f64 = i64::MAX as f64 / 1e9;

/// The seconds of an expression, given the query's step and range in seconds.
fn seconds(expr: &DurationExpr, step: f64, range: f64) -> Result<f64, &'static str> {
    let of = |expr: &DurationExpr| seconds(expr, step, range);
    Ok(match expr {
        DurationExpr::Number(value, _) => *value,
        DurationExpr::Step => step,
        DurationExpr::Range => range,
        DurationExpr::Negative(inner) => -of(inner)?,
        DurationExpr::Paren(inner) => of(inner)?,
        DurationExpr::Extreme(max, both) => {
            let (a, b) = (of(&both.0)?, of(&both.1)?);
            if *max { a.max(b) } else { a.min(b) }
        }
        DurationExpr::Binary(op, both) => {
            let (a, b) = (of(&both.0)?, of(&both.1)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Div if b == 0.0 => return Err("division by zero"),
                BinaryOp::Mod if b == 0.0 => return Err("modulo by zero"),
                BinaryOp::Div => a / b,
                BinaryOp::Mod => a % b,
                _ => a.powf(b),
            }
        }
    })
}

/// The milliseconds of a length, given the query's step and range in milliseconds.
pub(crate) fn resolve(length: &Length, step: i64, range: i64, negative: bool) -> Result<i64, String> {
    let (expr, span) = match length {
        Length::Millis(ms) => return Ok(*ms),
        Length::Expr(expr, span) => (expr, span),
    };
    let fault = |what: &str| format!("{}:{}: {what}", span.start, span.end);
    let seconds = seconds(expr, step as f64 / 1000.0, range as f64 / 1000.0).map_err(fault)?;
    if !seconds.is_finite() {
        return Err(fault("duration is NaN or infinite"));
    }
    if seconds <= 0.0 && !negative {
        return Err(fault("duration must be greater than 0"));
    }
    if seconds.abs() > MAX_SECONDS {
        return Err(fault("duration is out of range"));
    }
    Ok((seconds * 1000.0) as i64)
}
