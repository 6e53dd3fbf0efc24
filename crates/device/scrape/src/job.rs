//! A scrape job: what is the same for all of its targets.

use std::time::Duration;

use crate::negotiate::{DEFAULT_PROTOCOLS, Escaping, Protocol};
use crate::relabel::Relabel;

/// What is refused as too much; 0 for no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// The most bytes of a body, inflated.
    pub body_bytes: usize,
    /// The most samples after relabelling.
    pub samples: u64,
    /// The most labels of a series.
    pub labels: u64,
    /// The longest name of a label, characters.
    pub label_name: u64,
    /// The longest value of a label, characters.
    pub label_value: u64,
}

/// A scrape job.
#[derive(Debug)]
pub struct Job {
    /// The value of `job`.
    pub name: String,
    /// How often its targets are scraped.
    pub interval: Duration,
    /// How long that may take.
    pub timeout: Duration,
    /// The path of an exposition.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Parameters of the query.
    pub params: Vec<(String, Vec<String>)>,
    /// What is asked for, in the order of preference.
    pub protocols: Vec<Protocol>,
    /// What a target is read as that does not say what it answers in.
    pub fallback: Option<Protocol>,
    /// How names of more than ASCII are to come.
    pub escaping: Escaping,
    /// Whether labels of the target win over those of its job.
    pub honor_labels: bool,
    /// Whether times of the target are used.
    pub honor_timestamps: bool,
    /// Whether series with times of their own are marked when they end.
    pub track_timestamps_staleness: bool,
    /// Whether native histograms are taken where there are any.
    pub native_histograms: bool,
    /// Whether the classic buckets of a native histogram are taken beside it.
    pub always_classic: bool,
    /// Whether `up` and the other series of the scrape itself are added.
    pub reports: bool,
    /// What is refused.
    pub limits: Limits,
    /// Rules for targets.
    pub relabel: Relabel,
    /// Rules for series.
    pub metric_relabel: Relabel,
}

impl Job {
    /// A job with Prometheus' defaults.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            interval: Duration::from_mins(1),
            timeout: Duration::from_secs(10),
            metrics_path: "/metrics".into(),
            scheme: "http".into(),
            params: Vec::new(),
            protocols: DEFAULT_PROTOCOLS.to_vec(),
            fallback: None,
            escaping: Escaping::default(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            native_histograms: false,
            always_classic: false,
            reports: true,
            limits: Limits::default(),
            relabel: Relabel::default(),
            metric_relabel: Relabel::default(),
        }
    }
}
