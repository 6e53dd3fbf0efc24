//! Sources that read, as they are shown.

use std::rc::Rc;

use pipeline::PositionsLeftOut;
use sources::{Lag, SourceState};

use crate::exposition::{Family, Labels, json_text};

/// What each source that reads tells of itself.
pub(super) struct Sources<'a> {
    pub(super) all: &'a [Rc<SourceState>],
    pub(super) wall_ns: u64,
    /// What of their positions had no room in commits.
    pub(super) positions: PositionsLeftOut,
}

impl Sources<'_> {
    /// How long ago a source took its last record, seconds.
    fn age(&self, source: &SourceState) -> Option<f64> {
        source.last_ns().map(|last| self.wall_ns.saturating_sub(last) as f64 / 1e9)
    }

    /// Its array in `/status`.
    pub(super) fn json(&self) -> String {
        let one = |source: &Rc<SourceState>| {
            let errors = source.errors();
            let errors: Vec<String> = errors
                .iter()
                .map(|error| {
                    let (count, last) = (error.count, json_text(&error.last));
                    format!("{{\"reason\":\"{}\",\"count\":{count},\"last\":{last}}}", error.reason)
                })
                .collect();
            let age = self.age(source).map_or("null".to_owned(), |age| format!("{age:.1}"));
            let (bytes, seconds) = match source.lag() {
                Some(Lag::Bytes(bytes)) => (bytes.to_string(), "null".to_owned()),
                Some(Lag::Seconds(seconds)) => ("null".to_owned(), format!("{seconds:.1}")),
                None => ("null".to_owned(), "null".to_owned()),
            };
            format!(
                "{{\"name\":{},\"records\":{},\"last_record_s\":{age},\"lag_bytes\":{bytes},\"lag_s\":{seconds},\"errors\":[{}]}}",
                json_text(source.name()),
                source.records(),
                errors.join(",")
            )
        };
        format!("[{}]", self.all.iter().map(one).collect::<Vec<_>>().join(","))
    }

    /// Positions of sources in `/status`.
    pub(super) fn positions_json(&self) -> String {
        let PositionsLeftOut { bytes, without_undecided, without_any } = self.positions;
        format!(
            "{{\"bytes\":{bytes},\"commits_without_undecided\":{without_undecided},\"commits_without_any\":{without_any}}}"
        )
    }

    /// Its rows for people: one for each source, and one for each kind of error.
    pub(super) fn text(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for (index, source) in self.all.iter().enumerate() {
            let title = if index == 0 { "sources" } else { "" };
            let age = self.age(source).map_or("none yet".to_owned(), |age| format!("the last {age:.0} s ago"));
            let lag = match source.lag() {
                Some(Lag::Bytes(bytes)) if bytes > 0 => format!(", {} KiB to read", bytes.div_ceil(1024)),
                Some(Lag::Seconds(seconds)) if seconds >= 1.0 => format!(", {seconds:.0} s behind"),
                _ => String::new(),
            };
            rows.push(format!("{title:<12} {}: {} records, {age}{lag}", source.name(), source.records()));
            for error in source.errors() {
                rows.push(format!("               {} {}: {}", error.reason, error.count, error.last));
            }
        }
        let PositionsLeftOut { bytes, without_undecided, without_any } = self.positions;
        if without_undecided + without_any > 0 {
            rows.push(format!(
                "             positions: {} KiB; {without_undecided} commits without what is undecided, {without_any} without any",
                bytes / 1024
            ));
        }
        rows
    }

    /// Its metrics: none where no source reads.
    pub(super) fn families(&self) -> Vec<Family> {
        if self.all.is_empty() {
            return Vec::new();
        }
        let label = |source: &SourceState| vec![("source", source.name().to_owned())];
        let (mut records, mut errors, mut bytes, mut seconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for source in self.all {
            records.push((label(source), source.records() as f64));
            for error in source.errors() {
                let labels: Labels = label(source).into_iter().chain([("reason", error.reason.to_owned())]).collect();
                errors.push((labels, error.count as f64));
            }
            match source.lag() {
                Some(Lag::Bytes(lag)) => bytes.push((label(source), lag as f64)),
                Some(Lag::Seconds(lag)) => seconds.push((label(source), lag)),
                None => {}
            }
        }
        let PositionsLeftOut { bytes: position_bytes, without_undecided, without_any } = self.positions;
        let left_out = [("undecided", without_undecided), ("all", without_any)];
        let left_out = left_out.map(|(what, count)| (vec![("what", what.to_owned())], count as f64)).to_vec();
        vec![
            Family::counter(
                "source_positions_left_out_total",
                "Commits in which positions of sources, or what is undecided behind them, had no room.",
                left_out,
            ),
            Family::gauge(
                "source_positions_bytes",
                "What a commit has of positions of sources.",
                vec![(Vec::new(), position_bytes as f64)],
            ),
            Family::counter("source_records_total", "Records that sources took in which read.", records),
            Family::counter("source_errors_total", "What went wrong in a source that reads, by reason.", errors),
            Family::gauge("source_lag_bytes", "Bytes that a source has not taken in yet.", bytes),
            Family::gauge("source_lag_seconds", "How old what a source takes in is.", seconds),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a source that reads files and had trouble, and one that took nothing yet. Guarantees: status and metrics show each, with
    /// the source's own words (P1).
    #[test]
    fn each_source_is_shown() {
        let all = [SourceState::new("files/app"), SourceState::new("prometheus/node")];
        all[0].took(7, 1_000_000_000);
        all[0].set_lag(Some(Lag::Bytes(2000)));
        all[0].error("long_line", 2, "/var/log/\"a\".log: cut");
        let positions = PositionsLeftOut { bytes: 2 << 20, without_undecided: 3, without_any: 0 };
        let sources = Sources { all: &all, wall_ns: 3_000_000_000, positions };
        assert_eq!(
            sources.positions_json(),
            "{\"bytes\":2097152,\"commits_without_undecided\":3,\"commits_without_any\":0}"
        );
        assert_eq!(
            sources.json(),
            "[{\"name\":\"files/app\",\"records\":7,\"last_record_s\":2.0,\"lag_bytes\":2000,\"lag_s\":null,\"errors\":[{\"reason\":\"long_line\",\
             \"count\":2,\"last\":\"/var/log/\\\"a\\\".log: cut\"}]},{\"name\":\"prometheus/node\",\"records\":0,\"last_record_s\":null,\"lag_bytes\":null,\
             \"lag_s\":null,\"errors\":[]}]"
        );
        assert_eq!(
            sources.text(),
            [
                "sources      files/app: 7 records, the last 2 s ago, 2 KiB to read",
                "               long_line 2: /var/log/\"a\".log: cut",
                "             prometheus/node: 0 records, none yet",
                "             positions: 2048 KiB; 3 commits without what is undecided, 0 without any",
            ]
        );
        let mut text = String::new();
        sources.families().iter().for_each(|family| family.write(&mut text));
        assert!(text.contains("lightship_source_records_total{source=\"files/app\"} 7\n"), "{text}");
        assert!(
            text.contains("lightship_source_errors_total{source=\"files/app\",reason=\"long_line\"} 2\n"),
            "{text}"
        );
        assert!(text.contains("lightship_source_lag_bytes{source=\"files/app\"} 2000\n"), "{text}");
        assert!(Sources { all: &[], wall_ns: 0, positions: PositionsLeftOut::default() }.families().is_empty());
    }
}
