//! Scrape jobs from their configuration.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use client::{CredentialFiles, Proxy};
use config::{
    Config, EscapingScheme, PrometheusSource, RelabelAction, RelabelRule, Scheme, ScrapeCommon, ScrapeConfig,
};
use scrape::{Action, Escaping, Job, Protocol, Relabel, RuleOptions};
use sources::prometheus::{FileGroups, ScrapeJob, ScrapeMemory, ScrapeShared, TargetGroup, TextFiles};

use crate::clock::Clock;
use crate::error::{StartError, start_error};
use crate::feeds::Starting;

/// How often targets are scraped, and how long that may take, where nothing is said.
const INTERVAL: Duration = Duration::from_mins(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Starts the jobs of a configuration, and the directory of text files.
///
/// # Errors
/// [`StartError`] with the job and what is wrong with it.
pub(crate) fn start(config: &Config, clock: &Clock, starting: &mut Starting<'_>) -> Result<(), StartError> {
    let Some(source) = &config.sources.prometheus else { return Ok(()) };
    let clock = clock.clone();
    let limit = usize::try_from(source.memory.0).unwrap_or(usize::MAX);
    let shared = ScrapeShared {
        memory: ScrapeMemory::new(limit),
        places: Rc::new(tokio::sync::Semaphore::new(usize::from(source.concurrency.max(1)))),
        wall_ns: Rc::new(move || clock.wall_ns()),
    };
    for job in jobs(source)? {
        let feed = starting.feed(format!("prometheus/{}", job.job.name));
        starting.spawn(sources::prometheus::run(job, feed, shared.clone()));
    }
    if let Some(directory) = &source.text_files {
        let feed = starting.feed("prometheus/text_files".to_owned());
        let files = TextFiles {
            directory: directory.clone(),
            interval: source.global.scrape_interval.map_or(INTERVAL, |span| span.0),
            instance: config.device.id.clone(),
            max_file: limit / 4,
        };
        starting.spawn(sources::prometheus::run_text_files(files, feed, shared));
    }
    Ok(())
}

/// The jobs of a section.
///
/// # Errors
/// [`StartError`] with the job and what is wrong with it.
pub(crate) fn jobs(source: &PrometheusSource) -> Result<Vec<ScrapeJob>, StartError> {
    source
        .scrape_configs
        .iter()
        .map(|job| {
            scrape_job(source, job)
                .map_err(|why| start_error(format!("sources.prometheus.scrape_configs: job '{}': {why}", job.job_name)))
        })
        .collect()
}

fn scrape_job(source: &PrometheusSource, config: &ScrapeConfig) -> Result<ScrapeJob, String> {
    let (own, global) = (&config.common, &source.global.common);
    let either = |get: fn(&ScrapeCommon) -> Option<u64>| get(own).or_else(|| get(global)).unwrap_or(0);
    let mut job = Job::new(&config.job_name);
    job.interval = config.scrape_interval.or(source.global.scrape_interval).map_or(INTERVAL, |span| span.0);
    let timeout = config.scrape_timeout.or(source.global.scrape_timeout);
    job.timeout = timeout.map_or(TIMEOUT.min(job.interval), |span| span.0);
    if config.scrape_timeout.is_none() {
        job.timeout = job.timeout.min(job.interval);
    }
    if job.timeout > job.interval {
        return Err("scrape_timeout: it must not be longer than scrape_interval".into());
    }
    job.metrics_path.clone_from(&config.metrics_path);
    job.scheme = if config.scheme == Scheme::Https { "https" } else { "http" }.to_owned();
    job.params = config.params.clone().into_iter().collect();
    job.native_histograms = own.scrape_native_histograms.or(global.scrape_native_histograms).unwrap_or(false);
    job.always_classic =
        own.always_scrape_classic_histograms.or(global.always_scrape_classic_histograms).unwrap_or(false);
    let protocol = |name: &String| {
        Protocol::of(name).ok_or_else(|| format!("'{name}' is no scrape protocol; one is PrometheusText0.0.4"))
    };
    match own.scrape_protocols.as_ref().or(global.scrape_protocols.as_ref()) {
        Some(names) => job.protocols = names.iter().map(protocol).collect::<Result<_, _>>()?,
        None if job.native_histograms => job.protocols.insert(0, Protocol::PrometheusProto),
        None => {}
    }
    job.fallback = config.fallback_scrape_protocol.as_ref().map(protocol).transpose()?;
    job.escaping = match own.metric_name_escaping_scheme.or(global.metric_name_escaping_scheme) {
        None | Some(EscapingScheme::AllowUtf8) => Escaping::AllowUtf8,
        Some(EscapingScheme::Underscores) => Escaping::Underscores,
        Some(EscapingScheme::Dots) => Escaping::Dots,
        Some(EscapingScheme::Values) => Escaping::Values,
    };
    job.honor_labels = config.honor_labels;
    job.honor_timestamps = config.honor_timestamps;
    job.track_timestamps_staleness = config.track_timestamps_staleness;
    let memory = usize::try_from(source.memory.0).unwrap_or(usize::MAX);
    let body = usize::try_from(either(|common| common.body_size_limit.map(|size| size.0))).unwrap_or(usize::MAX);
    job.limits = scrape::Limits {
        body_bytes: if body == 0 { memory } else { body.min(memory) },
        samples: either(|common| common.sample_limit),
        labels: either(|common| common.label_limit),
        label_name: either(|common| common.label_name_length_limit),
        label_value: either(|common| common.label_value_length_limit),
    };
    job.relabel = relabel("relabel_configs", &config.relabel_configs)?;
    job.metric_relabel = relabel("metric_relabel_configs", &config.metric_relabel_configs)?;
    let bearer = config.bearer_token_file.clone().map(|file| ("Bearer".to_owned(), file));
    let authorization = config.authorization.as_ref().map(|one| (one.kind.clone(), one.credentials_file.clone()));
    let tls = &config.tls_config;
    let proxy = config.proxy_url.as_ref().map(|text| Proxy::parse(text, "proxy_url")).transpose()?;
    Ok(ScrapeJob {
        job,
        groups: config.static_configs.iter().map(group).collect(),
        files: config
            .file_sd_configs
            .iter()
            .map(|one| FileGroups { files: one.files.clone(), refresh: one.refresh_interval.0 })
            .collect(),
        read_groups: |text| Ok(config::target_groups(text)?.iter().map(group).collect()),
        external_labels: pairs(&source.global.external_labels),
        target_limit: usize::try_from(either(|common| common.target_limit)).unwrap_or(usize::MAX),
        credentials: CredentialFiles {
            ca_file: tls.ca_file.clone(),
            client: tls.cert_file.clone().zip(tls.key_file.clone()),
            authorization: authorization.or(bearer),
            basic: config.basic_auth.as_ref().map(|one| (one.username.clone(), one.password_file.clone())),
            ..CredentialFiles::default()
        },
        proxy,
        gzip: config.enable_compression,
        follow_redirects: config.follow_redirects,
        read: Default::default(),
    })
}

fn pairs(labels: &BTreeMap<String, String>) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn group(group: &config::TargetGroup) -> TargetGroup {
    TargetGroup { targets: group.targets.clone(), labels: pairs(&group.labels) }
}

fn relabel(place: &str, rules: &[RelabelRule]) -> Result<Relabel, String> {
    let options: Vec<RuleOptions> = rules
        .iter()
        .map(|rule| RuleOptions {
            source_labels: rule.source_labels.clone(),
            separator: rule.separator.clone(),
            target_label: rule.target_label.clone(),
            regex: rule.regex.clone(),
            modulus: rule.modulus,
            replacement: rule.replacement.clone(),
            action: action(rule.action),
        })
        .collect();
    Relabel::new(&options).map_err(|why| format!("{place}: {why}"))
}

fn action(action: RelabelAction) -> Action {
    match action {
        RelabelAction::Replace => Action::Replace,
        RelabelAction::Keep => Action::Keep,
        RelabelAction::Drop => Action::Drop,
        RelabelAction::KeepEqual => Action::KeepEqual,
        RelabelAction::DropEqual => Action::DropEqual,
        RelabelAction::HashMod => Action::HashMod,
        RelabelAction::LabelMap => Action::LabelMap,
        RelabelAction::LabelDrop => Action::LabelDrop,
        RelabelAction::LabelKeep => Action::LabelKeep,
        RelabelAction::Lowercase => Action::Lowercase,
        RelabelAction::Uppercase => Action::Uppercase,
    }
}
