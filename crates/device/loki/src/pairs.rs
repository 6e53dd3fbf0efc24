//! Names and values of labels and metadata.

use model::otlp::attributes;
use model::otlp::schema::any_value;
use model::proto::{Reader, Value};
use otlp::json::put_value_text;

/// Lists nested deeper than this are told as JSON.
const MAX_DEPTH: usize = 16;

/// Pairs of name and value, one after the other in one text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Pairs {
    text: String,
    /// Where each name ends, and its value.
    ends: Vec<(usize, usize)>,
}

impl Pairs {
    /// Begins anew, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a pair; one without a value is none.
    pub(crate) fn add(&mut self, name: &str, value: impl FnOnce(&mut String)) {
        let start = self.text.len();
        put_name(&mut self.text, name);
        let name_end = self.text.len();
        value(&mut self.text);
        if self.text.len() == name_end || name_end == start {
            self.text.truncate(start);
        } else {
            self.ends.push((name_end, self.text.len()));
        }
    }

    /// Adds a number that is not 0.
    pub(crate) fn add_number(&mut self, name: &str, number: u64) {
        if number != 0 {
            self.add(name, |out| out.push_str(&number.to_string()));
        }
    }

    /// Adds the attributes of a message but for some. Those in a list get the list's name in front.
    pub(crate) fn add_attributes(&mut self, message: &[u8], number: u32, but: impl Fn(&str) -> bool) {
        for (key, any) in attributes(message, number) {
            let key = String::from_utf8_lossy(key);
            if !but(&key) {
                self.add_value(&key, any, 0);
            }
        }
    }

    fn add_value(&mut self, name: &str, any: &[u8], depth: usize) {
        match Reader::new(any).next_field() {
            Ok(Some((any_value::KVLIST, Value::Bytes(list)))) if depth < MAX_DEPTH => {
                for (key, any) in attributes(list, 1) {
                    self.add_value(&format!("{name}_{}", String::from_utf8_lossy(key)), any, depth + 1);
                }
            }
            _ => self.add(name, |out| put_value_text(out, any)),
        }
    }

    /// All of them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut start = 0;
        self.ends.iter().filter_map(move |(name_end, end)| {
            let name = self.text.get(start..*name_end)?;
            start = *end;
            Some((name, self.text.get(*name_end..*end)?))
        })
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.iter().any(|(known, _)| known == name)
    }
}

/// Appends a name as Loki may have it: characters beyond `[a-zA-Z0-9_]` become underscores, and no digit comes first.
pub fn put_name(out: &mut String, name: &str) {
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push_str("key_");
    }
    out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}
