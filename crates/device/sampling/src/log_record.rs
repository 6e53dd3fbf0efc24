//! What a log record says outside the fields that OTLP has for it: trace and span ids, level and duration in attributes, in
//! a structured body, or in a body that is a JSON object.

use model::otlp::LogView;
use model::otlp::schema::{any_value, key_value};
use model::proto::{ProtoError, Reader, Value};
use model::{SpanId, TraceId};

use crate::field_names::{FieldNames, Means};
use crate::json::{self, Field};

const BODY: u32 = 5;
const ATTRIBUTES: u32 = 6;
const SEVERITY_TEXT: u32 = 3;

/// A log record, its fields normalised.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LogRecordFacts {
    /// From the record, or from a field of another name.
    pub trace_id: Option<TraceId>,
    /// From the record, or from a field of another name.
    pub span_id: Option<SpanId>,
    /// Whether the trace id stands in the record's own field.
    pub has_own_trace_id: bool,
    /// Unix nanoseconds; 0 when unknown.
    pub time_ns: u64,
    /// `SeverityNumber` from the record, its text, or a field; 0 when none tells.
    pub severity: u8,
    /// Milliseconds, from a field.
    pub duration_ms: Option<f64>,
}

/// When log records that no decision covers are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LogRecordRule {
    /// From this `SeverityNumber` on; `None`: not by level.
    pub min_severity: Option<u8>,
    /// From this duration on, milliseconds; `None`: not by duration.
    pub min_duration_ms: Option<f64>,
}

impl LogRecordRule {
    /// Log records of WARN and above.
    pub const WARNINGS: Self = Self { min_severity: Some(13), min_duration_ms: None };
    /// Every line.
    pub const ALL: Self = Self { min_severity: Some(0), min_duration_ms: None };

    /// Whether it lets a log record through.
    pub fn keeps(&self, line: &LogRecordFacts) -> bool {
        self.min_severity.is_some_and(|least| line.severity >= least)
            || self.min_duration_ms.is_some_and(|least| line.duration_ms.is_some_and(|duration| duration >= least))
    }

    /// Whether it looks at durations.
    fn asks_duration(&self) -> bool {
        self.min_duration_ms.is_some()
    }
}

impl LogRecordFacts {
    /// Reads a `LogRecord`. Attributes and body are looked into only for what the record's own fields lack.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf.
    pub fn read(record: &[u8], rules: &[LogRecordRule]) -> Result<Self, ProtoError> {
        Self::read_with(record, rules, &FieldNames::default())
    }

    /// As [`LogRecordFacts::read`], with the fields that an operator named.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf.
    pub fn read_with(record: &[u8], rules: &[LogRecordRule], names: &FieldNames) -> Result<Self, ProtoError> {
        let view = LogView::read(record)?;
        let mut facts = Self {
            trace_id: view.trace_id,
            span_id: view.span_id,
            has_own_trace_id: view.trace_id.is_some(),
            time_ns: view.time_ns,
            severity: view.severity.min(24) as u8,
            duration_ms: None,
        };
        let complete = facts.has_own_trace_id && facts.severity > 0;
        if complete && !rules.iter().any(LogRecordRule::asks_duration) {
            return Ok(facts);
        }
        let mut reader = Reader::new(record);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (SEVERITY_TEXT, Value::Bytes(text)) if facts.severity == 0 => facts.severity = severity(text),
                (ATTRIBUTES, Value::Bytes(pair)) => facts.pair(pair, names)?,
                (BODY, Value::Bytes(any)) => facts.body(any, names)?,
                _ => {}
            }
        }
        Ok(facts)
    }

    fn body(&mut self, any: &[u8], names: &FieldNames) -> Result<(), ProtoError> {
        let mut reader = Reader::new(any);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (any_value::STRING, Value::Bytes(text)) => {
                    json::for_each_field(text, |key, field| self.field(key, field, names));
                }
                (any_value::KVLIST, Value::Bytes(list)) => {
                    let mut pairs = Reader::new(list);
                    while let Some((number, value)) = pairs.next_field()? {
                        if let (1, Value::Bytes(pair)) = (number, value) {
                            self.pair(pair, names)?;
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn pair(&mut self, pair: &[u8], names: &FieldNames) -> Result<(), ProtoError> {
        let (mut key, mut any) = (&[][..], &[][..]);
        let mut reader = Reader::new(pair);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (key_value::KEY, Value::Bytes(bytes)) => key = bytes,
                (key_value::VALUE, Value::Bytes(bytes)) => any = bytes,
                _ => {}
            }
        }
        let mut reader = Reader::new(any);
        while let Some(field) = reader.next_field()? {
            match field {
                (any_value::STRING, Value::Bytes(text)) => self.field(key, Field::Text(text), names),
                (any_value::INT, Value::Varint(bits)) => self.field(key, Field::Number(bits as i64 as f64), names),
                (any_value::DOUBLE, Value::Fixed64(bits)) => {
                    self.field(key, Field::Number(f64::from_bits(bits)), names);
                }
                (_, Value::Bytes(bytes)) if bytes.len() == 16 || bytes.len() == 8 => self.binary_id(key, bytes),
                _ => {}
            }
        }
        Ok(())
    }

    fn binary_id(&mut self, key: &[u8], bytes: &[u8]) {
        match name_of(key) {
            Some(Name::Trace) if self.trace_id.is_none() => self.trace_id = TraceId::from_bytes(bytes),
            Some(Name::Span) if self.span_id.is_none() => self.span_id = SpanId::from_bytes(bytes),
            _ => {}
        }
    }

    fn field(&mut self, key: &[u8], value: Field<'_>, names: &FieldNames) {
        let means = if names.is_empty() { None } else { names.of(key) };
        if let (Some(level), Field::Text(text)) = (means, value)
            && let Some(level) = level.level_of(text)
        {
            if self.severity == 0 {
                self.severity = level;
            }
            return;
        }
        let name = match means {
            Some(Means::Level(_)) => Some(Name::Level(Scale::Usual)),
            Some(Means::Duration(unit_ms)) => Some(Name::Duration(*unit_ms)),
            None => name_of(key),
        };
        match (name, value) {
            (Some(Name::Trace), Field::Text(text)) if self.trace_id.is_none() => self.trace_id = trace_id(text),
            (Some(Name::Span), Field::Text(text)) if self.span_id.is_none() => self.span_id = span_id(text),
            (Some(Name::Parent), Field::Text(text)) if self.trace_id.is_none() => {
                if let Some((trace, span)) = traceparent(text) {
                    (self.trace_id, self.span_id) = (Some(trace), Some(span));
                }
            }
            (Some(Name::Level(scale)), Field::Text(text)) if self.severity == 0 => {
                let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
                self.severity = number.map_or_else(|| severity(text), |number| scale.severity(number));
            }
            (Some(Name::Level(scale)), Field::Number(number)) if self.severity == 0 => {
                self.severity = scale.severity(number);
            }
            (Some(Name::Duration(unit_ms)), Field::Number(number)) if self.duration_ms.is_none() => {
                self.duration_ms = Some(number * unit_ms);
            }
            (Some(Name::Duration(unit_ms)), Field::Text(text)) if self.duration_ms.is_none() => {
                self.duration_ms = duration(text, unit_ms);
            }
            _ => {}
        }
    }
}

enum Name {
    Trace,
    Span,
    Parent,
    /// With the scale of a number.
    Level(Scale),
    /// Milliseconds of a number without a unit.
    Duration(f64),
}

/// What a level says as a number.
#[derive(Clone, Copy)]
enum Scale {
    /// Syslog's from 0 to 7 (RFC 5424, section 6.2.1), whole tens as pino and bunyan write them, else a `SeverityNumber`.
    Usual,
    /// Python's `levelno`.
    Python,
    /// `SeverityNumber`.
    Otel,
}

impl Scale {
    /// The `SeverityNumber`; 0 when there is none.
    fn severity(self, number: f64) -> u8 {
        // What is no whole number of the scale becomes one that no arm has.
        let level = if (0.0..=255.0).contains(&number) && number.fract() == 0.0 { number as u8 } else { u8::MAX };
        match (self, level) {
            (Self::Usual, 0) => 21,
            (Self::Usual, 1) => 19,
            (Self::Usual, 2) => 18,
            (Self::Usual, 3) => 17,
            (Self::Usual, 4) => 13,
            (Self::Usual, 5) => 10,
            (Self::Usual, 6) => 9,
            (Self::Usual, 7) => 5,
            (Self::Usual, 10) => 1,
            (Self::Usual, 20) | (Self::Python, 10) => 5,
            (Self::Usual, 30) | (Self::Python, 20) => 9,
            (Self::Usual, 40) | (Self::Python, 30) => 13,
            (Self::Usual, 50) | (Self::Python, 40) => 17,
            (Self::Usual, 60) | (Self::Python, 50) => 21,
            (Self::Usual | Self::Otel, 1..=24) => level,
            _ => 0,
        }
    }
}

/// What a field is, however it is spelled: `trace_id`, `traceId`, `trace.id`, `otelTraceID` are one.
fn name_of(key: &[u8]) -> Option<Name> {
    const LONGEST: usize = 20;
    let mut plain = [0; LONGEST];
    let mut length = 0;
    for byte in key.iter().filter(|byte| !matches!(byte, b'_' | b'.' | b'-')) {
        *plain.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    Some(match &plain[..length] {
        b"traceid" | b"oteltraceid" => Name::Trace,
        b"spanid" | b"otelspanid" => Name::Span,
        b"traceparent" => Name::Parent,
        b"level" | b"severity" | b"loglevel" | b"lvl" | b"severitytext" | b"levelname" | b"priority" => {
            Name::Level(Scale::Usual)
        }
        b"levelno" => Name::Level(Scale::Python),
        b"severitynumber" => Name::Level(Scale::Otel),
        b"durationms"
        | b"latencyms"
        | b"elapsedms"
        | b"durationmillis"
        | b"duration"
        | b"latency"
        | b"elapsed"
        | b"took"
        | b"tookms"
        | b"responsetime"
        | b"responsetimems"
        | b"durationmilliseconds" => Name::Duration(1.0),
        b"durations" | b"latencys" | b"durationseconds" | b"elapseds" | b"latencyseconds" | b"elapsedseconds"
        | b"requesttime" | b"durationsec" => Name::Duration(1e3),
        b"durationus" | b"latencyus" | b"elapsedus" | b"tookus" | b"durationmicros" | b"durationmicroseconds" => {
            Name::Duration(1e-3)
        }
        b"durationns" | b"latencyns" | b"elapsedns" | b"durationnanos" | b"durationnanoseconds" => Name::Duration(1e-6),
        _ => return None,
    })
}

/// 32 hex digits, 16 of a 64-bit id, or base64 of 16 bytes.
fn trace_id(text: &[u8]) -> Option<TraceId> {
    let text = std::str::from_utf8(text).ok()?.trim();
    match text.len() {
        16 => {
            let half = SpanId::from_hex(text)?;
            let mut id = [0; 16];
            id[8..].copy_from_slice(&half.0);
            Some(TraceId(id))
        }
        22 | 24 => TraceId::from_bytes(&base64::<16>(text)?),
        _ => TraceId::from_hex(text),
    }
}

fn span_id(text: &[u8]) -> Option<SpanId> {
    let text = std::str::from_utf8(text).ok()?.trim();
    match text.len() {
        11 | 12 => SpanId::from_bytes(&base64::<8>(text)?),
        _ => SpanId::from_hex(text),
    }
}

/// W3C Trace Context section 3.2.2: version, trace id, parent id, flags.
fn traceparent(text: &[u8]) -> Option<(TraceId, SpanId)> {
    let mut parts = std::str::from_utf8(text).ok()?.trim().split('-');
    let version = parts.next()?;
    if version.len() != 2 || version == "ff" {
        return None;
    }
    Some((TraceId::from_hex(parts.next()?)?, SpanId::from_hex(parts.next()?)?))
}

/// Base64 (RFC 4648, either alphabet, with or without padding) of exactly so many bytes.
fn base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| {
        Some(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        })
    };
    let mut out = [0; N];
    let (mut bits, mut held, mut length) = (0u32, 0, 0);
    for byte in text.trim_end_matches('=').bytes() {
        bits = bits << 6 | u32::from(digit(byte)?);
        held += 6;
        if held >= 8 {
            held -= 8;
            *out.get_mut(length)? = (bits >> held) as u8;
            length += 1;
        }
    }
    (length == N).then_some(out)
}

/// The `SeverityNumber` of a level's name; 0 when it is none. Names that drift are one: ERR, error, SEVERE.
pub fn severity(text: &[u8]) -> u8 {
    let mut upper = [0; 12];
    let text = text.trim_ascii();
    let Some(upper) = upper.get_mut(..text.len()) else { return 0 };
    upper.copy_from_slice(text);
    upper.make_ascii_uppercase();
    match &*upper {
        b"TRACE" | b"FINEST" | b"FINER" => 1,
        b"DEBUG" | b"FINE" | b"DBG" => 5,
        b"INFO" | b"INFORMATION" | b"I" | b"CONFIG" => 9,
        b"NOTICE" => 10,
        b"WARN" | b"WARNING" | b"W" => 13,
        b"ERROR" | b"ERR" | b"SEVERE" | b"E" => 17,
        b"CRITICAL" | b"CRIT" | b"DPANIC" => 18,
        b"ALERT" | b"PANIC" => 19,
        b"FATAL" | b"EMERG" | b"EMERGENCY" | b"F" => 21,
        _ => 0,
    }
}

/// A number with a unit (`1.5s`, `200 ms`), or without.
fn duration(text: &[u8], unit_ms: f64) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '+' | '-'))).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit_ms = match unit.trim() {
        "" => unit_ms,
        "ns" => 1e-6,
        "us" | "\u{b5}s" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

    const HEX: &str = "0af7651916cd43dd8448eb211c80319c";

    fn id() -> TraceId {
        TraceId::from_hex(HEX).unwrap()
    }

    fn text(out: &mut Vec<u8>, number: u32, key: &str, value: &[u8]) {
        put_message(out, number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_message(out, 2, |out| put_bytes(out, any_value::STRING, value));
        });
    }

    fn with(key: &str, value: &str) -> LogRecordFacts {
        let mut record = Vec::new();
        text(&mut record, 6, key, value.as_bytes());
        LogRecordFacts::read(&record, &[]).unwrap()
    }

    /// Scenario: fields that an operator named, however they are spelled, in attributes and in a JSON body; a ready-made name with another
    /// unit; words of another language for levels, words that are ready-made, and numbers. Guarantees: level and duration are read from them,
    /// and the record's own severity goes first.
    #[test]
    fn fields_that_somebody_named_are_read() {
        let words = vec![("schlimm".to_owned(), 17), ("7".to_owned(), 21)];
        let names = FieldNames::new([
            ("wichtigkeit".to_owned(), Means::Level(words)),
            ("took_total".to_owned(), Means::Duration(1e3)),
            ("duration".to_owned(), Means::Duration(1e3)),
        ]);
        let read = |key: &str, value: &str| {
            let mut record = Vec::new();
            text(&mut record, 6, key, value.as_bytes());
            LogRecordFacts::read_with(&record, &[], &names).unwrap()
        };
        for (key, value, severity) in [
            ("wichtigkeit", "Schlimm ", 17),
            ("Wichtig-keit", "warn", 13),
            ("wichtigkeit", "7", 21),
            ("wichtigkeit", "30", 9),
            ("wichtigkeit", "egal", 0),
            ("wichtig", "schlimm", 0),
            ("level", "ERR", 17),
        ] {
            assert_eq!(read(key, value).severity, severity, "{key} {value}");
        }
        for (key, value, duration) in [
            ("tookTotal", "0.25", Some(250.0)),
            ("took.total", "250ms", Some(250.0)),
            ("duration", "2", Some(2000.0)),
            ("duration_ms", "2", Some(2.0)),
            ("total", "2", None),
        ] {
            assert_eq!(read(key, value).duration_ms, duration, "{key} {value}");
        }
        let mut record = Vec::new();
        put_message(&mut record, 5, |out| {
            put_bytes(out, any_value::STRING, br#"{"wichtigkeit":"schlimm","took_total":0.5}"#);
        });
        let facts = LogRecordFacts::read_with(&record, &[], &names).unwrap();
        assert_eq!((facts.severity, facts.duration_ms), (17, Some(500.0)));
        put_uint(&mut record, 2, 9);
        assert_eq!(LogRecordFacts::read_with(&record, &[], &names).unwrap().severity, 9);
    }

    /// Scenario: ids under every name and in every form, and values that are none. Guarantees: each id is found, nothing
    /// else is taken for one, and the record's own field goes first.
    #[test]
    fn ids_are_found_under_their_names() {
        for key in ["trace_id", "traceId", "TraceID", "otelTraceID", "trace.id", "trace-id"] {
            assert_eq!(with(key, HEX).trace_id, Some(id()), "{key}");
            assert!(!with(key, HEX).has_own_trace_id);
        }
        assert_eq!(with("trace_id", "CvdlGRbNQ92ESOshHIAxnA==").trace_id, Some(id()));
        assert_eq!(with("trace_id", "CvdlGRbNQ92ESOshHIAxnA").trace_id, Some(id()));
        let padded = TraceId::from_hex("00000000000000008448eb211c80319c").unwrap();
        assert_eq!(with("trace_id", "8448eb211c80319c").trace_id, Some(padded));
        let parent = with("traceparent", &format!("00-{HEX}-b7ad6b7169203331-01"));
        assert_eq!((parent.trace_id, parent.span_id), (Some(id()), SpanId::from_hex("b7ad6b7169203331")));
        assert_eq!(with("span_id", "t61rcWkgMzE=").span_id, SpanId::from_hex("b7ad6b7169203331"));
        for (key, value) in [
            ("trace_id", "none"),
            ("trace_id", "00000000000000000000000000000000"),
            ("message", HEX),
            ("traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("trace_id", "CvdlGRbNQ92ESOshHIAx!A=="),
        ] {
            assert_eq!(with(key, value).trace_id, None, "{key} {value}");
        }
        let mut record = Vec::new();
        put_bytes(&mut record, 9, &[7; 16]);
        text(&mut record, 6, "trace_id", HEX.as_bytes());
        let facts = LogRecordFacts::read(&record, &[]).unwrap();
        assert_eq!((facts.trace_id, facts.has_own_trace_id), (Some(TraceId([7; 16])), true));
        let mut record = Vec::new();
        put_message(&mut record, 5, |out| {
            put_message(out, any_value::KVLIST, |out| text(out, 1, "trace_id", HEX.as_bytes()));
        });
        assert_eq!(LogRecordFacts::read(&record, &[]).unwrap().trace_id, Some(id()), "in a structured body");
        let body = format!(r#"{{"level":"err","a":{{"trace_id":"x"}},"latency_ms":250.5,"trace_id":"{HEX}"}}"#);
        let mut record = Vec::new();
        put_message(&mut record, 5, |out| put_bytes(out, any_value::STRING, body.as_bytes()));
        let facts = LogRecordFacts::read(&record, &[]).unwrap();
        assert_eq!(
            (facts.trace_id, facts.severity, facts.duration_ms),
            (Some(id()), 17, Some(250.5)),
            "in a JSON body"
        );
    }

    /// Scenario: levels and durations under drifting names and units. Guarantees: they mean the same.
    #[test]
    fn levels_and_durations_drift() {
        for (key, value, expected) in [
            ("level", "error", 17),
            ("severity", "SEVERE", 17),
            ("lvl", "ERR", 17),
            ("level", "warning", 13),
            ("level", "?", 0),
            ("level", "50", 17),
            ("level", "3", 17),
            ("PRIORITY", "6", 9),
            ("severity", "17", 17),
            ("severity_number", "10", 10),
            ("levelno", "40", 17),
            ("level", "30.5", 0),
            ("level", "70", 0),
        ] {
            assert_eq!(with(key, value).severity, expected, "{key} {value}");
        }
        for (key, value, expected) in [
            ("duration_ms", "200", Some(200.0)),
            ("durationMs", "199.9", Some(199.9)),
            ("duration", "0.25s", Some(250.0)),
            ("latency_us", "1500", Some(1.5)),
            ("elapsed", "3m", Some(180_000.0)),
            ("duration_seconds", "0.5", Some(500.0)),
            ("durationMicros", "250000", Some(250.0)),
            ("took", "20", Some(20.0)),
            ("duration", "soon", None),
        ] {
            assert_eq!(with(key, value).duration_ms, expected, "{key} {value}");
        }
        let mut record = Vec::new();
        put_uint(&mut record, 2, 9);
        put_bytes(&mut record, 9, &[7; 16]);
        put_message(&mut record, 6, |out| {
            put_bytes(out, 1, b"duration_ms");
            put_message(out, 2, |out| put_fixed64(out, any_value::DOUBLE, 200f64.to_bits()));
        });
        let lua = LogRecordRule { min_severity: Some(17), min_duration_ms: Some(200.0) };
        let facts = LogRecordFacts::read(&record, &[lua]).unwrap();
        assert!(lua.keeps(&facts) && !LogRecordRule::WARNINGS.keeps(&facts) && LogRecordRule::ALL.keeps(&facts));
        assert!(!LogRecordRule { min_duration_ms: Some(200.1), ..lua }.keeps(&facts));
        assert_eq!(LogRecordFacts::read(&record, &[]).unwrap().duration_ms, None, "nobody asked");
    }
}
