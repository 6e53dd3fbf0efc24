//! Query texts and lines from outside, the query up to the first zero byte: read, printed and read again, evaluated within small bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use logql::ast::Expr;
use logql::{Labels, LogQuery, LogSource, Options, Order, Query, Record, Select, Sink, SourceError};

struct Lines<'a>(&'a str);

impl LogSource for Lines<'_> {
    fn scan(&self, select: &Select<'_>, sink: &mut dyn Sink) -> Result<(), SourceError> {
        let metadata = [("trace_id".to_owned(), "t1".to_owned()), ("level".to_owned(), "info".to_owned())];
        for (place, app) in ["web", "db"].into_iter().enumerate() {
            let stream = Labels::new([("app", app), ("job", "x")]);
            if select.matchers.iter().all(|matcher| matcher.matches_labels(&stream)) && (select.passes)(self.0) {
                for time in [1_000_000_000, 5_000_000_000, 9_000_000_000] {
                    let record =
                        Record { time, place: (place as u64, 0), stream: &stream, line: self.0, metadata: &metadata };
                    if !sink.take(&record) {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (query, line) = text.split_once('\0').unwrap_or((text, "level=info took=5ms {\"a\":1}"));
    if let Some((_, pairs)) = logql::detect(line) {
        assert!(!pairs.is_empty());
    }
    let Ok(expr) = logql::parse(query) else { return };
    let printed = expr.to_string();
    let again = logql::parse(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(printed, again.to_string());
    let options = Options { max_series: 100, max_cells: 20_000, max_steps: 1000, ..Options::default() };
    match expr {
        Expr::Logs(logs) => {
            for order in [Order::Forward, Order::Backward] {
                let asked = LogQuery { from: 0, to: i64::MAX, order, limit: 4 };
                if let Ok(answer) = logql::evaluate_logs(&Lines(line), &logs, asked, &options) {
                    assert!(answer.entries.len() <= 4);
                }
            }
        }
        Expr::Metric(metric) => {
            let range = Query::Range { start: 0, end: 12_000_000_000, step: 700_000_000 };
            for query in [Query::Instant(9_000_000_000), range] {
                let _answer = logql::evaluate_metric(&Lines(line), &metric, query, &options);
            }
        }
    }
});
