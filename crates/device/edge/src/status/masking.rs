//! Masking, as it is shown.

use guard::Exceptions;
use pipeline::Pipeline;
use query::time::rfc3339;

use crate::exposition::{Family, Labels, json_text};

/// What the rules of the guard masked.
pub(super) struct Masking<'a> {
    pub(super) pipeline: &'a Pipeline,
}

impl Masking<'_> {
    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let guard = self.pipeline.guard();
        let counts = guard.counts().map(|(rule, count)| format!("{}:{count}", json_text(rule)));
        let exception =
            guard.exceptions().map_or(String::new(), |all| format!(",\"exception\":{}", exception_json(all)));
        let counts = counts.collect::<Vec<_>>().join(",");
        format!("{{\"version\":\"{}\",\"masked\":{{{counts}}}{exception}}}", guard.version())
    }

    /// Its row for people.
    pub(super) fn text(&self) -> Vec<String> {
        let guard = self.pipeline.guard();
        let rules = guard.counts().count();
        let masked: Vec<String> =
            guard.counts().filter(|(_, count)| *count > 0).map(|(rule, count)| format!("{rule} {count}")).collect();
        let masked = if masked.is_empty() { "nothing yet".to_owned() } else { masked.join(", ") };
        let none = if rules == 0 { "; no rule holds: values are written as they come" } else { "" };
        let mut rows = vec![format!("guard        {rules} rules ({}), masked: {masked}{none}", guard.version())];
        if let Some(all) = guard.exceptions() {
            rows.push(match (all.holding(), all.fault()) {
                (Some(holding), _) => {
                    let until = rfc3339(holding.until_s * 1_000_000_000, 0);
                    let why = if holding.why.is_empty() { String::new() } else { format!(": {}", holding.why) };
                    format!("exception    {} until {until}{why}", holding.what)
                }
                (None, Some(fault)) => format!("exception    does not hold: {fault}"),
                (None, None) => "exception    none".to_owned(),
            });
        }
        rows
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let counts = self.pipeline.guard().counts();
        let rows: Vec<(Labels, f64)> =
            counts.map(|(rule, count)| (vec![("rule", rule.to_owned())], count as f64)).collect();
        let mut families = vec![Family::counter("guard_masked_total", "Values that the guard masked, by rule.", rows)];
        if let Some(all) = self.pipeline.guard().exceptions() {
            let holds = f64::from(u8::from(all.holding().is_some()));
            let refused: Vec<(Labels, f64)> =
                all.refused().map(|(reason, count)| (vec![("reason", reason.to_owned())], count as f64)).collect();
            families.extend([
                Family::gauge(
                    "exception_holds",
                    "1 while an exception from production holds.",
                    vec![(Vec::new(), holds)],
                ),
                Family::counter(
                    "exception_begins_total",
                    "Exceptions that began.",
                    vec![(Vec::new(), all.begins() as f64)],
                ),
                Family::counter("exception_refused_total", "Exceptions that did not hold, by reason.", refused),
            ]);
        }
        families
    }
}

/// An object of what holds and what was refused.
fn exception_json(all: &Exceptions) -> String {
    let time = |seconds: u64| json_text(&rfc3339(seconds * 1_000_000_000, 0));
    let holding = all.holding().map_or("null".to_owned(), |holding| {
        format!(
            "{{\"what\":{},\"from\":{},\"until\":{},\"why\":{}}}",
            json_text(&holding.what.to_string()),
            time(holding.from_s),
            time(holding.until_s),
            json_text(&holding.why)
        )
    });
    let fault = all.fault().map_or("null".to_owned(), |fault| json_text(fault.reason()));
    let refused = all.refused().map(|(reason, count)| format!("\"{reason}\":{count}")).collect::<Vec<_>>().join(",");
    format!("{{\"holds\":{holding},\"fault\":{fault},\"begins\":{},\"refused\":{{{refused}}}}}", all.begins())
}
