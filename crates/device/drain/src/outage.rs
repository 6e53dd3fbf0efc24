//! How much disk an outage needs, from what was measured: for `lightship check --outage`.

use std::fmt::Write;
use std::time::Duration;

use config::Config;
use model::Lane;

/// What a lane takes besides its entries: headers, index and footer of segments.
const AROUND: f64 = 1.08;
/// What is there without any backlog: the segments that are being written, the spare one, notes and cursors.
const FIXED: f64 = 512.0 * 1024.0;

/// How fast each lane grows, and how that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    /// Bytes a second, by the lane's number.
    pub lanes: [f64; Lane::ALL.len()],
    /// Over how long it was measured.
    pub measured: Duration,
}

impl Rates {
    /// From bytes by the lane's number in so many nanoseconds.
    pub fn new(bytes: [u64; Lane::ALL.len()], ns: u64) -> Self {
        let seconds = (ns as f64 / 1e9).max(1.0);
        Self { lanes: bytes.map(|bytes| bytes as f64 / seconds), measured: Duration::from_nanos(ns) }
    }
}

/// What an outage of this length needs of the disk at these rates, and whether the configuration has it.
pub fn outage(config: &Config, rates: &Rates, outage: Duration) -> (String, bool) {
    let (seconds, budget) = (outage.as_secs_f64(), config.journal.budget.0 as f64);
    let kib = |bytes: f64| (bytes / 1024.0).ceil();
    let mut out = format!("an outage of {} s, at the rates of the last {} s:\n", seconds, rates.measured.as_secs());
    let mut sum = 0.0;
    // Writing into a String cannot fail.
    for (lane, rate) in Lane::ALL.into_iter().zip(rates.lanes).filter(|(_, rate)| *rate > 0.0) {
        let needed = rate * seconds * AROUND;
        sum += rate;
        let _written = writeln!(out, "  {:>8} KiB  {lane} ({rate:.0} B/s)", kib(needed));
    }
    let needed = FIXED + sum * seconds * AROUND;
    let _written = writeln!(out, "  {:>8} KiB  together, of journal.budget: {} KiB", kib(needed), kib(budget));
    if needed <= budget {
        out.push_str("nothing has to yield\n");
    } else {
        let full = (budget - FIXED).max(0.0) / (sum * AROUND);
        let _written = writeln!(
            out,
            "too little: after {full:.0} s lanes begin to yield (debug, metrics, then traces and logs); journal.budget: \
             {}KiB holds it all",
            kib(needed)
        );
    }
    (out, needed <= budget)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(budget: &str) -> Config {
        config::parse(&format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\njournal: {{ budget: {budget} }}\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
        ))
        .unwrap()
    }

    /// Scenario: 1,000 bytes a second of logs and 3,000 of metrics, two hours, in a budget that holds it and one that does not.
    /// Guarantees: the sum counts what is around entries; a budget that is too small is told with the moment when it is full.
    #[test]
    fn the_disk_of_an_outage_is_told() {
        let mut bytes = [0; Lane::ALL.len()];
        bytes[usize::from(Lane::Logs.number())] = 60_000;
        bytes[usize::from(Lane::Metrics.number())] = 180_000;
        let rates = Rates::new(bytes, 60_000_000_000);
        let (text, fits) = outage(&config("64MiB"), &rates, Duration::from_secs(7200));
        assert!(text.contains("22782 KiB  metrics (3000 B/s)") && text.contains("30888 KiB  together"), "{text}");
        assert!(fits && text.ends_with("nothing has to yield\n"), "{text}");
        let (text, fits) = outage(&config("8MiB"), &rates, Duration::from_secs(7200));
        assert!(
            !fits && text.contains("too little: after 1820 s") && text.contains("journal.budget: 30888KiB"),
            "{text}"
        );
    }
}
