//! Opens connections: TCP, a proxy that stands between, TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use model::{Refusal, words};
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::Access;
use crate::error::ConnectError;
use crate::proxy::{Proxy, Route};

/// Who asks.
pub const USER_AGENT: &str = concat!("lightship/", env!("CARGO_PKG_VERSION"));
/// The longest head of a proxy's answer.
const MAX_PROXY_HEAD: usize = 16 << 10;
/// So much of a proxy's page is read for its words.
const MAX_PROXY_WORDS: usize = 4 << 10;

/// A connected byte stream, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Opens a connection, through a proxy where there is one. `alpn` names the application protocol where TLS is used; empty: none.
///
/// # Errors
/// [`ConnectError`]
pub async fn connect(access: &Access, alpn: &[u8]) -> Result<Box<dyn Stream>, ConnectError> {
    let stream = reach(access).await?;
    if !access.endpoint.tls {
        return Ok(stream);
    }
    Ok(Box::new(encrypt(access, alpn, stream).await?))
}

/// Opens a connection to the server as it is before TLS.
///
/// # Errors
/// [`ConnectError`]
pub async fn reach(access: &Access) -> Result<Box<dyn Stream>, ConnectError> {
    let endpoint = &access.endpoint;
    let stream: Box<dyn Stream> = match &access.route {
        Route::Direct => Box::new(tcp(&endpoint.host, endpoint.port).await.map_err(|error| {
            ConnectError::retry(Refusal::Unreachable, format!("cannot reach {}: {error}", endpoint.authority()))
        })?),
        Route::Proxy(proxy) => {
            // Who does not answer is told before the whole request takes too long.
            let patience = access.timeout / 2;
            tokio::time::timeout(patience, tunnel(access, proxy)).await.unwrap_or_else(|_| {
                let why = format!("the proxy {proxy} does not connect to {} in {patience:?}", endpoint.authority());
                Err(ConnectError::retry(Refusal::TimedOut, why))
            })?
        }
        Route::Unusable(why) => return Err(ConnectError::blocked(Refusal::Unreachable, why)),
    };
    Ok(stream)
}

/// Does TLS with the server.
///
/// # Errors
/// [`ConnectError`]
pub async fn encrypt(
    access: &Access,
    alpn: &[u8],
    stream: Box<dyn Stream>,
) -> Result<TlsStream<Box<dyn Stream>>, ConnectError> {
    let endpoint = &access.endpoint;
    let config =
        access.credentials.tls().ok_or_else(|| ConnectError::blocked(Refusal::Unreachable, "no TLS settings"))?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.to_vec()] };
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
        ConnectError::blocked(Refusal::Unreachable, format!("'{}' is no host name for TLS", endpoint.host))
    })?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| {
        let why = format!("TLS with {}: {error}", endpoint.authority());
        // A bad certificate needs a person (or the right clock); a broken connection only time.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => client_refused(&why),
            Some(rustls::Error::InvalidCertificate(_)) => ConnectError::blocked(
                Refusal::Unreachable,
                format!("{why}; check ca_file, the server's name and this machine's clock"),
            ),
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => ConnectError::blocked(
                Refusal::Unreachable,
                format!(
                    "{} does not speak TLS: it may be a port for plain HTTP (of a hub: the page's; the link port is another one, \
                     see --link), or the url needs http://",
                    endpoint.authority()
                ),
            ),
            _ => ConnectError::retry(Refusal::Unreachable, why),
        }
    })
}

async fn tcp(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Frames are already batches: waiting for more would only delay them.
    let _nagle_stays_on = stream.set_nodelay(true);
    Ok(stream)
}

/// Has a proxy connect to the server (RFC 9110, "CONNECT"). What goes wrong here is told as the proxy's.
async fn tunnel(access: &Access, proxy: &Proxy) -> Result<Box<dyn Stream>, ConnectError> {
    let there = access.endpoint.authority();
    let stream = tcp(&proxy.host, proxy.port).await.map_err(|error| {
        ConnectError::retry(
            Refusal::Unreachable,
            format!("cannot reach the proxy {proxy} on the way to {there}: {error}"),
        )
    })?;
    let failed = |error: hyper::Error| {
        let why = format!("the proxy {proxy} breaks off while it connects to {there}: {error}");
        match error.is_parse() {
            true => ConnectError::blocked(
                Refusal::NotAnExportResponse,
                format!("{why}; what listens there does not answer as an HTTP proxy"),
            ),
            false => ConnectError::retry(Refusal::CutOff, why),
        }
    };
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_PROXY_HEAD).handshake(TokioIo::new(stream)).await.map_err(failed)?;
    tokio::task::spawn_local(async move {
        // Its end shows in the answer, or in the stream.
        let _closed = connection.with_upgrades().await;
    });
    let mut request = Request::connect(&there).header(header::HOST, &there).header(header::USER_AGENT, USER_AGENT);
    if let Some(value) = proxy.authorization.clone().or_else(|| access.credentials.proxy()) {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| {
        ConnectError::blocked(Refusal::Unreachable, format!("{there} cannot be asked of a proxy: {error}"))
    })?;
    let response = sender.send_request(request).await.map_err(failed)?;
    if response.status().is_success() {
        let stream = hyper::upgrade::on(response).await.map_err(failed)?;
        return Ok(Box::new(TokioIo::new(stream)));
    }
    let status = response.status();
    let mut said = Vec::new();
    let mut body = response.into_body();
    while let Some(Ok(frame)) = body.frame().await {
        said.extend_from_slice(frame.data_ref().map_or(&[], |data| &data[..]));
        if said.len() >= MAX_PROXY_WORDS {
            break;
        }
    }
    let said = words(&said);
    let why = format!(
        "the proxy {proxy} answers {status} when it is asked for {there}{}{said}",
        if said.is_empty() { "" } else { ": " }
    );
    Err(match status.as_u16() {
        407 => ConnectError::blocked(
            Refusal::DestinationUnauthorized,
            format!("{why}; it wants a user and a password that it knows: check proxy and proxy_password_file"),
        ),
        // It could not reach the server, or is ill itself.
        408 | 429 | 500.. => ConnectError::retry(Refusal::FailedStatus, why),
        _ => ConnectError::blocked(
            Refusal::Unreachable,
            format!("{why}; have it allow CONNECT to this host and port, or set another proxy, or proxy: none"),
        ),
    })
}

/// Whether a server says by an alert that it does not like the client's certificate, or misses one.
fn is_about_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

fn client_refused(why: &str) -> ConnectError {
    let hint = "the server wants a client certificate that it knows; check cert_file, key_file and their dates";
    ConnectError::blocked(Refusal::DestinationUnauthorized, format!("{why}; {hint}"))
}

/// What it means that a connection broke.
pub fn broken(error: &(dyn std::error::Error + 'static)) -> ConnectError {
    // In TLS 1.3 a client learns after its handshake that its certificate was refused.
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(one) = cause {
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(rustls::Error::AlertReceived(alert)) = inner.and_then(|inner| inner.downcast_ref())
            && is_about_certificate(*alert)
        {
            return client_refused(&format!("the server ends the connection: {alert:?}"));
        }
        cause = one.source();
    }
    ConnectError::retry(Refusal::CutOff, format!("the connection broke: {error}"))
}

/// What has come already, without waiting for more: how many bytes, none at the end; `None` where nothing has.
pub async fn came(stream: &mut Box<dyn Stream>, chunk: &mut [u8]) -> Option<std::io::Result<usize>> {
    let mut into = tokio::io::ReadBuf::new(chunk);
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *stream).poll_read(context, &mut into) {
        std::task::Poll::Ready(read) => std::task::Poll::Ready(Some(read.map(|()| into.filled().len()))),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
