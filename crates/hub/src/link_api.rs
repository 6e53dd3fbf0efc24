//! The link's requests: hello and blocks (docs/link.md).

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use link::{
    BLOCKS_PATH, BlockAck, BlocksAck, CONTENT_TYPE, HELLO_PATH, Hello, HelloAck, LaneConfirmed, MAX_BLOCKS_REQUEST,
    Outcome, Verdict,
};
use model::Lane;
use store::{Contact, FrameOutcome, Head, Incoming, OTLP_DEVICE};
use wire::{BLOCK_HEADER_LEN, BlockHeader, Inflater, RawBlock};

use crate::app::{App, Refusal, count};
use crate::clock;

/// Largest hello.
const MAX_HELLO: usize = 64 << 10;
/// Largest blocks request: one block of content that does not shrink is its header longer than the limit.
const MAX_BLOCKS: usize = MAX_BLOCKS_REQUEST + BLOCK_HEADER_LEN;

/// The routes of the link port.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new().route(HELLO_PATH, post(hello)).route(BLOCKS_PATH, post(blocks)).with_state(app)
}

fn answer(result: Result<Vec<u8>, Refusal>) -> Response {
    match result {
        Ok(body) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response(),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, format!("{refusal}\n")).into_response();
            if let Some(seconds) = refusal.retry_after() {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

async fn hello(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(take_hello(&app, request).await)
}

async fn take_hello(app: &Arc<App>, request: Request) -> Result<Vec<u8>, Refusal> {
    count(&app.counters.hellos);
    app.authorize(request.headers())?;
    let body = app.read_body(request, MAX_HELLO).await?;
    let hello: Hello = link::decode(&body.bytes).map_err(|error| {
        count(&app.counters.refused_malformed);
        Refusal::Malformed(error.to_string())
    })?;
    check_name(&hello.device)?;
    let now_ns = clock::now_ns();
    let heads = hello.lanes.iter().filter_map(|head| {
        Some(Head {
            lane: Lane::from_number(u64::from(head.lane))?,
            next: head.next,
            oldest: head.oldest,
            watermark_ns: head.watermark_ns,
        })
    });
    let contact = Contact {
        epoch: hello.epoch,
        wall_ns: hello.stamp.wall_ns,
        synchronised: hello.stamp.synchronised,
        version: hello.version.clone(),
        heads: heads.collect(),
    };
    let incident_s = app.incidents.left_s(&hello.device, now_ns);
    let shared = Arc::clone(app);
    let device = hello.device;
    let reached = tokio::task::spawn_blocking(move || {
        let reached = shared.store.hello(&device, &contact, now_ns)?;
        Ok::<_, store::StoreError>((reached, contact))
    });
    let (reached, contact) = reached.await.map_err(|error| Refusal::Busy(error.to_string()))??;
    let pairs = || contact.heads.iter().zip(&reached);
    let verdict = if pairs().any(|(head, reached)| reached.last >= head.next) {
        Verdict::NewEpoch
    } else if pairs().any(|(head, reached)| reached.next_expected < head.oldest) {
        Verdict::Behind
    } else {
        Verdict::Ok
    };
    let lanes = reached
        .iter()
        .map(|reached| LaneConfirmed {
            lane: reached.lane.number(),
            next_expected: reached.next_expected,
            digest: reached.digest,
        })
        .collect();
    Ok(link::encode(&HelloAck { verdict, lanes, hub_wall_ns: now_ns, incident_s }))
}

fn check_name(device: &str) -> Result<(), Refusal> {
    if device == OTLP_DEVICE {
        return Err(Refusal::Identity(format!(
            "the device name `{OTLP_DEVICE}` stands for what comes to the hub as OTLP; give the device another name"
        )));
    }
    if device.is_empty() {
        return Err(Refusal::Identity("the device has no name; set one in its configuration".into()));
    }
    Ok(())
}

async fn blocks(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(take_blocks(&app, request).await)
}

/// A block of a request on its way.
struct Taken {
    header: BlockHeader,
    /// How many frames of it went to the store; or why it is corrupt.
    frames: Result<usize, String>,
}

async fn take_blocks(app: &Arc<App>, request: Request) -> Result<Vec<u8>, Refusal> {
    count(&app.counters.block_requests);
    app.authorize(request.headers())?;
    let body = app.read_body(request, MAX_BLOCKS).await?;
    let bytes = body.bytes.clone();
    let read = tokio::task::spawn_blocking(move || read_blocks(&bytes));
    let read = read.await.map_err(|error| Refusal::Busy(error.to_string()))?;
    let (taken, frames) = read.inspect_err(|_| count(&app.counters.refused_malformed))?;
    if let Some(device) = frames.first().map(|frame| frame.device().to_string()) {
        check_name(&device)?;
        let corrupt = taken.iter().filter(|block| block.frames.is_err()).count();
        (0..corrupt).for_each(|_| app.store.count_corrupt(&device));
    }
    let outcomes = if frames.is_empty() { Vec::new() } else { app.store_frames(frames).await? };
    let mut outcomes = outcomes.into_iter();
    let mut acks = Vec::with_capacity(taken.len());
    for Taken { header, frames } in taken {
        let outcome = match frames {
            Ok(frames) => summarize(outcomes.by_ref().take(frames)),
            Err(why) => {
                count(&app.counters.blocks_corrupt);
                eprintln!(
                    "lightship-hub: a block cannot be read and is asked for again: epoch {} lane {} sequences {}-{}: {why}",
                    header.epoch,
                    header.lane,
                    header.first,
                    header.last()
                );
                Outcome::Corrupt
            }
        };
        acks.push(BlockAck {
            epoch: header.epoch.0,
            lane: header.lane.number(),
            first: header.first,
            last: header.last(),
            outcome,
        });
    }
    Ok(link::encode(&BlocksAck { blocks: acks }))
}

fn summarize(outcomes: impl Iterator<Item = FrameOutcome>) -> Outcome {
    outcomes.fold(Outcome::Duplicate, |block, frame| match (block, frame) {
        (Outcome::Quarantined, _) | (_, FrameOutcome::Quarantined | FrameOutcome::Unreadable) => Outcome::Quarantined,
        (_, FrameOutcome::Stored) => Outcome::Stored,
        (block, FrameOutcome::Duplicate) => block,
    })
}

/// Takes a request apart. A block that cannot be read ends it: where the next one begins is not known for sure.
fn read_blocks(bytes: &[u8]) -> Result<(Vec<Taken>, Vec<Incoming>), Refusal> {
    let mut inflater = Inflater::new();
    let (mut taken, mut frames) = (Vec::new(), Vec::new());
    let mut rest = bytes;
    while !rest.is_empty() {
        match RawBlock::parse(rest) {
            Ok((block, after)) => {
                let of_block = read_frames(&block, &mut inflater);
                let of_block = of_block.map(|of_block| {
                    let count = of_block.len();
                    frames.extend(of_block);
                    count
                });
                taken.push(Taken { header: *block.header(), frames: of_block });
                rest = after;
            }
            Err(error) => {
                let Ok(header) = BlockHeader::parse(rest) else {
                    if taken.is_empty() {
                        return Err(Refusal::Malformed(format!("not a block: {error}")));
                    }
                    break;
                };
                taken.push(Taken { header, frames: Err(error.to_string()) });
                break;
            }
        }
    }
    Ok((taken, frames))
}

/// The frames of a block, all of them or none.
fn read_frames(block: &RawBlock<'_>, inflater: &mut Inflater) -> Result<Vec<Incoming>, String> {
    let header = *block.header();
    let frames = block.frames(inflater).map_err(|error| error.to_string())?;
    let frames = frames.map(|(seq, bytes)| {
        let frame = Incoming::from_whole_block(bytes.to_vec()).map_err(|error| error.to_string())?;
        if frame.lane() != header.lane || frame.identity() != Some((header.epoch, seq)) {
            return Err("a frame has another identity than its block".to_owned());
        }
        Ok(frame)
    });
    frames.collect()
}
