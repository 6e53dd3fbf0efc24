//! Syslog messages from the network as log records.

use crate::batch::Batch;
use crate::fields::{Fields, Value};
use crate::syslog::{LEVELS, parse_sent};
use crate::write::{put_record, put_text};
use crate::{json, time};

/// Adds a message as a log record; `peer` is the address that it came from, `wall_ns` when. `more` are attributes of every resource. Tells
/// whether it was syslog: what is none goes on as it is.
pub fn write_sent(message: &[u8], peer: &str, more: &[(String, String)], wall_ns: u64, batch: &mut Batch) -> bool {
    let end = message.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
    let text = String::from_utf8_lossy(&message[..end]);
    let read = parse_sent(&text);
    let mut resource = Vec::new();
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() && more.iter().all(|(other, _)| other != key) {
            put_text(&mut resource, 1, key, value);
        }
    };
    let line = read.unwrap_or_default();
    put("service.name", line.program);
    put("host.name", line.host);
    more.iter().for_each(|(key, value)| put_text(&mut resource, 1, key, value));

    let body = if read.is_some() { line.message } else { &text };
    let mut fields = Fields::default();
    if !body.starts_with('{') || !json::parse(body.as_bytes(), &mut fields) || fields.message.is_none() {
        // What names no message stays whole; of its fields the ids and the level are used.
        fields.attributes.clear();
        fields.message = Some(body.to_owned());
    }
    if let Some(level) = line.severity.filter(|_| fields.severity == 0) {
        fields.severity = line.severity_number();
        LEVELS[usize::from(level)].clone_into(&mut fields.severity_text);
    }
    let told = time::rfc3339(line.time.as_bytes()).unwrap_or(0);
    if told == 0 {
        fields.text("syslog.timestamp", line.time);
    }
    fields.text("syslog.procid", line.process);
    fields.text("syslog.msgid", line.id);
    fields.text("syslog.structured_data", line.structured);
    if let Some(facility) = line.facility {
        fields.field("syslog.facility.code", Value::Number(&facility.to_string()));
    }
    fields.text("network.peer.address", peer);
    let mut record = Vec::new();
    put_record(fields, body.as_bytes(), told, wall_ns, |_| {}, &mut record);
    batch.push(&resource, &record);
    read.is_some()
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use model::otlp::inspect;

    use super::*;

    /// Scenario: messages of both RFCs, of programs that say less, in JSON, and one that is none. Guarantees: host and program are the resource,
    /// the level is OpenTelemetry's, a trace's id is the record's, and what is none is told and goes on as it is.
    #[test]
    fn messages_become_records() {
        for (message, parts) in [
            (
                &b"<165>1 2003-10-11T22:14:15.003Z box evntslog 77 ID47 [a@1 x=\"y\"] An event"[..],
                &["box", "evntslog", "ID47", "An event", "notice"][..],
            ),
            (
                b"<13>Oct  1 22:14:15 mymachine su[42]: failed\n",
                &["mymachine", "su", "42", "failed", "Oct  1 22:14:15"],
            ),
            (b"<13>Oct  1 22:14:15 su[42]: without a host", &["su", "42", "without a host"]),
            (b"<11>words of a program\0", &["words of a program", "err"]),
            (b"<14>app: words", &["app", "words", "info"]),
            (
                b"<14>1 - - app - - - {\"msg\":\"in json\",\"level\":\"error\",\"order\":\"a7\"}",
                &["in json", "order", "a7", "error"],
            ),
        ] {
            let mut batch = Batch::default();
            assert!(write_sent(message, "127.0.0.1", &[], 5, &mut batch), "{message:?}");
            let (body, records) = batch.take();
            assert!(inspect(Signal::Logs, &body).unwrap().is_clean() && records == 1);
            for part in parts.iter().chain(&["127.0.0.1", "network.peer.address"]) {
                assert!(body.windows(part.len()).any(|bytes| bytes == part.as_bytes()), "{message:?}: {part}");
            }
        }
        let mut batch = Batch::default();
        assert!(!write_sent(b"no syslog", "::1", &[("service.name".into(), "x".into())], 5, &mut batch));
        let (body, _) = batch.take();
        assert!(body.windows(9).any(|bytes| bytes == b"no syslog"));
    }
}
