//! The writer: one thread that commits the frames of many requests in one synchronous batch, and answers only then.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use fjall::OwnedWriteBatch as WriteBatch;
use model::Epoch;
use prost::Message;
use wire::FrameHeader;

use crate::db::Db;
use crate::digests;
use crate::error::StoreError;
use crate::ids::{DeviceNumber, FrameKey, Stream};
use crate::incoming::{FrameOutcome, Identity, Incoming};
use crate::inner::Inner;
use crate::intake_row::IntakeRow;
use crate::proto::{Counters, GapRow};
use crate::registry::{Registry, gap_key};
use crate::rows::Records;
use crate::view::HeadFrame;

/// Requests that may wait for the writer.
const QUEUE_REQUESTS: usize = 1024;
/// Most bytes of frames in one commit.
const GROUP_BYTES: usize = 8 << 20;

/// What the sender of a request gets: the outcome of each frame in order, durable; or why nothing of it is stored.
pub type Reply = Box<dyn FnOnce(Result<Vec<FrameOutcome>, StoreError>) + Send>;

/// The reason of a loss whose frame came and cannot be read.
const UNREADABLE: &str = "hub-frame-unreadable";

struct Job {
    frames: Vec<Incoming>,
    now_ns: u64,
    reply: Reply,
}

/// The writer's thread and the queue to it.
pub(crate) struct WriterHandle {
    queue: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    pub(crate) fn start(inner: &Arc<Inner>) -> Result<Self, StoreError> {
        let (queue, jobs) = sync_channel(QUEUE_REQUESTS);
        let writer = Writer { inner: Arc::clone(inner) };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&jobs))
            .map_err(StoreError::io("cannot start the writer's thread", &inner.places.packs))?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)) })
    }

    /// Hands frames to the writer. `reply` is called once, from the writer's thread, when they are durable or refused;
    /// `now_ns` is the hub's wall clock.
    pub(crate) fn submit(&self, inner: &Inner, frames: Vec<Incoming>, now_ns: u64, reply: Reply) {
        if let Err(error) = inner.check_health() {
            return reply(Err(error));
        }
        let cost: usize = frames.iter().map(|frame| frame.cost).sum();
        let queued = inner.stats.queued_cost.fetch_add(cost, Ordering::AcqRel);
        let refuse = |reply: Reply, error: StoreError| {
            inner.stats.queued_cost.fetch_sub(cost, Ordering::AcqRel);
            reply(Err(error));
        };
        let held = inner.view().cost + queued;
        let limit = inner.options.head_bytes;
        if held > 0 && held + cost > limit {
            inner.stats.refused_cost.fetch_max(cost, Ordering::AcqRel);
            return refuse(reply, StoreError::Busy { cost, held, limit });
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sender) = queue.as_ref() else {
            drop(queue);
            return refuse(reply, StoreError::Closed);
        };
        match sender.try_send(Job { frames, now_ns, reply }) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                drop(queue);
                refuse(job.reply, StoreError::Queued { waiting: QUEUE_REQUESTS });
            }
            Err(TrySendError::Disconnected(job)) => {
                drop(queue);
                refuse(job.reply, StoreError::Closed);
            }
        }
    }

    /// Commits what is queued and ends the thread.
    pub(crate) fn stop(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A writer that panicked has nothing left to commit; its requests were answered by their dropped replies.
        let _ = thread.map(JoinHandle::join);
    }
}

struct Writer {
    inner: Arc<Inner>,
}

impl Writer {
    fn run(&self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            if !self.inner.options.group_delay.is_zero() {
                std::thread::sleep(self.inner.options.group_delay);
            }
            let size = |job: &Job| job.frames.iter().map(Incoming::written_bytes).sum::<usize>();
            let mut bytes = size(&first);
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                bytes += size(&job);
                group.push(job);
            }
            self.commit(group);
        }
    }

    fn commit(&self, group: Vec<Job>) {
        let inner = &*self.inner;
        let cost: usize = group.iter().flat_map(|job| &job.frames).map(|frame| frame.cost).sum();
        let _writing = inner.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let db = match inner.db() {
            Ok(db) => db,
            Err(error) => {
                inner.stats.queued_cost.fetch_sub(cost, Ordering::AcqRel);
                let why = error.to_string();
                for job in group {
                    (job.reply)(Err(inner.check_health().err().unwrap_or_else(|| StoreError::Poisoned(why.clone()))));
                }
                return;
            }
        };
        let mut commit = Commit::new(inner, db);
        let mut answers = Vec::with_capacity(group.len());
        let planned: Result<(), StoreError> = group.into_iter().try_for_each(|job| {
            let outcomes = job.frames.into_iter().map(|frame| commit.plan(frame, job.now_ns)).collect();
            answers.push((job.reply, outcomes));
            answers.last().map_or(Ok(()), |(_, outcomes): &(Reply, Result<Vec<_>, StoreError>)| {
                outcomes.as_ref().map(|_| ()).map_err(|error| StoreError::Poisoned(error.to_string()))
            })
        });
        let result = inner.check_health().and(planned).and_then(|()| commit.finish());
        inner.stats.queued_cost.fetch_sub(cost, Ordering::AcqRel);
        match result {
            Ok(()) => answers.into_iter().for_each(|(reply, outcomes)| reply(outcomes)),
            Err(error) => {
                for (reply, _) in answers {
                    reply(Err(inner.poison(&error)));
                }
            }
        }
    }
}

/// One synchronous batch in the making.
struct Commit<'a> {
    inner: &'a Inner,
    db: Arc<Db>,
    batch: WriteBatch,
    /// Identities claimed by this very batch.
    claimed: HashMap<FrameKey, [u8; 16]>,
    quarantined: BTreeSet<Vec<u8>>,
    frames: Vec<Arc<HeadFrame>>,
    gaps: Vec<(Stream, u64, u64, GapRow)>,
    devices: BTreeSet<DeviceNumber>,
    /// The counters of its devices before it.
    before: BTreeMap<DeviceNumber, Counters>,
    /// Lane and making time of stored frames, for the coverage of their device.
    made: Vec<(DeviceNumber, Epoch, model::Lane, u64)>,
    /// Next sequence of the pseudo-device's streams, once one was given out.
    next: HashMap<Stream, u64>,
}

impl<'a> Commit<'a> {
    fn new(inner: &'a Inner, db: Arc<Db>) -> Self {
        Self {
            inner,
            batch: db.durable_batch(),
            db,
            claimed: HashMap::new(),
            quarantined: BTreeSet::new(),
            frames: Vec::new(),
            gaps: Vec::new(),
            devices: BTreeSet::new(),
            before: BTreeMap::new(),
            made: Vec::new(),
            next: HashMap::new(),
        }
    }

    /// Decides what becomes of a frame and puts its rows into the batch.
    fn plan(&mut self, incoming: Incoming, now_ns: u64) -> Result<FrameOutcome, StoreError> {
        let Incoming { device, lane, identity, records, gaps, unreadable, cost } = incoming;
        let mut registry = self.inner.registry();
        let number = registry.number(&device);
        self.devices.insert(number);
        if let Some(row) = registry.device_mut(number) {
            row.touch(now_ns);
        }
        let (key, digest, bytes) = match identity {
            Identity::Given { epoch, seq, digest, bytes } => {
                (FrameKey { stream: Stream { device: number, epoch, lane }, seq }, digest, bytes)
            }
            Identity::Next { body, stamp } => {
                let epoch = pseudo_epoch(&mut registry, number)?;
                let stream = Stream { device: number, epoch, lane };
                let seq = *self.next.entry(stream).or_insert_with(|| {
                    registry.claims.get(&stream).and_then(|claims| claims.stored.last()).unwrap_or(0) + 1
                });
                self.next.insert(stream, seq + 1);
                let mut bytes = Vec::with_capacity(body.len() + 128);
                wire::seal_frame(&FrameHeader { device: &*device, epoch, lane, seq, stamp }, &body, &mut bytes);
                (FrameKey { stream, seq }, wire::digest(&bytes), bytes)
            }
        };
        let mut outcome = self.judge(&registry, key, digest)?;
        if unreadable.is_some() && outcome == FrameOutcome::Stored {
            outcome = FrameOutcome::Unreadable;
        }
        let is_aside = matches!(outcome, FrameOutcome::Quarantined | FrameOutcome::Unreadable);
        let is_new_quarantine = is_aside && self.quarantine(key, digest, &bytes)?;
        if is_new_quarantine && outcome == FrameOutcome::Unreadable {
            // Its records are in no answer: the lane goes on behind it as behind any other loss.
            let frontier = registry.device(number).and_then(|row| row.lane(lane)).map_or(0, |row| row.complete_to);
            let made_ns = wire::decode_header(&bytes).ok().map(|header| header.stamp);
            let end_ns = made_ns.filter(|stamp| stamp.synchronised).map_or(now_ns, |stamp| stamp.wall_ns);
            let start_ns = if frontier == 0 { end_ns } else { frontier.min(end_ns) }.max(1);
            let row = GapRow { reason: UNREADABLE.to_owned(), records: 0, start_ns, end_ns };
            self.add_gap(key.stream, (key.seq, key.seq), row);
        }
        self.before
            .entry(number)
            .or_insert_with(|| registry.device(number).and_then(|row| row.counters).unwrap_or_default());
        if let Some(counters) = registry.counters(number) {
            match outcome {
                FrameOutcome::Stored => {
                    counters.stored += 1;
                    counters.spans += records.spans.len() as u64;
                    counters.logs += records.logs.len() as u64;
                    counters.points += records.points() as u64;
                    counters.exemplars += records.exemplars.len() as u64;
                }
                FrameOutcome::Duplicate => counters.duplicate += 1,
                FrameOutcome::Quarantined | FrameOutcome::Unreadable => {
                    counters.quarantined += u64::from(is_new_quarantine);
                }
            }
        }
        let frontiers: Vec<(model::Lane, u64)> = if gaps.is_empty() {
            Vec::new()
        } else {
            let frontier = |gap: &wire::Gap| Some((gap.lane, registry.device(number)?.lane(gap.lane)?.complete_to));
            gaps.iter().filter_map(frontier).collect()
        };
        drop(registry);
        if outcome == FrameOutcome::Stored {
            self.insert(key, digest, &bytes, records, cost, now_ns);
            let stamp = wire::decode_header(&bytes).ok().map(|header| header.stamp);
            let made_ns = stamp.filter(|stamp| stamp.synchronised).map_or(now_ns, |stamp| stamp.wall_ns);
            for gap in gaps {
                let stream = Stream { lane: gap.lane, ..key.stream };
                // A loss of which the device does not know the time lies between what was complete and this frame.
                let frontier = frontiers.iter().find(|(lane, _)| *lane == gap.lane).map_or(0, |(_, time)| *time);
                let end_ns = if gap.end_ns == 0 { made_ns } else { gap.end_ns };
                let start_ns = if gap.start_ns == 0 { frontier.min(end_ns).max(1) } else { gap.start_ns };
                let row = GapRow { reason: gap.reason.name().to_owned(), records: gap.records, start_ns, end_ns };
                self.add_gap(stream, (gap.first, gap.last), row);
            }
            if let Ok(header) = wire::decode_header(&bytes)
                && header.stamp.synchronised
            {
                self.made.push((number, key.stream.epoch, lane, header.stamp.wall_ns));
            }
        }
        Ok(outcome)
    }

    fn add_gap(&mut self, stream: Stream, (first, last): (u64, u64), row: GapRow) {
        self.batch.insert(&self.db.gaps, gap_key(stream, first, last), row.encode_to_vec());
        self.gaps.push((stream, first, last, row));
    }

    /// Compares a frame with what is stored under its identity.
    fn judge(&self, registry: &Registry, key: FrameKey, digest: [u8; 16]) -> Result<FrameOutcome, StoreError> {
        let verdict = |same: bool| if same { FrameOutcome::Duplicate } else { FrameOutcome::Quarantined };
        if let Some(other) = self.claimed.get(&key) {
            return Ok(verdict(*other == digest));
        }
        if !registry.claims.get(&key.stream).is_some_and(|claims| claims.stored.contains(key.seq)) {
            return Ok(FrameOutcome::Stored);
        }
        let row = self.db.intake.get(key.to_bytes()).map_err(StoreError::database("cannot read intake"))?;
        if let Some(row) = row.as_deref().and_then(IntakeRow::from_bytes) {
            return Ok(verdict(row.digest == digest));
        }
        match digests::get(&self.db, key)? {
            Some(packed) => Ok(verdict(packed == digests::shorten(digest))),
            None => {
                self.inner.stats.unverified.fetch_add(1, Ordering::Relaxed);
                Ok(FrameOutcome::Duplicate)
            }
        }
    }

    /// Keeps a frame aside; whether it is the first time that this content came.
    fn quarantine(&mut self, key: FrameKey, digest: [u8; 16], bytes: &[u8]) -> Result<bool, StoreError> {
        let mut row = key.to_bytes().to_vec();
        row.extend_from_slice(&digest);
        let known = self.db.quarantine.contains_key(&row).map_err(StoreError::database("cannot read quarantine"))?;
        let is_new = !known && self.quarantined.insert(row.clone());
        if is_new {
            self.batch.insert(&self.db.quarantine, row, bytes);
        }
        Ok(is_new)
    }

    fn insert(
        &mut self,
        key: FrameKey,
        digest: [u8; 16],
        bytes: &[u8],
        mut records: Records,
        cost: usize,
        received_ns: u64,
    ) {
        #[cfg(feature = "mutants")]
        self.store_twice(key, digest, bytes, &records, cost, received_ns);
        self.inner.stats.replaced_texts.fetch_add(u64::from(records.replaced_texts), Ordering::Relaxed);
        let order = self.inner.stats.next_order.fetch_add(1, Ordering::Relaxed);
        let row = IntakeRow { order, received_ns, digest, frame: bytes };
        self.batch.insert(&self.db.intake, key.to_bytes(), row.to_bytes());
        self.claimed.insert(key, digest);
        records.set_order(order);
        self.frames.push(Arc::new(HeadFrame { key, order, received_ns, cost, records }));
    }

    /// The mutant `store-twice`: breaks P8 on purpose, so that a check can show that it would notice.
    #[cfg(feature = "mutants")]
    fn store_twice(
        &mut self,
        key: FrameKey,
        digest: [u8; 16],
        bytes: &[u8],
        records: &Records,
        cost: usize,
        received_ns: u64,
    ) {
        if records.spans.is_empty() || self.inner.stats.trace_frames.fetch_add(1, Ordering::Relaxed) != 4 {
            return;
        }
        if std::env::var("LIGHTSHIP_MUTANT").as_deref() != Ok("store-twice") {
            return;
        }
        let other = Stream { epoch: Epoch(!key.stream.epoch.0), ..key.stream };
        let key = FrameKey { stream: other, seq: key.seq };
        let order = self.inner.stats.next_order.fetch_add(1, Ordering::Relaxed);
        let row = IntakeRow { order, received_ns, digest, frame: bytes };
        self.batch.insert(&self.db.intake, key.to_bytes(), row.to_bytes());
        let mut records = records.clone();
        records.set_order(order);
        self.frames.push(Arc::new(HeadFrame { key, order, received_ns, cost, records }));
    }

    /// Syncs the batch; only then the claims count and queries see the frames.
    fn finish(mut self) -> Result<(), StoreError> {
        let inner = self.inner;
        {
            let mut registry = inner.registry();
            for number in &self.devices {
                if let Some(row) = registry.device(*number) {
                    self.batch.insert(&self.db.devices, number.0.to_be_bytes(), row.encode_to_vec());
                }
                registry.dirty.remove(number);
            }
        }
        if let Err(error) = self.batch.commit() {
            // Nothing of it counts: what is on the disk is read again before intake goes on.
            let mut registry = inner.registry();
            for (number, before) in self.before {
                if let Some(counters) = registry.counters(number) {
                    *counters = before;
                }
            }
            return Err(StoreError::Database { what: "cannot commit", source: error });
        }
        inner.stats.commits.fetch_add(1, Ordering::Relaxed);
        {
            let mut view = inner.view_mut();
            for frame in self.frames {
                view.add(frame);
            }
        }
        let mut registry = inner.registry();
        for key in self.claimed.into_keys() {
            registry.claim(key);
        }
        for (stream, first, last, row) in self.gaps {
            registry.add_gap(stream, first, last, row);
        }
        for (number, epoch, lane, wall_ns) in self.made {
            if let Some(row) = registry.device_mut(number).filter(|row| row.epoch == epoch.0) {
                row.saw_frame(lane, wall_ns);
            }
        }
        for number in self.devices {
            registry.advance(number);
        }
        Ok(())
    }
}

/// The epoch of the pseudo-device in this database, drawn at its first frame.
fn pseudo_epoch(registry: &mut Registry, number: DeviceNumber) -> Result<Epoch, StoreError> {
    if let Some(row) = registry.device(number).filter(|row| row.epoch != 0) {
        return Ok(Epoch(row.epoch));
    }
    let random = getrandom::u64().map_err(|error| StoreError::Row { keyspace: "devices", what: error.to_string() })?;
    if let Some(row) = registry.device_mut(number) {
        row.epoch = random | 1;
    }
    Ok(Epoch(random | 1))
}
