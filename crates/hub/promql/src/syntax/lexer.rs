//! A query's text as tokens.

use crate::syntax::ast::Span;
use crate::syntax::error::ParseError;

/// What a token is. Words are told apart by the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    End,
    Word,
    Number,
    Duration,
    Text,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Assign,
    EqualEqual,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    TrimUpper,
    TrimLower,
    EqualRegex,
    NotRegex,
}

/// A token and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

struct Lexer<'a> {
    input: &'a str,
    at: usize,
    braces: bool,
    brackets: bool,
    out: Vec<Token>,
}

/// All tokens, the end last.
pub(crate) fn tokens(input: &str) -> Result<Vec<Token>, ParseError> {
    let mut lexer = Lexer { input, at: 0, braces: false, brackets: false, out: Vec::new() };
    while lexer.next()? {}
    Ok(lexer.out)
}

fn name_start(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic())
}

fn name_part(c: char) -> bool {
    name_start(c) || c.is_ascii_digit() || c == '.'
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.input[self.at..]
    }

    fn error<T>(&self, start: usize, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.input, Span { start, end: self.input.len() }, message))
    }

    fn emit(&mut self, kind: Kind, length: usize) {
        let span = Span { start: self.at, end: self.at + length };
        self.at = span.end;
        self.out.push(Token { kind, span });
    }

    /// One token more; false at the end.
    fn next(&mut self) -> Result<bool, ParseError> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.at += blank;
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            if self.braces {
                return self.error(self.at, "unexpected end of input inside braces");
            }
            if self.brackets {
                return self.error(self.at, "unexpected end of input in duration expression");
            }
            self.emit(Kind::End, 0);
            return Ok(false);
        };
        let second = rest[c.len_utf8()..].chars().next().unwrap_or(' ');
        match c {
            '#' => {
                let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
                self.at += line;
            }
            '"' | '\'' | '`' => {
                let length = self.text(c)?;
                self.emit(Kind::Text, length);
            }
            _ if name_start(c) || (c == ':' && !self.brackets && !self.braces) => self.word(),
            _ if c.is_ascii_digit() || (c == '.' && second.is_ascii_digit()) => self.number()?,
            _ => self.symbol(c, second)?,
        }
        Ok(true)
    }

    fn symbol(&mut self, c: char, second: char) -> Result<(), ParseError> {
        let (kind, length) = match (c, second) {
            ('(', _) => (Kind::LeftParen, 1),
            (')', _) => (Kind::RightParen, 1),
            ('{', _) if self.braces => return self.error(self.at, "unexpected left brace '{'"),
            ('{', _) => (Kind::LeftBrace, 1),
            ('}', _) => (Kind::RightBrace, 1),
            ('[', _) if self.brackets => return self.error(self.at, "unexpected left bracket '['"),
            ('[', _) => (Kind::LeftBracket, 1),
            (']', _) if !self.brackets => return self.error(self.at, "unexpected right bracket ']'"),
            (']', _) => (Kind::RightBracket, 1),
            (',', _) => (Kind::Comma, 1),
            (':', _) => (Kind::Colon, 1),
            ('@', _) => (Kind::At, 1),
            ('+', _) => (Kind::Add, 1),
            ('-', _) => (Kind::Sub, 1),
            ('*', _) => (Kind::Mul, 1),
            ('/', _) => (Kind::Div, 1),
            ('%', _) => (Kind::Mod, 1),
            ('^', _) => (Kind::Pow, 1),
            ('=', '~') if self.braces => (Kind::EqualRegex, 2),
            ('=', '~') => return self.error(self.at, "unexpected character after '=': '~'"),
            ('=', '=') if !self.braces => (Kind::EqualEqual, 2),
            ('=', _) => (Kind::Assign, 1),
            ('!', '=') => (Kind::NotEqual, 2),
            ('!', '~') if self.braces => (Kind::NotRegex, 2),
            ('!', other) => return self.error(self.at, format!("unexpected character after '!': {other:?}")),
            ('<', '=') => (Kind::LessEqual, 2),
            ('<', '/') => (Kind::TrimUpper, 2),
            ('<', _) => (Kind::Less, 1),
            ('>', '=') => (Kind::GreaterEqual, 2),
            ('>', '/') => (Kind::TrimLower, 2),
            ('>', _) => (Kind::Greater, 1),
            (other, _) if self.braces => {
                return self.error(self.at, format!("unexpected character inside braces: {other:?}"));
            }
            (other, _) => return self.error(self.at, format!("unexpected character: {other:?}")),
        };
        match kind {
            Kind::LeftBrace => self.braces = true,
            Kind::RightBrace => self.braces = false,
            Kind::LeftBracket => self.brackets = true,
            Kind::RightBracket => self.brackets = false,
            _ => {}
        }
        self.emit(kind, length);
        Ok(())
    }

    /// The length of a quoted text.
    fn text(&self, open: char) -> Result<usize, ParseError> {
        let mut escaped = false;
        for (at, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' if open != '`' => break,
                _ if escaped => escaped = false,
                '\\' if open != '`' => escaped = true,
                c if c == open => return Ok(at + 1),
                _ => {}
            }
        }
        let what = if open == '`' { "unterminated raw string" } else { "unterminated quoted string" };
        self.error(self.at, what)
    }

    fn word(&mut self) {
        let colons = !self.braces && !self.brackets;
        let rest = self.rest();
        let length = rest.find(|c: char| !(name_part(c) || (c == ':' && colons))).unwrap_or(rest.len());
        self.emit(Kind::Word, length);
    }

    /// A number, or digits with units.
    fn number(&mut self) -> Result<(), ParseError> {
        let bytes = self.rest().as_bytes();
        let hex = bytes.len() > 2 && bytes[0] == b'0' && matches!(bytes[1], b'x' | b'X');
        let mut at = if hex { 2 } else { 0 };
        let (mut dot, mut exponent) = (false, false);
        while let Some(&b) = bytes.get(at) {
            let digit_next = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
            match b {
                b'0'..=b'9' => at += 1,
                b'_' => at += 1,
                _ if hex && b.is_ascii_hexdigit() => at += 1,
                b'.' if !dot && !exponent && !hex => {
                    dot = true;
                    at += 1;
                }
                b'e' | b'E' if !exponent && !hex => {
                    let signed = matches!(bytes.get(at + 1), Some(b'+' | b'-'))
                        && bytes.get(at + 2).is_some_and(u8::is_ascii_digit);
                    if !digit_next && !signed {
                        break;
                    }
                    exponent = true;
                    at += if signed { 2 } else { 1 };
                }
                _ => break,
            }
        }
        let letters = |b: u8| b == b'_' || b.is_ascii_alphanumeric();
        if !bytes.get(at).is_some_and(|b| letters(*b)) {
            self.emit(Kind::Number, at);
            return Ok(());
        }
        let end = bytes[at..].iter().position(|b| !letters(*b)).map_or(bytes.len(), |more| at + more);
        let units = &bytes[at..end];
        if units.iter().all(|b| b.is_ascii_digit() || b"smhdwy".contains(b)) {
            self.emit(Kind::Duration, end);
            return Ok(());
        }
        let shown = String::from_utf8_lossy(&bytes[..end]).into_owned();
        self.error(self.at, format!("bad number or duration syntax: {shown:?}"))
    }
}
