//! What a server says.

use serde_json::Value;

/// The longest line, bytes: `INFO` names every server of a cluster.
pub const MAX_LINE: usize = 64 << 10;
/// The longest message, headers included, bytes: those that come here are answers.
pub const MAX_MESSAGE: usize = 64 << 10;

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info {
    /// The most bytes of a message, headers included.
    pub max_payload: u64,
    /// It takes messages with headers.
    pub headers: bool,
    /// It takes no connection without TLS.
    pub tls_required: bool,
    /// It takes connections with TLS.
    pub tls_available: bool,
    /// Its version.
    pub version: String,
}

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject that it was sent to.
    pub subject: String,
    /// The status in its headers; 503 of a server: nobody listens to the subject.
    pub status: Option<u16>,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// One thing that a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// At first, and when something of it changes.
    Info(Info),
    /// To a subject that was subscribed to.
    Message(Message),
    /// To be answered with [`crate::PONG`].
    Ping,
    /// Everything before the `PING` is done.
    Pong,
    /// A command is done.
    Ok,
    /// Something is refused; mostly the connection ends with it. The server's words, without quotes.
    Error(String),
}

/// Bytes that are none of NATS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A line does not end.
    #[error("a line has more than {MAX_LINE} bytes")]
    LineTooLong,
    /// A message is longer than answers are.
    #[error("a message has {0} bytes, more than {MAX_MESSAGE}")]
    MessageTooLong(u64),
    /// A line that no server of NATS sends.
    #[error("it is no line of NATS: '{0}'")]
    Unknown(String),
}

/// Bytes of a server, as they come, to what it said.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Bytes that came. Take every [`Decoder::event`] before the next ones.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing that the server said; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection is of no use any more.
    pub fn event(&mut self) -> Result<Option<Event>, DecodeError> {
        let Some(end) = self.buffer.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            return if self.buffer.len() >= MAX_LINE { Err(DecodeError::LineTooLong) } else { Ok(None) };
        };
        let line = self.buffer[..end].trim_ascii();
        let split = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        let (verb, rest) = (line[..split].to_ascii_uppercase(), line[split..].trim_ascii());
        let unknown = || DecodeError::Unknown(String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned());
        let mut used = end + 1;
        let event = match verb.as_slice() {
            b"INFO" => Event::Info(info(rest).ok_or_else(unknown)?),
            b"PING" => Event::Ping,
            b"PONG" => Event::Pong,
            b"+OK" => Event::Ok,
            b"-ERR" => Event::Error(String::from_utf8_lossy(rest).trim_matches('\'').to_owned()),
            b"MSG" | b"HMSG" => {
                let sizes = Sizes::read(rest, verb == b"HMSG").ok_or_else(unknown)?;
                if sizes.total > MAX_MESSAGE as u64 {
                    return Err(DecodeError::MessageTooLong(sizes.total));
                }
                let total = sizes.total as usize;
                // A line's end stands behind the payload.
                let Some(body) = self.buffer.get(used..used + total + 2) else { return Ok(None) };
                let (headers, payload) = body[..total].split_at(sizes.headers as usize);
                let message = Message { subject: sizes.subject, status: status(headers), payload: payload.to_vec() };
                if &body[total..] != b"\r\n" {
                    return Err(unknown());
                }
                used += total + 2;
                Event::Message(message)
            }
            _ => return Err(unknown()),
        };
        self.buffer.drain(..used);
        if self.buffer.is_empty() {
            // A long `INFO` is not there for ever.
            self.buffer = Vec::new();
        }
        Ok(Some(event))
    }
}

/// What stands before a message: `subject number [reply] [headers] total`.
struct Sizes {
    subject: String,
    headers: u64,
    total: u64,
}

impl Sizes {
    fn read(line: &[u8], with_headers: bool) -> Option<Self> {
        let parts: Vec<&str> = std::str::from_utf8(line).ok()?.split_ascii_whitespace().collect();
        let fixed = if with_headers { 4 } else { 3 };
        if parts.len() != fixed && parts.len() != fixed + 1 {
            return None;
        }
        let number = |place: usize| -> Option<u64> {
            let digits = parts.get(place)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let total = number(parts.len() - 1)?;
        let headers = if with_headers { number(parts.len() - 2)? } else { 0 };
        (headers <= total).then(|| Self { subject: parts[0].to_owned(), headers, total })
    }
}

/// The status of `NATS/1.0 503 No Responders`.
fn status(headers: &[u8]) -> Option<u16> {
    let line = headers.strip_prefix(b"NATS/1.0 ")?;
    std::str::from_utf8(line.trim_ascii_start().get(..3)?).ok()?.parse().ok()
}

fn info(json: &[u8]) -> Option<Info> {
    let all: Value = serde_json::from_slice(json).ok()?;
    let is = |name: &str| all.get(name).and_then(Value::as_bool).unwrap_or(false);
    Some(Info {
        max_payload: all.get("max_payload")?.as_u64()?,
        headers: is("headers"),
        tls_required: is("tls_required"),
        tls_available: is("tls_available"),
        version: all.get("version").and_then(Value::as_str).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> (Vec<Event>, Option<DecodeError>) {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.feed(piece);
            loop {
                match decoder.event() {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Some(error)),
                }
            }
        }
        (events, None)
    }

    /// Scenario: everything that a server says, in pieces of each size. Guarantees: it is read the same.
    #[test]
    fn everything_is_read_in_pieces_of_any_size() {
        let said = b"INFO {\"server_id\":\"x\",\"version\":\"2.15.3\",\"headers\":true,\"max_payload\":1048576,\"tls_required\":true}\r\n\
            PING\r\n+OK\r\npong\r\nMSG _INBOX.1 1 5\r\n{\r\n }\r\nMSG _INBOX.2 1 other.reply 0\r\n\r\n\
            HMSG _INBOX.3 1 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\n-ERR 'Authorization Violation'\r\n";
        let message = |subject: &str, status, payload: &[u8]| {
            Event::Message(Message { subject: subject.into(), status, payload: payload.to_vec() })
        };
        let info = Info {
            max_payload: 1 << 20,
            headers: true,
            tls_required: true,
            version: "2.15.3".into(),
            ..Info::default()
        };
        let expected = vec![
            Event::Info(info),
            Event::Ping,
            Event::Ok,
            Event::Pong,
            message("_INBOX.1", None, b"{\r\n }"),
            message("_INBOX.2", None, b""),
            message("_INBOX.3", Some(503), b""),
            Event::Error("Authorization Violation".into()),
        ];
        for step in 1..said.len() {
            assert_eq!(all(said, step), (expected.clone(), None), "{step}");
        }
    }

    /// Scenario: lines that do not end, messages longer than answers are, sizes that contradict each other, and other protocols.
    /// Guarantees: an error, and no more memory than the bounds.
    #[test]
    fn what_is_none_of_nats_is_an_error() {
        assert_eq!(all(&vec![b'x'; MAX_LINE], 1 << 14).1, Some(DecodeError::LineTooLong));
        assert_eq!(all(b"MSG a 1 99999999999\r\n", 9).1, Some(DecodeError::MessageTooLong(99_999_999_999)));
        for odd in [
            "HTTP/1.1 400 Bad Request\r\n",
            "MSG a 1\r\n",
            "MSG a 1 -1\r\n",
            "MSG a 1 +1\r\n",
            "HMSG a 1 5 4\r\nabcd\r\n",
            "MSG a 1 2\r\nabcd\r\n",
            "INFO {}\r\n",
            "INFO\r\n",
            "\r\n",
        ] {
            assert!(matches!(all(odd.as_bytes(), 5).1, Some(DecodeError::Unknown(_))), "{odd}");
        }
    }
}
