//! `query`, `trace`, `tail`, `gaps`: what this device holds, with no network. The journal's files are read as they are,
//! whether the agent runs or not; a running agent adds its recorder.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use disk::RealDisk;
use filter::{Engine, Field, Output, Query, Range};
use journal::reader::Reader;
use query::output::{self, Format, Style};
use query::{Found, Hint, Scan, Scanned, TailPosition, time};

use crate::arguments::Arguments;
use crate::{Failure, print, print_on, socket};

/// How often `tail` looks again.
const PAUSE: Duration = Duration::from_millis(500);

/// Records that are looked at to say what there is, when nothing passed.
const HINT_RECORDS: u64 = 50_000;

/// Where the data lies, and whose it is.
pub(crate) struct Place {
    pub(crate) data_dir: PathBuf,
    pub(crate) device: String,
    /// The longest that a trace waits for its decision, as far as the configuration is known.
    pub(crate) wait: Option<Duration>,
}

/// From `--data-dir`, or from the configuration.
pub(crate) fn place(arguments: &Arguments) -> Result<Place, Failure> {
    match &arguments.data_dir {
        Some(data_dir) => Ok(Place { data_dir: data_dir.clone(), device: String::new(), wait: None }),
        None => {
            let config = crate::load(arguments)?;
            let wait = Some(config.sampling.longest_wait());
            Ok(Place { data_dir: config.data_dir, device: config.device.id, wait })
        }
    }
}

pub(crate) fn reader(place: &Place) -> Result<Reader<RealDisk>, Failure> {
    Reader::open(RealDisk::read_only(&place.data_dir))
        .map_err(|error| Failure::usage(format!("{}: {error}", place.data_dir.display())))
}

/// Colours only where a person looks.
pub(crate) fn style(arguments: &Arguments) -> Result<Style, Failure> {
    let format = match &arguments.output {
        Some(name) => name.to_string_lossy().parse::<Format>().map_err(|error| Failure::usage(error.to_string()))?,
        None if arguments.json => Format::Json,
        None => Format::Table,
    };
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Ok(Style { format, colour: std::io::stdout().is_terminal() && !plain })
}

/// The words of the command line as one query, with `--since` and `--until` as its time range.
pub(crate) fn parse(arguments: &Arguments, now_ns: u64) -> Result<Query, Failure> {
    let text = arguments.words.join(" ");
    let mut query = filter::parse(&text, now_ns).map_err(|error| Failure::usage(error.pointed().to_string()))?;
    let range = range(arguments, now_ns)?;
    if (range.since_ns.is_some() && query.range.since_ns.is_some())
        || (range.until_ns.is_some() && query.range.until_ns.is_some())
    {
        return Err(Failure::usage("the filter gives a time, and --since or --until gives it again: leave one out"));
    }
    query.range.since_ns = query.range.since_ns.or(range.since_ns);
    query.range.until_ns = query.range.until_ns.or(range.until_ns);
    not_empty(query.range)?;
    Ok(query)
}

/// The words of the command line and its time range, as one text for the agent.
pub(crate) fn query_text(arguments: &Arguments, now_ns: u64) -> Result<String, Failure> {
    let mut text = arguments.words.join(" ");
    let range = range(arguments, now_ns)?;
    for (name, bound) in [("since", range.since_ns), ("until", range.until_ns)] {
        if let Some(ns) = bound {
            text.push_str(&format!(" {name}={}", time::rfc3339(ns, 9)));
        }
    }
    Ok(text)
}

/// The time range of `--since` and `--until`.
pub(crate) fn range(arguments: &Arguments, now_ns: u64) -> Result<Range, Failure> {
    let moment = |name: &str, value: &Option<String>| match value {
        None => Ok(None),
        Some(text) => filter::moment(text, now_ns)
            .map(Some)
            .ok_or_else(|| Failure::usage(format!("--{name}: '{text}' is not a time; write {}", filter::MOMENTS))),
    };
    let range = Range { since_ns: moment("since", &arguments.since)?, until_ns: moment("until", &arguments.until)? };
    not_empty(range)?;
    Ok(range)
}

fn not_empty(range: Range) -> Result<(), Failure> {
    match (range.since_ns, range.until_ns) {
        (Some(since), Some(until)) if since >= until => Err(Failure::usage(format!(
            "the time range is empty: it begins {} and ends {}",
            time::rfc3339(since, 3),
            time::rfc3339(until, 3)
        ))),
        _ => Ok(()),
    }
}

/// Goes once through everything that the device holds: the running agent's recorder, the recorder's files, the lanes.
pub(crate) fn scan(
    place: &Place,
    query: &Query,
    position: TailPosition,
    enough: u64,
    each: impl FnMut(Found),
) -> Result<(Scanned, TailPosition), Failure> {
    let failed = |error: query::ScanError| Failure::unwell(error.to_string());
    let from = position.entry;
    let mut scan = Scan::from(query, position, each).at_most(enough);
    // No agent, no recorder: the journal is there all the same.
    if let Ok(mut body) = socket::on_socket(&place.data_dir, "GET", &format!("/recorder?from={from}")) {
        scan.recorder(&place.device, &mut body).map_err(failed)?;
    }
    let reader = reader(place)?;
    scan.files(&place.device, &reader).map_err(failed)?;
    scan.journal(&place.device, &reader).map_err(failed)?;
    Ok(scan.finish())
}

/// `lightship query`
pub(crate) fn query(arguments: &Arguments) -> Result<(), Failure> {
    let (place, style) = (place(arguments)?, style(arguments)?);
    let query = parse(arguments, edge::Clock::start().wall_ns())?;
    let (mut engine, mut hint) = (Engine::new(&query), Hint::new(&query));
    let (scanned, _) = scan(&place, &query, TailPosition::default(), u64::MAX, |found| {
        if hint.misses() {
            hint.look(&found);
        }
        engine.push(found);
    })?;
    let mut answer = engine.finish();
    if let (Output::Records { records, .. }, Format::Json | Format::Ndjson) = (&mut answer, style.format) {
        query::settle(records, &query, &reader(&place)?).map_err(|error| Failure::unwell(error.to_string()))?;
    }
    let mut out = String::new();
    output::answer(&mut out, &answer, style);
    print(&out)?;
    let said = if scanned.passed == 0 { of_nothing(&place, &query)? } else { hint.of_fields() };
    let _written = std::io::stderr().write_all(said.as_bytes());
    if arguments.explain {
        explain(&query, &scanned);
    }
    Ok(())
}

/// What there is of the query's time range, for someone whose filter left nothing.
fn of_nothing(place: &Place, query: &Query) -> Result<String, Failure> {
    let mut hint = Hint::new(query);
    let all = Query { filter: filter::Filter::And(Vec::new()), range: query.range, pipes: Vec::new() };
    scan(place, &all, TailPosition::default(), HINT_RECORDS, |found| hint.look(&found))?;
    Ok(hint.of_nothing())
}

/// On standard error, so that the answer stays what a script reads.
pub(crate) fn explain(query: &Query, scanned: &Scanned) {
    let mut out = format!("understood: {query}\n");
    let bound = |bound: Option<u64>| bound.map_or("open".to_owned(), |ns| time::rfc3339(ns, 3));
    out.push_str(&format!("time range: {} to {}\n", bound(query.range.since_ns), bound(query.range.until_ns)));
    let files = scanned.files;
    match (scanned.entries, files.oldest) {
        (0, 0) => out.push_str("recorder:   nothing (no agent runs here, or it holds nothing)\n"),
        (0, _) => {}
        (entries, _) => out.push_str(&format!(
            "recorder:   {entries} requests in memory, {}, everything since {}\n",
            time::size(scanned.entry_bytes),
            time::rfc3339(scanned.recorder_from_ns, 3)
        )),
    }
    if files.oldest > 0 {
        out.push_str(&format!(
            "recorder:   {} requests in files, {} read of {} held; the oldest came {}\n",
            files.requests,
            time::size(files.bytes_read),
            time::size(files.bytes_held),
            time::rfc3339(files.oldest_ns, 3)
        ));
    }
    out.push_str(&format!(
        "journal:    {} blocks, {} read of {} held\n",
        scanned.blocks,
        time::size(scanned.bytes_read),
        time::size(scanned.bytes_held)
    ));
    out.push_str(&format!(
        "records:    {} looked at, {} passed: {} from the recorder, {} from lanes alone\n",
        scanned.records,
        scanned.passed,
        scanned.from_recorder,
        scanned.passed - scanned.from_recorder
    ));
    if let Some(bytes) = high_water() {
        out.push_str(&format!("memory:     {} at most\n", time::size(bytes)));
    }
    if scanned.damaged > 0 {
        out.push_str(&format!(
            "damaged:    {} blocks, frames or entries of the recorder; see `lightship journal verify`\n",
            scanned.damaged
        ));
    }
    for gap in &scanned.gaps {
        out.push_str(&format!("incomplete: {}\n", gap_line(gap)));
    }
    let _written = std::io::stderr().write_all(out.as_bytes());
}

/// The most memory that this process ever had, bytes; `None` where the system does not tell.
fn high_water() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn gap_line(gap: &wire::Gap) -> String {
    let span = match (gap.start_ns, gap.end_ns) {
        (0, 0) => "at a time that is not known".to_owned(),
        (start, end) => format!("{} to {}", time::rfc3339(start, 3), time::rfc3339(end, 3)),
    };
    format!("{} {} records {span}: {} (sequences {}-{})", gap.lane, gap.records, gap.reason.name(), gap.first, gap.last)
}

/// `lightship gaps`
pub(crate) fn gaps(arguments: &Arguments) -> Result<(), Failure> {
    let (place, style) = (place(arguments)?, style(arguments)?);
    let mut query = parse(arguments, edge::Clock::start().wall_ns())?;
    // Gap records are collected on the way; no other record is wanted.
    query.filter = filter::Filter::Or(Vec::new());
    let (scanned, _) = scan(&place, &query, TailPosition::default(), u64::MAX, |_| {})?;
    let mut out = String::new();
    let table = style.format == Format::Table;
    let unread = scanned.files.damaged;
    for gap in &scanned.gaps {
        match table {
            true => out.push_str(&gap_line(gap)),
            false => out.push_str(&format!(
                "{{\"lane\":\"{}\",\"first\":{},\"last\":{},\"reason\":\"{}\",\"records\":{},\"start_ns\":\"{}\",\"end_ns\":\"{}\"}}",
                gap.lane, gap.first, gap.last, gap.reason.name(), gap.records, gap.start_ns, gap.end_ns
            )),
        }
        out.push('\n');
    }
    match (unread, table) {
        (0, _) => {}
        (_, true) => out.push_str(&format!("recorder: {unread} entries of its files cannot be read\n")),
        (_, false) => out.push_str(&format!("{{\"lane\":\"recorder\",\"damaged\":{unread}}}\n")),
    }
    if table && scanned.gaps.is_empty() {
        out.push_str("no gaps in what the journal holds\n");
    }
    print(&out)
}

/// `lightship tail [FILTER]`: until it is stopped, or its reader goes away.
pub(crate) fn tail(arguments: &Arguments) -> Result<(), Failure> {
    let (place, mut style) = (place(arguments)?, style(arguments)?);
    if style.format == Format::Json {
        style.format = Format::Ndjson;
    }
    let mut query = parse(arguments, edge::Clock::start().wall_ns())?;
    if let Some(pipe) = query.pipes.iter().find(|pipe| !matches!(pipe, filter::Pipe::Fields(_))) {
        return Err(Failure::usage(format!(
            "tail shows records as they come, so `| {pipe}` has no place in it; use query"
        )));
    }
    let fields: Vec<Field> = match query.pipes.pop() {
        Some(filter::Pipe::Fields(fields)) => fields,
        _ => Vec::new(),
    };
    query.range.since_ns.get_or_insert(edge::Clock::start().wall_ns());
    let mut position = TailPosition::default();
    loop {
        let mut found = Vec::new();
        (_, position) = scan(&place, &query, position, u64::MAX, |record| found.push(record))?;
        found.sort_by_key(filter::Record::time_ns);
        let mut out = String::new();
        found.iter().for_each(|record| output::line(&mut out, record, &fields, style));
        if !print_on(&out)? {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}
