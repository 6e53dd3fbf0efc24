//! `top`: what comes in, what is kept, what waits and what goes out, per second.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use config::Config;

use crate::arguments::Arguments;
use crate::status::get;
use crate::{Failure, print_on};

/// How long is watched before rates are shown.
const WATCH: Duration = Duration::from_secs(2);

/// The samples of a Prometheus text, by name with labels.
pub(crate) struct Samples(BTreeMap<String, f64>);

impl Samples {
    /// Asks the running agent.
    pub(crate) fn ask(config: &Config) -> Result<Self, Failure> {
        let text = get(config, "/metrics")?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| line.rsplit_once(' '));
        Ok(Self(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()))
    }

    /// The value of `lightship_NAME{LABEL="OF"}`; 0 where there is none.
    fn of(&self, name: &str, label: &str, of: &str) -> f64 {
        self.0.get(&format!("lightship_{name}{{{label}=\"{of}\"}}")).copied().unwrap_or(0.0)
    }

    /// The value of a metric of a destination, or of one signal of it (`NAME.SIGNAL`); 0 where there is none.
    pub(crate) fn of_destination(&self, name: &str, destination: &str) -> f64 {
        let labels = match destination.split_once('.') {
            Some((destination, signal)) => format!("destination=\"{destination}\",signal=\"{signal}\""),
            None => format!("destination=\"{destination}\""),
        };
        self.0.get(&format!("lightship_{name}{{{labels}}}")).copied().unwrap_or(0.0)
    }

    /// Destinations, and `NAME.SIGNAL` of those whose signals go apart.
    fn destinations(&self) -> impl Iterator<Item = String> {
        let begin = "lightship_queue_records{destination=\"";
        let labels = self.0.keys().filter_map(move |name| name.strip_prefix(begin)?.strip_suffix("\"}"));
        labels.map(|labels| labels.replace("\",signal=\"", "."))
    }
}

/// What changed per second between two samples.
pub(crate) fn per_second(before: f64, now: f64) -> f64 {
    ((now - before) / WATCH.as_secs_f64()).max(0.0)
}

/// Waits as long as rates are watched.
pub(crate) fn watch() {
    std::thread::sleep(WATCH);
}

/// `lightship top`
pub(crate) fn top(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let redraw = std::io::stdout().is_terminal() && !arguments.once;
    let mut before = Samples::ask(config)?;
    loop {
        watch();
        let now = Samples::ask(config)?;
        let mut out = String::from(if redraw { "\u{1b}[H\u{1b}[2J" } else { "" });
        out.push_str(&if arguments.all { everything(&before, &now) } else { flow(&before, &now) });
        if !print_on(&out)? || arguments.once {
            return Ok(());
        }
        before = now;
    }
}

/// In, kept and waiting by signal; queued and sent by destination.
fn flow(before: &Samples, now: &Samples) -> String {
    let mut out = format!(
        "{:<10} {:>10} {:>10} {:>12} {:>12} {:>11}\n",
        "PER SECOND", "IN", "KEPT", "SAMPLED OUT", "LEFT OUT", "UNDECIDED"
    );
    for signal in ["traces", "logs", "metrics"] {
        let rate = |name: &str| {
            let [before, now] = [before, now].map(|samples| samples.of(name, "signal", signal));
            per_second(before, now)
        };
        out.push_str(&format!(
            "{signal:<10} {:>10.1} {:>10.1} {:>12.1} {:>12.1} {:>11.0}\n",
            rate("received_records_total"),
            rate("routed_records_total"),
            rate("sampled_out_records_total"),
            rate("filtered_records_total"),
            now.of("pending_records", "signal", signal)
        ));
    }
    out.push_str(&format!(
        "\n{:<16} {:<6} {:>14} {:>12} {:>10} {:>12}\n",
        "DESTINATION", "UP", "QUEUED", "BYTES", "OLDEST", "SENT/s"
    ));
    for name in now.destinations() {
        let is = |what: &str| now.of_destination(what, &name);
        let sent = per_second(before.of_destination("delivered_bytes_total", &name), is("delivered_bytes_total"));
        out.push_str(&format!(
            "{name:<16} {:<6} {:>14.0} {:>12} {:>10} {:>12}\n",
            if is("destination_up") > 0.0 { "yes" } else { "NO" },
            is("queue_records"),
            query::time::size(is("queue_bytes") as u64),
            query::time::length((is("queue_oldest_age_seconds") * 1e9) as u64),
            query::time::size(sent as u64),
        ));
    }
    out
}

/// Everything that is not 0: what it is now, and what counters do per second.
fn everything(before: &Samples, now: &Samples) -> String {
    let mut out = format!("{:<58} {:>14} {:>12}\n", "NAME", "VALUE", "PER SECOND");
    for (name, value) in now.0.iter().filter(|(_, value)| **value != 0.0) {
        let shown = name.trim_start_matches("lightship_");
        let rate = match shown.split('{').next().is_some_and(|family| family.ends_with("_total")) {
            true => format!("{:.1}", per_second(before.0.get(name).copied().unwrap_or(0.0), *value)),
            false => String::new(),
        };
        out.push_str(&format!("{shown:<58} {value:>14} {rate:>12}\n"));
    }
    out
}
