//! Words in which parts describe themselves: families of metrics, JSON texts, labels.

use ledger::PerSignal;
use model::{RefusalCounts, Signal};

/// The labels of a row: names and texts, as they are.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// A family of metrics: its name without the prefix, its kind, what it says, and its rows of labels and value.
pub(crate) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    rows: Vec<(Labels, f64)>,
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

    /// Labels and value of each row.
    pub(crate) fn rows(&self) -> &[(Labels, f64)] {
        &self.rows
    }

    /// Appends it as Prometheus text.
    pub(crate) fn write(&self, out: &mut String) {
        let Self { name, kind, help, rows } = self;
        out.push_str(&format!("# HELP lightship_{name} {help}\n# TYPE lightship_{name} {kind}\n"));
        for (labels, value) in rows {
            out.push_str(&format!("lightship_{name}{} {value}\n", in_braces(labels)));
        }
    }
}

/// Labels as Prometheus text has them.
fn in_braces(labels: &Labels) -> String {
    if labels.is_empty() {
        return String::new();
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let pairs: Vec<_> = labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// Labels and value of each row.
pub(crate) struct Rows(Vec<(Labels, f64)>);

impl From<Vec<(Labels, f64)>> for Rows {
    fn from(rows: Vec<(Labels, f64)>) -> Self {
        Self(rows)
    }
}

impl From<f64> for Rows {
    fn from(value: f64) -> Self {
        Self(vec![(Labels::new(), value)])
    }
}

impl From<u64> for Rows {
    fn from(value: u64) -> Self {
        Self::from(value as f64)
    }
}

impl From<&PerSignal> for Rows {
    fn from(counts: &PerSignal) -> Self {
        let row = |signal: Signal| (vec![("signal", signal.name().to_owned())], counts.get(signal) as f64);
        Self(Signal::ALL.into_iter().map(row).collect())
    }
}

impl From<&RefusalCounts> for Rows {
    fn from(counts: &RefusalCounts) -> Self {
        Self(counts.iter().map(|(reason, count)| (vec![("reason", reason.to_string())], count as f64)).collect())
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
