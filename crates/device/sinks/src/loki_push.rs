//! Loki's push as a client.

use std::hash::{DefaultHasher, Hash, Hasher};

use drain::{PartialSuccess, SendError, words};
use loki::Pushes;
use model::{Refusal, Signal};

use crate::answer::{failure, no_answer};
use crate::http1::Client;
use crate::snappy::Snappy;
use client::Access;

/// Where Loki takes it; other servers have paths of their own.
const PATH: &str = "/loki/api/v1/push";

/// The connection to a server that takes Loki's push.
pub struct LokiSink {
    client: Client,
    path: String,
    more_labels: Vec<String>,
    snappy: Snappy,
    /// How far the last request came that was not taken to its end.
    progress: Progress,
}

/// A request that goes as several pushes goes on where it stopped.
#[derive(Default)]
struct Progress {
    /// The request's digest.
    request: u64,
    /// Pushes that were answered.
    answered: u64,
    told: PartialSuccess,
}

impl LokiSink {
    /// A sink that connects when it is first used. Where the address has no path, it is Loki's own, `/loki/api/v1/push`. Resource
    /// attributes in `more_labels`, by their OTLP names, are labels of streams beside those that Loki has by default.
    pub fn new(mut access: Access, more_labels: Vec<String>) -> Self {
        let base = std::mem::take(&mut access.endpoint.base);
        let path = if base.is_empty() { PATH.to_owned() } else { base };
        let progress = Progress::default();
        Self { client: Client::new(access), path, more_labels, snappy: Snappy::default(), progress }
    }

    /// There is nothing to send for now: gives back what only sending needs.
    pub fn rest(&mut self) {
        self.snappy.release();
    }

    /// Sends one export request of log records, as one push or, where metadata makes it long, several: what was answered is not sent
    /// again when the same request is given once more.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Blocked`] for another signal than logs.
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        if signal != Signal::Logs {
            let why = format!("Loki takes logs, not {}; set this destination's signals", signal.name());
            return Err(SendError::blocked(Refusal::SignalNotTaken, why));
        }
        let unreadable = |error| SendError::Rejected {
            reason: Refusal::Unencodable,
            why: format!("the request cannot be read: {error}"),
        };
        let mut pushes = Pushes::read(request, &self.more_labels).map_err(unreadable)?;
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let digest = hasher.finish();
        if self.progress.request != digest {
            self.progress = Progress { request: digest, ..Progress::default() };
        }
        for number in 0.. {
            let mut body = Vec::new();
            let records = pushes.write(&mut body).map_err(unreadable)?;
            let is_probe = records == 0 && number == 0;
            if records == 0 && !is_probe {
                break;
            }
            if number < self.progress.answered {
                continue;
            }
            let (rejected, message) = self.push(body, is_probe).await?;
            self.progress.answered += 1;
            self.progress.told.rejected += rejected.min(records);
            if self.progress.told.message.is_empty() {
                self.progress.told.message = message;
            }
        }
        Ok(std::mem::take(&mut self.progress).told)
    }

    /// Sends one push: how many records the server ignores, and its words.
    async fn push(&mut self, body: Vec<u8>, is_probe: bool) -> Result<(u64, String), SendError> {
        let body = self.snappy.compressed(body)?;
        // Older servers refuse a content coding that names what they expect anyway.
        let answer = self.client.post(&self.path, &[("content-type", "application/x-protobuf")], body).await?;
        if answer.status.is_success() {
            return if answer.is_page() { Err(no_answer(&answer)) } else { Ok((0, String::new())) };
        }
        // A push without streams is refused by a server that takes others.
        if is_probe && matches!(answer.status.as_u16(), 400 | 422) {
            return Ok((0, String::new()));
        }
        match ignored(&answer.body) {
            Some(ignored) if answer.status.as_u16() == 400 => Ok((ignored, words(&answer.body))),
            _ => Err(failure(&answer, true)),
        }
    }
}

/// How many entries of a push Loki says that it ignores (`total ignored: 1 out of 10`); the others it has stored.
fn ignored(body: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.rsplit_once("total ignored: ")?;
    let (number, _) = rest.split_once(" out of ")?;
    number.parse().ok()
}
