//! The tokens that are still to be read.

use super::error::ParseError;
use super::lexer::{Token, tokens};

/// How deep expressions may stand in each other.
pub const MAX_DEPTH: usize = 64;
/// How long a query may be, in bytes.
pub const MAX_LENGTH: usize = 128 << 10;

/// A place in the tokens of a query.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    tokens: Vec<(usize, Token)>,
    place: usize,
    depth: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > MAX_LENGTH {
            let what = format!("the query has {} bytes; at most {MAX_LENGTH} are read", text.len());
            return Err(ParseError::new(text, 0, what));
        }
        Ok(Self { text, tokens: tokens(text)?, place: 0, depth: 0 })
    }

    /// The token that comes after `ahead` others.
    pub(crate) fn ahead(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.place + ahead).map(|(_, token)| token)
    }

    pub(crate) fn peek(&self) -> Option<&Token> {
        self.ahead(0)
    }

    pub(crate) fn next(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.place += usize::from(token.is_some());
        token
    }

    pub(crate) fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(own)) if *own == sign)
    }

    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(own)) if own == word)
    }

    /// Takes a sign if it comes.
    pub(crate) fn take_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.place += usize::from(found);
        found
    }

    /// Takes a word if it comes.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.place += usize::from(found);
        found
    }

    pub(crate) fn expect_sign(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.take_sign(sign) { Ok(()) } else { Err(self.unexpected(&format!("expecting {sign}"))) }
    }

    pub(crate) fn expect_word(&mut self, what: &str) -> Result<String, ParseError> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.place += 1;
                Ok(word)
            }
            _ => Err(self.unexpected(&format!("expecting {what}"))),
        }
    }

    pub(crate) fn expect_text(&mut self) -> Result<String, ParseError> {
        match self.peek() {
            Some(Token::Text(text)) => {
                let text = text.clone();
                self.place += 1;
                Ok(text)
            }
            _ => Err(self.unexpected("expecting STRING")),
        }
    }

    /// A number, perhaps with a sign.
    pub(crate) fn expect_number(&mut self) -> Result<f64, ParseError> {
        let before = self.place;
        let negative = self.take_sign("-");
        if !negative {
            self.take_sign("+");
        }
        match self.next() {
            Some(Token::Number(value)) => Ok(if negative { -value } else { value }),
            _ => {
                self.place = before;
                Err(self.unexpected("expecting NUMBER"))
            }
        }
    }

    /// Goes one expression deeper; [`Self::leave`] comes back.
    pub(crate) fn enter(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("expressions stand more than {MAX_DEPTH} deep in each other")));
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// How deep it is; [`Self::back_to`] comes back to it. A row of operators stands deep in each other, too.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn back_to(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// What is wrong at the token that comes.
    pub(crate) fn error(&self, message: impl Into<String>) -> ParseError {
        let at = self.tokens.get(self.place).map_or(self.text.len(), |(at, _)| *at);
        ParseError::new(self.text, at, message)
    }

    pub(crate) fn unexpected(&self, wanted: &str) -> ParseError {
        let found = match self.peek() {
            None => "end of query".to_owned(),
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Text(text)) => format!("STRING {text:?}"),
            Some(Token::Number(number)) => format!("NUMBER {number}"),
            Some(Token::Duration(_)) => "DURATION".to_owned(),
            Some(Token::Bytes(_, text)) => format!("BYTES {text}"),
            Some(Token::Flag(flag)) => format!("--{flag}"),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
        };
        self.error(format!("syntax error: unexpected {found}, {wanted}"))
    }
}
