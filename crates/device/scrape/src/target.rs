//! One target of a job: its labels after relabelling, and where it is asked.

use std::fmt::Write;
use std::time::Duration;

use crate::job::Job;
use crate::labels::Labels;
use crate::relabel::RelabelScratch;
use crate::writer::{INSTANCE, JOB};

const ADDRESS: &str = "__address__";
const SCHEME: &str = "__scheme__";
const PATH: &str = "__metrics_path__";
const INTERVAL: &str = "__scrape_interval__";
const TIMEOUT: &str = "__scrape_timeout__";
const PARAM: &str = "__param_";
/// The shortest interval between two scrapes.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// A target.
#[derive(Debug, Clone)]
pub struct Target {
    /// Labels of each of its series, `job` and `instance` among them.
    pub labels: Vec<(String, String)>,
    /// `http` or `https`.
    pub scheme: String,
    /// Host and port, as configured.
    pub address: String,
    /// Path and query.
    pub path: String,
    /// How often it is scraped.
    pub interval: Duration,
    /// How long that may take.
    pub timeout: Duration,
}

impl Target {
    /// A target of these labels, `__address__` among them, as it was discovered; `None` where a rule drops it.
    ///
    /// # Errors
    /// What is wrong with what rules left.
    pub fn new<'a>(
        job: &Job,
        discovered: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Self>, String> {
        let mut labels = Labels::default();
        discovered.into_iter().for_each(|(name, value)| labels.set(name, value));
        let defaults = [
            (JOB, job.name.clone()),
            (INTERVAL, duration_text(job.interval)),
            (TIMEOUT, duration_text(job.timeout)),
            (PATH, job.metrics_path.clone()),
            (SCHEME, job.scheme.clone()),
        ];
        for (name, value) in &defaults {
            if labels.get(name).is_none() {
                labels.set(name, value);
            }
        }
        for (name, values) in &job.params {
            let name = format!("{PARAM}{name}");
            if let (None, Some(value)) = (labels.get(&name), values.first()) {
                labels.set(&name, value);
            }
        }
        if !job.relabel.apply(&mut labels, &mut RelabelScratch::default()) {
            return Ok(None);
        }
        let address = labels.get(ADDRESS).unwrap_or_default().to_owned();
        if address.is_empty() {
            return Err("no address".into());
        }
        if address.contains(['/', '@', ' ']) {
            return Err(format!("'{address}' is not a valid hostname"));
        }
        let scheme = labels.get(SCHEME).unwrap_or_default().to_owned();
        if !matches!(scheme.as_str(), "http" | "https") {
            return Err(format!("{address}: the scheme is '{scheme}', and must be http or https"));
        }
        let span = |name| {
            let text = labels.get(name).unwrap_or_default();
            parse_duration(text).ok_or_else(|| format!("{address}: {name} '{text}' is no duration"))
        };
        let (interval, timeout) = (span(INTERVAL)?, span(TIMEOUT)?);
        if interval < MIN_INTERVAL || timeout.is_zero() {
            return Err(format!("{address}: the scrape interval must be 100ms or more, and the timeout above 0"));
        }
        if timeout > interval {
            return Err(format!("{address}: the scrape timeout is greater than the interval"));
        }
        let path = path_of(job, &labels);
        if labels.get(INSTANCE).is_none() {
            labels.set(INSTANCE, &address);
        }
        labels.sort();
        let shown = labels.iter().filter(|(name, _)| !name.starts_with("__"));
        let labels = shown.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Some(Self { labels, scheme, address, path, interval, timeout }))
    }

    /// The value of one of its labels.
    pub fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(other, _)| other == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// Where it is asked, as a person writes it.
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.address, self.path)
    }

    /// Host and port, the scheme's own where none is named.
    pub fn host_port(&self) -> (&str, u16) {
        let usual = if self.scheme == "https" { 443 } else { 80 };
        let (host, port) = match self.address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') && (host.starts_with('[') || !host.contains(':')) => {
                (host, port.parse().unwrap_or(usual))
            }
            _ => (self.address.as_str(), usual),
        };
        (host.trim_start_matches('[').trim_end_matches(']'), port)
    }

    /// A number that is the same for the same target on every run, and spreads targets.
    pub fn spread(&self) -> u64 {
        let mut text = self.url();
        for (name, value) in &self.labels {
            text.extend([name, "=", value, ";"]);
        }
        crate::writer::group_hash(text.as_bytes(), b"")
    }
}

fn path_of(job: &Job, labels: &Labels) -> String {
    let mut path = labels.get(PATH).unwrap_or_default().to_owned();
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    let mut query = String::new();
    let mut add = |name: &str, value: &str| {
        query.push(if query.is_empty() && !path.contains('?') { '?' } else { '&' });
        put_encoded(&mut query, name);
        query.push('=');
        put_encoded(&mut query, value);
    };
    // The first value of each is what rules left of it; a rule may have added others.
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAM) {
            add(name, value);
        }
    }
    for (name, values) in &job.params {
        values.iter().skip(1).for_each(|value| add(name, value));
    }
    path + &query
}

/// Percent-encodes all but unreserved characters (RFC 3986).
fn put_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // Writing into a String cannot fail.
            _ => _ = write!(out, "%{byte:02X}"),
        }
    }
}

/// A duration as Prometheus writes it: `1m30s`.
fn duration_text(duration: Duration) -> String {
    let mut millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".into();
    }
    let mut out = String::new();
    for (unit, length) in UNITS {
        // Weeks and years would be longer to read, and are written where they are all of it.
        let exact = matches!(unit, "y" | "w" | "d");
        if millis >= length && (!exact || millis.is_multiple_of(length)) {
            // Writing into a String cannot fail.
            let _written = write!(out, "{}{unit}", millis / length);
            millis %= length;
        }
    }
    out
}

const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Reads a duration as Prometheus does: whole numbers with units, from the largest to the smallest.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum, mut after) = (text, 0_u64, None);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, behind) = behind.split_at(behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len()));
        let place = UNITS.iter().position(|(name, _)| *name == unit)?;
        if after.is_some_and(|after| place <= after) {
            return None;
        }
        after = Some(place);
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(UNITS[place].1)?)?;
        rest = behind;
    }
    after.map(|_| Duration::from_millis(sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relabel::{Action, Relabel, RuleOptions};

    /// Scenario: a target with labels, parameters, and rules that move its address aside as the black-box exporter has it. Guarantees: URL,
    /// labels and instance as Prometheus makes them; labels that begin with `__` are gone.
    #[test]
    fn a_target_is_relabelled_as_prometheus_does() {
        let mut job = Job::new("probe");
        job.params = vec![("module".into(), vec!["http 2xx".into(), "b".into()])];
        let rule = |source: &str, target: &str, replacement: Option<&str>| RuleOptions {
            source_labels: vec![source.into()],
            target_label: target.into(),
            replacement: replacement.map(str::to_owned),
            ..RuleOptions::default()
        };
        job.relabel = Relabel::new(&[
            rule("__address__", "__param_target", None),
            rule("__param_target", "instance", None),
            rule("", "__address__", Some("127.0.0.1:9115")),
        ])
        .unwrap();
        let found = [("__address__", "https://a.example"), ("env", "prod"), ("__meta_x", "y"), ("empty", "")];
        let target = Target::new(&job, found).unwrap().unwrap();
        assert_eq!(
            target.url(),
            "http://127.0.0.1:9115/metrics?module=http%202xx&target=https%3A%2F%2Fa.example&module=b"
        );
        let labels: Vec<_> = target.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(labels.join(","), "env=prod,instance=https://a.example,job=probe");
        assert_eq!(target.host_port(), ("127.0.0.1", 9115));
        job.relabel = Relabel::new(&[RuleOptions { action: Action::Drop, ..RuleOptions::default() }]).unwrap();
        assert!(Target::new(&job, found).unwrap().is_none());
    }

    /// Scenario: targets that are none. Guarantees: each is refused with words.
    #[test]
    fn bad_targets_are_refused() {
        let job = Job::new("j");
        for (labels, says) in [
            (vec![], "no address"),
            (vec![("__address__", "a/b")], "hostname"),
            (vec![("__address__", "a"), ("__scheme__", "ftp")], "scheme"),
            (vec![("__address__", "a"), ("__scrape_interval__", "x")], "__scrape_interval__"),
            (vec![("__address__", "a"), ("__scrape_interval__", "1s")], "greater"),
            (vec![("__address__", "a"), ("__scrape_timeout__", "0")], "above 0"),
        ] {
            let why = Target::new(&job, labels).unwrap_err();
            assert!(why.contains(says), "{why}");
        }
        let of = |address| Target::new(&job, [("__address__", address)]).unwrap().unwrap();
        assert_eq!(of("[::1]:9").host_port(), ("::1", 9));
        assert_eq!(of("[::1]").host_port(), ("::1", 80));
        assert_eq!(of("gw").host_port(), ("gw", 80));
    }

    /// Scenario: durations in Prometheus' form. Guarantees: written and read as it does.
    #[test]
    fn durations_are_those_of_prometheus() {
        for (text, millis) in
            [("15s", 15_000), ("1m30s", 90_000), ("1h", 3_600_000), ("2d", 172_800_000), ("250ms", 250)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)));
            assert_eq!(duration_text(Duration::from_millis(millis)), text);
        }
        for text in ["", "s", "1", "1s1m", "1.5s", "-1s", "1x", "1s1s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
