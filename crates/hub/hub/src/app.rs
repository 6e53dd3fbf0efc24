//! What all requests share: the store, who is let in, the limits, the counters.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::access::audit;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use model::{Refusal as Reason, RefusalCounts, Stamp};
use store::query::{Ended, Memory, Scope, Scoped, Switch, within};
use store::{FrameOutcome, Incoming, Known, OTLP_DEVICE, Store, StoreError};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use crate::access::{Caller, Doors};
use crate::api_error::ApiError;
use crate::clock;
use crate::incidents::Incidents;
use crate::log::{Kind, Log, clean};
use crate::memory::Shares;
use crate::names;
use crate::places::Peer;
use crate::refusal::{BODY_SILENCE, BODY_TIME, Refusal};
use crate::turned_away::TurnedAway;

/// How long a query waits for its turn.
const QUERY_WAIT: Duration = Duration::from_secs(10);
/// How long a query may run.
const QUERY_TIME: Duration = Duration::from_secs(30);
/// How much longer its answer is waited for: what it does between two looks at its switch.
const QUERY_GRACE: Duration = Duration::from_secs(2);

/// Counts of what came in.
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
    pub(crate) compaction_errors: AtomicU64,
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Shared by every handler.
pub(crate) struct App {
    pub(crate) store: Store,
    /// Who is let in.
    pub(crate) doors: Arc<Doors>,
    pub(crate) data_dir: PathBuf,
    pub(crate) counters: Counters,
    refusals: Mutex<RefusalCounts>,
    pub(crate) turned_away: TurnedAway,
    pub(crate) incidents: Incidents,
    pub(crate) log: Log,
    /// Bytes that the whole hub may take.
    pub(crate) memory: usize,
    /// In KiB.
    bodies: Semaphore,
    decoders: Arc<Semaphore>,
    queries: Arc<Semaphore>,
    query_memory: Arc<Memory>,
    /// The switches of queries that run.
    running: Mutex<Vec<Switch>>,
    boot_id: [u8; 16],
    started_ns: u64,
}

/// A whole body, and its share of the memory for bodies.
pub(crate) struct Body<'a> {
    pub(crate) bytes: Bytes,
    _share: Option<SemaphorePermit<'a>>,
}

impl App {
    pub(crate) fn new(store: Store, doors: Doors, data_dir: PathBuf, memory: usize) -> anyhow::Result<Arc<Self>> {
        let shares = Shares::of(memory);
        let mut boot_id = [0; 16];
        getrandom::fill(&mut boot_id).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        Ok(Arc::new(Self {
            store,
            doors: Arc::new(doors),
            data_dir,
            counters: Counters::default(),
            refusals: Mutex::default(),
            turned_away: TurnedAway::default(),
            incidents: Incidents::default(),
            log: Log::default(),
            memory,
            bodies: Semaphore::new(shares.bodies >> 10),
            decoders: Arc::new(Semaphore::new(shares.decoders)),
            queries: Arc::new(Semaphore::new(shares.queries)),
            query_memory: Arc::new(Memory::new(shares.queries_hold)),
            running: Mutex::default(),
            boot_id,
            started_ns: clock::now_ns(),
        }))
    }

    /// Counts a refusal.
    pub(crate) fn refused(&self, reason: Reason) {
        self.refused_many(reason, 1);
    }

    /// Counts records that were refused.
    pub(crate) fn refused_many(&self, reason: Reason, count: u64) {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner).add(reason, count);
    }

    /// What was refused since the start, by reason.
    pub(crate) fn refusals(&self) -> RefusalCounts {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts, remembers and says that a request to `path` was refused; `device` is the name that it gave, if it got so far. One that was
    /// refused for who sent it stands in the audit log, too.
    pub(crate) async fn turn_away(&self, refusal: &Refusal, peer: &Peer, path: &str, device: Option<&str>) {
        self.refused(refusal.reason());
        let address = peer.address.ip().to_string();
        let who = device.map_or_else(|| address.clone(), |device| format!("device {} from {address}", clean(device)));
        self.turned_away.add(device.map(clean), &address, refusal.reason(), &refusal.to_string(), clock::now_ns());
        self.log.say_of(
            Kind::Refused,
            &format!("{who} {}", refusal.reason()),
            &format!("{who} is refused ({}): {refusal}", refusal.reason()),
        );
        if matches!(refusal, Refusal::Token | Refusal::Forbidden(_)) {
            let what = format!("{path}: {refusal}");
            if let Err(error) = self.doors.record(audit::Kind::Refused, (None, peer.address.ip()), what).await {
                self.log.say(Kind::Disk, &error.to_string());
            }
        }
    }

    /// Takes in the name of a device: whether it may be one, whether it is this connection's, whether there is room.
    pub(crate) fn admit(&self, device: &str, peer: &Peer, caller: &Caller) -> Result<(), Refusal> {
        names::check(device).map_err(|what| Refusal::Identity(Reason::InvalidName, what))?;
        if device == OTLP_DEVICE {
            return Err(Refusal::Identity(
                Reason::InvalidName,
                format!(
                    "the device name `{OTLP_DEVICE}` stands for what comes to the hub as OTLP; give the device another name"
                ),
            ));
        }
        if let Some(only) = caller.device().filter(|only| *only != device) {
            return Err(Refusal::Identity(
                Reason::IdentityMismatch,
                format!("this token is for device {only}, not for {device}"),
            ));
        }
        let bound = peer.device.get_or_init(|| device.to_owned());
        if bound != device {
            return Err(Refusal::Identity(
                Reason::IdentityMismatch,
                format!("this connection speaks for device {bound}, not for {device}"),
            ));
        }
        match self.store.admit(device)? {
            Known::Yes => {}
            Known::New => {
                let address = peer.address.ip();
                self.log.say_of(Kind::NewDevice, device, &format!("device {device} is new, from {address}"));
            }
            Known::Full => {
                return Err(Refusal::Identity(
                    Reason::OverBudget,
                    format!("there are as many devices as there may be (--max-devices); {device} is not one of them"),
                ));
            }
        }
        Ok(())
    }

    /// Reads a body of at most `limit` bytes. Its share of memory grows with the bytes that came.
    pub(crate) async fn read_body(&self, request: axum::extract::Request, limit: usize) -> Result<Body<'_>, Refusal> {
        let length = request.headers().get("content-length");
        let announced = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > limit as u64) {
            return Err(Refusal::TooLarge { limit });
        }
        let mut body = request.into_body();
        let read = async {
            let mut bytes = BytesMut::new();
            let mut share: Option<SemaphorePermit<'_>> = None;
            loop {
                let next = tokio::time::timeout(BODY_SILENCE, body.frame()).await.map_err(|_| Refusal::Slow)?;
                let Some(frame) = next else { return Ok((bytes.freeze(), share)) };
                let frame = frame.map_err(|error| Refusal::Malformed(format!("the body ended early: {error}")))?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > limit {
                    return Err(Refusal::TooLarge { limit });
                }
                let kib = |bytes: usize| bytes.div_ceil(1024);
                let more = kib(bytes.len() + data.len()) - kib(bytes.len());
                let permits = self.bodies.try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX));
                let permits =
                    permits.map_err(|_| Refusal::Busy(Reason::NoRoom, "too many requests at one time".into()))?;
                match &mut share {
                    Some(share) => share.merge(permits),
                    none => *none = Some(permits),
                }
                bytes.extend_from_slice(&data);
            }
        };
        let (bytes, share) = tokio::time::timeout(BODY_TIME, read).await.map_err(|_| Refusal::Slow)??;
        Ok(Body { bytes, _share: share })
    }

    /// Decodes a request on a thread that may block; few do so at one time, since what comes out is larger than what came.
    pub(crate) async fn decode<T: Send + 'static>(
        &self,
        run: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let busy = || Refusal::Busy(Reason::NoRoom, "too many requests at one time".into());
        let turn = tokio::time::timeout(QUERY_WAIT, Arc::clone(&self.decoders).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            run()
        });
        done.await.map_err(|error| Refusal::Busy(Reason::NoRoom, error.to_string()))
    }

    /// Stores frames and waits until they are durable.
    pub(crate) async fn store_frames(&self, frames: Vec<Incoming>) -> Result<Vec<FrameOutcome>, Refusal> {
        let about: Vec<(Arc<str>, Option<String>)> =
            frames.iter().map(|frame| (Arc::clone(frame.device()), frame.unreadable().map(str::to_owned))).collect();
        let (reply, answer) = oneshot::channel();
        self.store.submit(frames, clock::now_ns(), Box::new(move |result| drop(reply.send(result))));
        let outcomes = answer.await.unwrap_or(Err(StoreError::Closed)).inspect_err(|error| {
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

    /// Runs a query on a thread that may block. It is ended when its time is over, when whoever asked has gone, and when the
    /// hub stops; its thread counts until it has ended.
    pub(crate) async fn query<T: Send + 'static>(
        self: &Arc<Self>,
        scope: Scope,
        run: impl FnOnce(Scoped<'_>) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        count(&self.counters.queries);
        let busy = || Refusal::Busy(Reason::NoRoom, "too many queries at one time".into());
        let turn = tokio::time::timeout(QUERY_WAIT, Arc::clone(&self.queries).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let app = Arc::clone(self);
        let switch = Switch::default();
        {
            let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.retain(Switch::is_shared);
            running.push(switch.clone());
        }
        // Ends the query when this future is dropped: the connection has gone.
        let _gone = EndWhenDropped(switch.clone());
        let of_thread = switch.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            within(&of_thread, &app.query_memory, || run(app.store.scoped(&scope)))
        });
        tokio::pin!(done);
        let joined = match tokio::time::timeout(QUERY_TIME, &mut done).await {
            Ok(joined) => joined,
            Err(_) => {
                switch.end(Ended::Deadline);
                let late =
                    || Refusal::Busy(Reason::Cancelled, "the query took too long; ask for a shorter time".into());
                tokio::time::timeout(QUERY_GRACE, &mut done).await.map_err(|_| late())?
            }
        };
        let answer = joined.map_err(|error| {
            Refusal::Busy(Reason::Cancelled, format!("the query failed: {error}; this is a bug in the hub"))
        })?;
        Ok(answer?)
    }

    /// Ends all queries: the hub stops.
    pub(crate) fn end_queries(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.iter().for_each(|switch| switch.end(Ended::Cancelled));
    }

    /// The hub's clocks, for frames that it makes.
    pub(crate) fn stamp(&self) -> Stamp {
        let wall_ns = clock::now_ns();
        let uptime_ns = wall_ns.saturating_sub(self.started_ns);
        Stamp { boot_id: self.boot_id, uptime_ns, wall_ns, synchronised: true }
    }
}

/// Ends a query with this value.
struct EndWhenDropped(Switch);

impl Drop for EndWhenDropped {
    fn drop(&mut self) {
        self.0.end(Ended::Cancelled);
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
