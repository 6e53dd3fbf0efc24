//! The formats of lines, and how each is read.

use regex_lite::Regex;

use crate::fields::{Fields, Value};
use crate::{json, syslog, time};

/// The format of a file's lines.
#[derive(Debug, Clone)]
pub enum Format {
    /// Lines of containers (CRI, Docker) without their envelope; JSON objects as their fields; all others as they are.
    Auto,
    /// Each line as it is.
    Plain,
    /// Lines of Kubernetes' containers; inside as [`Format::Auto`].
    Cri,
    /// Lines of Docker's `json-file`; inside as [`Format::Auto`].
    Docker,
    /// A JSON object each.
    Json,
    /// `key=value key="a value"`
    Logfmt,
    /// Named groups are fields.
    Regex(Regex),
    /// Values between delimiters, by the names of their columns.
    Csv {
        /// The names, in order; an empty one leaves its column out.
        columns: Vec<String>,
        /// What stands between values.
        delimiter: u8,
    },
    /// RFC 5424 and RFC 3164.
    Syslog,
}

impl Format {
    /// What a text says; `None` when it is not of this format, and the text is all that there is.
    pub(crate) fn read(&self, text: &[u8]) -> Result<Option<Fields>, Mismatch> {
        let mut fields = Fields::default();
        let is_read = match self {
            Format::Plain => return Ok(None),
            Format::Auto | Format::Cri | Format::Docker => {
                let is_object = text.first() == Some(&b'{') && json::parse(text, &mut fields);
                return Ok(is_object.then_some(fields));
            }
            Format::Json => json::parse(text, &mut fields),
            Format::Logfmt => as_text(text).is_some_and(|text| logfmt(text, &mut fields)),
            Format::Regex(regex) => as_text(text).is_some_and(|text| groups(regex, text, &mut fields)),
            Format::Csv { columns, delimiter } => {
                as_text(text).is_some_and(|text| csv(text, columns, *delimiter, &mut fields))
            }
            Format::Syslog => as_text(text).is_some_and(|text| as_syslog(text, &mut fields)),
        };
        if is_read { Ok(Some(fields)) } else { Err(Mismatch) }
    }
}

/// A text that is not of the format that was configured: it goes on as it is, and is counted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch;

fn as_text(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

/// `key=value`, `key="a \"value\""`; a word without `=` is a field without a text. At least one `=` makes it logfmt.
fn logfmt(text: &str, fields: &mut Fields) -> bool {
    let (mut rest, mut pairs) = (text.trim_start(), 0);
    while !rest.is_empty() {
        let end = rest.find(['=', ' ']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            fields.field(key, Value::Text(""));
            rest = after.trim_start();
            continue;
        };
        if key.is_empty() {
            return false;
        }
        pairs += 1;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let Some((value, after)) = unquoted(quoted) else { return false };
                (value, after)
            }
            None => {
                let (value, after) = after.split_at(after.find(' ').unwrap_or(after.len()));
                (value.to_owned(), after)
            }
        };
        fields.field(key, Value::Text(&value));
        rest = after.trim_start();
    }
    pairs > 0
}

/// What stands up to the closing quotation mark, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            other => out.push(other),
        }
    }
    None
}

fn groups(regex: &Regex, text: &str, fields: &mut Fields) -> bool {
    let Some(found) = regex.captures(text) else { return false };
    for (name, group) in regex.capture_names().zip(found.iter()) {
        if let (Some(name), Some(group)) = (name, group) {
            fields.text(name, group.as_str());
        }
    }
    true
}

/// RFC 4180; as many values as columns, or it is none.
fn csv(text: &str, columns: &[String], delimiter: u8, fields: &mut Fields) -> bool {
    let mut rest = Some(text);
    for column in columns {
        let Some(text) = rest else { return false };
        let (value, after) = match text.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut left = quoted;
                loop {
                    let Some((part, after)) = left.split_once('"') else { return false };
                    value.push_str(part);
                    left = after;
                    match left.strip_prefix('"') {
                        Some(after) => left = after,
                        None => break,
                    }
                    value.push('"');
                }
                (value, left)
            }
            None => {
                let end = text.bytes().position(|byte| byte == delimiter).unwrap_or(text.len());
                let Some((value, after)) = text.split_at_checked(end) else { return false };
                (value.to_owned(), after)
            }
        };
        rest = match after.as_bytes().first() {
            None => None,
            Some(byte) if *byte == delimiter => after.get(1..),
            Some(_) => return false,
        };
        if !column.is_empty() {
            fields.text(column, &value);
        }
    }
    rest.is_none()
}

fn as_syslog(text: &str, fields: &mut Fields) -> bool {
    let Some(line) = syslog::parse(text) else { return false };
    fields.severity = line.severity_number();
    fields.time_ns = time::rfc3339(line.time.as_bytes()).unwrap_or(0);
    fields.message = Some(line.message.to_owned());
    if fields.time_ns == 0 {
        fields.text("syslog.timestamp", line.time);
    }
    fields.text("host.name", line.host);
    fields.text("syslog.appname", line.program);
    fields.text("syslog.procid", line.process);
    fields.text("syslog.msgid", line.id);
    fields.text("syslog.structured_data", line.structured);
    if let Some(facility) = line.facility {
        fields.field("syslog.facility.code", Value::Number(&facility.to_string()));
    }
    true
}

#[cfg(test)]
mod tests {
    use model::otlp::attributes;

    use super::*;

    fn read(format: &Format, text: &str) -> Fields {
        format.read(text.as_bytes()).unwrap().unwrap()
    }

    fn keys(fields: &Fields) -> Vec<String> {
        attributes(&fields.attributes, 6).map(|pair| String::from_utf8_lossy(pair.0).into_owned()).collect()
    }

    /// Scenario: the same event in every format. Guarantees: message, time and level stand where a record has them, the rest is attributes.
    #[test]
    fn every_format_says_the_same() {
        let regex = Regex::new(r"^(?P<time>\S+) (?P<level>\w+) (?P<user>\w*) ?- (?P<message>.*)$").unwrap();
        let columns = ["time", "level", "user", "message"].map(str::to_owned).to_vec();
        for (format, text) in [
            (Format::Json, r#"{"time":"2026-01-01T00:00:00Z","level":"WARN","user":"a","msg":"disk \"full\""}"#),
            (Format::Auto, r#"{"ts":1767225600,"level":40,"user":"a","message":"disk \"full\""}"#),
            (Format::Logfmt, r#"time=2026-01-01T00:00:00Z level=warn user=a msg="disk \"full\"""#),
            (Format::Regex(regex), r#"2026-01-01T00:00:00Z WARN a - disk "full""#),
            (Format::Csv { columns, delimiter: b';' }, r#"2026-01-01 00:00:00;WARN;a;"disk ""full""""#),
        ] {
            let fields = read(&format, text);
            assert_eq!(fields.message.as_deref(), Some("disk \"full\""), "{text}");
            assert_eq!((fields.time_ns, fields.severity), (1_767_225_600_000_000_000, 13), "{text}");
            assert_eq!(keys(&fields), ["user"], "{text}");
        }
        let fields = read(&Format::Syslog, "<132>1 2026-01-01T00:00:00Z box app - - - disk \"full\"");
        assert_eq!((fields.message.as_deref(), fields.severity), (Some("disk \"full\""), 13));
        assert_eq!(keys(&fields), ["host.name", "syslog.appname", "syslog.facility.code"]);
    }

    /// Scenario: ids of a trace in a line. Guarantees: the record has them, so that it follows its trace (P4).
    #[test]
    fn ids_are_taken_from_their_fields() {
        let fields = read(
            &Format::Json,
            r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","n":{"a":[1,2.5,null,true,"x"]}}"#,
        );
        assert!(fields.trace_id.is_some() && fields.span_id.is_some() && fields.message.is_none());
        assert_eq!(keys(&fields), ["n"]);
    }

    /// Scenario: texts that are not what was configured. Guarantees: each is told apart, so that it goes on as it is and is counted.
    #[test]
    fn what_is_of_another_format_is_told() {
        let columns = vec!["a".to_owned(), "b".to_owned()];
        for (format, text) in [
            (Format::Json, "{\"a\":"),
            (Format::Json, "[1]"),
            (Format::Logfmt, "just words"),
            (Format::Logfmt, "a=\"open"),
            (Format::Regex(Regex::new("^x").unwrap()), "y"),
            (Format::Csv { columns: columns.clone(), delimiter: b',' }, "one"),
            (Format::Csv { columns: columns.clone(), delimiter: b',' }, "1,2,3"),
            (Format::Csv { columns, delimiter: b',' }, "\"1,2"),
            (Format::Syslog, "plain"),
        ] {
            assert!(format.read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Format::Auto.read(b"{\"a\":").unwrap().is_none());
        let deep = format!("{{\"a\":{}}}", "[".repeat(100));
        assert!(Format::Json.read(deep.as_bytes()).is_err());
    }
}
