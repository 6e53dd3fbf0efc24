//! One trace as a waterfall in plain text, with its log records.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use filter::{Field, Record, Value};
use model::SpanId;

use crate::found::Found;
use crate::output::{Format, Style, line, shown};
use crate::time;
use crate::view::What;

/// Columns of the bar.
const BAR: usize = 40;
/// Names are cut at so many characters, indentation included.
const NAME: usize = 44;
/// What a failed span says is cut at so many.
const REASON: usize = 200;

struct Row<'a> {
    found: &'a Found,
    id: Option<SpanId>,
    parent: Option<SpanId>,
    start_ns: u64,
    end_ns: u64,
    failed: bool,
}

/// Writes the trace whose spans and log records these are.
pub fn write(out: &mut String, records: &[Found], colour: bool) {
    let mut seen = HashSet::new();
    let mut rows: Vec<Row<'_>> = Vec::new();
    let mut logs: Vec<&Found> = Vec::new();
    for found in records {
        match found.view().what {
            // A producer that got no answer sends a span again.
            What::Span(span) if span.span_id.is_none() || seen.insert(span.span_id) => rows.push(Row {
                found,
                id: span.span_id,
                parent: span.parent_span_id,
                start_ns: span.start_ns,
                end_ns: span.end_ns.max(span.start_ns),
                failed: span.status == model::otlp::STATUS_ERROR,
            }),
            What::Log(_) => logs.push(found),
            _ => {}
        }
    }
    rows.sort_by_key(|row| (row.start_ns, row.end_ns));
    logs.sort_by_key(|found| found.time_ns());
    let start = rows.iter().map(|row| row.start_ns).min().unwrap_or(0);
    let end = rows.iter().map(|row| row.end_ns).max().unwrap_or(0);
    let missing = rows.iter().filter(|row| row.parent.is_some_and(|parent| !seen.contains(&Some(parent)))).count();
    let errors = rows.iter().filter(|row| row.failed).count();
    let trace = records.first().map(|found| found.field(&Field::Trace).to_string()).unwrap_or_default();
    out.push_str(&format!(
        "trace {trace}  {}  {}  {} spans, {errors} failed, {} log records{}\n",
        time::rfc3339(start, 3),
        time::length(end.saturating_sub(start)),
        rows.len(),
        logs.len(),
        if missing > 0 { format!(", {missing} spans whose parent is not here") } else { String::new() }
    ));
    let children = children(&rows, &seen);
    let mut stack: Vec<(usize, usize)> = children.get(&None).into_iter().flatten().rev().map(|at| (*at, 0)).collect();
    let mut shown_rows = vec![false; rows.len()];
    while let Some((at, depth)) = stack.pop() {
        let Some(row) = rows.get(at) else { continue };
        // A span that is its own ancestor is shown once.
        if std::mem::replace(&mut shown_rows[at], true) {
            continue;
        }
        span_line(out, row, depth, (start, end), colour);
        if row.id.is_some() {
            stack.extend(children.get(&row.id).into_iter().flatten().rev().map(|at| (*at, depth + 1)));
        }
    }
    for (at, row) in rows.iter().enumerate() {
        if !shown_rows[at] {
            span_line(out, row, 0, (start, end), colour);
        }
    }
    if !logs.is_empty() {
        out.push('\n');
    }
    logs.iter().for_each(|found| line(out, found, &[], Style { format: Format::Table, colour }));
}

/// Positions of the rows below each span; below `None` those without a parent, or with one that is not here.
fn children(rows: &[Row<'_>], seen: &HashSet<Option<SpanId>>) -> HashMap<Option<SpanId>, Vec<usize>> {
    let mut children: HashMap<Option<SpanId>, Vec<usize>> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let parent = row.parent.filter(|parent| seen.contains(&Some(*parent)));
        children.entry(parent).or_default().push(at);
    }
    children
}

fn span_line(out: &mut String, row: &Row<'_>, depth: usize, (start, end): (u64, u64), colour: bool) {
    let whole = (end.saturating_sub(start)).max(1) as f64;
    let column = |at: u64| ((at.saturating_sub(start)) as f64 / whole * BAR as f64) as usize;
    let from = column(row.start_ns).min(BAR - 1);
    let to = column(row.end_ns).clamp(from + 1, BAR);
    let service = match row.found.field(&Field::Service) {
        Value::Text(text) => text.into_owned(),
        _ => String::new(),
    };
    let name = format!("{}{service} {}", "  ".repeat(depth.min(12)), shown(row.found, &Field::Name));
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME).collect();
    let bar = format!("{}{}{}", " ".repeat(from), "=".repeat(to - from), " ".repeat(BAR - to));
    let bar = if row.failed && colour { format!("\u{1b}[31m{bar}\u{1b}[0m") } else { bar };
    let mark = if row.failed { " failed" } else { "" };
    let length = time::length(row.end_ns.saturating_sub(row.start_ns));
    out.push_str(&format!("  {name:<NAME$} |{bar}| {length:>8}{mark}\n"));
    let view = row.found.view();
    let message = view.status_message().map(Cow::into_owned);
    let reasons = message.into_iter().chain(view.events().filter_map(|event| event.exception()));
    for reason in reasons.filter(|_| row.failed) {
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON).collect();
        out.push_str(&format!("  {}{reason}\n", "  ".repeat(depth.min(12) + 1)));
    }
}
