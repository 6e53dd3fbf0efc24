//! One HTTP/1.1 connection to one server, opened when needed.

use std::sync::Arc;

use bytes::Bytes;
use drain::SendError;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::Refusal;
use rustls::AlertDescription;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::Access;
use crate::answer::Answer;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
const BUFFER: usize = 16 << 10;
/// Who asks.
pub(crate) const USER_AGENT: &str = concat!("lightship/", env!("CARGO_PKG_VERSION"));
/// How often a request is sent on.
const REDIRECTS: usize = 4;

/// A connected byte stream, encrypted or not.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}
impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// Opens a connection. `alpn` names the application protocol where TLS is used.
pub(crate) async fn connect(access: &Access, alpn: &[u8]) -> Result<Box<dyn Stream>, SendError> {
    let endpoint = &access.endpoint;
    let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await.map_err(|error| {
        SendError::retry(Refusal::Unreachable, format!("cannot reach {}: {error}", endpoint.authority()))
    })?;
    // Frames are already batches: waiting for more would only delay them.
    let _nagle_stays_on = tcp.set_nodelay(true);
    if !endpoint.tls {
        return Ok(Box::new(tcp));
    }
    let config = access
        .credentials
        .tls()
        .ok_or_else(|| SendError::blocked(Refusal::Unreachable, "no TLS settings for https"))?;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|_| {
        SendError::blocked(Refusal::Unreachable, format!("'{}' is no host name for TLS", endpoint.host))
    })?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(|error| {
        let why = format!("TLS with {}: {error}", endpoint.authority());
        // A bad certificate needs a person (or the right clock); a broken connection only time.
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::AlertReceived(alert)) if is_about_certificate(*alert) => client_refused(&why),
            Some(rustls::Error::InvalidCertificate(_)) => SendError::blocked(
                Refusal::Unreachable,
                format!("{why}; check ca_file, cert_file, the server's name and this machine's clock"),
            ),
            Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)) => SendError::blocked(
                Refusal::Unreachable,
                format!(
                    "{} does not speak TLS: it may be a port for plain HTTP (of a hub: the page's; the link port is another one, \
                     see --link), or the url needs http://",
                    endpoint.authority()
                ),
            ),
            _ => SendError::retry(Refusal::Unreachable, why),
        }
    })?;
    Ok(Box::new(stream))
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

fn client_refused(why: &str) -> SendError {
    let hint = "the server wants a client certificate that it knows; check cert_file, key_file and their dates";
    SendError::blocked(Refusal::DestinationUnauthorized, format!("{why}; {hint}"))
}

/// What it means that a connection broke.
pub(crate) fn broken(error: &hyper::Error) -> SendError {
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
    SendError::retry(Refusal::CutOff, format!("the connection broke: {error}"))
}

/// The connection.
pub(crate) struct Client {
    pub(crate) access: Access,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// How many connections there were so far.
    #[cfg(feature = "remote-write")]
    connections: u64,
}

impl Client {
    pub(crate) fn new(access: Access) -> Self {
        Self {
            access,
            sender: None,
            #[cfg(feature = "remote-write")]
            connections: 0,
        }
    }

    /// Sends a POST and reads the answer, within the timeout. A failure closes the connection.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let timeout = self.access.timeout;
        let sent = tokio::time::timeout(timeout, self.follow(path, headers, body)).await;
        let answer = sent.unwrap_or_else(|_| {
            let why = format!("no answer from {} in {timeout:?}", self.access.endpoint.authority());
            Err(SendError::retry(Refusal::TimedOut, why))
        });
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    /// Connects where that is needed, within the timeout: the number of the connection that the next request goes over.
    #[cfg(feature = "remote-write")]
    pub(crate) async fn connection(&mut self) -> Result<u64, SendError> {
        let timeout = self.access.timeout;
        match tokio::time::timeout(timeout, self.sender()).await {
            Ok(connected) => connected.map(|_| ())?,
            Err(_) => {
                let why = format!("no connection to {} in {timeout:?}", self.access.endpoint.authority());
                return Err(SendError::retry(Refusal::TimedOut, why));
            }
        }
        Ok(self.connections)
    }

    async fn sender(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, SendError> {
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
                .map_err(|error| SendError::retry(Refusal::Unreachable, error.to_string()))?;
            tokio::task::spawn_local(async move {
                // Its end shows in the sender.
                let _closed = connection.await;
            });
            self.sender = Some(sender);
            #[cfg(feature = "remote-write")]
            {
                self.connections += 1;
            }
        }
        self.sender.as_mut().ok_or_else(|| SendError::retry(Refusal::Unreachable, "not connected"))
    }

    /// Sends a POST, and again where the server sends it on to another path of itself (307, 308).
    async fn follow(&mut self, path: &str, headers: &[(&'static str, &str)], body: Bytes) -> Result<Answer, SendError> {
        let mut target = format!("{}{path}", self.access.endpoint.base);
        if target.is_empty() {
            target.push('/');
        }
        for _ in 0..REDIRECTS {
            let answer = self.try_post(&target, headers, body.clone()).await?;
            match self.same_server(&answer) {
                Some(path) => target = path,
                None => return Ok(answer),
            }
        }
        let why = format!("the server sends from one path to the next, last to '{target}'; check the address");
        Err(SendError::blocked(Refusal::Redirected, why))
    }

    /// The path to which an answer sends the same request, where that is on the same server: a token goes nowhere else.
    fn same_server(&self, answer: &Answer) -> Option<String> {
        if !matches!(answer.status.as_u16(), 307 | 308) {
            return None;
        }
        let to: Uri = answer.headers.get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
        if let Some(host) = to.host() {
            let tls = to.scheme_str()? == "https";
            let port = to.port_u16().unwrap_or(if tls { 443 } else { 80 });
            let here = &self.access.endpoint;
            let name = host.trim_start_matches('[').trim_end_matches(']');
            if tls != here.tls || port != here.port || !name.eq_ignore_ascii_case(&here.host) {
                return None;
            }
        }
        to.path_and_query().map(|path| path.as_str().to_owned()).filter(|path| path.starts_with('/'))
    }

    async fn try_post(
        &mut self,
        target: &str,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Answer, SendError> {
        let endpoint = &self.access.endpoint;
        let mut request =
            Request::post(target).header(header::HOST, endpoint.authority()).header(header::USER_AGENT, USER_AGENT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.access.credentials.look();
        for (name, value) in self.access.credentials.headers() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| {
            SendError::blocked(Refusal::Unreachable, format!("the request cannot be made: {error}"))
        })?;
        let broken = |error: hyper::Error| broken(&error);
        let response = self.sender().await?.send_request(request).await.map_err(broken)?;
        let (parts, mut incoming) = response.into_parts();
        let mut body = Vec::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                if body.len() + data.len() > MAX_ANSWER {
                    let why = "the answer is longer than 64 KiB; is this the right server?";
                    return Err(SendError::retry(Refusal::NotAnExportResponse, why));
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}
