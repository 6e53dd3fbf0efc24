//! What all requests share: the store, the token, the limits, the counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use model::Stamp;
use store::{FrameOutcome, Incoming, Store, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::clock;
use crate::incidents::Incidents;
use crate::log::{Kind, Log};

/// Memory for request bodies in flight, in KiB.
const BODY_BUDGET_KIB: usize = 64 << 10;
/// Queries that run at one time; others wait.
const QUERIES: usize = 8;
/// How long a query waits for its turn.
const QUERY_WAIT: Duration = Duration::from_secs(10);
/// How long a sender may take for one body: 1 MiB over a link of 4 KB/s.
const BODY_TIME: Duration = Duration::from_secs(300);

/// Counts of what came in and what was refused.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hellos: AtomicU64,
    pub(crate) block_requests: AtomicU64,
    pub(crate) otlp_requests: AtomicU64,
    pub(crate) queries: AtomicU64,
    pub(crate) frames_stored: AtomicU64,
    pub(crate) frames_duplicate: AtomicU64,
    pub(crate) frames_quarantined: AtomicU64,
    pub(crate) blocks_corrupt: AtomicU64,
    pub(crate) refused_token: AtomicU64,
    pub(crate) refused_busy: AtomicU64,
    pub(crate) refused_too_large: AtomicU64,
    pub(crate) refused_malformed: AtomicU64,
    pub(crate) compaction_errors: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Shared by every handler.
pub(crate) struct App {
    pub(crate) store: Store,
    token: Option<String>,
    pub(crate) counters: Counters,
    pub(crate) incidents: Incidents,
    pub(crate) log: Log,
    bodies: Semaphore,
    queries: Semaphore,
    boot_id: [u8; 16],
    started_ns: u64,
}

/// Why a request is not taken, by its status.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// 400: it cannot be read.
    Malformed(String),
    /// 401: no token, or the wrong one.
    Token,
    /// 408: the body took too long.
    Slow,
    /// 409: the identity is refused.
    Identity(String),
    /// 413: larger than `limit`.
    TooLarge { limit: usize },
    /// 415: a type or encoding that is not read here.
    MediaType(String),
    /// 503: try again later.
    Busy(String),
}

impl Refusal {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Refusal::Malformed(_) => 400,
            Refusal::Token => 401,
            Refusal::Slow => 408,
            Refusal::Identity(_) => 409,
            Refusal::TooLarge { .. } => 413,
            Refusal::MediaType(_) => 415,
            Refusal::Busy(_) => 503,
        }
    }

    /// Seconds to wait, where waiting helps.
    pub(crate) fn retry_after(&self) -> Option<u32> {
        matches!(self, Refusal::Busy(_)).then_some(1)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Malformed(what) | Refusal::Identity(what) | Refusal::MediaType(what) | Refusal::Busy(what) => {
                f.write_str(what)
            }
            Refusal::Token => {
                f.write_str("this hub wants a token: send the header `authorization: Bearer TOKEN` with the right one")
            }
            Refusal::Slow => write!(f, "the body took longer than {} s", BODY_TIME.as_secs()),
            Refusal::TooLarge { limit } => {
                write!(f, "larger than the limit of {limit} bytes; send smaller requests")
            }
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::Busy(error.to_string())
    }
}

/// A whole body, and its share of the memory for bodies.
pub(crate) struct Body<'a> {
    pub(crate) bytes: Bytes,
    _share: SemaphorePermit<'a>,
}

impl App {
    pub(crate) fn new(store: Store, token: Option<String>) -> anyhow::Result<Arc<Self>> {
        let mut boot_id = [0; 16];
        getrandom::fill(&mut boot_id).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        Ok(Arc::new(Self {
            store,
            token,
            counters: Counters::default(),
            incidents: Incidents::default(),
            log: Log::default(),
            bodies: Semaphore::new(BODY_BUDGET_KIB),
            queries: Semaphore::new(QUERIES),
            boot_id,
            started_ns: clock::now_ns(),
        }))
    }

    /// Checks the token of a request that brings data or gives an order.
    pub(crate) fn authorize(&self, headers: &axum::http::HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.token else { return Ok(()) };
        let given = headers.get("authorization").map(axum::http::HeaderValue::as_bytes).unwrap_or_default();
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        // Every byte is looked at, so that the time taken does not tell how many are right.
        let differs = given.iter().zip(token.as_bytes()).fold(0, |differs, (a, b)| differs | (a ^ b));
        if given.len() == token.len() && differs == 0 {
            return Ok(());
        }
        count(&self.counters.refused_token);
        Err(Refusal::Token)
    }

    /// Reads a body of at most `limit` bytes.
    pub(crate) async fn read_body(&self, request: axum::extract::Request, limit: usize) -> Result<Body<'_>, Refusal> {
        let announced = request
            .headers()
            .get("content-length")
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or(limit as u64);
        if announced > limit as u64 {
            count(&self.counters.refused_too_large);
            return Err(Refusal::TooLarge { limit });
        }
        let share = u32::try_from(announced / 1024 + 1).unwrap_or(u32::MAX);
        let Ok(share) = self.bodies.try_acquire_many(share) else {
            count(&self.counters.refused_busy);
            return Err(Refusal::Busy("too many requests at one time".into()));
        };
        let mut body = request.into_body();
        let read = async {
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Refusal::Malformed(format!("the body ended early: {error}")))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > limit {
                    count(&self.counters.refused_too_large);
                    return Err(Refusal::TooLarge { limit });
                }
                bytes.extend_from_slice(&data);
            }
            Ok(bytes.freeze())
        };
        let bytes = tokio::time::timeout(BODY_TIME, read).await.map_err(|_| Refusal::Slow)??;
        Ok(Body { bytes, _share: share })
    }

    /// Stores frames and waits until they are durable.
    pub(crate) async fn store_frames(&self, frames: Vec<Incoming>) -> Result<Vec<FrameOutcome>, Refusal> {
        let about: Vec<(Arc<str>, Option<String>)> =
            frames.iter().map(|frame| (Arc::clone(frame.device()), frame.unreadable().map(str::to_owned))).collect();
        let (reply, answer) = oneshot::channel();
        self.store.submit(frames, clock::now_ns(), Box::new(move |result| drop(reply.send(result))));
        let outcomes = answer.await.unwrap_or(Err(StoreError::Closed)).inspect_err(|error| {
            count(&self.counters.refused_busy);
            if matches!(error, StoreError::Poisoned(_)) {
                self.log.say(Kind::Disk, &error.to_string());
            }
        })?;
        for (outcome, (device, unreadable)) in outcomes.iter().zip(about) {
            match outcome {
                FrameOutcome::Stored => count(&self.counters.frames_stored),
                FrameOutcome::Duplicate => count(&self.counters.frames_duplicate),
                FrameOutcome::Quarantined | FrameOutcome::Unreadable => {
                    count(&self.counters.frames_quarantined);
                    self.log.say_of(Kind::Quarantine, &device, &alarm(&device, unreadable.as_deref()));
                }
            }
        }
        Ok(outcomes)
    }

    /// Runs a query on a thread that may block.
    pub(crate) async fn query<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        count(&self.counters.queries);
        let busy = || Refusal::Busy("too many queries at one time".into());
        let turn = tokio::time::timeout(QUERY_WAIT, self.queries.acquire()).await;
        let _turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || run(&app.store)).await;
        done.map_err(|error| Refusal::Busy(format!("the query failed: {error}; this is a bug in the hub")))
    }

    /// The hub's clocks, for frames that it makes.
    pub(crate) fn stamp(&self) -> Stamp {
        let wall_ns = clock::now_ns();
        let uptime_ns = wall_ns.saturating_sub(self.started_ns);
        Stamp { boot_id: self.boot_id, uptime_ns, wall_ns, synchronised: true }
    }
}

/// Says that a frame was put into quarantine.
fn alarm(device: &str, unreadable: Option<&str>) -> String {
    match unreadable {
        Some(why) => format!(
            "a frame of device {device} cannot be read, is kept aside in quarantine and told as lost: {why}. Please report \
             this with the versions of agent and hub"
        ),
        None => format!(
            "device {device} sent other content under an identity that is stored already; it is kept aside in quarantine. \
             Two devices with one name and one copied data directory do this: give one of them a new data directory"
        ),
    }
}
