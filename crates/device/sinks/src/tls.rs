//! TLS on the device's side: rustls with ring.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where systems keep the authorities that they trust.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of authorities cannot be read.
    #[error("{}: {why}; it must hold PEM certificates", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// No file was named, and the system has none where it is looked for.
    #[error("no certificate authorities found on this system; name a PEM file as ca_file")]
    NoRoots,
    /// The library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// A client configuration that trusts the authorities in `ca_file`, or the system's.
///
/// # Errors
/// [`TlsError`] with the file and what is wrong with it.
pub fn client_config(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let path = match ca_file {
        Some(path) => path.to_owned(),
        None => SYSTEM_BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.try_exists().unwrap_or(false))
            .ok_or(TlsError::NoRoots)?,
    };
    let file_error = |why: String| TlsError::File { path: path.clone(), why };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&path).map_err(|error| file_error(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| file_error(error.to_string()))?;
        // A system bundle may hold a certificate that is beyond this library; the others still count.
        let added = roots.add(certificate);
        if let (Err(error), Some(_)) = (added, ca_file) {
            return Err(file_error(error.to_string()));
        }
    }
    if roots.is_empty() {
        return Err(file_error("no certificate in it".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
