//! Lengths of time in a query, and expressions over them.

use super::{MAX_DEPTH, Parser, Result};
use crate::syntax::ast::{BinaryOp, DurationExpr, Length, Span};
use crate::syntax::lengths::MAX_SECONDS;
use crate::syntax::lexer::Kind;

impl Parser<'_> {
    /// The length in brackets: more than nothing.
    pub(super) fn positive_length(&mut self) -> Result<Length> {
        let start = self.token().span.start;
        let expr = self.duration(0)?;
        let span = Span { start, end: self.token().span.start };
        let length = self.length(expr, span)?;
        if matches!(length, Length::Millis(ms) if ms <= 0) {
            return Err(self.error(span, "duration must be greater than 0"));
        }
        Ok(length)
    }

    /// What stands after `offset`. Without parentheses it ends before an operator: `x offset 1m ^ 2` is a power of `x`.
    pub(super) fn offset_length(&mut self) -> Result<Length> {
        let start = self.token().span.start;
        let expr = if self.kind() == Kind::LeftParen {
            self.duration(0)?
        } else {
            self.duration_unary(false).map_err(|error| {
                if self.kind() == Kind::End || error.message.starts_with("unexpected") {
                    self.unexpected("offset", "number, duration, step(), or range()")
                } else {
                    error
                }
            })?
        };
        let span = Span { start, end: self.token().span.start };
        self.length(expr, span)
    }

    fn length(&self, expr: DurationExpr, span: Span) -> Result<Length> {
        match expr {
            DurationExpr::Number(seconds, _) if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) => {
                Err(self.error(span, "duration out of range"))
            }
            DurationExpr::Number(seconds, _) => Ok(Length::Millis((seconds * 1000.0).round() as i64)),
            expr => Ok(Length::Expr(expr, span)),
        }
    }

    fn duration(&mut self, least: u8) -> Result<DurationExpr> {
        let mut lhs = self.deeper(|parser| parser.duration_unary(true))?;
        let mut length = 0;
        loop {
            let (op, precedence) = match self.kind() {
                Kind::Add => (BinaryOp::Add, 1),
                Kind::Sub => (BinaryOp::Sub, 1),
                Kind::Mul => (BinaryOp::Mul, 2),
                Kind::Div => (BinaryOp::Div, 2),
                Kind::Mod => (BinaryOp::Mod, 2),
                Kind::Pow => (BinaryOp::Pow, 3),
                _ => return Ok(lhs),
            };
            if precedence < least {
                return Ok(lhs);
            }
            length += 1;
            if length > MAX_DEPTH {
                return Err(self.error(self.token().span, "the duration has too many operators"));
            }
            let token = self.advance();
            let next = if op == BinaryOp::Pow { precedence } else { precedence + 1 };
            let rhs = self.deeper(|parser| parser.duration(next))?;
            let zero = matches!(rhs, DurationExpr::Number(0.0, _));
            match op {
                BinaryOp::Div if zero => return Err(self.error(token.span, "division by zero")),
                BinaryOp::Mod if zero => return Err(self.error(token.span, "modulo by zero")),
                _ => {}
            }
            lhs = DurationExpr::Binary(op, Box::new((lhs, rhs)));
        }
    }

    fn duration_unary(&mut self, powers: bool) -> Result<DurationExpr> {
        if !matches!(self.kind(), Kind::Add | Kind::Sub) {
            return self.duration_primary();
        }
        let negative = self.advance().kind == Kind::Sub;
        let inner = self.deeper(|parser| if powers { parser.duration(3) } else { parser.duration_unary(false) })?;
        Ok(match inner {
            DurationExpr::Number(value, duration) if negative => DurationExpr::Number(-value, duration),
            inner if negative => DurationExpr::Negative(Box::new(inner)),
            inner => inner,
        })
    }

    fn duration_primary(&mut self) -> Result<DurationExpr> {
        let token = self.token();
        if let Some((value, duration)) = self.number_or_duration()? {
            return Ok(DurationExpr::Number(value, duration));
        }
        if token.kind == Kind::LeftParen {
            self.advance();
            let inner = self.deeper(|parser| parser.duration(0))?;
            self.expect(Kind::RightParen, "duration expression", "\")\"")?;
            return Ok(DurationExpr::Paren(Box::new(inner)));
        }
        let word = self.text(token).to_ascii_lowercase();
        let expected = "number, duration, step(), or range()";
        if token.kind != Kind::Word || !matches!(word.as_str(), "step" | "range" | "min_of" | "max_of") {
            return Err(self.unexpected("subquery or range selector", expected));
        }
        self.advance();
        self.expect(Kind::LeftParen, "duration expression", "\"(\"")?;
        let expr = match word.as_str() {
            "step" => DurationExpr::Step,
            "range" => DurationExpr::Range,
            extreme => {
                let first = self.deeper(|parser| parser.duration(0))?;
                self.expect(Kind::Comma, "duration expression", "\",\"")?;
                let second = self.deeper(|parser| parser.duration(0))?;
                DurationExpr::Extreme(extreme == "max_of", Box::new((first, second)))
            }
        };
        self.expect(Kind::RightParen, "duration expression", "\")\"")?;
        Ok(expr)
    }
}
