//! The link's requests: hello and blocks (docs/link.md).

use std::sync::Arc;

use ::access::Action;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use link::{
    BLOCKS_PATH, BlockAck, BlocksAck, CONTENT_TYPE, HELLO_PATH, Hello, HelloAck, LaneConfirmed, MAX_BLOCKS_REQUEST,
    Outcome, Verdict,
};
use model::{Lane, Refusal as Reason};
use store::{Contact, FrameOutcome, Head, Incoming, MAX_SEQ, SharedSeries};
use wire::{BLOCK_HEADER_LEN, BlockHeader, Inflater, RawBlock};

use crate::app::{App, count};
use crate::clock;
use crate::log::Kind;
use crate::places::Peer;
use crate::refusal::Refusal;

/// Largest hello.
const MAX_HELLO: usize = 64 << 10;
/// Largest blocks request: one block of content that does not shrink is its header longer than the limit.
const MAX_BLOCKS: usize = MAX_BLOCKS_REQUEST + BLOCK_HEADER_LEN;

/// Most memory that the records of one request may take, and of one block: beyond it blocks wait for the next request.
const MAX_REQUEST_COST: usize = 64 << 20;
/// As many requests with as much as one may have fit into the store's heads, so that none waits for them to be empty.
const REQUESTS_IN_HEADS: usize = 4;
/// Letters of an agent's version that are kept.
const MAX_VERSION: usize = 64;

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

async fn hello(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    let mut device = None;
    let taken = take_hello(&app, &peer, request, &mut device).await;
    if let Err(refusal) = &taken {
        app.turn_away(refusal, &peer, HELLO_PATH, device.as_deref()).await;
    }
    answer(taken)
}

/// `device` becomes the name that the hello gives.
async fn take_hello(
    app: &Arc<App>,
    peer: &Peer,
    request: Request,
    device: &mut Option<String>,
) -> Result<Vec<u8>, Refusal> {
    count(&app.counters.hellos);
    let allowed = app.doors.allow(request.method(), request.headers(), Action::Send);
    // Who is refused is told by its name, so the hello is read all the same: it is short.
    let body = app.read_body(request, MAX_HELLO).await;
    let decoded = body.as_ref().map(|body| link::decode::<Hello>(&body.bytes));
    if let Ok(Ok(hello)) = &decoded {
        *device = Some(hello.device.clone());
    }
    let caller = allowed?;
    let hello = match decoded {
        Ok(hello) => hello.map_err(|error| Refusal::Malformed(error.to_string()))?,
        Err(_) => return Err(body.err().unwrap_or(Refusal::Slow)),
    };
    app.admit(&hello.device, peer, &caller)?;
    let now_ns = clock::now_ns();
    let heads = hello.lanes.iter().filter_map(|head| {
        Some(Head {
            lane: Lane::from_number(u64::from(head.lane))?,
            next: head.next.min(MAX_SEQ),
            oldest: head.oldest.min(MAX_SEQ),
            watermark_ns: head.watermark_ns,
        })
    });
    let contact = Contact {
        epoch: hello.epoch,
        wall_ns: hello.stamp.wall_ns,
        synchronised: hello.stamp.synchronised,
        version: hello.version.chars().take(MAX_VERSION).collect(),
        heads: heads.collect(),
        settles_ns: hello.settles_ms.map(|settles| settles.saturating_mul(1_000_000)),
        stops: hello.stops.unwrap_or(false),
    };
    let incident_s = app.incidents.left_s(&hello.device, now_ns);
    let shared = Arc::clone(app);
    let device = hello.device;
    let greeted = tokio::task::spawn_blocking(move || {
        let greeted = shared.store.hello(&device, &contact, now_ns)?;
        if greeted.is_double {
            shared.log.say_of(
                Kind::Identity,
                &device,
                &format!(
                    "two agents say hello as device {device}, each with its own epoch: their counters are told as two \
                     series. Give one of them another device.id"
                ),
            );
        }
        Ok::<_, store::StoreError>((greeted.reached, contact))
    });
    let (reached, contact) = greeted.await.map_err(|error| Refusal::Busy(Reason::NoRoom, error.to_string()))??;
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

async fn blocks(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    let taken = take_blocks(&app, &peer, request).await;
    if let Err(refusal) = &taken {
        app.turn_away(refusal, &peer, BLOCKS_PATH, peer.device.get().map(String::as_str)).await;
    }
    answer(taken)
}

/// A block of a request on its way.
struct Taken {
    header: BlockHeader,
    /// How many frames of it went to the store; or why it is corrupt.
    frames: Result<usize, String>,
}

async fn take_blocks(app: &Arc<App>, peer: &Peer, request: Request) -> Result<Vec<u8>, Refusal> {
    count(&app.counters.block_requests);
    let caller = app.doors.allow(request.method(), request.headers(), Action::Send)?;
    let body = app.read_body(request, MAX_BLOCKS).await?;
    let bytes = body.bytes.clone();
    let room = MAX_REQUEST_COST.min(app.store.head_bytes_limit() / REQUESTS_IN_HEADS);
    let reading = Arc::clone(app);
    let (taken, frames) = app.decode(move || read_blocks(&bytes, room, reading.store.shared_series())).await??;
    // Every frame, not only the first: an identity is claimed by each.
    let mut names: Vec<&str> = frames.iter().map(|frame| &**frame.device()).collect();
    names.dedup();
    names.iter().try_for_each(|device| app.admit(device, peer, &caller))?;
    if let Some(device) = names.first() {
        let corrupt = taken.iter().filter(|block| block.frames.is_err()).count();
        (0..corrupt).for_each(|_| app.store.count_corrupt(device));
    }
    let outcomes = if frames.is_empty() { Vec::new() } else { app.store_frames(frames).await? };
    let mut outcomes = outcomes.into_iter();
    let mut acks = Vec::with_capacity(taken.len());
    for Taken { header, frames } in taken {
        let outcome = match frames {
            Ok(frames) => summarize(outcomes.by_ref().take(frames)),
            Err(why) => {
                count(&app.counters.blocks_corrupt);
                let (epoch, lane, first, last) = (header.epoch, header.lane, header.first, header.last());
                let device = peer.device.get().map_or("unknown", String::as_str);
                let line = format!(
                    "device {device} from {}: a block cannot be read and is asked for again: epoch {epoch} lane {lane} \
                     sequences {first}-{last}: {why}",
                    peer.address.ip()
                );
                app.log.say_of(Kind::Corrupt, device, &line);
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
        (Outcome::Quarantined, _) | (_, FrameOutcome::Quarantined) => Outcome::Quarantined,
        (Outcome::Unreadable, _) | (_, FrameOutcome::Unreadable) => Outcome::Unreadable,
        (_, FrameOutcome::Stored) => Outcome::Stored,
        (block, FrameOutcome::Duplicate) => block,
    })
}

/// Takes a request apart, as far as its records take not much more than `room`. A block that cannot be read ends it:
/// where the next one begins is not known for sure.
fn read_blocks(bytes: &[u8], room: usize, shared: &SharedSeries) -> Result<(Vec<Taken>, Vec<Incoming>), Refusal> {
    let mut inflater = Inflater::new();
    let (mut taken, mut frames) = (Vec::new(), Vec::<Incoming>::new());
    let mut rest = bytes;
    let mut cost = 0;
    // Blocks beyond the memory of one request get no answer: the device sends them again with its next one.
    while !rest.is_empty() && cost <= room {
        match RawBlock::parse(rest) {
            Ok((block, after)) => {
                let of_block = read_frames(&block, &mut inflater, shared);
                let of_block = of_block.map(|of_block| {
                    let count = of_block.len();
                    cost += of_block.iter().map(Incoming::cost).sum::<usize>();
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
fn read_frames(block: &RawBlock<'_>, inflater: &mut Inflater, shared: &SharedSeries) -> Result<Vec<Incoming>, String> {
    let header = *block.header();
    let frames = block.frames(inflater).map_err(|error| error.to_string())?;
    let mut cost = 0;
    let frames = frames.map(|(seq, bytes)| {
        // A block of honest frames is far from it; what is beyond is kept aside unread.
        let frame = if cost > MAX_REQUEST_COST {
            Incoming::aside(bytes.to_vec(), "its block would take too much memory")
        } else {
            Incoming::from_whole_block(bytes.to_vec(), shared)
        };
        let frame = frame.map_err(|error| error.to_string())?;
        cost += frame.cost();
        if frame.lane() != header.lane || frame.identity() != Some((header.epoch, seq)) {
            return Err("a frame has another identity than its block".to_owned());
        }
        Ok(frame)
    });
    frames.collect()
}
