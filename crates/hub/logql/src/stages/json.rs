//! JSON as labels: a walk over the text that keeps numbers as they are written.

use crate::fields::{Fields, put_label_name};

/// Objects and lists nested deeper than this are an error.
const MAX_DEPTH: usize = 64;

/// A step of a path into JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A path: `a.b[0]["c d"]`.
///
/// # Errors
/// What cannot be read.
pub(crate) fn path(text: &str) -> Result<Vec<Step>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim();
    let failed = || format!("cannot parse {text} as a path into JSON: as in a.b[0][\"c\"]");
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix('"') {
                let end = quoted.find("\"]").ok_or_else(failed)?;
                out.push(Step::Key(quoted[..end].to_owned()));
                rest = &quoted[end + 2..];
            } else {
                let end = inner.find(']').ok_or_else(failed)?;
                out.push(Step::Index(inner[..end].trim().parse().map_err(|_| failed())?));
                rest = &inner[end + 1..];
            }
        } else {
            let own = if out.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(failed)? };
            let end = own.find(['.', '[']).unwrap_or(own.len());
            if end == 0 {
                return Err(failed());
            }
            out.push(Step::Key(own[..end].to_owned()));
            rest = &own[end..];
        }
    }
    if out.is_empty() { Err(failed()) } else { Ok(out) }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    Text,
    /// A number, `true` or `false`.
    Plain,
    Null,
}

/// A place in a JSON text.
pub(crate) struct Reader<'t> {
    text: &'t str,
    at: usize,
}

/// The text is no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'t> Reader<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = self.text[self.at..].trim_start_matches([' ', '\t', '\n', '\r']);
        self.at = self.text.len() - rest.len();
        rest.as_bytes().first().copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(Malformed)
    }

    /// What comes.
    pub(crate) fn kind(&mut self) -> Result<Kind, Malformed> {
        Ok(match self.peek().ok_or(Malformed)? {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::Text,
            b'n' => Kind::Null,
            b't' | b'f' | b'-' | b'0'..=b'9' => Kind::Plain,
            _ => return Err(Malformed),
        })
    }

    /// A text as it stands between its quotes.
    fn raw_text(&mut self) -> Result<&'t str, Malformed> {
        self.take(b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        loop {
            match bytes.get(self.at).ok_or(Malformed)? {
                b'"' => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// A text.
    pub(crate) fn text(&mut self) -> Result<String, Malformed> {
        unescape(self.raw_text()?)
    }

    /// A number, `true`, `false` or `null` as it is written.
    pub(crate) fn plain(&mut self) -> Result<&'t str, Malformed> {
        self.peek();
        let rest = &self.text[self.at..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))).unwrap_or(rest.len());
        let word = &rest[..end];
        let is_number = word.parse::<f64>().is_ok() && word.ends_with(|c: char| c.is_ascii_digit());
        if !is_number && !matches!(word, "true" | "false" | "null") {
            return Err(Malformed);
        }
        self.at += end;
        Ok(word)
    }

    /// Whatever comes, as it is written.
    pub(crate) fn raw(&mut self, depth: usize) -> Result<&'t str, Malformed> {
        let kind = self.kind()?;
        let start = self.at;
        match kind {
            Kind::Object => self.each_pair(depth, |reader, _| reader.raw(depth + 1).map(drop))?,
            Kind::Array => self.each_item(depth, |reader, _| reader.raw(depth + 1).map(drop))?,
            Kind::Text => drop(self.raw_text()?),
            Kind::Plain | Kind::Null => drop(self.plain()?),
        }
        Ok(&self.text[start..self.at])
    }

    /// Shows each pair of an object; who is shown it reads the value.
    pub(crate) fn each_pair(
        &mut self,
        depth: usize,
        mut show: impl FnMut(&mut Self, &str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.take(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.peek();
            let key = unescape(self.raw_text()?)?;
            self.take(b':')?;
            show(self, &key)?;
            if self.peek() == Some(b',') {
                self.at += 1;
            } else {
                return self.take(b'}');
            }
        }
    }

    /// Shows each item of a list; who is shown it reads it.
    fn each_item(
        &mut self,
        depth: usize,
        mut show: impl FnMut(&mut Self, usize) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        self.take(b'[')?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        for place in 0.. {
            show(self, place)?;
            if self.peek() == Some(b',') {
                self.at += 1;
            } else {
                break;
            }
        }
        self.take(b']')
    }

    /// Where the value at a path begins: the same reader, there.
    fn go(&mut self, steps: &[Step], depth: usize) -> Result<Option<Self>, Malformed> {
        let Some((step, rest)) = steps.split_first() else {
            return Ok(Some(Self { text: self.text, at: self.at }));
        };
        let mut found = None;
        match (self.kind()?, step) {
            (Kind::Object, Step::Key(wanted)) => self.each_pair(depth, |reader, key| {
                if key == wanted && found.is_none() {
                    found = Self { text: reader.text, at: reader.at }.go(rest, depth + 1)?;
                }
                reader.raw(depth + 1).map(drop)
            })?,
            (Kind::Array, Step::Index(wanted)) => self.each_item(depth, |reader, place| {
                if place == *wanted {
                    found = Self { text: reader.text, at: reader.at }.go(rest, depth + 1)?;
                }
                reader.raw(depth + 1).map(drop)
            })?,
            _ => {}
        }
        Ok(found)
    }
}

fn unescape(raw: &str) -> Result<String, Malformed> {
    if !raw.contains('\\') {
        return Ok(raw.to_owned());
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next().ok_or(Malformed)?;
        let mut length = at + 1 + escape.len_utf8();
        match escape {
            '"' | '\\' | '/' => out.push(escape),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => {
                let unit = |from: usize| {
                    let digits = rest.get(from..from + 4)?;
                    u32::from_str_radix(digits, 16).ok()
                };
                let high = unit(length).ok_or(Malformed)?;
                length += 4;
                let mut code = high;
                if (0xd800..0xdc00).contains(&high)
                    && rest.get(length..length + 2) == Some("\\u")
                    && let Some(low) = unit(length + 2).filter(|low| (0xdc00..0xe000).contains(low))
                {
                    code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                    length += 6;
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            _ => return Err(Malformed),
        }
        rest = &rest[length..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Makes a label of each text, number and truth value, however deep; lists and nulls are none.
pub(crate) fn flatten(line: &str, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    let mut reader = Reader::new(line);
    object(&mut reader, "", 0, fields)
}

fn object(reader: &mut Reader<'_>, prefix: &str, depth: usize, fields: &mut Fields<'_>) -> Result<(), Malformed> {
    reader.each_pair(depth, |reader, key| {
        let mut name = prefix.to_owned();
        if !name.is_empty() && !key.trim().is_empty() {
            name.push('_');
        }
        if prefix.is_empty() {
            put_label_name(&mut name, key);
        } else {
            name.extend(key.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        }
        match reader.kind()? {
            Kind::Object => object(reader, &name, depth + 1, fields)?,
            Kind::Text => {
                let value = reader.text()?;
                fields.extract(&name, value);
            }
            Kind::Plain => {
                let value = reader.plain()?;
                fields.extract(&name, value);
            }
            Kind::Array | Kind::Null => drop(reader.raw(depth)?),
        }
        Ok(())
    })
}

/// Makes labels of the values at paths; one that is not there is empty.
pub(crate) fn extract(line: &str, wanted: &[(String, Vec<Step>)], fields: &mut Fields<'_>) -> Result<(), Malformed> {
    // All of it has to be JSON.
    Reader::new(line).raw(0)?;
    for (name, steps) in wanted {
        let value = match Reader::new(line).go(steps, 0)? {
            None => String::new(),
            Some(mut found) => match found.kind()? {
                Kind::Text => found.text()?,
                Kind::Null => String::new(),
                _ => found.raw(0)?.to_owned(),
            },
        };
        fields.extract(name, value);
    }
    Ok(())
}

/// Texts of a packed line become labels; the one named `_entry` is the line.
pub(crate) fn unpack(line: &str, fields: &mut Fields<'_>) -> Result<Option<String>, Malformed> {
    let mut entry = None;
    let mut found: Vec<(String, String)> = Vec::new();
    Reader::new(line).each_pair(0, |reader, key| {
        if reader.kind()? != Kind::Text {
            return reader.raw(0).map(drop);
        }
        let value = reader.text()?;
        if key == "_entry" {
            entry = Some(value);
        } else {
            found.push((key.to_owned(), value));
        }
        Ok(())
    })?;
    // Without a line in it, it was not packed.
    if entry.is_some() {
        found.into_iter().for_each(|(name, value)| fields.extract(&name, value));
    }
    Ok(entry)
}
