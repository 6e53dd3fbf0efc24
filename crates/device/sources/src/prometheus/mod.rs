//! Prometheus targets, scraped at their intervals: what is asked over sockets and read from files; what it means is the crate `scrape`.
//!
//! | module | concept |
//! |---|---|
//! | [`ScrapeJob`] | a job as it is configured |
//! | `discovery` | which targets there are now |
//! | `rounds` | one target, scraped again and again |
//! | `fetch` | one scrape over HTTP |
//! | `text_files` | a directory of files in Prometheus' text format |
//! | `memory` | what all scrapes together may hold |

mod discovery;
mod fetch;
mod memory;
mod rounds;
mod setup;
#[cfg(test)]
mod tests;
mod text_files;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use scrape::Target;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::Feed;
use discovery::Discovery;
use rounds::Rounds;

pub use memory::ScrapeMemory;
pub use setup::{FileGroups, ScrapeJob, ScrapeShared, TargetGroup};
pub use text_files::{TextFiles, run as run_text_files};

/// A target whose rounds go on.
struct Running {
    /// `None` once it was told to stop.
    task: Option<JoinHandle<()>>,
    stop: Rc<Notify>,
}

impl Running {
    /// Tells it to stop, and lets it do what is left to do.
    fn leave(&mut self) {
        self.stop.notify_one();
        self.task = None;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Scrapes the targets of a job until it is ended.
pub async fn run(job: ScrapeJob, feed: Feed, shared: ScrapeShared) {
    let (job, mut discovery) = (Rc::new(job), Discovery::default());
    let mut running: BTreeMap<String, Running> = BTreeMap::new();
    loop {
        let found = discovery.look(&job, feed.state());
        let mut wanted: BTreeMap<String, Target> = BTreeMap::new();
        for target in found {
            wanted.insert(format!("{} {:?}", target.url(), target.labels), target);
        }
        if job.target_limit > 0 && wanted.len() > job.target_limit {
            let why = format!(
                "there are {} targets, and target_limit is {}: none is scraped",
                wanted.len(),
                job.target_limit
            );
            feed.state().error("target_limit", wanted.len() as u64, &why);
            wanted.clear();
        }
        running.retain(|key, one| {
            if wanted.contains_key(key) {
                return true;
            }
            // It marks its series as ended, and ends.
            one.leave();
            false
        });
        for (key, target) in wanted {
            running.entry(key).or_insert_with(|| {
                let stop = Rc::new(Notify::new());
                let rounds = Rounds::new(Rc::clone(&job), target, feed.clone(), shared.clone(), Rc::clone(&stop));
                Running { task: Some(tokio::task::spawn_local(rounds.run())), stop }
            });
        }
        match job.files.iter().map(|files| files.refresh).min() {
            Some(refresh) => tokio::time::sleep(refresh.max(Duration::from_secs(1))).await,
            // Only what is configured: that does not change.
            None => std::future::pending().await,
        }
    }
}
