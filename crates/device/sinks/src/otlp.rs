//! Delivery to any OTLP endpoint (OTLP 1.11): at least once, as that protocol has it.

#[cfg(feature = "otlp-http")]
use std::io::Write;

#[cfg(feature = "otlp-http")]
use bytes::Bytes;
use model::otlp::count_records;
use model::{Epoch, Lane, Refusal, Signal};
use wire::{Inflater, RawBlock, Section};

use crate::answer::Partial;
#[cfg(feature = "otlp-grpc")]
use crate::answer::partial_success;
#[cfg(feature = "otlp-http")]
use crate::answer::{export_response, failure};
pub use crate::exemplars::EXEMPLAR_BYTES;
use crate::exemplars::{Attached, Exemplars};
#[cfg(feature = "otlp-grpc")]
use crate::grpc::GrpcClient;
#[cfg(feature = "otlp-http")]
use crate::http1::Client;
use crate::{Access, SinkError};

/// After so many failures that may be because of the bytes, the server is asked whether it is well.
const DOUBTS: u32 = 3;

enum Transport {
    #[cfg(feature = "otlp-http")]
    Http(Client),
    #[cfg(feature = "otlp-grpc")]
    Grpc(GrpcClient),
}

/// What a server refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it holds.
    pub signal: Signal,
    /// Why.
    pub reason: Refusal,
    /// The server's words.
    pub words: String,
    /// How many records.
    pub records: u64,
    /// The request that was refused; empty when the server did not say which records it refused.
    pub request: Vec<u8>,
}

/// What became of a block's records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Records that the server took.
    pub delivered: u64,
    /// Records that it will never take.
    pub rejected: u64,
    /// Why, and which.
    pub refused: Vec<Refused>,
}

/// What became of exemplars, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExemplarCounts {
    /// That went with a point of their series, after their trace was confirmed.
    pub sent: u64,
    /// Whose trace is not known to be there, or that found no point in time.
    pub left_out: u64,
}

/// Names a block.
type BlockId = (Epoch, Lane, u64, u64);

/// How far one signal of a block is.
#[derive(Default)]
struct Part {
    done: bool,
    /// The whole was refused: frame by frame, from this one on.
    next_frame: Option<usize>,
    /// Failures that may be because of the bytes.
    doubts: u32,
    delivered: u64,
    /// By frame, whether the server took it.
    taken: Vec<bool>,
}

/// How far a block is: what was answered is not sent again when another part of it has to be.
#[derive(Default)]
struct Progress {
    block: Option<BlockId>,
    parts: [Part; 3],
    refused: Vec<Refused>,
}

/// The connection to an OTLP endpoint. Gap records have no place in OTLP and stay behind. Exemplars go with the next point of
/// their series once their trace was confirmed here; what waits for that lives in memory, at most [`EXEMPLAR_BYTES`].
pub struct OtlpSink {
    transport: Transport,
    inflater: Inflater,
    exemplars: Exemplars,
    progress: Progress,
}

impl OtlpSink {
    fn new(transport: Transport) -> Self {
        Self { transport, inflater: Inflater::new(), exemplars: Exemplars::default(), progress: Progress::default() }
    }

    /// A sink that speaks OTLP/HTTP and connects when it is first used.
    #[cfg(feature = "otlp-http")]
    pub fn http(access: Access) -> Self {
        Self::new(Transport::Http(Client::new(access)))
    }

    /// A sink that speaks OTLP/gRPC and connects when it is first used.
    #[cfg(feature = "otlp-grpc")]
    pub fn grpc(access: Access) -> Self {
        Self::new(Transport::Grpc(GrpcClient::new(access)))
    }

    /// Asks whether the server would take export requests of each signal, by an empty one.
    ///
    /// # Errors
    /// [`SinkError`], of the first signal that it does not take.
    pub async fn probe(&mut self) -> Result<(), SinkError> {
        for signal in Signal::ALL {
            self.export(signal, &[]).await?;
        }
        Ok(())
    }

    /// Sends a block. Each signal of it goes as one request; when the server refuses that for good, its frames go one by one, so
    /// that only the ones at fault are rejected. A signal that fails does not keep the others from being sent, and what was
    /// answered is not sent again with the next call for the same block.
    ///
    /// # Errors
    /// [`SinkError::Retry`] and [`SinkError::Blocked`]: not everything is decided, the block is to be given again.
    pub async fn deliver(&mut self, block: &[u8]) -> Result<Delivered, SinkError> {
        let mut frames: Vec<Requests> = Vec::new();
        let unreadable =
            |why: String| SinkError::retry(Refusal::Damaged, format!("a block on disk cannot be read: {why}"));
        let (raw, _) = RawBlock::parse(block).map_err(|error| unreadable(error.to_string()))?;
        let content = raw.frames(&mut self.inflater).map_err(|error| unreadable(error.to_string()))?;
        for (_, bytes) in content {
            let frame = wire::decode_frame(bytes).map_err(|error| unreadable(error.to_string()))?;
            frames.push(Requests::of(frame.sections));
        }
        let header = raw.header();
        let id = (header.epoch, header.lane, header.first, header.last());
        if self.progress.block != Some(id) {
            self.progress = Progress { block: Some(id), ..Progress::default() };
        }
        let mut failed: Option<SinkError> = None;
        for (place, signal) in Signal::ALL.into_iter().enumerate() {
            let mut part = std::mem::take(&mut self.progress.parts[place]);
            if !part.done {
                match self.deliver_signal(signal, place, &frames, &mut part).await {
                    Ok(()) => part.done = true,
                    // What an operator has to mend is told before what mends itself.
                    Err(error) => {
                        let is_worse = failed.is_none() || matches!(error, SinkError::Blocked { .. });
                        failed = if is_worse { Some(error) } else { failed };
                    }
                }
            }
            self.progress.parts[place] = part;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let Progress { parts, refused, .. } = std::mem::take(&mut self.progress);
        let [traces, ..] = &parts;
        for (index, frame) in frames.iter().enumerate() {
            // Which ones were rejected of a partial success is not told.
            if frame.bodies[0].is_empty() || traces.taken.get(index) == Some(&true) {
                self.confirmed(frame);
            }
        }
        let rejected = refused.iter().map(|one| one.records).sum();
        let delivered = parts.iter().map(|part| part.delivered).sum();
        Ok(Delivered { delivered, rejected, refused })
    }

    async fn deliver_signal(
        &mut self,
        signal: Signal,
        place: usize,
        frames: &[Requests],
        part: &mut Part,
    ) -> Result<(), SinkError> {
        let filled = frames.iter().filter(|frame| !frame.bodies[place].is_empty()).count();
        if filled == 0 {
            return Ok(());
        }
        part.taken.resize(frames.len(), false);
        if part.next_frame.is_none() {
            let (whole, attached) = self.whole(place, frames);
            match self.try_export(signal, &whole, part).await {
                Ok(partial) => {
                    let records = count_records(signal, &whole).unwrap_or(0);
                    self.took(signal, part, records, partial);
                    part.taken.fill(self.progress.refused.iter().all(|one| one.signal != signal || one.records == 0));
                    self.release(attached.as_ref(), true);
                    return Ok(());
                }
                Err(SinkError::Rejected { reason, why }) => {
                    // They may be what was refused.
                    self.release(attached.as_ref(), false);
                    if filled == 1 && attached.is_none() {
                        self.refuse(signal, reason, why, whole);
                        return Ok(());
                    }
                    part.next_frame = Some(0);
                }
                Err(error) => return Err(error),
            }
        }
        while let Some(index) = part.next_frame.filter(|index| *index < frames.len()) {
            let body = &frames[index].bodies[place];
            if !body.is_empty() {
                match self.try_export(signal, body, part).await {
                    Ok(partial) => {
                        part.taken[index] = partial.rejected == 0;
                        self.took(signal, part, count_records(signal, body).unwrap_or(0), partial);
                    }
                    Err(SinkError::Rejected { reason, why }) => self.refuse(signal, reason, why, body.clone()),
                    Err(error) => return Err(error),
                }
            }
            part.next_frame = Some(index + 1);
        }
        Ok(())
    }

    /// Sends one request. A server that fails again and again at the same bytes, and takes an empty request meanwhile, will not
    /// take them; one that does not take that either is not well, and is waited for.
    async fn try_export(&mut self, signal: Signal, request: &[u8], part: &mut Part) -> Result<Partial, SinkError> {
        let error = match self.export(signal, request).await {
            Err(error @ SinkError::Retry { doubtful: true, .. }) => error,
            other => return other,
        };
        part.doubts += 1;
        if part.doubts < DOUBTS || self.export(signal, &[]).await.is_err() {
            return Err(error);
        }
        // It may have become well only now.
        let error = match self.export(signal, request).await {
            Err(error @ SinkError::Retry { doubtful: true, .. }) => error,
            other => return other,
        };
        Err(SinkError::Rejected {
            reason: error.reason(),
            why: format!("{error} (again and again, for these records only)"),
        })
    }

    /// All frames' requests of a signal as one, with the exemplars that may go now.
    fn whole(&self, place: usize, frames: &[Requests]) -> (Vec<u8>, Option<Attached>) {
        let mut whole = Vec::with_capacity(frames.iter().map(|frame| frame.bodies[place].len()).sum());
        frames.iter().for_each(|frame| whole.extend_from_slice(&frame.bodies[place]));
        if place != METRICS {
            return (whole, None);
        }
        match self.exemplars.attach(&whole).unwrap_or_default() {
            Some(mut attached) => (std::mem::take(&mut attached.metrics), Some(attached)),
            None => (whole, None),
        }
    }

    fn release(&mut self, attached: Option<&Attached>, sent: bool) {
        if let Some(attached) = attached {
            self.exemplars.release(attached, sent);
        }
    }

    /// A request was answered with success, in full or in part.
    fn took(&mut self, signal: Signal, part: &mut Part, records: u64, partial: Partial) {
        let rejected = partial.rejected.min(records);
        part.delivered += records - rejected;
        if rejected > 0 || !partial.message.is_empty() {
            let (reason, words) = (Refusal::PartialSuccess, partial.message);
            self.progress.refused.push(Refused { signal, reason, words, records: rejected, request: Vec::new() });
        }
    }

    fn refuse(&mut self, signal: Signal, reason: Refusal, words: String, request: Vec<u8>) {
        let records = count_records(signal, &request).unwrap_or(0);
        self.progress.refused.push(Refused { signal, reason, words, records, request });
    }

    /// A frame's spans are there: what links to its traces may follow.
    fn confirmed(&mut self, frame: &Requests) {
        let [traces, ..] = &frame.bodies;
        let noted = self.exemplars.confirm(traces).and_then(|()| self.exemplars.hold(&frame.exemplars));
        if noted.is_err() {
            self.exemplars.left_out += 1;
        }
    }

    /// What became of exemplars.
    pub fn exemplars(&self) -> ExemplarCounts {
        ExemplarCounts { sent: self.exemplars.sent, left_out: self.exemplars.left_out }
    }

    async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<Partial, SinkError> {
        match &mut self.transport {
            #[cfg(feature = "otlp-http")]
            Transport::Http(client) => {
                let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
                let path = format!("/v1/{}", signal.name());
                let answer = client.post(&path, &headers, gzip(request)?).await?;
                if !answer.status.is_success() {
                    return Err(failure(&answer, true));
                }
                export_response(&answer)
            }
            #[cfg(feature = "otlp-grpc")]
            Transport::Grpc(client) => {
                let message = client.export(signal, request).await?;
                partial_success(&message).ok_or_else(|| {
                    SinkError::retry(Refusal::NotAnExportResponse, "the answer's message is no export response")
                })
            }
        }
    }
}

/// One export request per signal, in the order of [`Signal::ALL`]; empty where there is nothing.
#[derive(Default)]
struct Requests {
    bodies: [Vec<u8>; 3],
    /// `ExemplarsData`, not sent by itself.
    exemplars: Vec<u8>,
}

/// The place of points among the bodies.
const METRICS: usize = 2;

impl Requests {
    fn of(sections: Vec<Section>) -> Self {
        let mut requests = Self::default();
        let Self { bodies: [traces, logs, metrics], exemplars } = &mut requests;
        for section in sections {
            match section {
                // Repeated fields of one message type: one after the other they are one message.
                Section::Traces(bytes) => traces.extend(bytes),
                Section::Logs(bytes) => logs.extend(bytes),
                Section::Metrics(bytes) => metrics.extend(bytes),
                Section::Exemplars(bytes) => exemplars.extend(bytes),
                Section::Gap(_) => {}
            }
        }
        requests
    }
}

#[cfg(feature = "otlp-http")]
fn gzip(body: &[u8]) -> Result<Bytes, SinkError> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let compressed = encoder.write_all(body).and_then(|()| encoder.finish());
    compressed
        .map(Bytes::from)
        .map_err(|error| SinkError::retry(Refusal::Unencodable, format!("cannot compress: {error}")))
}
