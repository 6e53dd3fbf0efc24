//! The link port's certificate: given by the operator, or made at the first start with an authority of its own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;

/// Names under which every made certificate is valid.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Certificate and key files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub cert: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Seconds since the Unix epoch at which every made certificate begins: a device whose clock is behind still takes it.
const BEGIN: i64 = 1_735_689_600;
const DAY: i64 = 86_400;
/// How long the authority is good.
const AUTHORITY_DAYS: i64 = 20 * 365;
/// How long a certificate is good, and how long before its end it is made anew.
const CERTIFICATE_DAYS: i64 = 398;
const RENEW_DAYS: i64 = 60;

/// The files of made certificates.
struct Made {
    files: TlsFiles,
    ca: PathBuf,
    ca_key: PathBuf,
    /// The names of the certificate, a line each.
    names: PathBuf,
    /// When the certificate ends, in seconds since the Unix epoch.
    until: PathBuf,
}

impl Made {
    fn of(dir: &Path) -> Self {
        Self {
            files: TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") },
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca-key.pem"),
            names: dir.join("names"),
            until: dir.join("valid-until"),
        }
    }
}

/// Makes an authority and a certificate for this machine in `dir`, unless they are there; `names` are valid besides
/// `localhost` and the loopback addresses. Devices trust `ca.pem`, which stays; a certificate that lacks a name or is about
/// to end is made anew by the same authority.
///
/// # Errors
/// When files cannot be written, or a name is no DNS name and no address.
pub fn self_made(dir: &Path, names: &[String], now_ns: u64) -> anyhow::Result<TlsFiles> {
    let made = Made::of(dir);
    let is_there = |path: &Path| path.try_exists().with_context(|| format!("cannot look at {}", path.display()));
    let mut wanted: Vec<String> = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).collect();
    wanted.extend(names.iter().cloned());
    let known = fs::read_to_string(&made.names).unwrap_or_default();
    let now = i64::try_from(now_ns / 1_000_000_000).unwrap_or(i64::MAX);
    let is_whole = is_there(&made.files.cert)? && is_there(&made.files.key)? && is_there(&made.ca)?;
    if is_whole {
        let lacks = wanted.iter().any(|name| !known.lines().any(|line| line == name));
        let until = fs::read_to_string(&made.until).ok().and_then(|text| text.trim().parse::<i64>().ok());
        // Those of the first hubs say no end, and are good for centuries.
        let ends = until.is_some_and(|until| until - now < RENEW_DAYS * DAY);
        if !lacks && !ends {
            return Ok(made.files);
        }
        if !is_there(&made.ca_key)? {
            bail!(
                "{} must be made anew (a name is not in it, or it ends), and the key of its authority, {}, is not there (the \
                 first hubs did not keep it): move the directory {} away to have an authority made, and give devices its \
                 new ca.pem",
                made.files.cert.display(),
                made.ca_key.display(),
                dir.display()
            );
        }
    }
    wanted.extend(known.lines().map(str::to_owned).filter(|name| !wanted.contains(name)).collect::<Vec<_>>());
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let issuer = authority(&made, now)?;
    let key = KeyPair::generate().context("cannot make a key")?;
    let mut params = CertificateParams::new(wanted.clone())
        .with_context(|| format!("--tls-name: one of {} is no DNS name and no address", wanted.join(", ")))?;
    params.distinguished_name = common_name("Lightship hub");
    params.use_authority_key_identifier_extension = true;
    let until = now + CERTIFICATE_DAYS * DAY;
    (params.not_before, params.not_after) = (time(BEGIN)?, time(until)?);
    let certificate = params.signed_by(&key, &issuer).context("cannot make a certificate")?;
    write(&made.files.key, &key.serialize_pem(), 0o600)?;
    write(&made.names, &format!("{}\n", wanted.join("\n")), 0o644)?;
    write(&made.files.cert, &certificate.pem(), 0o644)?;
    write(&made.until, &format!("{until}\n"), 0o644)?;
    Ok(made.files)
}

fn time(seconds: i64) -> anyhow::Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).context("a time of a certificate is out of range")
}

/// The authority whose key is kept, or a new one.
fn authority(made: &Made, now: i64) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let mut params = CertificateParams::new(Vec::new()).context("cannot make an authority")?;
    params.distinguished_name = common_name("Lightship hub authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (time(BEGIN)?, time(now + AUTHORITY_DAYS * DAY)?);
    if matches!(made.ca_key.try_exists(), Ok(true)) && matches!(made.ca.try_exists(), Ok(true)) {
        let pem = fs::read_to_string(&made.ca_key).with_context(|| format!("cannot read {}", made.ca_key.display()))?;
        let key = KeyPair::from_pem(&pem).with_context(|| format!("{} is no key", made.ca_key.display()))?;
        return Ok(Issuer::new(params, key));
    }
    let key = KeyPair::generate().context("cannot make a key")?;
    let certificate = params.self_signed(&key).context("cannot make an authority")?;
    write(&made.ca_key, &key.serialize_pem(), 0o600)?;
    write(&made.ca, &certificate.pem(), 0o644)?;
    Ok(Issuer::new(params, key))
}

/// Says what is wrong with made files, if they are there; changes nothing.
///
/// # Errors
/// When they cannot be read.
pub fn check_made(dir: &Path, names: &[String]) -> anyhow::Result<()> {
    CertificateParams::new(names.to_vec())
        .with_context(|| format!("--tls-name: one of {} is no DNS name and no address", names.join(", ")))?;
    let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    if matches!(files.cert.try_exists(), Ok(true)) { server_config(&files).map(drop) } else { Ok(()) }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn write(path: &Path, content: &str, mode: u32) -> anyhow::Result<()> {
    // A reader sees the file before or the file after, and a crash leaves one of both.
    let cannot = || format!("cannot write {}", path.display());
    let draft = path.with_extension("draft");
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&draft).with_context(cannot)?;
    file.write_all(content.as_bytes()).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    fs::rename(&draft, path).with_context(cannot)
}

/// The server's side of TLS with these files.
///
/// # Errors
/// When a file cannot be read, holds no certificate or key, or the two do not belong together.
pub fn server_config(files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let TlsFiles { cert, key } = files;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| anyhow::anyhow!("cannot read certificates from {}: {error}", cert.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate; it must be PEM", cert.display());
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| anyhow::anyhow!("cannot read a private key from {}: {error}", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .with_context(|| format!("{} and {} do not belong together", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
