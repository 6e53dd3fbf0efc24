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

/// Makes an authority and a certificate for this machine in `dir`, unless they are there; `names` are valid besides
/// `localhost` and the loopback addresses. Devices trust `ca.pem`.
///
/// # Errors
/// When files cannot be written, or a name is no DNS name and no address.
pub fn self_made(dir: &Path, names: &[String]) -> anyhow::Result<TlsFiles> {
    let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    let ca = dir.join("ca.pem");
    let is_there = |path: &Path| path.try_exists().with_context(|| format!("cannot look at {}", path.display()));
    let made_for = dir.join("names");
    let wanted = LOCAL_NAMES.iter().map(|name| (*name).to_owned()).chain(names.iter().cloned());
    let wanted: Vec<String> = wanted.collect();
    if is_there(&files.cert)? && is_there(&files.key)? && is_there(&ca)? {
        let known = fs::read_to_string(&made_for).unwrap_or_default();
        let missing: Vec<&str> =
            wanted.iter().map(String::as_str).filter(|name| !known.lines().any(|line| line == *name)).collect();
        if !missing.is_empty() {
            bail!(
                "{} is not valid for {}; remove the directory {} to have it made anew (devices must then be given the \
                 new ca.pem)",
                files.cert.display(),
                missing.join(", "),
                dir.display()
            );
        }
        return Ok(files);
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let ca_key = KeyPair::generate().context("cannot make a key")?;
    let mut ca_params = CertificateParams::new(Vec::new()).context("cannot make an authority")?;
    ca_params.distinguished_name = common_name("Lightship hub authority");
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca_params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = ca_params.self_signed(&ca_key).context("cannot make an authority")?;
    let key = KeyPair::generate().context("cannot make a key")?;
    let mut params = CertificateParams::new(wanted.clone())
        .with_context(|| format!("--tls-name: one of {} is no DNS name and no address", wanted.join(", ")))?;
    params.distinguished_name = common_name("Lightship hub");
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::new(ca_params, ca_key);
    let certificate = params.signed_by(&key, &issuer).context("cannot make a certificate")?;
    // The authority's key is not kept: nobody can sign anything else with it.
    write(&ca, &authority.pem(), 0o644)?;
    write(&files.key, &key.serialize_pem(), 0o600)?;
    write(&made_for, &format!("{}\n", wanted.join("\n")), 0o644)?;
    write(&files.cert, &certificate.pem(), 0o644)?;
    Ok(files)
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
    let cannot = || format!("cannot write {}", path.display());
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(mode).open(path).with_context(cannot)?;
    file.write_all(content.as_bytes()).with_context(cannot)?;
    file.sync_all().with_context(cannot)
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
