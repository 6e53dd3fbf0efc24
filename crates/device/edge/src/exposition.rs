//! Words in which parts describe themselves: families of metrics, JSON texts, labels.

use ledger::PerSignal;
use model::{RefusalCounts, Signal};

/// A family of metrics: its name without the prefix, its kind, what it says, and its rows of labels and value.
pub(crate) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    rows: Vec<(String, f64)>,
}

impl Family {
    /// A count that only grows.
    pub(crate) fn counter(name: &'static str, help: &'static str, rows: impl Into<Rows>) -> Self {
        Self { name, kind: "counter", help, rows: rows.into().0 }
    }

    /// A number that goes up and down.
    pub(crate) fn gauge(name: &'static str, help: &'static str, rows: impl Into<Rows>) -> Self {
        Self { name, kind: "gauge", help, rows: rows.into().0 }
    }

    /// Its name without the prefix.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What it says.
    pub(crate) fn help(&self) -> &'static str {
        self.help
    }

    /// Whether it only grows.
    pub(crate) fn is_counter(&self) -> bool {
        self.kind == "counter"
    }

    /// Labels in braces, and the value, of each row.
    pub(crate) fn rows(&self) -> &[(String, f64)] {
        &self.rows
    }

    /// Appends it as Prometheus text.
    pub(crate) fn write(&self, out: &mut String) {
        let Self { name, kind, help, rows } = self;
        out.push_str(&format!("# HELP lightship_{name} {help}\n# TYPE lightship_{name} {kind}\n"));
        for (labels, value) in rows {
            out.push_str(&format!("lightship_{name}{labels} {value}\n"));
        }
    }
}

/// Labels in braces, and the value.
pub(crate) struct Rows(Vec<(String, f64)>);

impl From<Vec<(String, f64)>> for Rows {
    fn from(rows: Vec<(String, f64)>) -> Self {
        Self(rows)
    }
}

impl From<f64> for Rows {
    fn from(value: f64) -> Self {
        Self(vec![(String::new(), value)])
    }
}

impl From<u64> for Rows {
    fn from(value: u64) -> Self {
        Self::from(value as f64)
    }
}

impl From<&PerSignal> for Rows {
    fn from(counts: &PerSignal) -> Self {
        let row = |signal: Signal| (format!("{{signal=\"{}\"}}", signal.name()), counts.get(signal) as f64);
        Self(Signal::ALL.into_iter().map(row).collect())
    }
}

impl From<&RefusalCounts> for Rows {
    fn from(counts: &RefusalCounts) -> Self {
        Self(counts.iter().map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), count as f64)).collect())
    }
}

/// Counts by reason as a JSON object.
pub(crate) fn json_counts(counts: &RefusalCounts) -> String {
    let members: Vec<_> = counts.iter().map(|(reason, count)| format!("\"{reason}\":{count}")).collect();
    format!("{{{}}}", members.join(","))
}

/// Counts by signal as a JSON object.
pub(crate) fn json_per_signal(counts: &PerSignal) -> String {
    format!("{{\"traces\":{},\"logs\":{},\"metrics\":{}}}", counts.traces, counts.logs, counts.metrics)
}

/// A number with so many places in JSON; `null` while it is not known.
pub(crate) fn json_known(number: Option<f64>, places: usize) -> String {
    number.map_or("null".to_owned(), |number| format!("{number:.places$}"))
}

/// A text as a JSON string.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    query::json::text(&mut out, text);
    out
}

/// A text as the value of a Prometheus label.
pub(crate) fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
