//! `check`, and with `--outage` the disk that an outage needs.

use std::time::Duration;

use config::{Config, Span};
use disk::RealDisk;
use drain::Rates;
use journal::reader::Reader;
use model::Lane;

use crate::arguments::Arguments;
use crate::{Failure, print, status};

/// The least time that rates are taken from.
const LEAST: Duration = Duration::from_secs(60);

/// `lightship check`
pub(crate) fn check(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let report = edge::check(config).map_err(|error| Failure::usage(error.to_string()))?;
    print(&report)?;
    if arguments.connect {
        let (report, good) = edge::connect(config).map_err(|error| Failure::usage(error.to_string()))?;
        print(&report)?;
        if !good {
            return Err(Failure::unwell("a destination does not take what would come"));
        }
    } else {
        print("not tried: whether the destinations answer (--connect)\n")?;
    }
    let Some(wanted) = &arguments.outage else { return Ok(()) };
    let wanted: Span = wanted.parse().map_err(|error| Failure::usage(format!("--outage: {error}")))?;
    let rates = running(config).or_else(|| held(config)).filter(|rates| rates.measured >= LEAST).ok_or_else(|| {
        Failure::unwell(format!(
            "nothing is measured yet: let the agent run for {} s under its usual load, or give it back a data directory \
             with a backlog",
            LEAST.as_secs()
        ))
    })?;
    let (text, fits) = drain::outage(config, &rates, wanted.0);
    print(&text)?;
    match fits {
        true => Ok(()),
        false => Err(Failure::unwell("journal.budget is too small for this outage")),
    }
}

/// What the running agent measured since it started.
fn running(config: &Config) -> Option<Rates> {
    let status = status::get(config, "/status").ok()?;
    let number = |text: &str, key: &str| -> Option<f64> {
        let rest = text.split_once(&format!("\"{key}\":"))?.1;
        rest.split([',', '}']).next()?.parse().ok()
    };
    let seconds = number(&status, "uptime_s")?;
    let lanes = status.split_once("\"lanes\":{")?.1.split_once('}')?.0;
    let bytes = Lane::ALL.map(|lane| number(lanes, lane.name()).map_or(0, |bytes| bytes as u64));
    Some(Rates::new(bytes, (seconds * 1e9) as u64))
}

/// What a backlog on disk tells of the time that it spans.
fn held(config: &Config) -> Option<Rates> {
    let reader = Reader::open(RealDisk::read_only(&config.data_dir)).ok()?;
    let (mut bytes, mut from, mut to) = ([0; Lane::ALL.len()], u64::MAX, 0);
    for lane in Lane::ALL {
        for segment in reader.segments(lane).ok()?.iter().filter(|segment| segment.start_ns > 0 && segment.indexed) {
            bytes[usize::from(lane.number())] += segment.bytes;
            (from, to) = (from.min(segment.start_ns), to.max(segment.end_ns));
        }
    }
    (to > from).then(|| Rates::new(bytes, to - from))
}
