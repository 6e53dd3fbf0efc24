//! One HTTP/1.1 connection to one server, opened when needed.

use bytes::Bytes;
use drain::SendError;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use model::Refusal;

use crate::answer::Answer;
use crate::connect::{broken, connect};
use client::Access;
use client::USER_AGENT;

/// The most bytes of an answer that are read.
const MAX_ANSWER: usize = 64 << 10;
const BUFFER: usize = 16 << 10;
/// How often a request is sent on.
const REDIRECTS: usize = 4;

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
        let answer = sent.unwrap_or_else(|_| Err(crate::connect::no_answer(&self.access)));
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
