//! One record in a line.

use filter::{Field, Record, Value};

use super::{json_value, push, shown};
use crate::found::Found;
use crate::view::{View, What};
use crate::{any, json, time};

/// What a histogram or a summary states of itself.
const DISTRIBUTION: [&str; 4] = ["count", "sum", "min", "max"];

const RESET: &str = "\u{1b}[0m";
const FAINT: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const YELLOW: &str = "\u{1b}[33m";

/// Time, kind, service, what it says, its attributes, its trace.
pub(super) fn table_line(out: &mut String, view: &View<'_>, fields: &[Field], colour: bool) {
    let paint = |text: &str, with: &str| if colour { format!("{with}{text}{RESET}") } else { text.to_owned() };
    if !fields.is_empty() {
        let cells: Vec<String> = fields.iter().map(|field| clean(&shown(view, field))).collect();
        out.push_str(&paint(&time::rfc3339(view.time_ns(), 3), FAINT));
        out.push_str("  ");
        out.push_str(&cells.join("  "));
        return;
    }
    let level = shown(view, &Field::Level);
    let (kind, tone) = match view.what {
        What::Span(span) if span.status == model::otlp::STATUS_ERROR => ("SPAN!".to_owned(), RED),
        What::Span(_) => ("SPAN".to_owned(), ""),
        What::Point(_) => ("POINT".to_owned(), ""),
        What::Log(log) => match log.severity {
            17.. => (level.to_uppercase(), RED),
            13..17 => (level.to_uppercase(), YELLOW),
            0 => ("LOG".to_owned(), ""),
            _ => (level.to_uppercase(), ""),
        },
    };
    let kind = format!("{kind:<5}");
    let service = clean(&view.service());
    let main = match view.what {
        What::Span(_) => {
            let why =
                view.status_message().or_else(|| view.events().find_map(|event| event.exception()).map(Into::into));
            let why = why.map_or(String::new(), |why| format!(" ({why})"));
            format!("{} {}{why}", shown(view, &Field::Name), shown(view, &Field::Duration))
        }
        What::Log(_) => shown(view, &Field::Body),
        What::Point(_) => {
            let unit = view.unit().unwrap_or_default();
            let value = match view.field(&Field::Value) {
                Value::Absent => DISTRIBUTION
                    .iter()
                    .map(|name| (name, view.distribution(name)))
                    .filter(|(_, value)| *value != Value::Absent)
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect::<Vec<_>>()
                    .join(" "),
                value => value.to_string(),
            };
            format!("{} {value} {unit}", shown(view, &Field::Name)).trim_end().to_owned()
        }
    };
    let mut rest = String::new();
    for (key, value) in view.attributes() {
        rest.push(' ');
        rest.push_str(&String::from_utf8_lossy(key));
        rest.push('=');
        match any::value(value) {
            Value::Text(text) => logfmt_text(&mut rest, &text),
            value => push(&mut rest, &value),
        }
    }
    if let Some(trace) = view.trace_id() {
        rest.push_str(&format!(" trace={trace}"));
    }
    let when = paint(&time::rfc3339(view.time_ns(), 3), FAINT);
    let kind = if tone.is_empty() { kind } else { paint(&kind, tone) };
    out.push_str(&format!("{when} {kind} {service} {} {}", clean(&main), paint(clean(&rest).trim_start(), FAINT)));
    out.truncate(out.trim_end().len());
}

/// No terminal is steered by what a record says.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An object with everything that the record has, or only with some fields.
pub(super) fn json(out: &mut String, record: &Found, fields: &[Field]) {
    let view = &record.view();
    out.push_str("{\"time\":");
    json::text(out, &time::rfc3339(view.time_ns(), 9));
    if fields.is_empty() {
        let own = [
            Field::Signal,
            Field::Device,
            Field::Service,
            Field::Level,
            Field::Name,
            Field::Kind,
            Field::Status,
            Field::Trace,
            Field::Span,
            Field::Parent,
            Field::Value,
        ];
        for field in &own {
            member(out, view, field);
        }
        for name in DISTRIBUTION {
            named(out, name, &view.distribution(name));
        }
        if let What::Span(span) = view.what {
            out.push_str(&format!(",\"duration_ns\":{}", span.duration_ns()));
            if let Some(message) = view.status_message() {
                named(out, "status_message", &Value::Text(message));
            }
            events(out, view);
        }
        if let Some(body) = view.body() {
            out.push_str(",\"body\":");
            json::put_value(out, body);
        }
        out.push_str(",\"attributes\":");
        pairs(out, view.attributes());
        out.push_str(",\"resource\":");
        pairs(out, view.resource_attributes());
        out.push_str(&format!(",\"from\":\"{}\"", record.origin().name()));
        if let Some(state) = record.state() {
            out.push_str(&format!(",\"state\":\"{}\"", state.name()));
        }
    } else {
        fields.iter().for_each(|field| member(out, view, field));
    }
    out.push('}');
}

fn member(out: &mut String, view: &View<'_>, field: &Field) {
    match (field, view.field(field)) {
        // The word that filters take, and the number that it stands for.
        (Field::Level, Value::Int(number)) => {
            named(out, "level", &Value::from(filter::level_name(number.cast_unsigned())));
            named(out, "severity_number", &Value::Int(number));
        }
        (field, value) => named(out, field.name(), &value),
    }
}

fn named(out: &mut String, name: &str, value: &Value<'_>) {
    if *value != Value::Absent {
        out.push(',');
        json::text(out, name);
        out.push(':');
        json_value(out, value);
    }
}

/// A span's events, where it has some.
fn events(out: &mut String, view: &View<'_>) {
    for (at, event) in view.events().enumerate() {
        out.push_str(if at == 0 { ",\"events\":[" } else { "," });
        out.push_str("{\"time\":");
        json::text(out, &time::rfc3339(event.time_ns(), 9));
        out.push_str(",\"name\":");
        json::text(out, &event.name());
        out.push_str(",\"attributes\":");
        pairs(out, event.attributes());
        out.push('}');
    }
    if view.events().next().is_some() {
        out.push(']');
    }
}

fn pairs<'a>(out: &mut String, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
    out.push('{');
    for (at, (key, value)) in pairs.enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        json::text(out, &String::from_utf8_lossy(key));
        out.push(':');
        json::put_value(out, value);
    }
    out.push('}');
}

/// Everything that the record has as `key=value` pairs.
pub(super) fn logfmt(view: &View<'_>) -> String {
    let mut out = without_ids(view);
    [Field::Trace, Field::Span, Field::Parent]
        .iter()
        .for_each(|field| pair(&mut out, field.name(), &view.field(field)));
    out
}

/// Everything that the record has besides the ids of trace and span.
pub(crate) fn without_ids(view: &View<'_>) -> String {
    let mut out = format!("time={}", time::rfc3339(view.time_ns(), 9));
    let own = [
        Field::Signal,
        Field::Service,
        Field::Level,
        Field::Name,
        Field::Kind,
        Field::Status,
        Field::Duration,
        Field::Value,
        Field::Body,
    ];
    for field in &own {
        pair(&mut out, field.name(), &view.field(field));
    }
    for name in DISTRIBUTION {
        pair(&mut out, name, &view.distribution(name));
    }
    for (key, value) in view.attributes().chain(view.resource_attributes()) {
        pair(&mut out, &String::from_utf8_lossy(key), &any::value(value));
    }
    out
}

/// Only some fields.
pub(super) fn logfmt_fields(out: &mut String, view: &View<'_>, fields: &[Field]) {
    out.push_str(&format!("time={}", time::rfc3339(view.time_ns(), 9)));
    fields.iter().for_each(|field| pair(out, field.name(), &view.field(field)));
}

fn pair(out: &mut String, key: &str, value: &Value<'_>) {
    if *value == Value::Absent {
        return;
    }
    out.push(' ');
    // A key has no quotes: what would end it is replaced.
    let ends = |c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=';
    out.push_str(&key.replace(ends, "_"));
    out.push('=');
    match value {
        Value::Text(text) => logfmt_text(out, text),
        value => push(out, value),
    }
}

/// In quotes where it has blanks, quotes or control characters.
pub(super) fn logfmt_text(out: &mut String, text: &str) {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"' || c == '=') {
        json::text(out, text);
    } else {
        out.push_str(text);
    }
}
