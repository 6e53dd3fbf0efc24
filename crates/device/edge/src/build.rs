//! Parts from their configuration.

use std::fmt::Write;
use std::path::Path;

use config::Config;
use model::Lane;
use recorder::FileOptions;
use red::Red;

use crate::access;
use crate::consumers::{Consumer, consumers};
use crate::delivery::{exemplar_holds, request_bytes};
use crate::error::{StartError, start_error};
use crate::outlets::{outlets, proxies};
use crate::storage::StorageOptions;
use pipeline::MAX_QUEUED;
use pipeline::MAX_RECORDING;
use pipeline::Watermarks;

/// How the journal of a configuration works.
pub fn journal_options(config: &Config) -> journal::Options {
    let nanos = |age: config::Span| u64::try_from(age.0.as_nanos()).unwrap_or(u64::MAX);
    let limit =
        |hold: config::MaxHold| journal::QueueLimit { bytes: hold.bytes.0, age_ns: hold.age.map_or(u64::MAX, nanos) };
    let consumer = |one: &Consumer| {
        let destination = &config.destinations[one.destination];
        journal::Consumer {
            name: one.name.clone(),
            // Where signals went together they went under the destination's name.
            formerly: one.signal.map(|_| destination.name.clone()),
            signals: one.takes(),
            lanes: Lane::ALL.map(|lane| destination.takes_lane(lane)),
            queue_limit: destination.max_hold.map(limit),
        }
    };
    journal::Options {
        device: config.device.id.clone(),
        total_bytes: config.journal.budget.0,
        consumers: consumers(config).iter().map(consumer).collect(),
        lane_bytes: config.lanes.budgets.bytes_in_order().map(|bytes| bytes.map_or(u64::MAX, |bytes| bytes.0)),
        lane_ages: config.lanes.budgets.ages_in_order().map(|age| age.map_or(u64::MAX, nanos)),
        history_bytes: config.journal.history.map_or(0, |history| history.0),
        free_space_floor: config.journal.keep_free.0,
        // What is not committed is recorded, or read again.
        cut_uncommitted: recorder_options(config).is_some() || config.sources.have_positions(),
    }
}

/// How the recorder in files of a configuration works; `None` when it is in memory only.
fn recorder_options(config: &Config) -> Option<FileOptions> {
    let bytes = config.recorder.files.map_or(0, |files| files.0);
    // What the sampler remembers, twice: the row is a ring of whole segments.
    let decision_bytes = (2 * config.sampling.memory.0).max(1 << 20);
    (bytes > 0).then_some(FileOptions { bytes, decision_bytes })
}

/// How journal and recorder of a configuration work.
pub fn storage_options(config: &Config) -> StorageOptions {
    StorageOptions { journal: journal_options(config), recorder: recorder_options(config) }
}

/// What the sources may take.
pub(crate) fn settings(config: &Config) -> sources::Settings {
    let Some(otlp) = &config.sources.otlp else { return sources::Settings::default() };
    sources::Settings {
        max_request: usize::try_from(otlp.max_request.0).unwrap_or(usize::MAX),
        in_flight: usize::try_from(otlp.in_flight.0).unwrap_or(usize::MAX),
        connections: usize::from(otlp.connections),
        #[cfg(feature = "source-otlp-http")]
        cors: otlp
            .cors
            .as_ref()
            .map(|cors| sources::Cors { origins: cors.origins.clone(), headers: cors.headers.clone() }),
    }
}

/// Between which backlogs lanes refuse, by the lane's number.
pub(crate) fn watermarks(config: &Config) -> [Option<Watermarks>; Lane::ALL.len()] {
    let (takes, marks) = (lane_bytes(config), config.lanes.watermarks_in_order());
    std::array::from_fn(|lane| marks[lane].map(|marks| Watermarks::of(takes[lane], marks.high.0, marks.low.0)))
}

/// The most bytes that each lane may take, by its number: its own budget, else the journal's.
fn lane_bytes(config: &Config) -> [u64; Lane::ALL.len()] {
    config.lanes.budgets.bytes_in_order().map(|budget| budget.unwrap_or(config.journal.budget).0)
}

/// Lanes whose backlog falls by too much at once for their watermarks to mean what they say.
fn coarse_watermarks(config: &Config) -> String {
    let mut out = String::new();
    for ((lane, marks), bytes) in Lane::ALL.into_iter().zip(config.lanes.watermarks_in_order()).zip(lane_bytes(config))
    {
        let segment = journal::largest_segment(config.journal.budget.0, bytes);
        if marks.is_some() && bytes < 2 * segment {
            // Writing into a String cannot fail.
            let _written = writeln!(
                out,
                "warning: lane {lane} may take {} KiB, less than two segments of {} KiB, and its backlog falls by whole \
                 segments: its watermarks are coarse; raise lanes.budgets.{lane} to {}KiB or more",
                bytes / 1024,
                segment / 1024,
                segment / 512
            );
        }
    }
    out
}

/// The length of a step to which metrics are thinned, nanoseconds; 0 for never.
pub(crate) fn thin_step(config: &Config) -> u64 {
    u64::try_from(config.journal.thin.0.as_nanos()).unwrap_or(u64::MAX)
}

/// What the program takes itself: its code, stacks, connections and the allocator's slack.
const PROGRAM: u64 = 4608 << 10;

/// Refuses parts that add up to more than the program may take (P9).
pub(crate) fn check_memory(config: &Config) -> Result<(), StartError> {
    let Some(limit) = config.memory else { return Ok(()) };
    let parts: u64 = budgets(config).iter().map(|(_, bytes)| bytes).sum();
    if parts + PROGRAM <= limit.0 {
        return Ok(());
    }
    Err(start_error(format!(
        "memory: {} KiB is less than the {} KiB that the parts add up to with the program; `lightship check` lists them \
         when the line is removed; recorder.memory and sampling.memory are the ones to lower",
        limit.0 / 1024,
        (parts + PROGRAM) / 1024
    )))
}

/// How many connections of producers a configuration has memory for. The first ones are part of the program's own share.
pub(crate) fn connections(config: &Config) -> usize {
    const FIRST: u64 = 16;
    /// Buffers and tables of one connection of HTTP/2 that reads a head of the most bytes. A silent one takes 20 KB, one of
    /// HTTP/1.1 12 KB; requests are counted in `in_flight`.
    const EACH: u64 = 40 << 10;
    let wanted = config.sources.otlp.as_ref().map_or(0, |otlp| u64::from(otlp.connections));
    let Some(limit) = config.memory else { return wanted as usize };
    let parts: u64 = budgets(config).iter().map(|(_, bytes)| bytes).sum();
    wanted.min(FIRST + limit.0.saturating_sub(parts + PROGRAM) / EACH) as usize
}

/// The most memory that each configured part takes, by name, bytes (P9).
fn budgets(config: &Config) -> Vec<(&'static str, u64)> {
    #[cfg(feature = "source-files")]
    let files = {
        let all: Vec<_> = config.sources.files.iter().filter_map(|one| crate::files::settings(one).ok()).collect();
        sources::files::FileSettings::budget(all.iter())
    };
    #[cfg(not(feature = "source-files"))]
    let files = 0;
    #[cfg(feature = "source-exec")]
    let exec =
        crate::programs::settings(config).map_or(0, |all| all.iter().map(sources::exec::ExecSettings::budget).sum());
    #[cfg(not(feature = "source-exec"))]
    let exec = 0;
    #[cfg(feature = "source-stdin")]
    let stdin = crate::standard_input::settings(config).ok().flatten().map_or(0, |one| one.budget());
    #[cfg(not(feature = "source-stdin"))]
    let stdin = 0;
    #[cfg(feature = "source-statsd")]
    let statsd = crate::statsd::settings(config).map_or(0, |one| one.budget());
    #[cfg(not(feature = "source-statsd"))]
    let statsd = 0;
    #[cfg(feature = "system-logs")]
    let system_logs = crate::system_logs::budgets(config);
    #[cfg(not(feature = "system-logs"))]
    let system_logs = [];
    let mut all = vec![
        ("sources.files", files),
        ("sources.exec", exec),
        ("sources.stdin", stdin),
        ("sources.otlp.in_flight", config.sources.otlp.as_ref().map_or(0, |otlp| otlp.in_flight.0)),
        ("recorder.memory", config.recorder.memory.0),
        ("requests on their way to recorder.files", config.recorder.files.map_or(0, |_| MAX_RECORDING as u64)),
        ("sampling.memory", config.sampling.memory.0),
        ("limits", crate::limiting::budget(config)),
        ("drift", if config.drift.enabled { drift::Drift::BYTES } else { 0 }),
        ("red.max_series", if config.red.enabled { Red::budget(&crate::policies::red(config)) } else { 0 }),
        ("sources.prometheus.memory", config.sources.prometheus.as_ref().map_or(0, |source| source.memory.0)),
        ("sources.statsd", statsd),
        ("sources.remote_write", crate::remote_writing::budget(config)),
        ("queue to the journal", MAX_QUEUED as u64),
        ("exemplars that wait for points", exemplar_bytes(config)),
        ("requests to destinations", consumers(config).iter().map(|one| 2 * request_bytes(one) as u64).sum()),
    ];
    all.retain(|(name, bytes)| *bytes > 0 || !["sources.remote_write", "sources.statsd"].contains(name));
    // What is not configured is no row.
    all.splice(3..3, system_logs.into_iter().filter(|(_, bytes)| *bytes > 0));
    all
}

/// What waits in memory for points on their way to destinations that take signals one by one.
fn exemplar_bytes(config: &Config) -> u64 {
    // Each hold is of two consumers: who puts exemplars there, and who takes them.
    let ends = exemplar_holds(config, &consumers(config)).into_iter().flatten().count();
    (ends / 2 * drain::EXEMPLAR_BYTES) as u64
}

/// Checks what a configuration needs of this machine, without starting or changing anything: the data directory can be written,
/// certificates and tokens can be read, and the memory of all parts together.
///
/// # Errors
/// [`StartError`] with the first thing that is missing.
pub fn check(config: &Config) -> Result<String, StartError> {
    outlets(config)?;
    let _sampler = crate::policies::sampler(config)?;
    #[cfg(feature = "source-prometheus")]
    if let Some(source) = &config.sources.prometheus {
        let _jobs = crate::scraping::jobs(source)?;
    }
    crate::policies::lanes(config)?;
    let guard = crate::guarding::guard(config)?;
    crate::limiting::limits(config)?;
    access::access(config)?;
    check_memory(config)?;
    let directory = &config.data_dir;
    let fail = |error: std::io::Error| start_error(format!("data_dir {}: {error}", directory.display()));
    let made = may_write(directory).map_err(fail)?;
    let mut report = String::from("memory at most:\n");
    let budgets = budgets(config);
    for (name, bytes) in &budgets {
        // Writing into a String cannot fail.
        let _written = writeln!(report, "  {:>8} KiB  {name}", bytes / 1024);
    }
    let total: u64 = budgets.iter().map(|(_, bytes)| bytes).sum();
    let _written =
        writeln!(report, "  {:>8} KiB  together, on top of about {} KiB for the program", total / 1024, PROGRAM >> 10);
    let _written = writeln!(report, "disk at most: {} KiB in {}", config.journal.budget.0 / 1024, directory.display());
    let rules: Vec<&str> = guard.counts().map(|(rule, _)| rule).collect();
    let rules = if rules.is_empty() { "nothing".to_owned() } else { rules.join(", ") };
    let _written = writeln!(report, "masked: {rules}");
    for line in proxies(config)? {
        let _written = writeln!(report, "{line}");
    }
    report.push_str(&coarse_watermarks(config));
    if !made {
        let _written = writeln!(report, "{} is not there yet: the agent makes it", directory.display());
    }
    report.push_str("the configuration is good\n");
    Ok(report)
}

/// Whether a directory is there. Nothing is made: of one that is not, the nearest one above it is looked at.
///
/// # Errors
/// When this user may not write there.
pub(crate) fn may_write(directory: &Path) -> std::io::Result<bool> {
    use rustix::fs::{Access, access};
    for (above, directory) in directory.ancestors().enumerate() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        match std::fs::metadata(directory) {
            Ok(found) if found.is_dir() => {
                access(directory, Access::WRITE_OK | Access::EXEC_OK)?;
                return Ok(above == 0);
            }
            Ok(_) => return Err(std::io::Error::other("it is not a directory")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: configurations from no limit to the least that starts. Guarantees: each connection beyond the program's own
    /// share has its 40 KiB, and where nothing is left there are still some (P9).
    #[test]
    fn i14_connections_are_charged_what_they_can_hold() {
        let with = |line: &str| {
            let text = format!(
                "version: 0\n{line}device: {{ id: d }}\ndata_dir: /d\nsources: {{ otlp: {{ grpc: 'localhost:1' }} }}\n\
                 destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
            );
            let config = config::parse(&text).unwrap();
            (connections(&config), check_memory(&config).is_ok(), budgets(&config).iter().map(|(_, bytes)| bytes).sum())
        };
        let (all, fits, parts): (usize, bool, u64) = with("");
        assert!((all, fits) == (256, true));
        let least = (parts + PROGRAM) >> 10;
        assert!(least <= 12 << 10, "the defaults do not fit into 12 MiB: {least} KiB");
        let within = |kib: u64| with(&format!("memory: {kib}KiB\n"));
        assert_eq!(within(least), (16, true, parts));
        assert_eq!(within(least + 39).0, 16);
        assert_eq!(within(least + 10 * 40).0, 26);
        assert!(!within(least - 1).1);
        // What is on its way to the recorder's files is a part, too.
        let (_, _, with_files): (usize, bool, u64) = with("recorder: { files: 64MiB }\n");
        assert_eq!(with_files, parts + (512 << 10));
    }

    /// Scenario: lanes of some sizes with watermarks, written and by themselves, in journals of some sizes. Guarantees: the check
    /// warns where a lane cannot hold two of its segments, and only there.
    #[test]
    fn coarse_watermarks_are_told() {
        let warned = |budget: &str, lanes: &str| {
            let text = format!(
                "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\njournal: {{ budget: {budget} }}\nlanes: {{ {lanes} }}\n\
                 destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
            );
            coarse_watermarks(&config::parse(&text).unwrap())
        };
        let marks = "watermarks: { logs: { high: 90%, low: 70% } }";
        assert_eq!(warned("64MiB", marks), "");
        assert_eq!(warned("64MiB", &format!("budgets: {{ logs: 512KiB }}, {marks}")), "");
        assert_eq!(warned("64MiB", "budgets: { logs: 256KiB }"), "");
        assert_eq!(warned("8MiB", &format!("budgets: {{ logs: 128KiB }}, {marks}")), "");
        let small = warned("64MiB", &format!("budgets: {{ logs: 256KiB, audit: 128KiB }}, {marks}"));
        assert!(small.contains("lane logs may take 256 KiB, less than two segments of 256 KiB"), "{small}");
        assert!(small.contains("lane audit ") && small.contains("lanes.budgets.audit to 512KiB"), "{small}");
    }
}
