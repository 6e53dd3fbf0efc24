//! The text of a query as tokens.

use super::error::ParseError;
use crate::lengths::{parse_bytes, parse_duration};

/// One token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A name or a keyword.
    Word(String),
    /// A quoted text, without its quotes.
    Text(String),
    /// A number.
    Number(f64),
    /// A duration in nanoseconds.
    Duration(i64),
    /// A size in bytes, and how it was written.
    Bytes(u64, String),
    /// `--strict`
    Flag(String),
    /// Anything else.
    Sign(&'static str),
}

/// Signs; a longer one stands before those that it begins with.
const SIGNS: [&str; 28] = [
    "|=", "|~", "|>", "!=", "!~", "!>", "=~", "==", ">=", "<=", "|", "=", ">", "<", "{", "}", "(", ")", "[", "]", ",",
    "+", "-", "*", "/", "%", "^", "!",
];

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == ':'
}

fn is_word(c: char) -> bool {
    is_word_start(c) || c.is_ascii_digit()
}

/// All tokens of a text, each with the byte at which it begins.
///
/// # Errors
/// [`ParseError`] at a character that begins no token, a text without an end, or a number that is none.
pub(crate) fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        if c == '#' {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        }
        let start = at;
        let token = if is_word_start(c) {
            let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            at += end;
            Token::Word(rest[..end].to_owned())
        } else if c == '"' || c == '`' {
            let (value, length) = quoted(rest, c).map_err(|what| ParseError::new(text, start, what))?;
            at += length;
            Token::Text(value)
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            let end = number_end(rest);
            at += end;
            number(&rest[..end]).ok_or_else(|| {
                ParseError::new(text, start, format!("{} is no number, duration or size", &rest[..end]))
            })?
        } else if let Some(flag) = rest.strip_prefix("--").filter(|flag| flag.starts_with(is_word_start)) {
            let end = flag.find(|c: char| !is_word(c) && c != '-').unwrap_or(flag.len());
            at += 2 + end;
            Token::Flag(flag[..end].to_owned())
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            at += sign.len();
            Token::Sign(sign)
        } else {
            return Err(ParseError::new(text, start, format!("syntax error: unexpected character {c:?}")));
        };
        out.push((start, token));
    }
    Ok(out)
}

/// Where a number with its unit ends: letters belong to it, and a sign after an exponent.
fn number_end(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut end = 0;
    let mut plain = true;
    while let Some(c) = rest[end..].chars().next() {
        let exponent_sign = (c == '+' || c == '-')
            && plain
            && end > 0
            && matches!(bytes[end - 1], b'e' | b'E')
            && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '\u{b5}' || c == '\u{3bc}' || exponent_sign) {
            break;
        }
        plain = plain && (c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E') || exponent_sign);
        end += c.len_utf8();
    }
    end
}

fn number(text: &str) -> Option<Token> {
    if let Some(hex) = text.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok().map(|value| Token::Number(value as f64));
    }
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if is_plain && let Ok(value) = text.parse::<f64>() {
        return value.is_finite().then_some(Token::Number(value));
    }
    if let Some(ns) = parse_duration(text) {
        return Some(Token::Duration(ns));
    }
    parse_bytes(text).map(|bytes| Token::Bytes(bytes, text.to_owned()))
}

/// A quoted text with Go's escapes, or a raw one; its value and its length with quotes.
fn quoted(rest: &str, quote: char) -> Result<(String, usize), String> {
    if quote == '`' {
        let end = rest[1..].find('`').ok_or("literal not terminated")?;
        return Ok((rest[1..=end].replace('\r', ""), end + 2));
    }
    let mut out = String::new();
    let mut chars = rest[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, at + 2)),
            '\n' => break,
            '\\' => {
                let (at, escape) = chars.next().ok_or("literal not terminated")?;
                let digits = match escape {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    '\\' => '\\',
                    '"' => '"',
                    'x' | 'u' | 'U' | '0'..='7' => {
                        let (skip, radix, count) = match escape {
                            'x' => (1, 16, 2),
                            'u' => (1, 16, 4),
                            'U' => (1, 16, 8),
                            _ => (0, 8, 3),
                        };
                        let from = 1 + at + skip;
                        let code = rest.get(from..from + count).and_then(|code| u32::from_str_radix(code, radix).ok());
                        for _ in 0..count - (1 - skip) {
                            chars.next();
                        }
                        // What is no character (a byte of its own) becomes one that stands for it, as in no text of ours.
                        code.map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
                            .ok_or("invalid escape")?
                    }
                    _ => return Err("invalid char escape".into()),
                };
                out.push(digits);
            }
            c => out.push(c),
        }
    }
    Err("literal not terminated".into())
}
