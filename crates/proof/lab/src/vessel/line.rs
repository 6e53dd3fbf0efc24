//! The application's log records, as OTLP log records and as the JSON lines of its log file.

use crate::otlp::value::{any, attribute, text};
use crate::vessel::fate::Fate;
use model::{SpanId, TraceId};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use serde_json::{Map, Number, Value as Json};

/// The attribute that names a line, so that it can be found again.
pub(crate) const LINE_ID: &str = "vessel.line";

/// The name of durations in the next version of the application.
pub(crate) const NEXT_DURATION: &str = "took_us";

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    fn text(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    fn number(self) -> SeverityNumber {
        match self {
            Level::Info => SeverityNumber::Info,
            Level::Warn => SeverityNumber::Warn,
            Level::Error => SeverityNumber::Error,
        }
    }
}

/// One log record.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Unique in the run: `REQUEST-COUNT` for a line of a request, `loose-COUNT` for one without.
    pub(crate) id: String,
    pub(crate) time_ns: u64,
    pub(crate) level: Level,
    pub(crate) caller: &'static str,
    pub(crate) message: &'static str,
    pub(crate) trace: Option<TraceId>,
    pub(crate) span: Option<SpanId>,
    /// Further fields.
    pub(crate) fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// A line that belongs to no request.
    pub(crate) fn loose(count: u64, time_ns: u64, message: &'static str) -> Self {
        Self {
            id: format!("loose-{count}"),
            time_ns,
            level: Level::Info,
            caller: "vessel/main.go:61",
            message,
            trace: None,
            span: None,
            fields: Vec::new(),
        }
    }

    /// The line as the next version of the application writes it: durations under another name, in another unit and as text, and a status as text.
    pub(crate) fn of_next_version(mut self) -> Self {
        for (key, value) in &mut self.fields {
            match (&**key, &*value) {
                ("duration_ms" | "latency_ms", Value::DoubleValue(ms)) => {
                    (*key, *value) = (NEXT_DURATION, text(&format!("{:.0}", ms * 1e3)));
                }
                ("status", Value::IntValue(status)) => *value = text(&status.to_string()),
                _ => {}
            }
        }
        self
    }

    /// The line as an OTLP log record.
    pub(crate) fn record(&self) -> LogRecord {
        let mut attributes = vec![attribute(LINE_ID, text(&self.id)), attribute("caller", text(self.caller))];
        attributes.extend(self.fields.iter().map(|(key, value)| attribute(key, value.clone())));
        LogRecord {
            time_unix_nano: self.time_ns,
            observed_time_unix_nano: self.time_ns,
            severity_number: self.level.number().into(),
            severity_text: self.level.text().to_owned(),
            body: Some(any(text(self.message))),
            attributes,
            trace_id: self.trace.map(|trace| trace.0.to_vec()).unwrap_or_default(),
            span_id: self.span.map(|span| span.0.to_vec()).unwrap_or_default(),
            ..LogRecord::default()
        }
    }

    /// The line as the application's log file has it, without the line end.
    pub(crate) fn json(&self) -> String {
        let mut line = Map::new();
        let mut put = |key: &str, value: Json| line.insert(key.to_owned(), value);
        put("level", self.level.text().into());
        put("timestamp", iso8601(self.time_ns).into());
        put("caller", self.caller.into());
        put("msg", self.message.into());
        if let Some(trace) = self.trace {
            put("trace_id", trace.to_string().into());
        }
        if let Some(span) = self.span {
            put("span_id", span.to_string().into());
        }
        for (key, value) in &self.fields {
            put(key, json(value));
        }
        put(LINE_ID, self.id.as_str().into());
        Json::Object(line).to_string()
    }
}

/// The lines of one request that ended at `end_ns` (wall clock): always "handling request" and "request completed", which
/// stays at info even for a failure; one more for a failure (without span id) and for complex diagnostics.
pub(crate) fn lines_of(fate: &Fate, end_ns: u64) -> Vec<Line> {
    let start_ns = end_ns - fate.length_ns();
    let root = fate.spans.first().map(|span| span.id);
    let duration_ms = fate.length_ns() as f64 / 1e6;
    let request = || vec![("method", text("GET")), ("path", text(fate.endpoint().route))];
    let mut lines = Vec::with_capacity(3);
    let mut add = |time_ns, level, caller, message, span, fields| {
        let id = format!("{}-{}", fate.number, lines.len());
        lines.push(Line { id, time_ns, level, caller, message, trace: Some(fate.trace), span, fields });
    };
    add(start_ns, Level::Info, "handlers/middleware.go:31", "handling request", root, request());
    if fate.complex {
        let fields = vec![("latency_ms", Value::DoubleValue(duration_ms))];
        add(end_ns, Level::Warn, "handlers/diagnostics.go:88", "complex diagnostics took long", None, fields);
    }
    if fate.fails {
        let fields = vec![("error", text("sensor communication failure"))];
        add(end_ns, Level::Error, "handlers/alerts.go:57", "alert system failed", None, fields);
    }
    let mut fields = request();
    fields.push(("status", Value::IntValue(fate.status())));
    fields.push(("duration_ms", Value::DoubleValue(duration_ms)));
    add(end_ns, Level::Info, "handlers/middleware.go:47", "request completed", root, fields);
    lines
}

/// How many lines [`lines_of`] gives.
pub(crate) fn line_count(fate: &Fate) -> u64 {
    2 + u64::from(fate.complex) + u64::from(fate.fails)
}

fn json(value: &Value) -> Json {
    match value {
        Value::StringValue(text) => text.as_str().into(),
        Value::IntValue(number) => (*number).into(),
        Value::DoubleValue(number) => Number::from_f64(*number).map_or(Json::Null, Json::Number),
        Value::BoolValue(truth) => (*truth).into(),
        _ => Json::Null,
    }
}

/// The time as in `2026-01-31T23:59:59.999Z`.
fn iso8601(time_ns: u64) -> String {
    let (seconds, ms) = (time_ns / 1_000_000_000, time_ns / 1_000_000 % 1_000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days-to-civil, for days since 1970-01-01.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a line of the next version. Guarantees: its duration has another name, unit and type, its status another type, and nothing else
    /// changed.
    #[test]
    fn the_next_version_drifts() {
        let fate = Fate::decide(3, 0, None);
        let line = lines_of(&fate, 1_763_716_800_123_456_789).pop().unwrap();
        let next: Json = serde_json::from_str(&line.clone().of_next_version().json()).unwrap();
        let line: Json = serde_json::from_str(&line.json()).unwrap();
        let ms = line["duration_ms"].as_f64().unwrap();
        assert_eq!(next[NEXT_DURATION], format!("{:.0}", ms * 1e3));
        assert!(next.get("duration_ms").is_none());
        assert_eq!(next["status"].as_str(), Some(line["status"].to_string().as_str()));
        assert_eq!((&next["msg"], &next["path"], &next[LINE_ID]), (&line["msg"], &line["path"], &line[LINE_ID]));
    }

    /// Scenario: lines of a failed request, of complex diagnostics and of none of both. Guarantees: as many as counted,
    /// with ids of their own, and the file's fields as published: the error line has a trace but no span.
    #[test]
    fn lines_are_the_published_ones() {
        let mut failed_seen = false;
        for fate in (0..400).map(|number| Fate::decide(3, number, None)) {
            let lines = lines_of(&fate, 1_763_716_800_123_456_789);
            assert_eq!(lines.len() as u64, line_count(&fate));
            assert_eq!(lines[0].id, format!("{}-0", fate.number));
            let last: Json = serde_json::from_str(&lines.last().unwrap().json()).unwrap();
            assert_eq!((&last["msg"], &last["level"]), (&"request completed".into(), &"info".into()));
            assert_eq!(last["timestamp"], "2025-11-21T09:20:00.123Z");
            assert_eq!(last["status"], fate.status());
            if fate.fails {
                let error: Json = serde_json::from_str(&lines[1].json()).unwrap();
                assert_eq!(error["trace_id"], fate.trace.to_string());
                assert!(error.get("span_id").is_none() && error["level"] == "error");
                failed_seen = true;
            }
        }
        assert!(failed_seen);
        assert_eq!(iso8601(951_782_400_000_000_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(iso8601(1_798_761_599_999_000_000), "2026-12-31T23:59:59.999Z");
    }
}
