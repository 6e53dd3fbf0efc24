//! Delivery to any OTLP endpoint (OTLP 1.11): at least once, as that protocol has it.

#[cfg(feature = "otlp-http")]
use std::io::Write;

#[cfg(feature = "otlp-http")]
use bytes::Bytes;
use model::Signal;
use model::otlp::count_records;
use model::proto::{Reader, Value};
use wire::{Inflater, RawBlock, Section};

pub use crate::exemplars::EXEMPLAR_BYTES;
use crate::exemplars::Exemplars;
#[cfg(feature = "otlp-grpc")]
use crate::grpc::GrpcClient;
#[cfg(feature = "otlp-http")]
use crate::http1::{Client, failure};
use crate::{Access, SinkError};

enum Transport {
    #[cfg(feature = "otlp-http")]
    Http(Client),
    #[cfg(feature = "otlp-grpc")]
    Grpc(GrpcClient),
}

/// What became of a block's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Records that the server took.
    pub delivered: u64,
    /// Records that it will never take.
    pub rejected: u64,
}

/// What became of exemplars, since start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExemplarCounts {
    /// That went with a point of their series, after their trace was confirmed.
    pub sent: u64,
    /// Whose trace is not known to be there, or that found no point in time.
    pub left_out: u64,
}

/// The connection to an OTLP endpoint. Gap records have no place in OTLP and stay behind. Exemplars go with the next point of
/// their series once their trace was confirmed here; what waits for that lives in memory, at most [`EXEMPLAR_BYTES`].
pub struct OtlpSink {
    transport: Transport,
    inflater: Inflater,
    exemplars: Exemplars,
}

impl OtlpSink {
    /// A sink that speaks OTLP/HTTP and connects when it is first used.
    #[cfg(feature = "otlp-http")]
    pub fn http(access: Access) -> Self {
        Self {
            transport: Transport::Http(Client::new(access)),
            inflater: Inflater::new(),
            exemplars: Exemplars::default(),
        }
    }

    /// A sink that speaks OTLP/gRPC and connects when it is first used.
    #[cfg(feature = "otlp-grpc")]
    pub fn grpc(access: Access) -> Self {
        Self {
            transport: Transport::Grpc(GrpcClient::new(access)),
            inflater: Inflater::new(),
            exemplars: Exemplars::default(),
        }
    }

    /// Sends a block. The whole block goes as one request per signal; when the server refuses that for good, its frames
    /// go one by one, so that only the ones at fault are rejected.
    ///
    /// # Errors
    /// [`SinkError::Retry`] and [`SinkError::Blocked`]: nothing is decided, the block is to be sent again.
    pub async fn deliver(&mut self, block: &[u8]) -> Result<Delivered, SinkError> {
        let mut frames: Vec<Requests> = Vec::new();
        {
            let unreadable = |why: String| SinkError::retry(format!("a block on disk cannot be read: {why}"));
            let (raw, _) = RawBlock::parse(block).map_err(|error| unreadable(error.to_string()))?;
            let content = raw.frames(&mut self.inflater).map_err(|error| unreadable(error.to_string()))?;
            for (_, bytes) in content {
                let frame = wire::decode_frame(bytes).map_err(|error| unreadable(error.to_string()))?;
                frames.push(Requests::of(frame.sections));
            }
        }
        let mut whole = Requests::default();
        frames.iter().for_each(|frame| whole.append(frame));
        let attached = self.exemplars.attach(&whole.bodies[METRICS]).unwrap_or_default();
        if let Some(attached) = &attached {
            whole.bodies[METRICS].clone_from(&attached.metrics);
        }
        match self.send(&whole).await {
            Err(SinkError::Rejected { .. }) => {}
            Ok(delivered) => {
                drop(whole);
                if let Some(attached) = &attached {
                    self.exemplars.release(attached, true);
                }
                // Which ones were rejected is not told.
                if delivered.rejected == 0 {
                    frames.iter().for_each(|frame| self.confirmed(frame));
                }
                return Ok(delivered);
            }
            Err(error) => return Err(error),
        }
        // They may be what was refused.
        if let Some(attached) = &attached {
            self.exemplars.release(attached, false);
        }
        let mut sum = Delivered::default();
        for frame in &frames {
            match self.send(frame).await {
                Ok(one) => {
                    sum.delivered += one.delivered;
                    sum.rejected += one.rejected;
                    if one.rejected == 0 {
                        self.confirmed(frame);
                    }
                }
                Err(SinkError::Rejected { .. }) => sum.rejected += frame.records(),
                Err(error) => return Err(error),
            }
        }
        Ok(sum)
    }

    /// A frame is there: what links to its traces may follow.
    fn confirmed(&mut self, frame: &Requests) {
        let [traces, ..] = &frame.bodies;
        let noted = self.exemplars.confirm(traces).and_then(|()| self.exemplars.hold(&frame.exemplars));
        debug_assert!(noted.is_ok(), "decoded sections do not walk");
    }

    /// What became of exemplars.
    pub fn exemplars(&self) -> ExemplarCounts {
        ExemplarCounts { sent: self.exemplars.sent, left_out: self.exemplars.left_out }
    }

    async fn send(&mut self, requests: &Requests) -> Result<Delivered, SinkError> {
        let mut sum = Delivered::default();
        for (signal, request) in Signal::ALL.into_iter().zip(&requests.bodies) {
            if request.is_empty() {
                continue;
            }
            let response = match &mut self.transport {
                #[cfg(feature = "otlp-http")]
                Transport::Http(client) => {
                    let headers = [("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
                    let path = format!("/v1/{}", signal.name());
                    let answer = client.post(&path, &headers, gzip(request)?).await?;
                    if !answer.status.is_success() {
                        return Err(failure(&answer, true));
                    }
                    answer.body
                }
                #[cfg(feature = "otlp-grpc")]
                Transport::Grpc(client) => client.export(signal, request).await?,
            };
            let records = count_records(signal, request).unwrap_or(0);
            let rejected = partial_success(&response).min(records);
            sum.rejected += rejected;
            sum.delivered += records - rejected;
        }
        Ok(sum)
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

    fn append(&mut self, other: &Requests) {
        for (body, more) in self.bodies.iter_mut().zip(&other.bodies) {
            body.extend_from_slice(more);
        }
    }

    fn records(&self) -> u64 {
        Signal::ALL.into_iter().zip(&self.bodies).map(|(signal, body)| count_records(signal, body).unwrap_or(0)).sum()
    }
}

#[cfg(feature = "otlp-http")]
fn gzip(body: &[u8]) -> Result<Bytes, SinkError> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let compressed = encoder.write_all(body).and_then(|()| encoder.finish());
    compressed.map(Bytes::from).map_err(|error| SinkError::retry(format!("cannot compress: {error}")))
}

/// `partial_success.rejected_*` of an export response; the three response messages have the same field numbers.
fn partial_success(response: &[u8]) -> u64 {
    let mut reader = Reader::new(response);
    while let Ok(Some((number, value))) = reader.next_field() {
        if let (1, Value::Bytes(partial)) = (number, value) {
            let mut reader = Reader::new(partial);
            while let Ok(Some((number, value))) = reader.next_field() {
                if let (1, Value::Varint(rejected)) = (number, value) {
                    return rejected;
                }
            }
        }
    }
    0
}
