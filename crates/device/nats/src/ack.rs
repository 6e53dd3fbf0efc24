//! What JetStream answers, as JSON.

use serde_json::Value;

/// The answer to a message that was published to a stream's subject (`PubAck`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ack {
    /// It is in the stream.
    Stored {
        /// The stream's name.
        stream: String,
        /// Its number there.
        sequence: u64,
        /// The stream had a message with this id already, and left this one out.
        duplicate: bool,
    },
    /// It is not.
    Failed(StreamError),
}

/// An error of JetStream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// As HTTP has them.
    pub status: u64,
    /// JetStream's own number.
    pub code: u64,
    /// Its words.
    pub description: String,
}

impl Ack {
    /// Reads an answer; `None` when it is none: whoever sent it is no stream.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(payload).ok()?;
        if let Some(error) = error(&answer) {
            return Some(Ack::Failed(error));
        }
        Some(Ack::Stored {
            stream: answer.get("stream")?.as_str()?.to_owned(),
            sequence: answer.get("seq")?.as_u64()?,
            duplicate: answer.get("duplicate").and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

fn error(answer: &Value) -> Option<StreamError> {
    let error = answer.get("error")?;
    let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or(0);
    let description = error.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
    Some(StreamError { status: number("code"), code: number("err_code"), description })
}

/// How many streams an answer of `$JS.API.STREAM.NAMES` names; `None` when it is none.
pub fn streams(payload: &[u8]) -> Option<Result<u64, StreamError>> {
    let answer: Value = serde_json::from_slice(payload).ok()?;
    match error(&answer) {
        Some(error) => Some(Err(error)),
        None => answer.get("total")?.as_u64().map(Ok),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: answers of a stream, of something else, and junk. Guarantees: only an answer that names stream and number says that a
    /// message is stored (P3).
    #[test]
    fn d4_only_a_stream_confirms() {
        let stored = |sequence, duplicate| Some(Ack::Stored { stream: "S".into(), sequence, duplicate });
        assert_eq!(Ack::read(br#"{"stream":"S","seq":7}"#), stored(7, false));
        assert_eq!(Ack::read(br#"{"stream":"S","domain":"d","seq":7,"duplicate":true}"#), stored(7, true));
        let error =
            br#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"S","seq":0}"#;
        let failed = StreamError { status: 503, code: 10077, description: "maximum bytes exceeded".into() };
        assert_eq!(Ack::read(error), Some(Ack::Failed(failed.clone())));
        for odd in ["", "{}", "+OK", r#"{"stream":"S"}"#, r#"{"seq":1}"#, r#"{"stream":1,"seq":1}"#, "[1]", "{\"stream"]
        {
            assert_eq!(Ack::read(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(streams(br#"{"total":1,"streams":["S"]}"#), Some(Ok(1)));
        assert_eq!(streams(error), Some(Err(failed)));
        assert_eq!(streams(b"{}"), None);
    }
}
