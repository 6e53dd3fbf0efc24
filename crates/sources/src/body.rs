//! Request bodies: capped while they come in, capped when inflated, counted in the sum of all.

use std::io::Read;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use model::Refusal;

use crate::Limits;

/// How long a producer may take to send one request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Larger than one request may be.
    TooLarge,
    /// Too much is in memory already.
    NoRoom,
    /// The connection broke, or the producer was too slow.
    CutOff,
    /// The encoding's name is not known.
    UnknownEncoding,
    /// The bytes are not what the encoding says.
    Undecodable,
}

impl BodyError {
    /// What is wrong and what to do, for the producer.
    pub(crate) fn explain(self, limits: &Limits) -> String {
        match self {
            BodyError::TooLarge => format!(
                "the request is larger than {} bytes, as sent or when inflated; send smaller batches or raise \
                 sources.otlp.max_request",
                limits.max_request
            ),
            BodyError::NoRoom => "too many requests are in memory; send the same request again a second later".into(),
            BodyError::CutOff => "the request did not arrive whole".into(),
            BodyError::UnknownEncoding => "the encoding must be gzip, zstd or identity".into(),
            BodyError::Undecodable => "the request is not what its encoding says, or is cut off".into(),
        }
    }
}

/// Bytes with their share of the sum; given back when dropped.
pub(crate) struct Held {
    bytes: Vec<u8>,
    share: usize,
    limits: Rc<Limits>,
}

impl Held {
    fn new(limits: &Rc<Limits>) -> Self {
        Self { bytes: Vec::new(), share: 0, limits: Rc::clone(limits) }
    }

    /// Takes more of the sum; false when there is no room.
    fn grow(&mut self, by: usize) -> bool {
        let held = self.limits.held.get();
        if held + by > self.limits.in_flight {
            return false;
        }
        self.limits.held.set(held + by);
        self.share += by;
        true
    }

    /// The bytes; their share of the sum is given back, since the one who takes them counts them from here on.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.limits.held.set(self.limits.held.get().saturating_sub(self.share));
    }
}

/// Reads a whole body. `extra` bytes of framing may come on top of `max_request`.
pub(crate) async fn collect(mut body: Incoming, extra: usize, limits: &Rc<Limits>) -> Result<Held, BodyError> {
    let max = limits.max_request + extra;
    let stated = body.size_hint().upper().unwrap_or(0);
    if stated > max as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut held = Held::new(limits);
    let stated = stated as usize;
    if !held.grow(stated) {
        return Err(BodyError::NoRoom);
    }
    held.bytes.reserve_exact(stated);
    let read = async {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::CutOff)?;
            let Some(data) = frame.data_ref() else { continue };
            let length = held.bytes.len() + data.len();
            if length > max {
                return Err(BodyError::TooLarge);
            }
            if length > held.share && !held.grow(length - held.share) {
                return Err(BodyError::NoRoom);
            }
            held.bytes.extend_from_slice(data);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(())) => Ok(held),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(BodyError::CutOff),
    }
}

/// Undoes a content encoding; `body` is the part of `held` to look at.
pub(crate) fn inflate(
    encoding: &str,
    held: Held,
    body: std::ops::Range<usize>,
    limits: &Rc<Limits>,
) -> Result<Held, BodyError> {
    let max = limits.max_request;
    match encoding {
        "" | "identity" | "none" => {
            let mut held = held;
            if body != (0..held.bytes.len()) {
                held.bytes.truncate(body.end);
                held.bytes.drain(..body.start);
            }
            if held.bytes.len() > max { Err(BodyError::TooLarge) } else { Ok(held) }
        }
        "gzip" | "zstd" => {
            let compressed = held.bytes.get(body).unwrap_or_default();
            let mut inflated = Held::new(limits);
            if !inflated.grow(compressed.len()) {
                return Err(BodyError::NoRoom);
            }
            if encoding == "gzip" {
                // One byte more than allowed is asked for, so that "too large" can be told from "exactly full".
                let mut reader = flate2::read::MultiGzDecoder::new(compressed).take(max as u64 + 1);
                reader.read_to_end(&mut inflated.bytes).map_err(|_| BodyError::Undecodable)?;
            } else {
                let mut inflater = wire::Inflater::new();
                let content = inflater.inflate(compressed, max).map_err(|error| match error {
                    wire::InflateError::TooLarge { .. } => BodyError::TooLarge,
                    wire::InflateError::Corrupt { .. } => BodyError::Undecodable,
                    wire::InflateError::OutOfMemory => BodyError::NoRoom,
                })?;
                inflated.bytes.extend_from_slice(content);
            }
            if inflated.bytes.len() > max {
                return Err(BodyError::TooLarge);
            }
            inflated.bytes.shrink_to_fit();
            let missing = inflated.bytes.len().saturating_sub(inflated.share);
            if !inflated.grow(missing) {
                return Err(BodyError::NoRoom);
            }
            Ok(inflated)
        }
        _ => Err(BodyError::UnknownEncoding),
    }
}

/// Counts a body that did not make it.
pub(crate) fn count(error: BodyError, limits: &Limits) {
    limits.count(match error {
        BodyError::TooLarge => Refusal::TooLarge,
        BodyError::NoRoom => Refusal::NoRoom,
        BodyError::CutOff => Refusal::CutOff,
        BodyError::UnknownEncoding => Refusal::UnsupportedEncoding,
        BodyError::Undecodable => Refusal::Undecodable,
    });
}
