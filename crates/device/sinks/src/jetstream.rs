//! OTLP export requests as messages of NATS JetStream.
//!
//! One request is one message, and one is on its way at a time. The stream's answer confirms it; its name (`Nats-Msg-Id`) lets the stream
//! leave out one that it has already.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use drain::{PartialSuccess, RequestId, SendError, words};
use model::{Refusal, Signal};
use nats::{Ack, Connect, DecodeError, Decoder, Event, Info, Message, StreamError, streams};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::connect::{self, encrypt, reach};
use crate::{Access, Login};
use client::{Stream, came};

const CHUNK: usize = 4 << 10;
/// Where JetStream says which streams take a subject.
const STREAM_NAMES: &str = "$JS.API.STREAM.NAMES";

/// The connection to a server, or a cluster of them, with a stream.
pub struct NatsSink {
    access: Access,
    login: Login,
    /// With `{signal}` in it.
    subject: String,
    device: String,
    connection: Option<Connection>,
}

impl NatsSink {
    /// A sink that connects when it is first used. Of `subject`, `{device}` and `{signal}` are replaced by the device's id, its dots by
    /// underscores, and the signal's name. Where the address has a user without a password, the token is that.
    pub fn new(access: Access, login: Login, subject: &str, device: &str) -> Self {
        let subject = subject.replace("{device}", &device.replace('.', "_"));
        Self { access, login, subject, device: device.to_owned(), connection: None }
    }

    /// Publishes one export request, under its name or, where it has none, its bytes' digest. An empty one asks whether there is a stream.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn export(
        &mut self,
        signal: Signal,
        request: &[u8],
        id: Option<RequestId>,
    ) -> Result<PartialSuccess, SendError> {
        let timeout = self.access.timeout;
        let answer = tokio::time::timeout(timeout, self.publish(signal, request, id)).await;
        let answer = answer.unwrap_or_else(|_| Err(connect::no_answer(&self.access)));
        if matches!(answer, Err(SendError::Retry { .. } | SendError::Blocked { .. })) {
            self.connection = None;
        }
        answer.map(|()| PartialSuccess::default())
    }

    async fn publish(&mut self, signal: Signal, request: &[u8], id: Option<RequestId>) -> Result<(), SendError> {
        let subject = self.subject.replace("{signal}", signal.name());
        self.access.credentials.look();
        // One that was let in with what is replaced now is of no use any more.
        let credentials = self.access.credentials.changes();
        if let Some(connection) = &mut self.connection
            && (connection.credentials != credentials || !connection.is_alive().await)
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.access, &self.login, &self.device).await?);
        }
        let Some(connection) = &mut self.connection else {
            return Err(SendError::retry(Refusal::Unreachable, "not connected"));
        };
        if request.is_empty() {
            return connection.look_for_stream(&subject).await;
        }
        let id = match id {
            Some(id) => format!("{}-{id}", self.device),
            None => format!("{}-{}", self.device, digest(signal, request)),
        };
        let mut headers = vec![("Nats-Msg-Id", id.as_str()), ("Content-Type", "application/x-protobuf")];
        let more = self.access.credentials.headers();
        let more = more.iter().filter(|(name, _)| name != http::header::AUTHORIZATION);
        headers.extend(more.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))));
        let message = connection.ask(&subject, &headers, request).await?;
        if message.status == Some(503) {
            return Err(no_stream(&subject));
        }
        match Ack::read(&message.payload) {
            Some(Ack::Stored { .. }) => Ok(()),
            Some(Ack::Failed(error)) => Err(failure(&error)),
            None => Err(SendError::blocked(
                Refusal::NotAnExportResponse,
                format!(
                    "the answer to a message on '{subject}' is none of JetStream; nothing counts as delivered: does a service listen \
                     to this subject? {}",
                    words(&message.payload)
                ),
            )),
        }
    }
}

/// A digest that names bytes, for hours: requests without a name are those that a person sends once more.
fn digest(signal: Signal, request: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    signal.name().hash(&mut hasher);
    request.hash(&mut hasher);
    format!("{:016x}-{}", hasher.finish(), request.len())
}

fn no_stream(subject: &str) -> SendError {
    SendError::blocked(
        Refusal::SignalNotTaken,
        format!(
            "no stream takes '{subject}'; create one there: nats stream add --subjects '{subject}' (and check that the server runs with \
             JetStream)"
        ),
    )
}

/// What an error of JetStream means. Numbers are those of `server/errors.json` of nats-server 2.15.
fn failure(error: &StreamError) -> SendError {
    let StreamError { status, code, description } = error;
    let why = format!("JetStream answers {status} ({code}): {}", words(description.as_bytes()));
    match code {
        // Message size exceeds maximum allowed.
        10054 => SendError::Rejected { reason: Refusal::TooLargeForDestination, why },
        // Not enabled, not enabled for the account; the stream is sealed.
        10076 | 10039 | 10109 => {
            SendError::blocked(Refusal::SignalNotTaken, format!("{why}; an operator has to change that"))
        }
        // A message with this name is on its way into the stream.
        10158 => SendError::retry(Refusal::Throttled, why),
        // No space, a limit of the stream with `discard: new`, no leader, and whatever it has no number for.
        _ if *status == 503 || *status >= 500 || *status == 429 => SendError::retry(Refusal::FailedStatus, why),
        _ => SendError::Retry { reason: Refusal::RejectedStatus, why, after: None, doubtful: true },
    }
}

/// What an error of the connection means.
fn connection_error(said: &str) -> SendError {
    let why = format!("the server says: {}", words(said.as_bytes()));
    let lower = said.to_ascii_lowercase();
    let says = |word: &str| lower.contains(word);
    if says("maximum payload") {
        return SendError::Rejected { reason: Refusal::TooLargeForDestination, why };
    }
    if says("authorization") || says("authentication") || says("permissions") || says("revoked") {
        let hint = "check user, password or token_file, and that the user may publish to the subject and subscribe to _INBOX.>";
        return SendError::blocked(Refusal::DestinationUnauthorized, format!("{why}; {hint}"));
    }
    if says("tls required") || says("secure connection") {
        return SendError::blocked(Refusal::Unreachable, format!("{why}; the url needs tls://"));
    }
    SendError::retry(Refusal::FailedStatus, why)
}

/// A connection that the server has let in.
struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    info: Info,
    /// Subjects of answers begin with it.
    inbox: String,
    asked: u64,
    /// How often the credentials had changed when it was opened.
    credentials: u64,
}

impl Connection {
    async fn open(access: &Access, login: &Login, device: &str) -> Result<Self, SendError> {
        // The server speaks first, and without TLS.
        let mut stream = reach(access).await?;
        let mut decoder = Decoder::default();
        let info = loop {
            match next(&mut stream, &mut decoder).await? {
                Event::Info(info) => break info,
                Event::Error(said) => return Err(connection_error(&said)),
                _ => {}
            }
        };
        if !info.headers {
            let why =
                format!("the server ({}) takes no headers; it must be 2.2 or later", words(info.version.as_bytes()));
            return Err(SendError::blocked(Refusal::SignalNotTaken, why));
        }
        let here = access.endpoint.authority();
        let stream = match access.endpoint.tls {
            false if info.tls_required => {
                let why = format!("{here} takes no connection without TLS; the url needs tls://");
                return Err(SendError::blocked(Refusal::Unreachable, why));
            }
            false => stream,
            true if !info.tls_required && !info.tls_available => {
                let why = format!("{here} does not speak TLS; give it a certificate, or the url needs nats://");
                return Err(SendError::blocked(Refusal::Unreachable, why));
            }
            true => Box::new(encrypt(access, b"", stream).await?),
        };
        // Nobody else may guess where answers go.
        let inbox = format!("_INBOX.{:016x}{:016x}", random(), random());
        let credentials = access.credentials.changes();
        let mut connection = Self { stream, decoder, info, inbox, asked: 0, credentials };
        let name = format!("lightship {device}");
        let token = access.credentials.token();
        let token = token.as_deref();
        let mut hello = Connect {
            name: &name,
            version: env!("CARGO_PKG_VERSION"),
            user: login.user.as_deref(),
            password: login.password.as_deref().or(token.filter(|_| login.user.is_some())),
            token: token.filter(|_| login.user.is_none()),
            tls: access.endpoint.tls,
        }
        .command();
        hello.extend(nats::subscribe(&format!("{}.*", connection.inbox), 1));
        hello.extend_from_slice(nats::PING);
        connection.write(&hello).await?;
        loop {
            match connection.event().await? {
                Event::Pong => return Ok(connection),
                Event::Error(said) => return Err(connection_error(&said)),
                _ => {}
            }
        }
    }

    /// Answers what the server asked meanwhile; false when the connection has ended.
    async fn is_alive(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        loop {
            match self.decoder.event() {
                Ok(Some(Event::Ping)) => {
                    if self.write(nats::PONG).await.is_err() {
                        return false;
                    }
                }
                Ok(Some(Event::Info(info))) => self.info = info,
                Ok(Some(Event::Error(_))) | Err(_) => return false,
                Ok(Some(_)) => {}
                Ok(None) => match came(&mut self.stream, &mut chunk).await {
                    Some(Ok(0) | Err(_)) => return false,
                    Some(Ok(count)) => self.decoder.feed(&chunk[..count]),
                    None => return true,
                },
            }
        }
    }

    /// Publishes a message, and waits for the answer to it.
    async fn ask(&mut self, subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Result<Message, SendError> {
        self.asked += 1;
        let reply = format!("{}.{}", self.inbox, self.asked);
        let (command, counted) = nats::publish(subject, &reply, headers, payload);
        if counted as u64 > self.info.max_payload {
            let why = format!("{counted} bytes are more than the server's max_payload, {}", self.info.max_payload);
            return Err(SendError::Rejected { reason: Refusal::TooLargeForDestination, why });
        }
        self.write(&command).await?;
        loop {
            match self.event().await? {
                Event::Message(message) if message.subject == reply => return Ok(message),
                Event::Error(said) => return Err(connection_error(&said)),
                _ => {}
            }
        }
    }

    /// Whether a stream takes the subject. A server that lets a device only publish does not say.
    async fn look_for_stream(&mut self, subject: &str) -> Result<(), SendError> {
        let question = format!("{{\"subject\":\"{subject}\"}}");
        let message = match self.ask(STREAM_NAMES, &[], question.as_bytes()).await {
            Err(SendError::Blocked { reason: Refusal::DestinationUnauthorized, why }) if why.contains(STREAM_NAMES) => {
                return Ok(());
            }
            answered => answered?,
        };
        match streams(&message.payload) {
            Some(Ok(0)) => Err(no_stream(subject)),
            Some(Err(error)) => Err(failure(&error)),
            Some(Ok(_)) => Ok(()),
            None if message.status == Some(503) => Err(no_stream(subject)),
            None => Ok(()),
        }
    }

    /// The next thing that the server says; what it asks is answered.
    async fn event(&mut self) -> Result<Event, SendError> {
        loop {
            match next(&mut self.stream, &mut self.decoder).await? {
                Event::Ping => self.write(nats::PONG).await?,
                Event::Info(info) => self.info = info,
                other => return Ok(other),
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        self.stream.write_all(bytes).await.map_err(|error| connect::broken(&error))?;
        self.stream.flush().await.map_err(|error| connect::broken(&error))
    }
}

/// The next thing that comes.
async fn next(stream: &mut (impl AsyncRead + Unpin), decoder: &mut Decoder) -> Result<Event, SendError> {
    let odd = |error: DecodeError| {
        let why = format!("this is no server of NATS: {error}; check the address");
        SendError::blocked(Refusal::NotAnExportResponse, why)
    };
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(event) = decoder.event().map_err(odd)? {
            return Ok(event);
        }
        match stream.read(&mut chunk).await.map_err(|error| connect::broken(&error))? {
            0 => return Err(SendError::retry(Refusal::CutOff, "the server closed the connection")),
            count => decoder.feed(&chunk[..count]),
        }
    }
}

fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
