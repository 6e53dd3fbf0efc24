//! OTLP export requests as messages of MQTT 5 with QoS 1.
//!
//! One request is one message, and one is on its way at a time. The server's PUBACK confirms it: the server has it, and gives it to those
//! who subscribe or have a session.

use std::hash::{DefaultHasher, Hash, Hasher};

use drain::{PartialSuccess, SendError, words};
use model::{Refusal, Signal};
use mqtt::{Accepted, Connect, DecodeError, Decoder, MAX_PACKET, PINGREQ, Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::connect::{broken, connect};
use crate::{Access, Login};
use client::{Stream, came};

const CHUNK: usize = 4 << 10;
/// So long a server keeps the session of a client that is not connected, seconds. Nothing of a client that publishes is in it.
const SESSION_EXPIRY: u32 = 300;
/// The number of the one topic of a connection.
const ALIAS: u16 = 1;

/// The connection to a server of MQTT 5.
pub struct MqttSink {
    access: Access,
    login: Login,
    /// With `{signal}` in it.
    topic: String,
    client_id: String,
    connection: Option<Connection>,
    /// The number of the last message.
    last_id: u16,
    /// The message that was sent without an answer: its number, and its digest.
    unanswered: Option<(u16, u64)>,
    /// It is told that nobody subscribes.
    is_alone: bool,
}

impl MqttSink {
    /// A sink that connects when it is first used. Of `topic`, `{device}` and `{signal}` are replaced by the device's id and the signal's
    /// name. `client_id` names the session: no other connection may have it. Where the address has a user without a password, the token is
    /// that.
    pub fn new(access: Access, login: Login, topic: &str, device: &str, client_id: String) -> Self {
        let topic = topic.replace("{device}", device);
        Self { access, login, topic, client_id, connection: None, last_id: 0, unanswered: None, is_alone: false }
    }

    /// Publishes one export request. An empty one asks whether the server is there and lets this device in.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        let timeout = self.access.timeout;
        let answer = tokio::time::timeout(timeout, self.publish(signal, request)).await;
        let answer = answer.unwrap_or_else(|_| Err(crate::connect::no_answer(&self.access)));
        if matches!(answer, Err(SendError::Retry { .. } | SendError::Blocked { .. })) {
            self.connection = None;
        }
        answer
    }

    async fn publish(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        self.access.credentials.look();
        // One that was let in with what is replaced now is of no use any more.
        let credentials = self.access.credentials.changes();
        if let Some(connection) = &mut self.connection
            && (connection.credentials != credentials || !connection.is_alive().await)
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.access, &self.login, &self.client_id).await?);
        }
        let Some(connection) = &mut self.connection else {
            return Err(SendError::retry(Refusal::Unreachable, "not connected"));
        };
        if request.is_empty() {
            connection.ping().await?;
            return Ok(PartialSuccess::default());
        }
        let topic = self.topic.replace("{signal}", signal.name());
        let mut hasher = DefaultHasher::new();
        (topic.as_str(), request).hash(&mut hasher);
        let digest = hasher.finish();
        // In the same session a message that was not answered goes once more under its number.
        let repeated = self.unanswered.filter(|(_, of)| *of == digest && connection.accepted.session_present);
        let id = repeated.map_or_else(|| self.last_id.checked_add(1).unwrap_or(1), |(id, _)| id);
        let headers = self.access.credentials.headers();
        let headers = headers.iter().filter(|(name, _)| name != http::header::AUTHORIZATION);
        let user_properties: Vec<(&str, &str)> =
            headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
        let has_alias = connection.accepted.topic_alias_maximum >= ALIAS;
        let is_known = has_alias && connection.known_topic == topic;
        let packet = Publish {
            topic: if is_known { "" } else { &topic },
            alias: has_alias.then_some(ALIAS),
            id,
            is_repeated: repeated.is_some(),
            content_type: "application/x-protobuf",
            user_properties: &user_properties,
            payload: request,
        }
        .packet();
        if let Some(most) = connection.accepted.max_packet.filter(|most| packet.len() as u64 > u64::from(*most)) {
            let why = format!("{} bytes are more than the server's maximum packet size, {most}", packet.len());
            return Err(SendError::Rejected { reason: Refusal::TooLargeForDestination, why });
        }
        (self.last_id, self.unanswered) = (id, Some((id, digest)));
        connection.write(&packet).await?;
        let (reason, said) = connection.puback(id).await?;
        self.unanswered = None;
        if reason >= 0x80 {
            return Err(failure("a message", reason, &said));
        }
        if has_alias {
            connection.known_topic = topic.clone();
        }
        let is_news = reason == 0x10 && !self.is_alone;
        self.is_alone = reason == 0x10;
        let message = match is_news {
            true => format!("nobody subscribes to '{topic}' now: the server took the message, and may have dropped it"),
            false => String::new(),
        };
        Ok(PartialSuccess { rejected: 0, message })
    }
}

/// What a reason of a server means (section 2.4, and those of version 3.1.1 below 6).
fn failure(of: &str, reason: u8, said: &str) -> SendError {
    let said = words(said.as_bytes());
    let why = format!("the server answers {reason:#04x} to {of}{}{said}", if said.is_empty() { "" } else { ": " });
    let blocked = |kind, hint: &str| SendError::blocked(kind, format!("{why}; {hint}"));
    match reason {
        0x01 | 0x84 => blocked(Refusal::SignalNotTaken, "it must speak MQTT 5"),
        0x02 | 0x85 => {
            blocked(Refusal::SignalNotTaken, "it does not take this client's id; change the destination's name")
        }
        0x04 | 0x05 | 0x86 | 0x87 | 0x8a | 0x8c => blocked(
            Refusal::DestinationUnauthorized,
            "check user, password or token_file, and that the user may publish to the topic",
        ),
        0x90 => blocked(Refusal::SignalNotTaken, "check subject, the topic"),
        0x9b => {
            blocked(Refusal::SignalNotTaken, "it takes no messages with QoS 1, which are the ones that are confirmed")
        }
        0x9c | 0x9d => blocked(Refusal::Redirected, "it is elsewhere; set url to where it is"),
        0x95 => SendError::Rejected { reason: Refusal::TooLargeForDestination, why },
        0x99 => SendError::Rejected { reason: Refusal::RejectedStatus, why },
        0x89 | 0x96 | 0x97 | 0x9f => SendError::retry(Refusal::Throttled, why),
        0x8e => SendError::retry(Refusal::FailedStatus, format!("{why}; another connection has this client's id")),
        0x80 | 0x83 => SendError::Retry { reason: Refusal::FailedStatus, why, after: None, doubtful: true },
        _ => SendError::retry(Refusal::FailedStatus, why),
    }
}

/// A connection that the server has let in.
struct Connection {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    accepted: Accepted,
    /// The topic that the server knows by its number.
    known_topic: String,
    /// How often the credentials had changed when it was opened.
    credentials: u64,
}

impl Connection {
    async fn open(access: &Access, login: &Login, client_id: &str) -> Result<Self, SendError> {
        let mut stream = connect(access, b"").await?;
        let token = access.credentials.token();
        let hello = Connect {
            client_id,
            user: login.user.as_deref(),
            password: login.password.as_deref().or(token.as_deref()).map(str::as_bytes),
            // Nothing is said while there is nothing to send; a connection that ended meanwhile is opened again.
            keep_alive: 0,
            session_expiry: SESSION_EXPIRY,
            max_packet: MAX_PACKET as u32,
        };
        write(&mut stream, &hello.packet()).await?;
        let mut decoder = Decoder::default();
        let accepted = match next(&mut stream, &mut decoder).await? {
            Packet::Connack(accepted) => accepted,
            Packet::Disconnect { reason, said } => return Err(failure("the connection", reason, &said)),
            _ => {
                let why = "the server answers something else than a CONNACK; is this the right server?";
                return Err(SendError::blocked(Refusal::NotAnExportResponse, why));
            }
        };
        match accepted {
            Accepted { reason: 0, maximum_qos: 0, .. } => Err(failure("the connection", 0x9b, &accepted.said)),
            Accepted { reason: 0, .. } => {
                let credentials = access.credentials.changes();
                Ok(Self { stream, decoder, accepted, known_topic: String::new(), credentials })
            }
            // What it answers to a connection is not about the bytes of a request.
            _ => Err(match failure("the connection", accepted.reason, &accepted.said) {
                SendError::Retry { reason, why, after, .. } => SendError::Retry { reason, why, after, doubtful: false },
                SendError::Rejected { reason, why } => SendError::blocked(reason, why),
                blocked @ SendError::Blocked { .. } => blocked,
            }),
        }
    }

    /// False when the connection has ended meanwhile, or does not make sense any more.
    async fn is_alive(&mut self) -> bool {
        let mut chunk = [0; CHUNK];
        loop {
            match self.decoder.packet() {
                Ok(Some(Packet::Pingresp | Packet::Puback { .. })) => {}
                Ok(Some(_)) | Err(_) => return false,
                Ok(None) => match came(&mut self.stream, &mut chunk).await {
                    Some(Ok(0) | Err(_)) => return false,
                    Some(Ok(count)) => self.decoder.feed(&chunk[..count]),
                    None => return true,
                },
            }
        }
    }

    /// Waits for the answer to a message: its reason, and the server's words.
    async fn puback(&mut self, sent: u16) -> Result<(u8, String), SendError> {
        loop {
            match self.packet().await? {
                Packet::Puback { id, reason, said } if id == sent => return Ok((reason, said)),
                _ => {}
            }
        }
    }

    async fn ping(&mut self) -> Result<(), SendError> {
        self.write(PINGREQ).await?;
        while self.packet().await? != Packet::Pingresp {}
        Ok(())
    }

    /// The next packet; the one that ends the connection is an error.
    async fn packet(&mut self) -> Result<Packet, SendError> {
        match next(&mut self.stream, &mut self.decoder).await? {
            Packet::Disconnect { reason, said } => Err(failure("what was sent", reason, &said)),
            other => Ok(other),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), SendError> {
        write(&mut self.stream, bytes).await
    }
}

async fn write(stream: &mut Box<dyn Stream>, bytes: &[u8]) -> Result<(), SendError> {
    stream.write_all(bytes).await.map_err(|error| broken(&error))?;
    stream.flush().await.map_err(|error| broken(&error))
}

/// The next packet that comes.
async fn next(stream: &mut Box<dyn Stream>, decoder: &mut Decoder) -> Result<Packet, SendError> {
    let odd = |error: DecodeError| {
        let why = format!("this is no server of MQTT 5: {error}; check the address");
        SendError::blocked(Refusal::NotAnExportResponse, why)
    };
    let mut chunk = [0; CHUNK];
    loop {
        if let Some(packet) = decoder.packet().map_err(odd)? {
            return Ok(packet);
        }
        match stream.read(&mut chunk).await.map_err(|error| broken(&error))? {
            0 => return Err(SendError::retry(Refusal::CutOff, "the server closed the connection")),
            count => decoder.feed(&chunk[..count]),
        }
    }
}
