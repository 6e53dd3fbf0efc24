//! `lightship-hub health`: one question to a running hub, over TLS where it has that.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 1 << 16;

/// Asks the hub at `address` whether it is well; `ca` is the authority of its certificate, where it has TLS.
pub(crate) fn ask(address: &str, ca: Option<&Path>) -> anyhow::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let Some(ca) = ca else { return talk(stream, address) };
    let mut roots = RootCertStore::empty();
    let cannot = || format!("cannot read certificates from {}", ca.display());
    for certificate in CertificateDer::pem_file_iter(ca).with_context(cannot)? {
        roots.add(certificate.with_context(cannot)?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned())?)?;
    talk(StreamOwned::new(connection, stream), address)
}

/// A GET of HTTP/1.0: one request, one answer, end.
fn talk(mut stream: impl Read + Write, address: &str) -> anyhow::Result<String> {
    write!(stream, "GET /healthz HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.split(' ').nth(1) == Some("200") => Ok(body.to_owned()),
        Some((_, body)) => bail!("it is not well: {}", body.trim()),
        None => bail!("not an HTTP answer; give --ca where it has TLS"),
    }
}
