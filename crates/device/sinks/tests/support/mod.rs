#![allow(dead_code, reason = "each test uses a part")]
//! An OTLP destination as the agent has it (the protocol, and what is delivered over it), a server for it, and blocks to send.

use std::rc::Rc;
use std::time::Duration;

use drain::{Delivered, Delivery, ExemplarHold, SendError};
use model::{Epoch, Lane, Signal, Stamp};
use sinks::{Access, Coding, Compressor, Exporter, OtlpSink};
use sources::{Answer, Intake, Limits, Pending, Request};
use tokio::net::TcpListener;
use wire::{BlockEncoder, FrameHeader, SectionRef};

/// A destination that takes every signal, with what the agent keeps for each.
pub(crate) struct Endpoint {
    exporter: Exporter,
    deliveries: [Delivery; 3],
    /// A block that is not done, and what became of each of its signals.
    block: Vec<u8>,
    done: [Option<Delivered>; 3],
    exemplars: ExemplarHold,
}

impl Endpoint {
    /// Over this connection.
    pub(crate) fn new(sink: OtlpSink) -> Self {
        let exemplars = ExemplarHold::default();
        let deliveries = Signal::ALL.map(|signal| Delivery::new(signal, Some(exemplars.clone())));
        Self { exporter: Exporter::Otlp(sink), deliveries, block: Vec::new(), done: Default::default(), exemplars }
    }

    /// What became of exemplars.
    pub(crate) fn exemplar_counts(&self) -> drain::ExemplarCounts {
        self.exemplars.counts()
    }

    /// Sends each signal of a block that is not done; what became of all of them, or the first failure.
    pub(crate) async fn deliver(&mut self, block: &[u8]) -> Result<Delivered, SendError> {
        if self.block != block {
            (self.block, self.done) = (block.to_vec(), Default::default());
        }
        let mut failed = None;
        for (delivery, done) in self.deliveries.iter_mut().zip(&mut self.done).filter(|(_, done)| done.is_none()) {
            delivery.begin(block)?;
            match self.exporter.deliver(delivery).await {
                Ok(delivered) => *done = Some(delivered),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let mut all = Delivered::default();
        for one in std::mem::take(&mut self.done).into_iter().flatten() {
            all.delivered += one.delivered;
            all.rejected += one.rejected;
            all.refused.extend(one.refused);
        }
        Ok(all)
    }
}

/// Runs `test` with a destination, over gRPC or HTTP, with bodies compressed so, whose server answers as `answer` says.
pub(crate) fn with_server(
    grpc: bool,
    coding: Option<Coding>,
    answer: impl Fn(Request) -> Answer + 'static,
    test: impl AsyncFnOnce(Endpoint),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let access = Access {
            endpoint,
            credentials: Default::default(),
            route: Default::default(),
            timeout: Duration::from_secs(10),
        };
        let intake: Intake = Rc::new(move |request, _, _| Pending::settled(answer(request)));
        let limits = Limits::new(1 << 20, 1 << 21, 8);
        let sink = if grpc {
            tokio::task::spawn_local(sources::serve_grpc(listener, intake, limits));
            OtlpSink::grpc(access, coding.map(Compressor::new))
        } else {
            tokio::task::spawn_local(sources::serve_http(listener, intake, limits, sources::Beside::default()));
            OtlpSink::http(access, false, coding.map(Compressor::new))
        };
        test(Endpoint::new(sink)).await;
    });
}

/// A block of one frame for each list of sections.
pub(crate) fn block(lane: Lane, frames: &[&[SectionRef<'_>]]) -> Vec<u8> {
    let seal = |(seq, sections): (u64, &&[SectionRef<'_>])| {
        let (mut body, mut frame) = (Vec::new(), Vec::new());
        wire::encode_body(sections, &mut body).unwrap();
        let header = FrameHeader { device: "d", epoch: Epoch(1), lane, seq, stamp: Stamp::default() };
        wire::seal_frame(&header, &body, &mut frame);
        frame
    };
    let frames: Vec<Vec<u8>> = (1..).zip(frames).map(seal).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut block = Vec::new();
    BlockEncoder::new().unwrap().encode(Epoch(1), lane, 1, &frames, &mut block).unwrap();
    block
}
