//! A scrape, and what a Prometheus would get of it by remote write.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use model::Signal;
use model::otlp::inspect;
use model::proto::{Reader, Value};
use prometheus::{Message, Options, Translator};
use scrape::{Job, Protocol, Scrape, ScrapeError, Scraped, Target, TargetState};

/// When scrapes are, Unix milliseconds.
pub(crate) const NOW: i64 = 1_700_000_000_000;

/// The value of a sample that ends its series.
pub(crate) const STALE: u64 = 0x7ff0_0000_0000_0002;

pub(crate) fn target(job: &Job) -> Target {
    Target::new(job, [("__address__", "pump.local:9100"), ("site", "hull")]).unwrap().unwrap()
}

/// A whole scrape, its body in portions of so many bytes.
pub(crate) fn scrape_in(
    job: &Job,
    state: &mut TargetState,
    (protocol, body): (Protocol, &[u8]),
    (millis, portion): (i64, usize),
) -> Result<Scraped, ScrapeError> {
    let target = target(job);
    let mut scrape = Scrape::new(job, &target, state, protocol, millis as u64 * 1_000_000);
    for bytes in body.chunks(portion) {
        scrape.push(bytes)?;
    }
    Ok(scrape.finish(Duration::from_millis(5))?.settle(state))
}

pub(crate) fn scrape(
    job: &Job,
    state: &mut TargetState,
    protocol: Protocol,
    body: &str,
) -> Result<Scraped, ScrapeError> {
    scrape_in(job, state, (protocol, body.as_bytes()), (NOW, 7))
}

/// Series as text, with times and values; those of the scrape itself and `target_info` apart.
pub(crate) type Stored = BTreeMap<String, Vec<(i64, u64)>>;

/// What Prometheus gets of export requests; native histograms as the bytes of their message.
pub(crate) fn stored(requests: &[Vec<u8>]) -> Stored {
    let mut all = Stored::new();
    for request in requests {
        let found = inspect(Signal::Metrics, request).unwrap();
        assert!(found.is_clean(), "the door has nothing to mend: {found:?}");
        let mut translator = Translator::new(Options::default());
        let counts = translator.read(request).unwrap();
        assert_eq!(counts.rejected, 0, "{}", counts.why);
        let mut out = Vec::new();
        translator.write(Message::V1, &mut out).unwrap();
        let mut reader = Reader::new(&out);
        while let Some(field) = reader.next_field().unwrap() {
            if let (1, Value::Bytes(series)) = field {
                let (name, samples) = read_series(series);
                all.entry(name).or_default().extend(samples);
            }
        }
    }
    all
}

/// The same without what the scrape itself adds.
pub(crate) fn own(stored: &Stored) -> Stored {
    let is_own =
        |name: &str| !name.starts_with("up{") && !name.starts_with("scrape_") && !name.starts_with("target_info{");
    stored.iter().filter(|(name, _)| is_own(name)).map(|(name, samples)| (name.clone(), samples.clone())).collect()
}

fn read_series(series: &[u8]) -> (String, Vec<(i64, u64)>) {
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(series);
    while let Some(field) = reader.next_field().unwrap() {
        match field {
            (1, Value::Bytes(pair)) => {
                let text = |number| {
                    String::from_utf8(Reader::new(pair).last_bytes(number).unwrap().unwrap_or_default().to_vec())
                };
                labels.push((text(1).unwrap(), text(2).unwrap()));
            }
            (2, Value::Bytes(sample)) => {
                let (mut bits, mut time) = (0, 0);
                let mut reader = Reader::new(sample);
                while let Some(field) = reader.next_field().unwrap() {
                    match field {
                        (1, Value::Fixed64(found)) => bits = found,
                        (2, Value::Varint(found)) => time = found.cast_signed(),
                        _ => {}
                    }
                }
                samples.push((time, bits));
            }
            (4, Value::Bytes(_)) => samples.push((0, 0)),
            _ => {}
        }
    }
    let name = labels.iter().find(|(name, _)| name == "__name__").map(|(_, name)| name.clone()).unwrap();
    let mut rest: Vec<String> =
        labels.iter().filter(|(name, _)| name != "__name__").map(|(name, value)| format!("{name}={value:?}")).collect();
    rest.sort();
    (format!("{name}{{{}}}", rest.join(",")), samples)
}

/// What Prometheus would store of lines `name{labels} value`, with the labels of the target.
pub(crate) fn expected(lines: &str) -> Stored {
    let mut all = Stored::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}');
        let mut pairs: Vec<String> = labels.split(',').filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
        for (own, value) in [("instance", "pump.local:9100"), ("job", "node"), ("site", "hull")] {
            if !pairs.iter().any(|pair| pair.starts_with(&format!("{own}="))) {
                pairs.push(format!("{own}={value:?}"));
            }
        }
        pairs.retain(|pair| !pair.ends_with("=\"\""));
        pairs.sort();
        let (value, time) = value.split_once('@').unwrap_or((value, ""));
        let bits = match value {
            "stale" => STALE,
            "NaN" => 0x7ff8_0000_0000_0001,
            number => number.parse::<f64>().unwrap().to_bits(),
        };
        let time = if time.is_empty() { NOW } else { time.parse().unwrap() };
        all.entry(format!("{name}{{{}}}", pairs.join(","))).or_default().push((time, bits));
    }
    all
}
