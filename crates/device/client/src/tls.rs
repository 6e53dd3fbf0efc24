//! TLS on the device's side: rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::certificate::valid_until;

/// Where systems keep the authorities that they trust.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error("{}: {why}; it must hold {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
        /// What belongs there.
        what: &'static str,
    },
    /// No file was named, and the system has none where it is looked for.
    #[error("no certificate authorities found on this system; name a PEM file as ca_file")]
    NoRoots,
    /// Certificate and key do not fit.
    #[error("{} and {}: {why}; the key must be the one of the first certificate", certificate.display(), key.display())]
    Pair {
        /// File of the certificate.
        certificate: PathBuf,
        /// File of the key.
        key: PathBuf,
        /// What the library says.
        why: rustls::Error,
    },
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What a client needs for TLS, in files.
#[derive(Debug, Clone)]
pub(crate) struct TlsFiles {
    roots: PathBuf,
    /// They are the system's.
    is_system: bool,
    /// Certificate and key of the client.
    client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// Those that are named, or else the system's authorities.
    ///
    /// # Errors
    /// [`TlsError::NoRoots`]
    pub(crate) fn find(ca_file: Option<&Path>, client: Option<&(PathBuf, PathBuf)>) -> Result<Self, TlsError> {
        let system = || {
            let paths = SYSTEM_BUNDLES.iter().map(PathBuf::from);
            paths.into_iter().find(|path| path.try_exists().unwrap_or(false)).ok_or(TlsError::NoRoots)
        };
        let roots = ca_file.map_or_else(system, |path| Ok(path.to_owned()))?;
        Ok(Self { roots, is_system: ca_file.is_none(), client: client.cloned() })
    }

    /// All of them.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let client = self.client.iter().flat_map(|(certificate, key)| [certificate.clone(), key.clone()]);
        std::iter::once(self.roots.clone()).chain(client).collect()
    }

    /// A client's configuration from what is in them now.
    ///
    /// # Errors
    /// [`TlsError`] with the file and what is wrong with it.
    pub(crate) fn read(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let file_error =
            |why: String| TlsError::File { path: self.roots.clone(), why, what: "PEM certificates of authorities" };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.roots)? {
            // A system bundle may hold a certificate that is beyond this library; the others still count.
            let added = roots.add(certificate);
            if let (Err(error), false) = (added, self.is_system) {
                return Err(file_error(error.to_string()));
            }
        }
        if roots.is_empty() {
            return Err(file_error("no certificate in it".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some((certificate, key)) = &self.client else { return Ok(Arc::new(builder.with_no_client_auth())) };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            path: key.clone(),
            why: error.to_string(),
            what: "a private key in PEM",
        })?;
        let pair_error = |why| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), why };
        builder.with_client_auth_cert(chain, private).map(Arc::new).map_err(pair_error)
    }
}

/// The certificates of a file, the first one first.
///
/// # Errors
/// [`TlsError::File`], also for a file that holds none.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let fail = |why: String| TlsError::File { path: path.to_owned(), why, what: "PEM certificates" };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| fail(error.to_string()))?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(|error| fail(error.to_string()))?;
    if all.is_empty() { Err(fail("no certificate in it".into())) } else { Ok(all) }
}

/// Until when the first certificate of a PEM file is valid, Unix seconds; `None` where it does not say so legibly.
///
/// # Errors
/// What is wrong with the file.
pub fn file_valid_until(path: &Path) -> Result<Option<u64>, String> {
    let certificates = certificates(path).map_err(|error| error.to_string())?;
    Ok(certificates.first().and_then(|one| valid_until(one)))
}
