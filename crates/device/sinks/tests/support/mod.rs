//! An OTLP destination as the agent has it (the protocol, and what is delivered over it), a server for it, and blocks to send.

use std::rc::Rc;
use std::time::Duration;

use drain::{Delivered, Delivery, SendError};
use model::{Epoch, Lane, Stamp};
use sinks::{Access, OtlpSink};
use sources::{Answer, Intake, Limits, Pending, Request};
use tokio::net::TcpListener;
use wire::{BlockEncoder, FrameHeader, SectionRef};

/// A sink with its delivery.
pub(crate) struct Endpoint {
    sink: OtlpSink,
    pub(crate) delivery: Delivery,
}

impl Endpoint {
    /// Over this connection.
    pub(crate) fn new(sink: OtlpSink) -> Self {
        Self { sink, delivery: Delivery::default() }
    }

    /// Sends a block.
    pub(crate) async fn deliver(&mut self, block: &[u8]) -> Result<Delivered, SendError> {
        self.delivery.begin(block)?;
        self.sink.deliver(&mut self.delivery).await
    }
}

/// Runs `test` with a destination, over gRPC or HTTP, whose server answers as `answer` says.
pub(crate) fn with_server(grpc: bool, answer: impl Fn(Request) -> Answer + 'static, test: impl AsyncFnOnce(Endpoint)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let access = Access { endpoint, tls: None, token: None, timeout: Duration::from_secs(10) };
        let intake: Intake = Rc::new(move |request, _| Pending::settled(answer(request)));
        let limits = Limits::new(1 << 20, 1 << 21, 8);
        let sink = if grpc {
            tokio::task::spawn_local(sources::serve_grpc(listener, intake, limits));
            OtlpSink::grpc(access)
        } else {
            tokio::task::spawn_local(sources::serve_http(listener, intake, limits));
            OtlpSink::http(access)
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
