//! Entries as an OTLP export request.

use model::otlp::schema::{any_value, key_value};
use model::otlp::{PIECE_BYTES, PIECE_RECORDS};
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use crate::cut::Entry;
use crate::fields::Fields;
use crate::format::Format;
use crate::pods::pod;

const BODY: u32 = 5;
const ATTRIBUTES: u32 = 6;
/// Bytes of a request that are left for what the door and the guard may add: a request is one piece.
const SPARE: usize = 8 << 10;

/// What of the entries is in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// So many of the first entries; all of them end before the others begin.
    pub entries: usize,
    /// So many of them were not of the format that was configured: their text is their body.
    pub mismatches: u64,
}

/// Writes the entries of one file.
#[derive(Debug, Clone)]
pub struct Writer {
    format: Format,
    /// `Resource`, as bytes.
    resource: Vec<u8>,
    /// Attributes of every record, as fields of `LogRecord`.
    attributes: Vec<u8>,
}

/// Appends an attribute with a text.
pub(crate) fn put_text(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    put_message(out, number, |out| {
        put_bytes(out, key_value::KEY, key.as_bytes());
        put_message(out, key_value::VALUE, |out| put_bytes(out, any_value::STRING, text.as_bytes()));
    });
}

impl Writer {
    /// For the file at this path: what its path says of a pod, and what is configured of its resource and records. What is configured goes
    /// before what the path says.
    pub fn new(format: Format, path: &str, resource: &[(String, String)], attributes: &[(String, String)]) -> Self {
        let mut bytes = Vec::new();
        let is_set = |key: &str| resource.iter().any(|(other, _)| other == key);
        if let Some(pod) = pod(path) {
            for (key, value) in pod.attributes().filter(|(key, _)| !is_set(key)) {
                put_text(&mut bytes, 1, key, value);
            }
            if let Some(restarts) = pod.restarts.filter(|_| !is_set("k8s.container.restart_count")) {
                put_message(&mut bytes, 1, |out| {
                    put_bytes(out, key_value::KEY, b"k8s.container.restart_count");
                    put_message(out, key_value::VALUE, |out| put_uint(out, any_value::INT, restarts));
                });
            }
        }
        let mut of_file = Vec::new();
        put_text(&mut of_file, ATTRIBUTES, "log.file.path", path);
        let Self { format, resource, attributes } = Self::of_stream(format, resource, attributes);
        Self { format, resource: [bytes, resource].concat(), attributes: [of_file, attributes].concat() }
    }

    /// For lines that come from no file.
    pub fn of_stream(format: Format, resource: &[(String, String)], attributes: &[(String, String)]) -> Self {
        let (mut bytes, mut of_records) = (Vec::new(), Vec::new());
        resource.iter().for_each(|(key, value)| put_text(&mut bytes, 1, key, value));
        attributes.iter().for_each(|(key, value)| put_text(&mut of_records, ATTRIBUTES, key, value));
        Self { format, resource: bytes, attributes: of_records }
    }

    /// What an entry says of its time, Unix nanoseconds; 0 when it says none.
    pub fn time_ns(&self, entry: &Entry<'_>) -> u64 {
        let told = self.format.read(&entry.text).ok().flatten().map_or(0, |fields| fields.time_ns);
        if told == 0 { entry.time_ns } else { told }
    }

    /// Appends a request with the first of these entries to `out`: at least one, and no more than the pipeline takes in at once. `wall_ns` is
    /// when they were read.
    pub fn write(&self, entries: &[Entry<'_>], wall_ns: u64, out: &mut Vec<u8>) -> Written {
        let (mut records, mut record) = (Vec::new(), Vec::new());
        let (mut taken, mut written) = (Written::default(), Written::default());
        let (mut reach, mut cut) = (0, 0);
        for (index, entry) in entries.iter().enumerate() {
            if index > 0 && reach <= entry.start {
                // Here a request may end.
                (taken, cut) = (written, records.len());
            }
            record.clear();
            written.mismatches += u64::from(self.record(entry, wall_ns, &mut record));
            let is_full = records.len() + record.len() + self.resource.len() > PIECE_BYTES.saturating_sub(SPARE)
                || index as u64 >= PIECE_RECORDS;
            if is_full && taken.entries > 0 {
                records.truncate(cut);
                self.request(&records, out);
                return taken;
            }
            put_bytes(&mut records, 2, &record);
            written.entries = index + 1;
            reach = reach.max(entry.end);
        }
        self.request(&records, out);
        written
    }

    fn request(&self, records: &[u8], out: &mut Vec<u8>) {
        put_message(out, 1, |out| {
            put_bytes(out, 1, &self.resource);
            put_bytes(out, 2, records);
        });
    }

    /// Appends a `LogRecord`; tells whether the text was not of its format.
    fn record(&self, entry: &Entry<'_>, wall_ns: u64, out: &mut Vec<u8>) -> bool {
        let (fields, is_mismatch) = match self.format.read(&entry.text) {
            Ok(fields) => (fields, false),
            Err(_) => (None, true),
        };
        let mut fields = fields.unwrap_or_default();
        if fields.message.is_none() {
            // Fields without a message say less than the line: that stays whole.
            fields.attributes.clear();
        }
        let more = |out: &mut Vec<u8>| {
            out.extend_from_slice(&self.attributes);
            if let Some(stream) = entry.stream {
                put_text(out, ATTRIBUTES, "log.iostream", stream.name());
            }
        };
        put_record(fields, &entry.text, entry.time_ns, wall_ns, more, out);
        is_mismatch
    }
}

/// Appends the body of a `LogRecord`: what a text says, else the text; `time_ns` where it says no time, and `more` of its attributes.
pub(crate) fn put_record(
    fields: Fields,
    text: &[u8],
    time_ns: u64,
    wall_ns: u64,
    more: impl FnOnce(&mut Vec<u8>),
    out: &mut Vec<u8>,
) {
    let Fields { message, time_ns: told, severity, severity_text, trace_id, span_id, attributes } = fields;
    let time_ns = if told == 0 { time_ns } else { told };
    if time_ns > 0 {
        put_fixed64(out, 1, time_ns);
    }
    if severity > 0 {
        put_uint(out, 2, u64::from(severity));
    }
    if !severity_text.is_empty() {
        put_bytes(out, 3, severity_text.as_bytes());
    }
    let body: &[u8] = message.as_ref().map_or(text, |message| message.as_bytes());
    put_message(out, BODY, |out| put_bytes(out, any_value::STRING, body));
    out.extend_from_slice(&attributes);
    more(out);
    if let Some(trace) = trace_id {
        put_bytes(out, 9, &trace.0);
    }
    if let Some(span) = span_id {
        put_bytes(out, 10, &span.0);
    }
    put_fixed64(out, 11, wall_ns);
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use model::otlp::inspect;

    use super::*;
    use crate::cut::{Cutter, Encoding, End};

    /// Scenario: thousands of lines of a pod, JSON among them. Guarantees: every one is in a request, each request is clean and one piece,
    /// and the whole text of a line without a message is kept.
    #[test]
    fn requests_are_one_piece_and_clean() {
        let mut text = String::new();
        for number in 0..5000 {
            let line = match number % 3 {
                0 => format!("{{\"level\":\"info\",\"msg\":\"line {number}\",\"n\":{number}}}"),
                1 => format!("{{\"level\":\"info\",\"n\":{number}}}"),
                _ => format!("line {number}"),
            };
            text.push_str(&format!("2026-01-01T00:00:00Z stdout F {line}\n"));
        }
        let cutter = Cutter::new(Format::Auto, None, Encoding::Utf8, 1 << 16);
        let stretch = cutter.cut(text.as_bytes(), End::Open);
        let path = "/var/log/pods/shop_api_1/app/0.log";
        let writer = Writer::new(Format::Auto, path, &[("service.name".into(), "api".into())], &[]);
        let (mut entries, mut requests, mut records) = (&*stretch.entries, 0, 0);
        while !entries.is_empty() {
            let mut body = Vec::new();
            let written = writer.write(entries, 5, &mut body);
            let found = inspect(Signal::Logs, &body).unwrap();
            assert!(found.is_clean() && body.len() <= PIECE_BYTES, "{}", body.len());
            (records, requests) = (records + found.records, requests + 1);
            entries = &entries[written.entries..];
        }
        assert!(records == 5000 && requests > 5, "{records} {requests}");
    }

    /// Scenario: one record larger than a request between others. Guarantees: it goes alone; what is not of its format is counted, and kept as it is.
    #[test]
    fn a_large_record_goes_alone() {
        let text = format!("a\n{}\nb\n", "x".repeat(100_000));
        let stretch = Cutter::new(Format::Json, None, Encoding::Utf8, 1 << 18).cut(text.as_bytes(), End::Open);
        let writer = Writer::new(Format::Json, "a.log", &[], &[]);
        let (mut entries, mut sizes) = (&*stretch.entries, Vec::new());
        while !entries.is_empty() {
            let mut body = Vec::new();
            let written = writer.write(entries, 5, &mut body);
            assert_eq!(written.mismatches, written.entries as u64);
            sizes.push(written.entries);
            entries = &entries[written.entries..];
        }
        assert_eq!(sizes, [1, 1, 1]);
    }
}
