//! A directory of files in Prometheus' text format, as node exporter's textfile collector reads it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::{Answer, Signal};
use scrape::{Job, Protocol, Scrape, Target, TargetState};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::discovery::matching;
use super::memory::Charge;
use super::setup::ScrapeShared;
use crate::Feed;

/// What is read.
pub struct TextFiles {
    /// Where the files are.
    pub directory: PathBuf,
    /// How often they are read.
    pub interval: Duration,
    /// The value of `instance`: the device.
    pub instance: String,
    /// The largest file, bytes.
    pub max_file: usize,
}

/// The job and the target that the files stand for.
fn pseudo(files: &TextFiles) -> Option<(Job, Target)> {
    let mut job = Job::new("text_files");
    (job.reports, job.honor_timestamps, job.honor_labels) = (false, false, true);
    job.limits.body_bytes = files.max_file;
    let labels = [("__address__", "localhost"), ("instance", files.instance.as_str())];
    let target = Target::new(&job, labels).ok().flatten()?;
    Some((job, target))
}

/// Reads the files at their interval until it is ended.
pub async fn run(files: TextFiles, feed: Feed, shared: ScrapeShared) {
    let Some((job, target)) = pseudo(&files) else { return };
    let mut known: BTreeMap<PathBuf, (TargetState, Charge)> = BTreeMap::new();
    let mut own_state = TargetState::default();
    let mut rounds = interval_at(Instant::now(), files.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        rounds.tick().await;
        let time = (shared.wall_ns)();
        let mut own = String::from(
            "# HELP node_textfile_mtime_seconds Unixtime mtime of textfiles successfully read.\n# TYPE node_textfile_mtime_seconds gauge\n",
        );
        let mut errors = 0;
        let found = matching(&files.directory.join("*.prom"));
        let gone: Vec<_> = known.extract_if(.., |path, _| !found.contains(path)).collect();
        for (_, (mut state, _)) in gone {
            // Its series have ended.
            if let Some(request) = state.ended(time) {
                give(&feed, &shared, request, 0, &files.directory).await;
            }
        }
        if let Err(error) = std::fs::read_dir(&files.directory) {
            errors = 1;
            feed.state().error("text_file", 1, &format!("{}: {error}", files.directory.display()));
        }
        for path in found {
            let (state, charge) =
                known.entry(path.clone()).or_insert_with(|| (TargetState::default(), Charge::new(&shared.memory)));
            match read(&path, (&job, &target), state, charge, time) {
                Ok((scraped, modified)) => {
                    // Writing into a String cannot fail.
                    let _written = writeln!(
                        own,
                        "node_textfile_mtime_seconds{{file={:?}}} {modified}",
                        path.display().to_string()
                    );
                    let mut points = scraped.points;
                    for request in scraped.requests {
                        give(&feed, &shared, request, std::mem::take(&mut points), &path).await;
                    }
                }
                Err(why) => {
                    errors = 1;
                    feed.state().error("text_file", 1, &format!("{}: {why}", path.display()));
                    if let Some(request) = state.ended(time) {
                        give(&feed, &shared, request, 0, &path).await;
                    }
                }
            }
        }
        let _written = write!(
            own,
            "# HELP node_textfile_scrape_error 1 if there was an error opening or reading a file, 0 otherwise\n\
             # TYPE node_textfile_scrape_error gauge\nnode_textfile_scrape_error {errors}\n"
        );
        let mut scrape = Scrape::new(&job, &target, &own_state, Protocol::PrometheusText0_0_4, time);
        if scrape.push(own.as_bytes()).is_ok()
            && let Ok(finished) = scrape.finish(Duration::ZERO)
        {
            let scraped = finished.settle(&mut own_state);
            let mut points = scraped.points;
            for request in scraped.requests {
                give(&feed, &shared, request, std::mem::take(&mut points), &files.directory).await;
            }
        }
    }
}

/// Reads one file: its points, and when it was changed, Unix seconds.
fn read(
    path: &Path,
    (job, target): (&Job, &Target),
    state: &mut TargetState,
    charge: &mut Charge,
    time: u64,
) -> Result<(scrape::Scraped, i64), String> {
    let told = std::fs::metadata(path).map_err(|error| error.to_string())?;
    let size = usize::try_from(told.len()).unwrap_or(usize::MAX);
    if size > job.limits.body_bytes || !charge.resize(size.saturating_mul(3) + state.bytes()) {
        return Err("it does not fit into sources.prometheus.memory".into());
    }
    let content = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut scrape = Scrape::new(job, target, state, Protocol::PrometheusText0_0_4, time);
    let done = scrape.push(&content).and_then(|()| scrape.finish(Duration::ZERO)).map_err(|error| error.to_string())?;
    let scraped = done.settle(state);
    // It shrinks always.
    let _fits = charge.resize(state.bytes());
    Ok((scraped, told.mtime()))
}

async fn give(feed: &Feed, shared: &ScrapeShared, request: Vec<u8>, points: u64, path: &Path) {
    let answer = feed.give(Signal::Metrics, request, points, (shared.wall_ns)()).await;
    if let Answer::Wait(_) = answer {
        feed.state().error(
            "refused",
            points,
            &format!("{}: there is no room for it; the round is left out", path.display()),
        );
    }
}
