//! Prometheus remote write as a client: version 2.0 of the protocol, and 1.0 where a server knows no better.

use std::hash::{DefaultHasher, Hash, Hasher};

use drain::{PartialSuccess, SendError, words};
use model::{Refusal, Signal};
use prometheus::{Counts, Message, Options, TranslateError, Translator};

use crate::answer::{Answer, failure, no_answer};
use crate::http1::Client;
use crate::snappy::Snappy;
use client::Access;

/// Where Prometheus takes it; other servers have paths of their own.
const PATH: &str = "/api/v1/write";
/// What a server of 2.0 says that it wrote: numbers, native histograms, exemplars.
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// The connection to a server that takes remote write.
pub struct PrometheusSink {
    client: Client,
    path: String,
    translator: Translator,
    snappy: Snappy,
    /// What the server of this connection, by its number, was found to take.
    speaks: Option<(u64, Message)>,
    /// The last request, where it is not known whether the server took it.
    unanswered: Option<u64>,
}

impl PrometheusSink {
    /// A sink that connects when it is first used. Where the address has no path, it is Prometheus' own, `/api/v1/write`.
    pub fn new(mut access: Access, options: Options) -> Self {
        let base = std::mem::take(&mut access.endpoint.base);
        let path = if base.is_empty() { PATH.to_owned() } else { base };
        let translator = Translator::new(options);
        Self {
            client: Client::new(access),
            path,
            translator,
            snappy: Snappy::default(),
            speaks: None,
            unanswered: None,
        }
    }

    /// There is nothing to send for now: gives back what only sending needs.
    pub fn rest(&mut self) {
        self.snappy.release();
    }

    /// Sends one export request of metrics. What is rejected is counted in data points: where the server tells how many samples it did
    /// not write, by the share of samples in points, rounded up.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Blocked`] for another signal than metrics.
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        if signal != Signal::Metrics {
            let why = format!("remote write takes metrics, not {}; set this destination's signals", signal.name());
            return Err(SendError::blocked(Refusal::SignalNotTaken, why));
        }
        let counts = self.translator.read(request).map_err(rejected)?;
        let counts = counts.clone();
        if counts.points == 0 && counts.rejected > 0 {
            self.translator.release();
            return Ok(untranslated(&counts));
        }
        let mut hasher = DefaultHasher::new();
        request.hash(&mut hasher);
        let digest = hasher.finish();
        let again = self.unanswered.take() == Some(digest);
        let sent = self.send(request, &counts).await;
        if let Err(SendError::Retry { reason: Refusal::TimedOut | Refusal::CutOff, .. }) = sent {
            self.unanswered = Some(digest);
        }
        match sent? {
            Outcome::Written => Ok(untranslated(&counts)),
            Outcome::Refused { all: true, words, .. } if again && is_repetition(&words) => {
                // Its answer to the first try was lost, and it takes nothing twice.
                let mut partial = untranslated(&counts);
                partial.message = format!("sent twice, and taken as written the first time: {words}");
                Ok(partial)
            }
            Outcome::Refused { error: Some(error), .. } => Err(error),
            Outcome::Refused { points, words, .. } => {
                let mut partial = untranslated(&counts);
                partial.rejected += points;
                partial.message =
                    if partial.message.is_empty() { words } else { format!("{words}; {}", partial.message) };
                Ok(partial)
            }
        }
    }

    /// Sends a request that was read, in the version that the server takes.
    async fn send(&mut self, request: &[u8], counts: &Counts) -> Result<Outcome, SendError> {
        let connection = self.client.connection().await.inspect_err(|_| self.translator.release())?;
        let known = self.speaks.filter(|(number, _)| *number == connection).map(|(_, message)| message);
        if known == Some(Message::V1) {
            let answer = self.post(Message::V1).await?;
            return outcome_v1(&answer);
        }
        let answer = self.post(Message::V2).await?;
        let written = written(&answer);
        if written.is_some() {
            self.speaks = Some((connection, Message::V2));
        }
        let status = answer.status.as_u16();
        let old = match (status, written) {
            // It read nothing of what it was sent, and says so or not.
            (415, _) => true,
            (200..300, None) => !answer.is_page(),
            (400, None) => known.is_none(),
            _ => false,
        };
        if old {
            self.translator.read(request).map_err(rejected)?;
            let answer = self.post(Message::V1).await?;
            if answer.status.is_success() {
                self.speaks = Some((connection, Message::V1));
            }
            return outcome_v1(&answer);
        }
        match written {
            Some(written) if status < 300 || (status < 500 && is_rejection(&answer)) => {
                Ok(outcome_v2(&answer, written, counts))
            }
            _ => outcome_v1(&answer),
        }
    }

    /// Sends what was read last. Its memory goes before: sending takes longer.
    async fn post(&mut self, message: Message) -> Result<Answer, SendError> {
        let mut body = Vec::new();
        let written = self.translator.write(message, &mut body);
        self.translator.release();
        written.map_err(rejected)?;
        let body = self.snappy.compressed(body)?;
        let (content_type, version) = match message {
            Message::V1 => ("application/x-protobuf", "0.1.0"),
            Message::V2 => ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "2.0.0"),
        };
        let headers = [
            ("content-type", content_type),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", version),
        ];
        self.client.post(&self.path, &headers, body).await
    }
}

/// What became of a message.
enum Outcome {
    Written,
    /// Some or all of it was refused for good.
    Refused {
        /// How many points.
        points: u64,
        /// Whether nothing was written.
        all: bool,
        words: String,
        /// Where the server does not say how much of it.
        error: Option<SendError>,
    },
}

/// Nothing else becomes of the same request.
fn rejected(error: TranslateError) -> SendError {
    let reason = match error {
        TranslateError::Unreadable(_) => Refusal::Unencodable,
        TranslateError::TooLarge => Refusal::TooLargeForDestination,
    };
    SendError::Rejected { reason, why: error.to_string() }
}

/// What the translation alone left out.
fn untranslated(counts: &Counts) -> PartialSuccess {
    PartialSuccess { rejected: counts.rejected, message: counts.why.clone() }
}

/// Whether words say that what came was there already, or something later.
fn is_repetition(words: &str) -> bool {
    ["out of order", "duplicate sample"].iter().any(|phrase| words.contains(phrase))
}

fn is_rejection(answer: &Answer) -> bool {
    matches!(failure(answer, true), SendError::Rejected { reason: Refusal::RejectedStatus, .. })
}

/// What the server says that it wrote; `None` where it says nothing of it.
fn written(answer: &Answer) -> Option<[u64; 3]> {
    let told = |name: &str| answer.headers.get(name).map(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let all = WRITTEN.map(told);
    all.iter().any(Option::is_some).then(|| all.map(|number| number.flatten().unwrap_or(0)))
}

fn outcome_v2(answer: &Answer, [samples, histograms, exemplars]: [u64; 3], counts: &Counts) -> Outcome {
    let sent = counts.samples + counts.histograms;
    let written = samples.min(counts.samples) + histograms.min(counts.histograms);
    let (missing, missing_exemplars) = (sent - written, counts.exemplars.saturating_sub(exemplars));
    if missing == 0 && (answer.status.is_success() || missing_exemplars == 0) {
        // A server that does not store exemplars writes none, and that is no fault.
        return Outcome::Written;
    }
    let points = (missing * counts.points).div_ceil(sent.max(1));
    let words = format!(
        "the server answers {} and wrote {written} of {sent} samples and {exemplars} of {} exemplars: {}",
        answer.status,
        counts.exemplars,
        words(&answer.body)
    );
    Outcome::Refused { points, all: written == 0, words, error: None }
}

/// An answer that counts for all of a message.
fn outcome_v1(answer: &Answer) -> Result<Outcome, SendError> {
    if answer.status.is_success() {
        if answer.is_page() {
            return Err(no_answer(answer));
        }
        return Ok(Outcome::Written);
    }
    match failure(answer, true) {
        error @ SendError::Rejected { .. } => {
            Ok(Outcome::Refused { points: 0, all: true, words: error.to_string(), error: Some(error) })
        }
        error => Err(error),
    }
}
