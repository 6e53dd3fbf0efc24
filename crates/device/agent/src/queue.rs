//! `queue`: what waits for each destination, and orders about it.

use std::ops::ControlFlow;

use config::Config;
use disk::RealDisk;
use journal::reader::{Filter, Reader};
use model::{Lane, Signal};
use query::time;

use crate::arguments::Arguments;
use crate::dead::dead;
use crate::status::get;
use crate::top::{Samples, per_second, watch};
use crate::{Failure, print, socket};

/// `lightship queue`
pub(crate) fn queue(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["ls"] if arguments.json => {
            let status = get(config, "/status")?;
            let destinations = status.rsplit_once("\"destinations\":").map_or("[]}", |(_, rest)| rest.trim_end());
            print(&format!("{}\n", destinations.strip_suffix('}').unwrap_or(destinations)))
        }
        [] | ["ls"] => lines(config),
        ["show", name] => show(config, name),
        ["dead", words @ ..] => dead(config, words, arguments),
        [what @ ("pause" | "resume" | "drop"), name, lane @ ..] if lane.len() <= usize::from(*what == "drop") => {
            let lane = lane.first().map_or(String::new(), |lane| format!("?lane={lane}"));
            print(&socket::order(&config.data_dir, &format!("/queue/{what}/{name}{lane}"))?)
        }
        _ => Err(Failure::usage(
            "which? lightship queue ls | show NAME | pause NAME | resume NAME | drop NAME [LANE] | dead ls",
        )),
    }
}

/// One destination, or one signal of it: its line, what waits in each lane, and when that will be gone.
fn show(config: &Config, name: &str) -> Result<(), Failure> {
    let status = get(config, "/status?format=text")?;
    let ways: Vec<(&str, &str)> = status
        .lines()
        .filter_map(|line| Some((line.strip_prefix("destination ")?.split_whitespace().next()?, line)))
        .filter(|(way, _)| *way == name || way.split_once('.').is_some_and(|(destination, _)| destination == name))
        .collect();
    if ways.is_empty() {
        return Err(unknown());
    }
    let before = Samples::ask(config)?;
    watch();
    let now = Samples::ask(config)?;
    for (way, line) in ways {
        let [before, sent] = [&before, &now].map(|samples| samples.of_destination("delivered_bytes_total", way));
        let rate = per_second(before, sent);
        let queued = now.of_destination("queue_bytes", way);
        let ends = match (queued > 0.0, rate > 0.0) {
            (false, _) => "nothing waits\n".to_owned(),
            (true, false) => "nothing goes out at this moment\n".to_owned(),
            (true, true) => format!(
                "{} go out per second: empty in about {}\n",
                time::size(rate as u64),
                time::length((queued / rate * 1e9) as u64)
            ),
        };
        print(&format!("{line}\n{}{ends}", by_lane(config, way)?))?;
    }
    Ok(())
}

fn unknown() -> Failure {
    Failure::usage("no destination has this name; see lightship queue ls")
}

/// What waits in each lane, as it lies on disk.
fn by_lane(config: &Config, name: &str) -> Result<String, Failure> {
    let failed = |error: journal::JournalError| Failure::unwell(error.to_string());
    let reader = Reader::open(RealDisk::read_only(&config.data_dir)).map_err(failed)?;
    let confirmed = reader.confirmed().map_err(failed)?;
    let confirmed = confirmed.iter().find(|(one, _)| one == name).map_or([0; Lane::ALL.len()], |(_, lanes)| *lanes);
    let signal = name.split_once('.').map(|(_, signal)| signal);
    let signal = Signal::ALL.into_iter().find(|one| Some(one.name()) == signal);
    let mut rows = [(0_u64, 0_u64, 0_u64); Lane::ALL.len()];
    let walked = reader.blocks(&Filter::default(), |block| {
        let lane = usize::from(block.lane.number());
        let is_taken = signal.zip(block.signals).is_none_or(|(signal, signals)| signals.contains(signal));
        if let (Some(row), Some(confirmed)) = (rows.get_mut(lane), confirmed.get(lane))
            && block.last > *confirmed
            && is_taken
        {
            row.0 += u64::from(block.records);
            row.1 += block.bytes.len() as u64;
            row.2 = if row.2 == 0 { block.start_ns } else { row.2.min(block.start_ns) };
        }
        ControlFlow::Continue(())
    });
    walked.map_err(failed)?;
    let mut out = format!("{:<10} {:>12} {:>12}  {}\n", "LANE", "RECORDS", "BYTES", "OLDEST");
    for (lane, (records, bytes, oldest)) in Lane::ALL.into_iter().zip(rows).filter(|(_, (records, ..))| *records > 0) {
        let oldest = if oldest == 0 { "not known".to_owned() } else { time::rfc3339(oldest, 0) };
        out.push_str(&format!("{lane:<10} {records:>12} {:>12}  {oldest}\n", time::size(bytes)));
    }
    Ok(out)
}

fn lines(config: &Config) -> Result<(), Failure> {
    let status = get(config, "/status?format=text")?;
    let found: String =
        status.lines().filter(|line| line.starts_with("destination ")).map(|line| format!("{line}\n")).collect();
    match found.is_empty() {
        true => Err(unknown()),
        false => print(&found),
    }
}
