//! One HTTP/1.1 connection to one server, opened when needed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::{Access, SinkError};

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
const BUFFER: usize = 16 << 10;

/// A connected byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Opens a connection. `alpn` names the application protocol where TLS is used.
pub(crate) async fn connect(access: &Access, alpn: &[u8]) -> Result<Box<dyn Stream>, SinkError> {
    let endpoint = &access.endpoint;
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| SinkError::retry(format!("cannot reach {}: {error}", endpoint.authority())))?;
    // Frames are already batches: waiting for more would only delay them.
    let _nagle_stays_on = tcp.set_nodelay(true);
    if !endpoint.tls {
        return Ok(Box::new(tcp));
    }
    let config = access.tls.clone().ok_or_else(|| SinkError::Blocked { why: "no TLS settings for https".into() })?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| SinkError::Blocked { why: format!("'{}' is no host name for TLS", endpoint.host) })?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| {
        let why = format!("TLS with {}: {error}", endpoint.authority());
        // A bad certificate needs a person (or the right clock); a broken connection only time.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                SinkError::Blocked { why: format!("{why}; check ca_file, the server's name and this machine's clock") }
            }
            _ => SinkError::retry(why),
        }
    })?;
    Ok(Box::new(stream))
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The wait that the server asks for: `retry-after` in seconds (the HTTP-date form reads as "not said").
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The start of the body, for a message.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body)
            .chars()
            .filter(|character| !character.is_control())
            .take(200)
            .collect::<String>()
    }
}

/// The connection.
pub(crate) struct Client {
    pub(crate) access: Access,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(access: Access) -> Self {
        Self { access, sender: None }
    }

    /// Sends a POST and reads the answer, within the timeout. A failure closes the connection.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Answer, SinkError> {
        let timeout = self.access.timeout;
        let sent = tokio::time::timeout(timeout, self.try_post(path, headers, body)).await;
        let answer = sent.unwrap_or_else(|_| {
            Err(SinkError::retry(format!("no answer from {} in {timeout:?}", self.access.endpoint.authority())))
        });
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, SinkError> {
        let alive = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !alive {
            let stream = connect(&self.access, b"http/1.1").await?;
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(BUFFER)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(|error| SinkError::retry(error.to_string()))?;
            tokio::task::spawn_local(async move {
                // Its end shows in the sender.
                let _closed = connection.await;
            });
            self.sender = Some(sender);
        }
        self.sender.as_mut().ok_or_else(|| SinkError::retry("not connected"))
    }

    async fn try_post(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Answer, SinkError> {
        let endpoint = &self.access.endpoint;
        let mut request = Request::post(format!("{}{path}", endpoint.base)).header(header::HOST, endpoint.authority());
        if let Some(token) = &self.access.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| SinkError::Blocked { why: format!("the request cannot be made: {error}") })?;
        let broken = |error: hyper::Error| SinkError::retry(format!("the connection broke: {error}"));
        let response = self.sender().await?.send_request(request).await.map_err(broken)?;
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                if body.len() + data.len() > MAX_ANSWER {
                    return Err(SinkError::retry("the answer is longer than 64 KiB; is this the right server?"));
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// What an answer that is not 2xx means. Where `permanent` says so, a 4xx means that the bytes themselves are refused.
pub(crate) fn failure(answer: &Answer, permanent: bool) -> SinkError {
    let why = format!("the server answers {}: {}", answer.status, answer.excerpt());
    match answer.status.as_u16() {
        429 | 502 | 503 | 504 => SinkError::Retry { why, after: answer.retry_after() },
        401 | 403 => SinkError::Blocked { why: format!("{why}; check the token") },
        404 | 405 | 415 => SinkError::Blocked { why: format!("{why}; check the address and protocol") },
        _ if permanent => SinkError::Rejected { why },
        _ => SinkError::Retry { why, after: answer.retry_after() },
    }
}
