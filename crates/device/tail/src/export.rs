//! The journal's export format (systemd, "Journal Export Formats"): `FIELD=text`, or a field's name, its length as 64 bits and its bytes; an
//! empty line ends an entry.

use model::{SpanId, TraceId};

use crate::batch::Batch;
use crate::fields::{Fields, Value};
use crate::json;
use crate::syslog::{LEVELS, severity_number};
use crate::write::{put_record, put_text};

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry<'a> {
    fields: Vec<(&'a str, &'a [u8])>,
}

/// What the bytes of a stream begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Exported<'a> {
    /// An entry, and how many bytes it takes.
    Entry(JournalEntry<'a>, usize),
    /// So many bytes that are none.
    Nothing(usize),
    /// More bytes are needed.
    More,
}

/// Reads the first entry of a stream.
pub fn read_exported(bytes: &[u8]) -> Exported<'_> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n').map(|end| at + end) else {
            return Exported::More;
        };
        let line = &bytes[at..end];
        at = end + 1;
        if line.is_empty() {
            return match fields.is_empty() {
                true => Exported::Nothing(at),
                false => Exported::Entry(JournalEntry { fields }, at),
            };
        }
        match line.iter().position(|byte| *byte == b'=') {
            Some(equals) => {
                // A name that is no text is no field.
                if let Ok(name) = std::str::from_utf8(&line[..equals]) {
                    fields.push((name, &line[equals + 1..]));
                }
            }
            None => {
                let Some((length, rest)) = bytes[at..].split_first_chunk::<8>() else { return Exported::More };
                // With its line's end; a length that cannot be is one that never comes: its reader has a bound.
                let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
                let Some(value) = rest.get(..length).filter(|_| rest.len() > length) else { return Exported::More };
                if let Ok(name) = std::str::from_utf8(line) {
                    fields.push((name, value));
                }
                at += 8 + length + 1;
            }
        }
    }
}

impl<'a> JournalEntry<'a> {
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.fields.iter().find(|(other, _)| *other == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty())
    }

    /// Where it stands in its journal.
    pub fn cursor(&self) -> Option<&'a str> {
        self.text("__CURSOR")
    }

    /// When the journal got it, Unix microseconds.
    pub fn received_us(&self) -> Option<u64> {
        self.text("__REALTIME_TIMESTAMP").and_then(|micros| micros.parse().ok())
    }

    /// Adds it as a log record; `wall_ns` is when it was read, `more` are attributes of every resource.
    pub fn write(&self, more: &[(String, String)], wall_ns: u64, batch: &mut Batch) {
        let mut resource = Vec::new();
        let mut put = |key: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|_| more.iter().all(|(other, _)| other != key)) {
                put_text(&mut resource, 1, key, value);
            }
        };
        let unit = self.text("_SYSTEMD_UNIT").or_else(|| self.text("_SYSTEMD_USER_UNIT"));
        let named = self.text("SYSLOG_IDENTIFIER").or_else(|| self.text("_COMM"));
        put("service.name", named.or_else(|| unit.map(|unit| unit.strip_suffix(".service").unwrap_or(unit))));
        put("host.name", self.text("_HOSTNAME"));
        more.iter().for_each(|(key, value)| put_text(&mut resource, 1, key, value));

        let message = self.get("MESSAGE").unwrap_or_default();
        let mut fields = Fields::default();
        if message.first() != Some(&b'{') || !json::parse(message, &mut fields) {
            fields = Fields::default();
        }
        let is_whole = fields.message.is_none();
        if is_whole {
            fields.attributes.clear();
        }
        let micros = self.text("_SOURCE_REALTIME_TIMESTAMP").or_else(|| self.text("__REALTIME_TIMESTAMP"));
        let time_ns = micros.and_then(|micros| micros.parse::<u64>().ok()).and_then(|micros| micros.checked_mul(1000));
        let level = self.text("PRIORITY").and_then(|level| level.parse::<u8>().ok()).filter(|level| *level < 8);
        if let Some(level) = level.filter(|_| fields.severity == 0) {
            fields.severity = severity_number(level);
            LEVELS[usize::from(level)].clone_into(&mut fields.severity_text);
        }
        for (name, value) in &self.fields {
            let Ok(text) = std::str::from_utf8(value) else { continue };
            match (attribute(name), text.parse::<u64>()) {
                (Attribute::Is(key), _) => fields.text(key, text),
                (Attribute::Number(key), Ok(_)) => fields.field(key, Value::Number(text)),
                (Attribute::Trace, _) => fields.trace_id = TraceId::from_hex(text).or(fields.trace_id.take()),
                (Attribute::Span, _) => fields.span_id = SpanId::from_hex(text).or(fields.span_id.take()),
                (Attribute::Own, _) => fields.attribute(name, text),
                (Attribute::Number(_) | Attribute::None, _) => {}
            }
        }
        let mut record = Vec::new();
        // Its attributes are its own, also where the whole text is its body.
        if is_whole {
            fields.message = Some(String::from_utf8_lossy(message).into_owned());
        }
        put_record(fields, message, time_ns.unwrap_or(0), wall_ns, |_| {}, &mut record);
        batch.push(&resource, &record);
    }
}

/// What a field becomes.
enum Attribute {
    Is(&'static str),
    Number(&'static str),
    Trace,
    Span,
    /// A program's own field: an attribute of its name.
    Own,
    /// It has another place, or none.
    None,
}

fn attribute(name: &str) -> Attribute {
    match name {
        "_PID" => Attribute::Number("process.pid"),
        "_EXE" => Attribute::Is("process.executable.path"),
        "_SYSTEMD_UNIT" => Attribute::Is("systemd.unit"),
        "_BOOT_ID" => Attribute::Is("systemd.boot_id"),
        "SYSLOG_FACILITY" => Attribute::Number("syslog.facility.code"),
        "CODE_FILE" => Attribute::Is("code.file.path"),
        "CODE_LINE" => Attribute::Number("code.line.number"),
        "CODE_FUNC" => Attribute::Is("code.function.name"),
        "TRACE_ID" => Attribute::Trace,
        "SPAN_ID" => Attribute::Span,
        "MESSAGE" | "PRIORITY" | "SYSLOG_IDENTIFIER" | "SYSLOG_PID" | "SYSLOG_TIMESTAMP" | "SYSLOG_RAW" => {
            Attribute::None
        }
        _ if name.starts_with('_') => Attribute::None,
        _ => Attribute::Own,
    }
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use model::otlp::inspect;

    use super::*;

    /// Scenario: entries with texts, with bytes, with nothing, cut at every place. Guarantees: each is read when it is whole, with cursor, level,
    /// program and fields of its own; what is not whole waits.
    #[test]
    fn exported_entries_are_read() {
        let mut bytes = b"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1700000000000000\n_HOSTNAME=box\nPRIORITY=3\nSYSLOG_IDENTIFIER=sshd\n_PID=77\n\
                          ORDER=a7\n_TRANSPORT=syslog\nMESSAGE\n"
            .to_vec();
        bytes.extend(10_u64.to_le_bytes());
        bytes.extend(b"two\nlines!\n\n\n");
        for end in 0..bytes.len() - 1 {
            assert_eq!(read_exported(&bytes[..end]), Exported::More, "{end}");
        }
        let Exported::Entry(entry, used) = read_exported(&bytes) else { panic!("an entry") };
        assert_eq!((entry.cursor(), used), (Some("s=1;i=2"), bytes.len() - 1));
        assert_eq!(read_exported(&bytes[used..]), Exported::Nothing(1));
        let mut batch = Batch::default();
        entry.write(&[("deployment.environment.name".into(), "sea".into())], 5, &mut batch);
        let (body, _) = batch.take();
        assert!(inspect(Signal::Logs, &body).unwrap().is_clean());
        let has = |part: &str| body.windows(part.len()).any(|bytes| bytes == part.as_bytes());
        for part in ["two\nlines!", "sshd", "box", "ORDER", "a7", "err", "process.pid", "sea"] {
            assert!(has(part), "{part}");
        }
        assert!(!has("_TRANSPORT"));
    }
}
