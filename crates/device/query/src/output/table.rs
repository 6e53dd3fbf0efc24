//! Rows of figures.

use filter::{Table, Value};

use super::{json_value, push};
use crate::json;

/// Figures of durations are shown with their unit.
fn shown(column: &str, value: &Value<'_>) -> String {
    let is_duration = column == "dur" || (column.ends_with("(dur)"));
    match value {
        Value::Int(number) if is_duration => crate::time::length(number.cast_unsigned()),
        Value::Float(number) if is_duration => crate::time::length(number.max(0.0) as u64),
        Value::Float(number) if number.fract() != 0.0 => format!("{number:.3}"),
        value => value.to_string(),
    }
}

/// Columns for people: numbers to the right.
pub(super) fn columns(out: &mut String, table: &Table) {
    let cells: Vec<Vec<String>> = table
        .rows
        .iter()
        .map(|row| row.iter().zip(&table.columns).map(|(value, column)| shown(column, value)).collect())
        .collect();
    let widths: Vec<usize> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = cells.iter().filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).chain([name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let is_number: Vec<bool> = (0..table.columns.len())
        .map(|at| table.rows.iter().all(|row| !matches!(row.get(at), Some(Value::Text(_) | Value::Bool(_)))))
        .collect();
    let mut line = |cells: &[String]| {
        let mut text = String::new();
        for (at, cell) in cells.iter().enumerate() {
            let width = widths.get(at).copied().unwrap_or(0);
            let cell = cell.replace(|c: char| c.is_control(), " ");
            text.push_str(&match is_number.get(at) {
                Some(true) => format!("{cell:>width$}  "),
                _ => format!("{cell:<width$}  "),
            });
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&table.columns);
    cells.iter().for_each(|row| line(row));
}

/// Objects, in an array or each in a line.
pub(super) fn json(out: &mut String, table: &Table, array: bool) {
    out.push_str(if array { "[" } else { "" });
    for (position, row) in table.rows.iter().enumerate() {
        out.push_str(if array && position > 0 { ",\n" } else { "" });
        out.push('{');
        for (at, (column, value)) in table.columns.iter().zip(row).enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            json::text(out, column);
            out.push(':');
            json_value(out, value);
        }
        out.push_str(if array { "}" } else { "}\n" });
    }
    out.push_str(if array { "]\n" } else { "" });
}

/// `key=value` pairs, a row in each line.
pub(super) fn logfmt(out: &mut String, table: &Table) {
    for row in &table.rows {
        for (at, (column, value)) in table.columns.iter().zip(row).enumerate() {
            out.push_str(if at > 0 { " " } else { "" });
            out.push_str(column);
            out.push('=');
            match value {
                Value::Text(text) => super::record::logfmt_text(out, text),
                value => push(out, value),
            }
        }
        out.push('\n');
    }
}
