//! The fields of a JSON object in a log record's text (RFC 8259): top level only, borrowed, without escapes resolved.

/// Bodies longer than this are not looked into.
const LONGEST: usize = 64 << 10;

/// A field's value, as far as it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Field<'a> {
    /// A string without escapes.
    Text(&'a [u8]),
    /// A number.
    Number(f64),
}

/// Calls `each` with every field of the object that is a string without escapes or a number. What is not a JSON object has
/// none; where an object breaks off or is malformed, the fields before that place are told.
pub fn for_each_field<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8], Field<'a>)) {
    let text = text.trim_ascii();
    if text.first() != Some(&b'{') || text.len() > LONGEST {
        return;
    }
    let mut scan = Scan { text, at: 1 };
    loop {
        scan.blanks();
        let Some(key) = scan.string() else { return };
        scan.blanks();
        if scan.next() != Some(b':') {
            return;
        }
        scan.blanks();
        match scan.peek() {
            Some(b'"') => {
                let Some(value) = scan.string() else { return };
                if !value.contains(&b'\\') {
                    each(key, Field::Text(value));
                }
            }
            Some(b'{' | b'[') => {
                if !scan.skip_nested() {
                    return;
                }
            }
            _ => {
                let word = scan.word();
                if let Some(number) = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()) {
                    each(key, Field::Number(number));
                }
            }
        }
        scan.blanks();
        if scan.next() != Some(b',') {
            return;
        }
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// What stands between two quotation marks.
    fn string(&mut self) -> Option<&'a [u8]> {
        if self.next()? != b'"' {
            return None;
        }
        let start = self.at;
        loop {
            match self.next()? {
                b'"' => return self.text.get(start..self.at - 1),
                b'\\' => {
                    self.next()?;
                }
                _ => {}
            }
        }
    }

    fn word(&mut self) -> &'a [u8] {
        let start = self.at;
        while self.peek().is_some_and(|byte| !matches!(byte, b',' | b'}' | b']') && !byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Goes to the end of an object or array; false when it has none.
    fn skip_nested(&mut self) -> bool {
        let mut depth = 0u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    if self.string().is_none() {
                        return false;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<(String, String)> {
        let mut out = Vec::new();
        for_each_field(text.as_bytes(), |key, value| {
            let value = match value {
                Field::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Field::Number(number) => number.to_string(),
            };
            out.push((String::from_utf8_lossy(key).into_owned(), value));
        });
        out
    }

    /// Scenario: objects with nesting, escapes and blanks, cut off, and texts that are no objects.
    /// Guarantees: top-level strings and numbers are told, up to where it breaks; nothing panics.
    #[test]
    fn fields_of_an_object_are_told() {
        let whole = r#" { "a" : "x", "b":[1,{"a":"]"}], "c" : -1.5e2 ,"d":true,"e\"":"f","g":"h\n","i":"j"} "#;
        let pairs: Vec<_> = fields(whole);
        let shown: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(shown, [("a", "x"), ("c", "-150"), ("e\\\"", "f"), ("i", "j")]);
        for cut in 0..whole.len() {
            let found = fields(&whole[..cut]);
            assert!(found.len() <= 4 && found.iter().zip(&pairs).all(|(one, other)| one.0 == other.0));
        }
        for none in ["", "plain", "[1]", "{", "{}", "{1:2}", "{\"a\" 1}", "{\"a\":}]]]", "\\"] {
            assert!(fields(none).is_empty(), "{none}");
        }
    }
}
