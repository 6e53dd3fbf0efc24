//! Scraping: the section is Prometheus' own, so that a block is pasted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::{ByteSize, MIB, Span};

/// Prometheus targets that are scraped, and files in Prometheus' text format.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PrometheusSource {
    /// What holds for all jobs that say nothing else.
    #[serde(default)]
    pub global: ScrapeGlobal,
    /// The jobs, as Prometheus has them.
    #[serde(default)]
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Directory whose `*.prom` files are read at `global.scrape_interval`, as node exporter's textfile collector does; absent: none.
    pub text_files: Option<PathBuf>,
    /// The most memory of scrapes that go on and of what is known of series between them. A scrape that needs more fails.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// The most scrapes at once; others wait for their turn.
    #[serde(default = "default_concurrency")]
    pub concurrency: u16,
}

/// What holds for all jobs that say nothing else.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScrapeGlobal {
    /// How often targets are scraped; absent: every minute.
    pub scrape_interval: Option<Span>,
    /// How long that may take; absent: 10s, or the interval where it is shorter.
    pub scrape_timeout: Option<Span>,
    /// For rules, which there are none of here; read and not used.
    pub evaluation_interval: Option<Span>,
    /// Labels that targets get which have none of that name.
    #[serde(default)]
    pub external_labels: BTreeMap<String, String>,
    /// What holds for each job that says nothing else.
    #[serde(flatten)]
    pub common: ScrapeCommon,
}

/// What may be said for all jobs or for one.
#[derive(Debug, Clone, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScrapeCommon {
    /// Forms of exposition that are asked for, in the order of preference: `PrometheusProto`, `PrometheusText0.0.4`, `PrometheusText1.0.0`,
    /// `OpenMetricsText0.0.1`, `OpenMetricsText1.0.0`, `OpenMetricsText2.0.0` (a draft).
    pub scrape_protocols: Option<Vec<String>>,
    /// The most bytes of a body, inflated; beyond it the scrape fails. 0 for no bound but `memory`.
    pub body_size_limit: Option<ByteSize>,
    /// The most samples of a scrape after relabelling; beyond it the scrape fails. 0 for no bound.
    pub sample_limit: Option<u64>,
    /// The most labels of a series; beyond it the scrape fails. 0 for no bound.
    pub label_limit: Option<u64>,
    /// The longest name of a label, bytes. 0 for no bound.
    pub label_name_length_limit: Option<u64>,
    /// The longest value of a label, bytes. 0 for no bound.
    pub label_value_length_limit: Option<u64>,
    /// The most targets of a job; beyond it none is scraped. 0 for no bound.
    pub target_limit: Option<u64>,
    /// How names of more than ASCII are asked for: `allow-utf-8`, `underscores`, `dots`, `values`.
    pub metric_name_escaping_scheme: Option<EscapingScheme>,
    /// `utf8`, the only one.
    pub metric_name_validation_scheme: Option<ValidationScheme>,
    /// Whether native histograms are taken where a target has them (in protobuf, which is asked for first then).
    pub scrape_native_histograms: Option<bool>,
    /// Whether classic buckets are taken beside a native histogram.
    pub always_scrape_classic_histograms: Option<bool>,
}

/// How names of more than ASCII are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum EscapingScheme {
    /// As they are.
    #[serde(rename = "allow-utf-8")]
    AllowUtf8,
    /// With underscores.
    Underscores,
    /// With dots as `_dot_`.
    Dots,
    /// With code points as `_2E_`.
    Values,
}

/// Which names are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ValidationScheme {
    /// All of UTF-8.
    Utf8,
}

/// A job (`scrape_config` of Prometheus).
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ScrapeConfig {
    /// The label `job`; each once.
    pub job_name: String,
    /// How often targets are scraped; absent: as in `global`.
    pub scrape_interval: Option<Span>,
    /// How long that may take; absent: as in `global`.
    pub scrape_timeout: Option<Span>,
    /// What a target is read as that does not say what it answers in.
    pub fallback_scrape_protocol: Option<String>,
    /// The path of the exposition.
    #[serde(default = "default_path")]
    pub metrics_path: String,
    /// Whether labels of the target win over `job`, `instance` and those of the job.
    #[serde(default)]
    pub honor_labels: bool,
    /// Whether times of the target are used.
    #[serde(default = "default_true")]
    pub honor_timestamps: bool,
    /// Whether series with times of their own are marked when they end.
    #[serde(default)]
    pub track_timestamps_staleness: bool,
    /// `http` or `https`.
    #[serde(default)]
    pub scheme: Scheme,
    /// Parameters of the query.
    #[serde(default)]
    pub params: BTreeMap<String, Vec<String>>,
    /// A user and a password.
    pub basic_auth: Option<BasicAuth>,
    /// The header `authorization`.
    pub authorization: Option<Authorization>,
    /// File with a bearer token; as `authorization: {credentials_file}`.
    pub bearer_token_file: Option<PathBuf>,
    /// Whom a target is believed over TLS, and what it is shown.
    #[serde(default)]
    pub tls_config: TlsConfig,
    /// A proxy that connects by HTTP CONNECT; absent: none, whatever the environment says.
    pub proxy_url: Option<String>,
    /// Whether a redirect to another path of the same server is followed.
    #[serde(default = "default_true")]
    pub follow_redirects: bool,
    /// Whether gzip is asked for.
    #[serde(default = "default_true")]
    pub enable_compression: bool,
    /// Read and not used: targets are asked over HTTP/1.1.
    #[serde(default = "default_true")]
    pub enable_http2: bool,
    /// Targets by name.
    #[serde(default)]
    pub static_configs: Vec<TargetGroup>,
    /// Targets in files that are read again when they change.
    #[serde(default)]
    pub file_sd_configs: Vec<FileDiscovery>,
    /// Rules for targets.
    #[serde(default)]
    pub relabel_configs: Vec<RelabelRule>,
    /// Rules for series.
    #[serde(default)]
    pub metric_relabel_configs: Vec<RelabelRule>,
    /// What may be said for all jobs or for one.
    #[serde(flatten)]
    pub common: ScrapeCommon,
}

/// The scheme of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Without TLS.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// A user and a password.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// File with the password; it is read again when it changes.
    pub password_file: PathBuf,
}

/// The header `authorization`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// Its scheme.
    #[serde(rename = "type", default = "default_bearer")]
    pub kind: String,
    /// File with what stands behind; it is read again when it changes.
    pub credentials_file: PathBuf,
}

/// Whom a target is believed over TLS, and what it is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate authorities to trust; absent: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate that is shown. It goes with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM file with the private key of `cert_file`.
    pub key_file: Option<PathBuf>,
}

/// Targets with the same labels.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TargetGroup {
    /// `host:port` of each.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Labels of all of them.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Targets in files.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FileDiscovery {
    /// Paths of JSON or YAML files with groups of targets; the last part may have one `*`.
    pub files: Vec<PathBuf>,
    /// How often the files are looked at.
    #[serde(default = "default_refresh")]
    pub refresh_interval: Span,
}

/// A rule for labels (`relabel_config` of Prometheus).
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RelabelRule {
    /// Labels whose values are looked at, joined.
    #[serde(default)]
    pub source_labels: Vec<String>,
    /// What stands between them; absent: `;`.
    pub separator: Option<String>,
    /// The label that is set.
    #[serde(default)]
    pub target_label: String,
    /// What has to match, as a whole; absent: `(.*)`.
    pub regex: Option<String>,
    /// For `hashmod`.
    #[serde(default)]
    pub modulus: u64,
    /// What is set, with `$1` or `${1}` for groups; absent: `$1`.
    pub replacement: Option<String>,
    /// What is done; absent: `replace`.
    #[serde(default)]
    pub action: RelabelAction,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Sets the target label where the expression matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what is not equal to the target label.
    KeepEqual,
    /// Drops what is equal to the target label.
    DropEqual,
    /// Sets the target label to a hash modulo `modulus`.
    HashMod,
    /// Copies labels whose names match to names made of the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the text in lower case.
    Lowercase,
    /// Sets the target label to the text in upper case.
    Uppercase,
}

fn default_memory() -> ByteSize {
    ByteSize(4 * MIB)
}
fn default_concurrency() -> u16 {
    4
}
fn default_path() -> String {
    "/metrics".into()
}
fn default_true() -> bool {
    true
}
fn default_bearer() -> String {
    "Bearer".into()
}
fn default_refresh() -> Span {
    Span(Duration::from_mins(5))
}

/// Reads groups of targets from the text of a file, JSON or YAML.
///
/// # Errors
/// Prometheus remote write, 1.0 and 2.0, taken at `/api/v1/write` on the port of `sources.otlp.http`, within the limits of `sources.otlp`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteSource {}

/// What is wrong, with line and column.
pub fn target_groups(text: &str) -> Result<Vec<TargetGroup>, String> {
    yaml::from_str(text).map_err(|error| error.to_string())
}

/// What is wrong, where more than one key tells.
pub(crate) fn check(source: Option<&PrometheusSource>) -> Result<(), String> {
    let Some(source) = source else { return Ok(()) };
    let mut names = std::collections::BTreeSet::new();
    for job in &source.scrape_configs {
        let place = format!("sources.prometheus.scrape_configs: job '{}'", job.job_name);
        if job.job_name.is_empty() {
            return Err("sources.prometheus.scrape_configs: a job_name is empty".into());
        }
        if !names.insert(&job.job_name) {
            return Err(format!("{place} is there twice"));
        }
        let ways = [job.basic_auth.is_some(), job.authorization.is_some(), job.bearer_token_file.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            return Err(format!("{place}: basic_auth, authorization and bearer_token_file exclude one another"));
        }
        if job.tls_config.cert_file.is_some() != job.tls_config.key_file.is_some() {
            return Err(format!("{place}: tls_config.cert_file and key_file go together"));
        }
    }
    if source.memory.0 < 64 * crate::KIB {
        return Err("sources.prometheus.memory: at least 64KiB".into());
    }
    if source.concurrency == 0 {
        return Err("sources.prometheus.concurrency: at least 1".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: blocks of `scrape_configs` as Prometheus' documentation has them, with authentication, relabelling and discovery by
    /// files; and blocks with keys that are none. Guarantees: read as they are pasted, `${1}` of a rule is no variable; an unknown key is
    /// named.
    #[test]
    fn a_pasted_block_is_read() {
        let of = |block: &str| {
            let text = format!(
                "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\nsources:\n  prometheus:\n{block}\
                 destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
            );
            crate::parse(&text)
        };
        let block = r#"
    global:
      scrape_interval: 15s
      evaluation_interval: 30s
      external_labels: { monitor: codelab, foo: bar }
      body_size_limit: 15MB
      sample_limit: 1500
    scrape_configs:
      - job_name: prometheus
        honor_labels: true
        scrape_protocols: [ "PrometheusText0.0.4" ]
        fallback_scrape_protocol: "PrometheusText0.0.4"
        bearer_token_file: /etc/token
        file_sd_configs:
          - files: [ "foo/*.slow.json", "single/file.yml" ]
            refresh_interval: 10m
          - files: [ "bar/*.yaml" ]
        static_configs:
          - targets: ["localhost:9090", "localhost:9191"]
            labels: { my: label, your: label }
        relabel_configs:
          - source_labels: [job, __meta_dns_name]
            regex: (.*)some-[regex]
            target_label: job
            replacement: foo-${1}
          - source_labels: [abc]
            modulus: 8
            target_label: __tmp_hash
            action: hashmod
        metric_relabel_configs:
          - { source_labels: [__name__], regex: "go_.*", action: drop }
      - job_name: service-x
        basic_auth: { username: admin, password_file: /etc/p }
        scrape_interval: 50s
        scrape_timeout: 5s
        scheme: https
        tls_config: { ca_file: /etc/ca.pem, cert_file: /c, key_file: /k }
        params: { module: [http_2xx] }
"#;
        let config = of(block).unwrap();
        let source = config.sources.prometheus.unwrap();
        assert_eq!(source.global.common.sample_limit, Some(1500));
        assert_eq!(source.scrape_configs[0].relabel_configs[0].replacement.as_deref(), Some("foo-${1}"));
        assert_eq!(source.scrape_configs[1].scheme, Scheme::Https);
        assert_eq!(source.scrape_configs[0].file_sd_configs[0].refresh_interval.0, Duration::from_mins(10));
        for (bad, says) in [
            ("    scrape_configs: [{ job_name: a, dns_sd_configs: [] }]\n", "dns_sd_configs"),
            ("    scrape_configs: [{ job_name: a, colour: red }]\n", "colour"),
            ("    global: { colour: red }\n", "colour"),
            ("    scrape_configs: [{ job_name: a }, { job_name: a }]\n", "job 'a' is there twice"),
            (
                "    scrape_configs: [{ job_name: a, tls_config: { insecure_skip_verify: true } }]\n",
                "insecure_skip_verify",
            ),
            ("    scrape_configs: [{ job_name: a, relabel_configs: [{ action: dance }] }]\n", "dance"),
        ] {
            let error = of(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            target_groups("[{\"targets\": [\"a:1\"], \"labels\": {\"x\": \"y\"}}]").unwrap()[0].targets,
            ["a:1"]
        );
        assert!(target_groups("- targets: 5\n").is_err());
    }
}
