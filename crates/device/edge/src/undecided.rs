//! An orderly end with the recorder in memory: what is undecided, and the decisions, go into the file `undecided`, and the next life
//! goes on with both. The file names the note that was committed with it: to any other one it says nothing.
//!
//! Parts behind each other: length (4 bytes, little-endian), the first 8 bytes of the digest of what follows, then a byte that says what
//! it is. The last one says how many there are.

use std::io;

use journal::{Content, Disk};
use ledger::PerSignal;
use model::otlp::{LogView, Selection, SpanView, for_each_scope};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use sampling::{EntryId, LineFacts, Remembered};

use crate::pipeline::Pipeline;
use crate::resume::Resumed;

const PATH: &str = "undecided";
const TEMPORARY: &str = "undecided.tmp";
const MAGIC: &[u8; 8] = b"LSUN\0\0\0\0";
/// Length and digest in front of each part.
const HEAD: usize = 12;
/// The largest part: one request.
const MOST_PART: usize = 64 << 20;
/// Decisions in one part.
const DECISIONS: usize = 4096;

const FIRST: u8 = 0;
const SOME_DECISIONS: u8 = 1;
const REQUEST: u8 = 2;
const LAST: u8 = 3;

fn short(bytes: &[u8]) -> [u8; 8] {
    let digest = wire::digest(bytes);
    std::array::from_fn(|at| digest[at])
}

/// Frames a part.
fn part(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + 1 + content.len());
    out.extend_from_slice(&u32::try_from(content.len() + 1).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(kind);
    out.extend_from_slice(content);
    let digest = short(&out[HEAD..]);
    out[4..HEAD].copy_from_slice(&digest);
    out
}

/// What is to be written, part by part, so that it is never in memory twice.
#[derive(Debug)]
pub(crate) struct Parts {
    next_entry: EntryId,
    end: EntryId,
    ahead: Vec<Vec<u8>>,
    count: u64,
    ended: bool,
    /// Records that were given so far.
    pub(crate) records: PerSignal,
}

impl Pipeline {
    /// Begins to tell what is undecided and what was decided, for a next life that goes on from this note.
    pub(crate) fn undecided(&self, note: &[u8], now_ns: u64) -> Parts {
        let mut first = MAGIC.to_vec();
        first.extend_from_slice(&wire::digest(note));
        let mut ahead = vec![part(FIRST, &first)];
        let decisions: Vec<(u32, u64)> = self
            .sampler
            .decisions(now_ns)
            .map(|(one, age_ns)| (u32::try_from(age_ns / 1_000_000_000).unwrap_or(u32::MAX), one.bits()))
            .collect();
        for some in decisions.chunks(DECISIONS) {
            let mut bytes = Vec::with_capacity(12 * some.len());
            for (age_s, bits) in some {
                bytes.extend_from_slice(&age_s.to_le_bytes());
                bytes.extend_from_slice(&bits.to_le_bytes());
            }
            ahead.push(part(SOME_DECISIONS, &bytes));
        }
        ahead.reverse();
        let (next_entry, end) = (self.recorder.oldest_id(), self.recorder.next_id());
        Parts { next_entry, end, ahead, count: 0, ended: false, records: PerSignal::default() }
    }

    /// The next part; `None` behind the last one.
    pub(crate) fn next_undecided(&mut self, parts: &mut Parts) -> Option<Vec<u8>> {
        if parts.ended {
            return None;
        }
        parts.count += 1;
        if let Some(part) = parts.ahead.pop() {
            return Some(part);
        }
        while parts.next_entry < parts.end {
            let Some(id) = self.recorder.ids(parts.next_entry).next().filter(|id| *id < parts.end) else { break };
            parts.next_entry = id + 1;
            match self.undecided_of(id) {
                Ok(Some((signal, records, bytes))) => {
                    parts.records.add(signal, records);
                    self.recorder.rest();
                    return Some(part(REQUEST, &bytes));
                }
                Ok(None) => {}
                Err(_) => self.counters.unreadable += 1,
            }
        }
        self.recorder.rest();
        parts.ended = true;
        Some(part(LAST, &parts.count.to_le_bytes()))
    }

    /// The undecided records of an entry: a byte for the signal, then a request.
    fn undecided_of(&mut self, entry: EntryId) -> Result<Option<(Signal, u64, Vec<u8>)>, ProtoError> {
        let Self { recorder, sampler, .. } = self;
        let Some((Content::Request(signal), bytes)) = recorder.get(entry) else { return Ok(None) };
        let mut selected = Selection::default();
        for_each_scope::<ProtoError>(bytes, |scope| {
            for item in scope.items() {
                let item = item?;
                let trace: Option<TraceId> = match signal {
                    Signal::Traces => SpanView::read(item)?.trace_id,
                    Signal::Logs => {
                        let own = LogView::read(item)?.trace_id;
                        if own.is_some() { own } else { LineFacts::read(item, &[])?.trace_id }
                    }
                    Signal::Metrics => None,
                };
                if trace.is_some_and(|trace| sampler.is_waiting(&trace, entry)) {
                    selected.push(&scope, item);
                }
            }
            Ok(())
        })?;
        if selected.records() == 0 {
            return Ok(None);
        }
        let mut out = vec![u8::from(signal == Signal::Logs)];
        let records = selected.records();
        selected.write(&mut out);
        Ok(Some((signal, records, out)))
    }

    /// Takes records in that wait for their decision since an earlier life: they were counted when they came.
    pub(crate) fn wait_on(&mut self, signal: Signal, body: &[u8], now_ns: u64) -> Result<u64, ProtoError> {
        let _room = self.recorder.make_room(body.len());
        let (received, red) = (self.ledger.received, self.red.take());
        let before = self.ledger.pending.get(signal);
        let taken = match signal {
            Signal::Traces => self.take_traces(body, now_ns),
            _ => self.take_logs(body, now_ns),
        };
        self.ledger.received = received;
        self.red = red;
        taken.map(|()| self.ledger.pending.get(signal).saturating_sub(before))
    }
}

/// The file while it is written.
pub(crate) struct Writer<F> {
    file: F,
    at: u64,
}

/// Begins to write.
pub(crate) fn begin<D: Disk>(disk: &D) -> io::Result<Writer<D::File>> {
    remove_one(disk, TEMPORARY)?;
    Ok(Writer { file: disk.create(TEMPORARY, 0)?, at: 0 })
}

impl<F> Writer<F> {
    pub(crate) fn write<D: Disk<File = F>>(&mut self, disk: &D, part: &[u8]) -> io::Result<()> {
        disk.write_at(&self.file, self.at, part)?;
        self.at += part.len() as u64;
        Ok(())
    }

    /// Makes it durable, under its name.
    pub(crate) fn finish<D: Disk<File = F>>(self, disk: &D) -> io::Result<()> {
        disk.sync_data(&self.file)?;
        disk.rename(TEMPORARY, PATH)?;
        disk.sync_dir("")
    }
}

fn remove_one<D: Disk>(disk: &D, path: &str) -> io::Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes the file: what it said is taken in and committed, or never will be.
pub(crate) fn remove<D: Disk>(disk: &D) -> io::Result<()> {
    if disk.open(PATH).is_err() {
        return Ok(());
    }
    remove_one(disk, PATH)?;
    disk.sync_dir("")
}

/// Goes on with what an orderly end left, if it belongs to this note.
pub(crate) fn resume<D: Disk>(disk: &D, note: Option<&[u8]>, pipeline: &mut Pipeline, now_ns: u64) -> Resumed {
    let mut resumed = Resumed::default();
    let (Some(note), Ok(file)) = (note, disk.open(PATH)) else { return resumed };
    let (mut at, mut count, mut mine) = (0, 0, false);
    loop {
        let Some((kind, content)) = read_part(disk, &file, &mut at) else {
            // Not written to its end, or damaged: what was read counts, the rest is booked as lost by whoever asked.
            resumed.damaged += 1;
            return resumed;
        };
        count += 1;
        match kind {
            FIRST => mine = content.get(..8) == Some(MAGIC) && content.get(8..) == Some(&wire::digest(note)[..]),
            _ if !mine => return resumed,
            SOME_DECISIONS => restore(pipeline, &content, now_ns, &mut resumed),
            REQUEST => {
                let Some((logs, body)) = content.split_first() else { continue };
                let signal = if *logs == 0 { Signal::Traces } else { Signal::Logs };
                match pipeline.wait_on(signal, body, now_ns) {
                    Ok(records) => resumed.undecided.add(signal, records),
                    Err(_) => resumed.damaged += 1,
                }
                resumed.requests += 1;
            }
            LAST => {
                resumed.damaged += u64::from(content != (count as u64).to_le_bytes());
                pipeline.resumed_ns = Some(now_ns);
                return resumed;
            }
            _ => resumed.damaged += 1,
        }
    }
}

/// Decisions with their ages, oldest first.
fn restore(pipeline: &mut Pipeline, content: &[u8], now_ns: u64, resumed: &mut Resumed) {
    let (all, _) = content.as_chunks::<12>();
    let fields = |one: &[u8; 12]| {
        let (mut age, mut bits) = ([0; 4], [0; 8]);
        age.copy_from_slice(&one[..4]);
        bits.copy_from_slice(&one[4..]);
        (u32::from_le_bytes(age), u64::from_le_bytes(bits))
    };
    let decisions: Vec<(u32, u64)> = all.iter().map(fields).collect();
    for same_age in decisions.chunk_by(|one, other| one.0 == other.0) {
        let age_ns = u64::from(same_age.first().map_or(0, |one| one.0)) * 1_000_000_000;
        pipeline.sampler.restore(same_age.iter().map(|one| Remembered::from_bits(one.1)), age_ns, now_ns);
        resumed.decisions += same_age.len() as u64;
    }
}

fn read_part<D: Disk>(disk: &D, file: &D::File, at: &mut u64) -> Option<(u8, Vec<u8>)> {
    let head = read_at(disk, file, *at, HEAD)?;
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    if length == 0 || length > MOST_PART || *at + (HEAD + length) as u64 > disk.len(file).ok()? {
        return None;
    }
    let mut content = read_at(disk, file, *at + HEAD as u64, length)?;
    *at += (HEAD + length) as u64;
    (short(&content) == head[4..HEAD]).then(|| (content.remove(0), content))
}

fn read_at<D: Disk>(disk: &D, file: &D::File, at: u64, length: usize) -> Option<Vec<u8>> {
    let (mut bytes, mut done) = (vec![0; length], 0);
    while done < length {
        match disk.read_at(file, at + done as u64, &mut bytes[done..]) {
            Ok(count) if count > 0 => done += count,
            _ => return None,
        }
    }
    Some(bytes)
}
