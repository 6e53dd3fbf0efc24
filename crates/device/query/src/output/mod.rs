//! Answers as text: for people, and for programs.

mod record;
mod table;

use std::fmt;
use std::str::FromStr;

use filter::{Field, Output, Record};

use crate::found::Found;
use crate::{json, otlp_json};

pub(crate) use record::without_ids as logfmt_without_ids;

/// The forms of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON array.
    Json,
    /// A JSON object in each line.
    Ndjson,
    /// `key=value` pairs in each line.
    Logfmt,
    /// An OTLP JSON document in each line (OpenTelemetry, "OTLP File Exporter").
    OtlpJson,
}

/// Not the name of a form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such output: {0}; there are table, json, ndjson, logfmt and otlp-json")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Ok(match name {
            "table" => Self::Table,
            "json" => Self::Json,
            "ndjson" | "jsonl" => Self::Ndjson,
            "logfmt" => Self::Logfmt,
            "otlp-json" => Self::OtlpJson,
            other => return Err(UnknownFormat(other.to_owned())),
        })
    }
}

/// How an answer is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// In which form.
    pub format: Format,
    /// With colours, in tables.
    pub colour: bool,
}

/// Writes a record in a line of its own; a form for whole answers is written as its line-wise kin.
pub fn line(out: &mut String, record: &Found, fields: &[Field], style: Style) {
    let view = record.view();
    match style.format {
        Format::Table => record::table_line(out, &view, fields, style.colour),
        Format::Json | Format::Ndjson => record::json(out, record, fields),
        Format::Logfmt if fields.is_empty() => {
            out.push_str(&format!("{} from={}", record::logfmt(&view), record.origin().name()));
        }
        Format::Logfmt => record::logfmt_fields(out, &view, fields),
        Format::OtlpJson => otlp_json::record(out, &view),
    }
    out.push('\n');
}

/// Writes a whole answer.
pub fn answer(out: &mut String, output: &Output<Found>, style: Style) {
    match output {
        Output::Table(table) => match style.format {
            Format::Table => table::columns(out, table),
            Format::Json => table::json(out, table, true),
            Format::Ndjson | Format::OtlpJson => table::json(out, table, false),
            Format::Logfmt => table::logfmt(out, table),
        },
        Output::Records { records, fields, left_out } => {
            if style.format == Format::Json {
                out.push('[');
                for (position, record) in records.iter().enumerate() {
                    out.push_str(if position > 0 { ",\n" } else { "" });
                    record::json(out, record, fields);
                }
                out.push_str("]\n");
            } else {
                records.iter().for_each(|record| line(out, record, fields, style));
            }
            if style.format == Format::Table && *left_out > 0 {
                out.push_str(&format!("({left_out} more; add `| limit N` to see them)\n"));
            }
        }
    }
}

/// A value in JSON.
pub(crate) fn json_value(out: &mut String, value: &filter::Value<'_>) {
    match value {
        filter::Value::Absent => out.push_str("null"),
        filter::Value::Text(text) => json::text(out, text),
        filter::Value::Float(number) => json::float(out, *number),
        other => push(out, other),
    }
}

/// Appends what can be shown; writing into a String cannot fail.
pub(crate) fn push(out: &mut String, what: &impl fmt::Display) {
    out.push_str(&what.to_string());
}

/// A value for people: durations with their unit.
pub(crate) fn shown(record: &impl Record, field: &Field) -> String {
    let value = record.field(field);
    match (field, &value) {
        (Field::Duration, filter::Value::Int(ns)) => crate::time::length(ns.cast_unsigned()),
        (Field::Level, filter::Value::Int(level)) => filter::level_name(level.cast_unsigned()).to_owned(),
        _ => value.to_string(),
    }
}
