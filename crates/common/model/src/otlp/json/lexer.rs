//! JSON texts piece by piece (RFC 8259), borrowed where nothing is escaped.

use std::borrow::Cow;

use super::JsonError;

/// How deep a value that is passed over may nest.
const MAX_SKIPPED: usize = 512;

/// Reads one JSON text.
pub struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

/// A value that is no object and no array.
#[derive(Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number, as it stands there.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
}

impl<'a> Lexer<'a> {
    /// Begins at the start of a text.
    ///
    /// # Errors
    /// [`JsonError::Syntax`] where the bytes are not UTF-8.
    pub fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(bytes).map_err(|error| JsonError::Syntax { offset: error.valid_up_to() })?;
        Ok(Self { text, at: 0 })
    }

    /// Where it stands, for errors.
    pub fn fault(&self) -> JsonError {
        JsonError::Syntax { offset: self.at }
    }

    /// The next byte that is no white space; 0 at the end.
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Passes over a byte that has to stand there.
    pub fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != byte {
            return Err(self.fault());
        }
        self.at += 1;
        Ok(())
    }

    /// Passes over what is between two elements of an object or array; false when `close` was there instead.
    pub fn more(&mut self, first: bool, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            byte if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ if first => Ok(true),
            _ => self.expect(b',').map(|()| true),
        }
    }

    /// Whether a `null` was there; it is passed over.
    pub fn null(&mut self) -> bool {
        self.peek();
        self.word("null")
    }

    /// Ends the text: only white space may be left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        if self.peek() == 0 && self.at == self.text.len() { Ok(()) } else { Err(self.fault()) }
    }

    fn word(&mut self, word: &str) -> bool {
        let there = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes()));
        self.at += if there { word.len() } else { 0 };
        there
    }

    /// A string, number or boolean.
    pub fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.peek() {
            b'"' => self.string().map(Scalar::Text),
            b't' if self.word("true") => Ok(Scalar::Bool(true)),
            b'f' if self.word("false") => Ok(Scalar::Bool(false)),
            b'-' | b'0'..=b'9' => self.number().map(Scalar::Number),
            _ => Err(self.fault()),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
        let number = rest.get(..length.count()).unwrap_or_default();
        if !is_number(number) {
            return Err(self.fault());
        }
        self.at += number.len();
        Ok(number)
    }

    /// A string, unescaped.
    pub fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.expect(b'"')?;
        let mut whole: Option<String> = None;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            let plain = rest.get(..plain.ok_or(self.fault())?).unwrap_or_default();
            self.at += plain.len();
            match self.text.as_bytes().get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match whole {
                        None => Cow::Borrowed(plain),
                        Some(whole) => Cow::Owned(whole + plain),
                    });
                }
                Some(b'\\') => {
                    let whole = whole.get_or_insert_default();
                    whole.push_str(plain);
                    self.at += 1;
                    let escaped = self.escape()?;
                    whole.push(escaped);
                }
                _ => return Err(self.fault()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let byte = self.text.as_bytes().get(self.at).copied().unwrap_or(0);
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.fault()),
        };
        self.at += 1;
        Ok(character)
    }

    /// The character of `\uXXXX`, or of a surrogate pair; half of one is replaced.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let high = self.four()?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        if self.word("\\u") {
            let low = self.four()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = before;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn four(&mut self) -> Result<u32, JsonError> {
        let digits = self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(self.fault())?;
        self.at += 4;
        Ok(code)
    }

    /// Passes over a value, whatever it is.
    pub fn skip(&mut self) -> Result<(), JsonError> {
        let mut open: Vec<u8> = Vec::new();
        // Whether an element comes first in what is open.
        let mut first = true;
        loop {
            if let Some(close) = open.last().copied() {
                if !self.more(first, close)? {
                    open.pop();
                    first = false;
                    if open.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
                if close == b'}' {
                    self.string()?;
                    self.expect(b':')?;
                }
            }
            let opens = match self.peek() {
                b'{' => b'}',
                b'[' => b']',
                _ => {
                    if !self.null() {
                        self.scalar()?;
                    }
                    first = false;
                    if open.is_empty() {
                        return Ok(());
                    }
                    continue;
                }
            };
            if open.len() >= MAX_SKIPPED {
                return Err(JsonError::TooDeep);
            }
            self.at += 1;
            open.push(opens);
            first = true;
        }
    }
}

/// Whether a text is a JSON number (RFC 8259 section 6).
pub fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        None => (text, None),
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        None => (mantissa, None),
        Some((whole, fraction)) => (whole, Some(fraction)),
    };
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

/// A JSON number as an integer; also `1e3` and `2.0`. `None` when it is none, or beyond 128 bits.
pub fn integer(text: &str) -> Option<i128> {
    if let Ok(value) = text.parse() {
        return Some(value);
    }
    if !is_number(text) {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut value: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    while value != 0 && exponent != 0 {
        if exponent > 0 {
            value = value.checked_mul(10)?;
            exponent -= 1;
        } else {
            value = (value % 10 == 0).then_some(value / 10)?;
            exponent += 1;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers in every form JSON has, and in forms it does not have. Guarantees: integers are exact, and only
    /// JSON's forms are taken.
    #[test]
    fn i5_integers_are_exact() {
        for (text, value) in [
            ("0", Some(0)),
            ("-5", Some(-5)),
            ("1e3", Some(1000)),
            ("1.50e2", Some(150)),
            ("1200e-2", Some(12)),
            ("18446744073709551615", Some(u64::MAX.into())),
            ("1.5", None),
            ("1e-1", None),
            ("1e400", None),
            ("", None),
            ("0x10", None),
        ] {
            assert_eq!(integer(text), value, "{text}");
        }
        assert_eq!(integer("0e999999999"), Some(0));
        for bad in ["01", "1.", ".5", "-", "1e", "+1", "1e+", "--1", "1.e3"] {
            assert!(!is_number(bad), "{bad}");
        }
    }

    /// Scenario: strings with every escape, surrogate pairs, halves of them, control characters, cut ones. Guarantees: as
    /// RFC 8259 has it; half a pair is replaced.
    #[test]
    fn i5_strings_are_unescaped() {
        let read = |text: &str| Lexer::new(text.as_bytes()).unwrap().string().map(Cow::into_owned);
        assert_eq!(
            read(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#).unwrap(),
            "a\"\\/\u{8}\u{c}\n\r\t\u{e9}\u{1f600}z"
        );
        assert_eq!(read(r#""\ud83dx\udc00\ud83d\u0041""#).unwrap(), "\u{fffd}x\u{fffd}\u{fffd}A");
        for bad in ["\"a", "\"\n\"", r#""\x""#, r#""\u12"#, r#""\u12g4""#, "a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    /// Scenario: values of all kinds and broken ones are passed over. Guarantees: exactly the value; brackets match; depth
    /// is bounded (P9).
    #[test]
    fn i5_values_are_passed_over() {
        for good in ["null", "1", "\"x\"", "[]", "{}", "[1,[2,{\"a\":null}],true]", "{\"a\":{\"b\":[]},\"c\":-1e5}"] {
            let mut lexer = Lexer::new(good.as_bytes()).unwrap();
            lexer.skip().unwrap();
            lexer.end().unwrap();
        }
        for bad in ["[", "[1 2]", "[1,]", "{\"a\" 1}", "{a:1}", "[}", "nul", "{\"a\":1,}", ""] {
            let mut lexer = Lexer::new(bad.as_bytes()).unwrap();
            assert!(lexer.skip().and_then(|()| lexer.end()).is_err(), "{bad}");
        }
        assert_eq!(Lexer::new("[".repeat(1000).as_bytes()).unwrap().skip(), Err(JsonError::TooDeep));
    }
}
