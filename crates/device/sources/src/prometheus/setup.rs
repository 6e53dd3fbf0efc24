//! A job as it is configured.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use client::{Access, CredentialFiles, Credentials, Endpoint, Proxy, Route};
use scrape::{Job, Target};
use tokio::sync::Semaphore;

use super::memory::ScrapeMemory;

/// Targets with the same labels.
#[derive(Debug, Clone, Default)]
pub struct TargetGroup {
    /// `host:port` of each.
    pub targets: Vec<String>,
    /// Labels of all of them.
    pub labels: Vec<(String, String)>,
}

/// Targets in files.
#[derive(Debug, Clone)]
pub struct FileGroups {
    /// Paths; the last part may have one `*`.
    pub files: Vec<PathBuf>,
    /// How often they are looked at.
    pub refresh: Duration,
}

/// A job as it is configured.
pub struct ScrapeJob {
    /// What the scraper knows of it.
    pub job: Job,
    /// Targets by name.
    pub groups: Vec<TargetGroup>,
    /// Targets in files.
    pub files: Vec<FileGroups>,
    /// How those files are read.
    pub read_groups: fn(&str) -> Result<Vec<TargetGroup>, String>,
    /// Labels of targets that have none of that name.
    pub external_labels: Vec<(String, String)>,
    /// The most targets; 0 for no bound.
    pub target_limit: usize,
    /// What targets are shown, and whom they are believed.
    pub credentials: CredentialFiles,
    /// What stands between.
    pub proxy: Option<Proxy>,
    /// Whether gzip is asked for.
    pub gzip: bool,
    /// Whether a redirect to another path of the same server is followed.
    pub follow_redirects: bool,
    /// Credentials for targets without and with TLS, read when the first one is asked.
    pub read: [OnceCell<Result<Rc<Credentials>, String>>; 2],
}

impl ScrapeJob {
    /// The way to a target.
    pub(crate) fn access(&self, target: &Target) -> Result<Access, String> {
        let tls = target.scheme == "https";
        let read = || Credentials::read(&self.credentials, tls).map(Rc::new);
        let credentials = self.read[usize::from(tls)].get_or_init(read).clone()?;
        let (host, port) = target.host_port();
        Ok(Access {
            endpoint: Endpoint { tls, host: host.to_owned(), port, base: String::new() },
            route: self.proxy.clone().map_or(Route::Direct, Route::Proxy),
            credentials,
            timeout: target.timeout,
        })
    }
}

/// What all jobs share.
#[derive(Clone)]
pub struct ScrapeShared {
    /// What they may hold together.
    pub memory: Rc<ScrapeMemory>,
    /// Places for scrapes at once.
    pub places: Rc<Semaphore>,
    /// Wall time, Unix nanoseconds.
    pub wall_ns: Rc<dyn Fn() -> u64>,
}
