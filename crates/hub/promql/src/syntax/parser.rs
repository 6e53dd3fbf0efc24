//! The grammar of PromQL, by precedence climbing. Its recursion is bounded, so that no text overflows the stack.

mod durations;

use crate::matcher::{MatchOp, Matcher};
use crate::syntax::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, Expr, Length, Matching, MatrixSelector, Span,
    Subquery, VectorSelector,
};
use crate::syntax::error::ParseError;
use crate::syntax::lexer::{Kind, Token, tokens};
use crate::syntax::{check, functions};
use crate::text::{parse_duration, parse_number, quote, unquote};

/// How deep expressions may stand in each other.
pub const MAX_DEPTH: usize = 100;
/// The bytes of a query.
pub const MAX_LENGTH: usize = 256 << 10;

/// The farthest from the epoch that a query's time may be, in milliseconds: 285,000 years.
pub const MAX_TIME: i64 = 1 << 53;

/// Reads a query.
///
/// # Errors
/// It is none: where, and why.
pub fn parse(query: &str) -> Result<Expr> {
    if query.len() > MAX_LENGTH {
        let message = format!("the query has {} bytes; at most {MAX_LENGTH} are read", query.len());
        return Err(ParseError::new("", Span::default(), message));
    }
    let mut parser = Parser { input: query, tokens: tokens(query)?, at: 0, depth: 0 };
    if parser.kind() == Kind::End {
        return Err(parser.error(Span::default(), "no expression found in input"));
    }
    let mut expr = parser.expr(0)?.expr;
    if parser.kind() != Kind::End {
        return Err(parser.unexpected("", ""));
    }
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// An expression and how deep it is.
struct Parsed {
    expr: Expr,
    depth: usize,
}

struct Parser<'a> {
    input: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Result<T> = std::result::Result<T, ParseError>;

const UNARY: u8 = 6;

fn binary_op(kind: Kind, word: &str) -> Option<(BinaryOp, u8)> {
    Some(match kind {
        Kind::Add => (BinaryOp::Add, 4),
        Kind::Sub => (BinaryOp::Sub, 4),
        Kind::Mul => (BinaryOp::Mul, 5),
        Kind::Div => (BinaryOp::Div, 5),
        Kind::Mod => (BinaryOp::Mod, 5),
        Kind::Pow => (BinaryOp::Pow, 6),
        Kind::EqualEqual => (BinaryOp::Equal, 3),
        Kind::NotEqual => (BinaryOp::NotEqual, 3),
        Kind::Less => (BinaryOp::Less, 3),
        Kind::LessEqual => (BinaryOp::LessEqual, 3),
        Kind::Greater => (BinaryOp::Greater, 3),
        Kind::GreaterEqual => (BinaryOp::GreaterEqual, 3),
        Kind::TrimUpper => (BinaryOp::TrimUpper, 3),
        Kind::TrimLower => (BinaryOp::TrimLower, 3),
        Kind::Word => match word.to_ascii_lowercase().as_str() {
            "or" => (BinaryOp::Or, 1),
            "and" => (BinaryOp::And, 2),
            "unless" => (BinaryOp::Unless, 2),
            "atan2" => (BinaryOp::Atan2, 5),
            _ => return None,
        },
        _ => return None,
    })
}

impl<'a> Parser<'a> {
    fn token(&self) -> Token {
        self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn kind(&self) -> Kind {
        self.token().kind
    }

    fn ahead(&self, more: usize) -> Kind {
        self.tokens.get(self.at + more).map_or(Kind::End, |token| token.kind)
    }

    fn text(&self, token: Token) -> &'a str {
        &self.input[token.span.start..token.span.end]
    }

    fn advance(&mut self) -> Token {
        let token = self.token();
        self.at += 1;
        token
    }

    /// Takes the token where it is of the kind.
    fn accept(&mut self, kind: Kind) -> bool {
        let found = self.kind() == kind;
        self.at += usize::from(found);
        found
    }

    /// Whether a word stands here, whatever its case.
    fn is_word(&self, word: &str) -> bool {
        self.kind() == Kind::Word && self.text(self.token()).eq_ignore_ascii_case(word)
    }

    fn accept_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn error(&self, span: Span, message: impl Into<String>) -> ParseError {
        ParseError::new(self.input, span, message)
    }

    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let token = self.token();
        let mut message = if token.kind == Kind::End {
            "unexpected end of input".to_owned()
        } else {
            format!("unexpected {}", quote(self.text(token)))
        };
        if !context.is_empty() {
            message += " in ";
            message += context;
        }
        if !expected.is_empty() {
            message += ", expected ";
            message += expected;
        }
        self.error(token.span, message)
    }

    fn expect(&mut self, kind: Kind, context: &str, expected: &str) -> Result<Token> {
        if self.kind() == kind { Ok(self.advance()) } else { Err(self.unexpected(context, expected)) }
    }

    fn last_end(&self) -> usize {
        self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.span.end)
    }

    /// One level deeper, as long as there is room.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let out = read(self);
        self.depth -= 1;
        out
    }

    fn too_deep(&self) -> ParseError {
        self.error(self.token().span, format!("expressions stand more than {MAX_DEPTH} deep in each other"))
    }

    fn parsed(&self, expr: Expr, below: usize) -> Result<Parsed> {
        if below + 1 > MAX_DEPTH { Err(self.too_deep()) } else { Ok(Parsed { expr, depth: below + 1 }) }
    }

    fn expr(&mut self, least: u8) -> Result<Parsed> {
        self.deeper(|parser| parser.binary(least))
    }

    fn binary(&mut self, least: u8) -> Result<Parsed> {
        let mut lhs = self.unary()?;
        loop {
            let token = self.token();
            let Some((op, precedence)) = binary_op(token.kind, self.text(token)) else { break };
            if precedence < least {
                break;
            }
            self.advance();
            let (matching, return_bool) = self.modifiers()?;
            // Powers are right-associative.
            let rhs = self.expr(if op == BinaryOp::Pow { precedence } else { precedence + 1 })?;
            let depth = lhs.depth.max(rhs.depth);
            let binary = Binary { op, lhs: lhs.expr, rhs: rhs.expr, matching: Some(matching), return_bool };
            lhs = self.parsed(Expr::Binary(Box::new(binary)), depth)?;
        }
        Ok(lhs)
    }

    fn unary(&mut self) -> Result<Parsed> {
        if !matches!(self.kind(), Kind::Add | Kind::Sub) {
            return self.postfix();
        }
        let sign = self.advance();
        let negative = sign.kind == Kind::Sub;
        let inner = self.expr(UNARY)?;
        let span = Span { start: sign.span.start, end: inner.expr.span().end };
        if let Expr::Number(value, duration, _) = inner.expr {
            let value = if negative { -value } else { value };
            return Ok(Parsed { expr: Expr::Number(value, duration, span), depth: inner.depth });
        }
        self.parsed(Expr::Unary(negative, Box::new(inner.expr), span), inner.depth)
    }

    fn postfix(&mut self) -> Result<Parsed> {
        let mut base = self.primary()?;
        loop {
            if self.kind() == Kind::LeftBracket {
                base = self.range(base)?;
            } else if self.kind() == Kind::At {
                self.advance();
                let at = self.timestamp()?;
                self.set_at(&mut base.expr, at)?;
            } else if self.accept_word("offset") {
                let offset = self.offset_length()?;
                self.set_offset(&mut base.expr, offset)?;
            } else if self.is_word("anchored") || self.is_word("smoothed") {
                let smoothed = self.is_word("smoothed");
                self.advance();
                self.set_extended(&mut base.expr, smoothed)?;
            } else {
                return Ok(base);
            }
        }
    }

    fn range(&mut self, base: Parsed) -> Result<Parsed> {
        let open = self.advance();
        let range = self.positive_length()?;
        if self.accept(Kind::Colon) {
            let step = if self.kind() == Kind::RightBracket { None } else { Some(self.positive_length()?) };
            let close = self.expect(Kind::RightBracket, "subquery selector", "\"]\"")?;
            let span = Span { start: base.expr.span().start, end: close.span.end };
            let subquery = Subquery { expr: base.expr, range, step, offset: Length::ZERO, at: None, span };
            return self.parsed(Expr::Subquery(Box::new(subquery)), base.depth);
        }
        let close = self.expect(Kind::RightBracket, "subquery or range", "\":\" or \"]\"")?;
        let brackets = Span { start: open.span.start, end: close.span.end };
        let Expr::Vector(selector) = base.expr else {
            return Err(self.error(brackets, "ranges only allowed for vector selectors"));
        };
        if selector.offset != Length::ZERO {
            return Err(self.error(brackets, "no offset modifiers allowed before range"));
        }
        if selector.at.is_some() {
            return Err(self.error(brackets, "no @ modifiers allowed before range"));
        }
        let span = Span { start: selector.span.start, end: close.span.end };
        Ok(Parsed { expr: Expr::Matrix(MatrixSelector { selector, range, span }), depth: base.depth })
    }

    fn timestamp(&mut self) -> Result<At> {
        for (word, at) in [("start", At::Start), ("end", At::End)] {
            if self.is_word(word) && self.ahead(1) == Kind::LeftParen && self.ahead(2) == Kind::RightParen {
                self.at += 3;
                return Ok(at);
            }
        }
        let negative = self.kind() == Kind::Sub;
        if negative || self.kind() == Kind::Add {
            self.advance();
        }
        let token = self.token();
        let seconds = self.number_or_duration()?.ok_or_else(|| self.unexpected("@", "timestamp"))?.0;
        let seconds = if negative { -seconds } else { seconds };
        if !seconds.is_finite() || seconds.abs() > MAX_TIME as f64 / 1000.0 {
            return Err(self.error(token.span, format!("timestamp out of bounds for @ modifier: {seconds:.6}")));
        }
        Ok(At::Time((seconds * 1000.0).round() as i64))
    }

    /// A number, or a duration in seconds and that it is one; nothing where neither stands here.
    fn number_or_duration(&mut self) -> Result<Option<(f64, bool)>> {
        let token = self.token();
        let text = self.text(token);
        let literal = match token.kind {
            Kind::Number => parse_number(text).map(|value| (value, false)),
            Kind::Duration => parse_duration(text).map(|ms| (ms as f64 / 1000.0, true)),
            Kind::Word if text.eq_ignore_ascii_case("inf") || text.eq_ignore_ascii_case("nan") => {
                parse_number(text).map(|value| (value, false))
            }
            _ => return Ok(None),
        };
        self.advance();
        literal.map(Some).map_err(|message| self.error(token.span, message))
    }

    fn set_at(&self, expr: &mut Expr, time: At) -> Result<()> {
        let span = expr.span();
        let end = self.last_end();
        let (at, own) = match expr {
            Expr::Vector(selector) => (&mut selector.at, &mut selector.span),
            Expr::Matrix(matrix) => (&mut matrix.selector.at, &mut matrix.span),
            Expr::Subquery(subquery) => (&mut subquery.at, &mut subquery.span),
            _ => {
                let message =
                    "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(span, message));
            }
        };
        if at.is_some() {
            return Err(self.error(span, "@ <timestamp> may not be set multiple times"));
        }
        *at = Some(time);
        own.end = end;
        Ok(())
    }

    fn set_offset(&self, expr: &mut Expr, length: Length) -> Result<()> {
        let span = expr.span();
        let end = self.last_end();
        let (offset, own) = match expr {
            Expr::Vector(selector) => (&mut selector.offset, &mut selector.span),
            Expr::Matrix(matrix) => (&mut matrix.selector.offset, &mut matrix.span),
            Expr::Subquery(subquery) => (&mut subquery.offset, &mut subquery.span),
            _ => {
                let message = "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery";
                return Err(self.error(span, message));
            }
        };
        if *offset != Length::ZERO {
            return Err(self.error(span, "offset may not be set multiple times"));
        }
        *offset = length;
        own.end = end;
        Ok(())
    }

    fn set_extended(&self, expr: &mut Expr, smoothed: bool) -> Result<()> {
        let word = if smoothed { "smoothed" } else { "anchored" };
        let span = expr.span();
        let selector = match expr {
            Expr::Vector(selector) => selector,
            Expr::Matrix(matrix) => &mut matrix.selector,
            Expr::Subquery(_) => {
                return Err(self.error(span, format!("{word} modifier is not supported for subqueries")));
            }
            _ => return Err(self.error(span, format!("{word} modifier not implemented"))),
        };
        selector.smoothed |= smoothed;
        selector.anchored |= !smoothed;
        if selector.smoothed && selector.anchored {
            return Err(self.error(span, "anchored and smoothed modifiers cannot be used together"));
        }
        Ok(())
    }

    fn primary(&mut self) -> Result<Parsed> {
        let token = self.token();
        let leaf = |expr| Ok(Parsed { expr, depth: 1 });
        if let Some((value, duration)) = self.number_or_duration()? {
            return leaf(Expr::Number(value, duration, token.span));
        }
        match token.kind {
            Kind::Text => {
                self.advance();
                leaf(Expr::String(self.unquoted(token)?, token.span))
            }
            Kind::LeftParen => {
                self.advance();
                let inner = self.expr(0)?;
                let close = self.expect(Kind::RightParen, "parenthesized expression", "\")\"")?;
                let span = Span { start: token.span.start, end: close.span.end };
                self.parsed(Expr::Paren(Box::new(inner.expr), span), inner.depth)
            }
            Kind::LeftBrace => leaf(Expr::Vector(self.selector(None)?)),
            Kind::Word => self.word(token),
            _ => Err(self.unexpected("", "")),
        }
    }

    fn unquoted(&self, token: Token) -> Result<String> {
        unquote(self.text(token)).map_err(|message| self.error(token.span, message))
    }

    fn word(&mut self, token: Token) -> Result<Parsed> {
        let word = self.text(token);
        let next = self.tokens.get(self.at + 1).copied();
        let modifier = next.is_some_and(|t| {
            t.kind == Kind::Word && ["by", "without"].iter().any(|w| self.text(t).eq_ignore_ascii_case(w))
        });
        let called = self.ahead(1) == Kind::LeftParen;
        if let Some(op) = AggregateOp::named(word)
            && (called || (modifier && self.ahead(2) == Kind::LeftParen))
        {
            self.advance();
            return self.aggregate(op, token);
        }
        if called {
            let function = functions::find(word).or_else(|| functions::find(&word.to_ascii_lowercase()));
            let Some(function) = function else {
                return Err(self.error(token.span, format!("unknown function with name {}", quote(word))));
            };
            self.advance();
            let (args, depth) = self.args()?;
            let span = Span { start: token.span.start, end: self.last_end() };
            return self.parsed(Expr::Call(Call { function, args, span }), depth);
        }
        const RESERVED: [&str; 7] = ["bool", "ignoring", "on", "group_left", "group_right", "atan2", "offset"];
        if RESERVED[..6].iter().any(|reserved| word.eq_ignore_ascii_case(reserved)) {
            return Err(self.unexpected("", ""));
        }
        self.advance();
        Ok(Parsed { expr: Expr::Vector(self.selector(Some((word, token.span)))?), depth: 1 })
    }

    fn args(&mut self) -> Result<(Vec<Expr>, usize)> {
        self.expect(Kind::LeftParen, "function call", "\"(\"")?;
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.accept(Kind::RightParen) {
            return Ok((args, depth));
        }
        loop {
            let arg = self.expr(0)?;
            depth = depth.max(arg.depth);
            args.push(arg.expr);
            if self.kind() == Kind::Comma {
                let comma = self.advance();
                if self.kind() == Kind::RightParen {
                    return Err(self.error(comma.span, "trailing commas not allowed in function call args"));
                }
                continue;
            }
            self.expect(Kind::RightParen, "function call", "\",\" or \")\"")?;
            return Ok((args, depth));
        }
    }

    fn aggregate(&mut self, op: AggregateOp, token: Token) -> Result<Parsed> {
        let mut modifier = self.by_or_without()?;
        let (mut args, depth) = self.args()?;
        if modifier.is_none() {
            modifier = self.by_or_without()?;
        }
        let span = Span { start: token.span.start, end: self.last_end() };
        let wanted = 1 + usize::from(op.has_param());
        if args.len() != wanted {
            let message = if args.is_empty() {
                "no arguments for aggregate expression provided".to_owned()
            } else {
                let got = args.len();
                format!("wrong number of arguments for aggregate expression provided, expected {wanted}, got {got}")
            };
            return Err(self.error(span, message));
        }
        let expr = args.pop().ok_or_else(|| self.error(span, "no arguments for aggregate expression provided"))?;
        let (grouping, without) = modifier.unwrap_or_default();
        let aggregate = Aggregate { op, expr, param: args.pop(), grouping, without, span };
        self.parsed(Expr::Aggregate(Box::new(aggregate)), depth)
    }

    fn by_or_without(&mut self) -> Result<Option<(Vec<String>, bool)>> {
        let without = self.is_word("without");
        if !without && !self.is_word("by") {
            return Ok(None);
        }
        self.advance();
        Ok(Some((self.label_names()?, without)))
    }

    fn label_names(&mut self) -> Result<Vec<String>> {
        self.expect(Kind::LeftParen, "grouping opts", "\"(\"")?;
        let mut names = Vec::new();
        while !self.accept(Kind::RightParen) {
            let token = self.token();
            let name = match token.kind {
                Kind::Word if self.text(token).contains(':') => {
                    let message = format!("invalid label name for grouping: {}", quote(self.text(token)));
                    return Err(self.error(token.span, message));
                }
                Kind::Word => self.text(token).to_owned(),
                Kind::Text => self.unquoted(token)?,
                _ => return Err(self.unexpected("grouping opts", "label")),
            };
            if name.is_empty() {
                return Err(self.error(token.span, "invalid label name for grouping: \"\""));
            }
            self.advance();
            names.push(name);
            if !self.accept(Kind::Comma) && self.kind() != Kind::RightParen {
                return Err(self.unexpected("grouping opts", "\",\" or \")\""));
            }
        }
        Ok(names)
    }

    fn modifiers(&mut self) -> Result<(Matching, bool)> {
        let mut matching = Matching {
            cardinality: Cardinality::OneToOne,
            labels: Vec::new(),
            on: false,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let return_bool = self.accept_word("bool");
        if self.is_word("on") || self.is_word("ignoring") {
            matching.on = self.is_word("on");
            self.advance();
            matching.labels = self.label_names()?;
            if self.is_word("group_left") || self.is_word("group_right") {
                let left = self.is_word("group_left");
                matching.cardinality = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                self.advance();
                if self.kind() == Kind::LeftParen {
                    matching.include = self.label_names()?;
                }
            }
        }
        for _ in 0..2 {
            for (word, left, right) in [("fill", true, true), ("fill_left", true, false), ("fill_right", false, true)] {
                if self.is_word(word) && self.ahead(1) == Kind::LeftParen {
                    self.at += 2;
                    let negative = self.kind() == Kind::Sub;
                    if negative || self.kind() == Kind::Add {
                        self.advance();
                    }
                    let value = self.number_or_duration()?.ok_or_else(|| self.unexpected("fill", "number"))?.0;
                    self.expect(Kind::RightParen, "fill", "\")\"")?;
                    let value = Some(if negative { -value } else { value });
                    matching.fill_left = if left { value } else { matching.fill_left };
                    matching.fill_right = if right { value } else { matching.fill_right };
                }
            }
        }
        Ok((matching, return_bool))
    }

    fn selector(&mut self, name: Option<(&str, Span)>) -> Result<VectorSelector> {
        let start = name.map_or(self.token().span.start, |(_, span)| span.start);
        let mut matchers = Vec::new();
        if self.accept(Kind::LeftBrace) {
            while !self.accept(Kind::RightBrace) {
                matchers.push(self.matcher()?);
                if !self.accept(Kind::Comma) && self.kind() != Kind::RightBrace {
                    return Err(self.unexpected("label matching", "\",\" or \"}\""));
                }
            }
        }
        if let Some((name, _)) = name {
            matchers.push(Matcher::equal(crate::labels::NAME, name));
        }
        Ok(VectorSelector {
            name: name.map(|(name, _)| name.to_owned()),
            matchers,
            offset: Length::ZERO,
            at: None,
            anchored: false,
            smoothed: false,
            span: Span { start, end: self.last_end() },
        })
    }

    fn matcher(&mut self) -> Result<Matcher> {
        let token = self.token();
        let label = match token.kind {
            Kind::Word => self.text(token).to_owned(),
            Kind::Text => self.unquoted(token)?,
            _ => return Err(self.unexpected("label matching", "identifier or \"}\"")),
        };
        self.advance();
        let op = match self.kind() {
            Kind::Assign => MatchOp::Equal,
            Kind::NotEqual => MatchOp::NotEqual,
            Kind::EqualRegex => MatchOp::Regex,
            Kind::NotRegex => MatchOp::NotRegex,
            // A text alone is the metric's name.
            _ if token.kind == Kind::Text => return Ok(Matcher::equal(crate::labels::NAME, &label)),
            _ => return Err(self.unexpected("label matching", "label matching operator")),
        };
        self.advance();
        let value = self.expect(Kind::Text, "label matching", "string")?;
        let span = Span { start: token.span.start, end: value.span.end };
        Matcher::new(&label, op, &self.unquoted(value)?).map_err(|message| self.error(span, message))
    }
}
