//! The recorder in files, and the decisions beside it: the journal's record of what was answered and is not decided yet
//! (docs/journal.md, "Recorder").

use disk::Disk;
use model::{Signal, Stamp};
use segment::lz4::{self, PIECE};
use segment::{EntryKind, FieldReader, PAYLOAD_CAP};

use crate::error::JournalError;
use crate::journal::{Commit, Journal};
use crate::lane::Core;
use crate::mutants::{self, Mutant};
use crate::note::Rows;
use crate::recorder::Content;
use crate::tape::{Label, Tape, TapeError};

/// Bytes in front of each request in an entry: content, length of the key, 2 zero bytes, length.
const REQUEST_HEAD: usize = 8;
/// The largest request that can be recorded in files.
pub const RECORDING_CAP: usize = PAYLOAD_CAP - (64 << 10);
/// Bytes of requests that go into one entry, unless a single one is larger.
const GROUP: usize = 128 << 10;

/// A request, to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording<'a> {
    /// What it is.
    pub content: Content,
    /// The producer's key for it, at most 255 bytes; empty when it gave none.
    pub key: &'a [u8],
    /// Its bytes, masked.
    pub bytes: &'a [u8],
}

/// How far what is recorded was taken over by the journal, at a commit. All of it are sequences of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken {
    /// Requests below this one are in the books of the commit.
    pub next: u64,
    /// The oldest request that holds something undecided; `next` when there is none.
    pub needed: u64,
}

/// What was decided since the commit before.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decisions<'a> {
    /// As the sampler persists them.
    pub remembered: &'a [u64],
    /// Traces that were let go without a decision, in the same form.
    pub alone: &'a [u64],
}

/// Decisions of one commit, read back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionsRead {
    /// See [`Decisions::remembered`].
    pub remembered: Vec<u64>,
    /// See [`Decisions::alone`].
    pub alone: Vec<u64>,
    /// [`Taken::next`] of that commit: requests below it are meant.
    pub before: u64,
    /// When it was made, Unix nanoseconds.
    pub wall_ns: u64,
}

fn content_number(content: Content) -> u8 {
    match content {
        Content::Request(Signal::Traces) => 1,
        Content::Request(Signal::Logs) => 2,
        Content::Request(Signal::Metrics) => 3,
        Content::Exemplars => 4,
    }
}

fn content_of(number: u8) -> Option<Content> {
    Some(match number {
        1 => Content::Request(Signal::Traces),
        2 => Content::Request(Signal::Logs),
        3 => Content::Request(Signal::Metrics),
        4 => Content::Exemplars,
        _ => return None,
    })
}

/// Requests, compressed in pieces: raw length (4), then for each piece raw length and data length (2 + 2) and data.
fn encode(requests: &[Recording<'_>], out: &mut Vec<u8>) {
    let mut raw = Vec::with_capacity(requests.iter().map(|one| REQUEST_HEAD + one.key.len() + one.bytes.len()).sum());
    for request in requests {
        let key = &request.key[..request.key.len().min(255)];
        raw.extend_from_slice(&[content_number(request.content), key.len() as u8, 0, 0]);
        raw.extend_from_slice(&(request.bytes.len() as u32).to_le_bytes());
        raw.extend_from_slice(key);
        raw.extend_from_slice(request.bytes);
    }
    out.clear();
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    for piece in raw.chunks(PIECE) {
        let head = out.len();
        out.extend_from_slice(&[0; 4]);
        let len = lz4::compress(piece, out);
        out[head..head + 2].copy_from_slice(&(piece.len() as u16).to_le_bytes());
        out[head + 2..head + 4].copy_from_slice(&(len as u16).to_le_bytes());
    }
}

/// A request at the beginning of what is inflated, and the bytes that it takes.
enum First<'a> {
    Whole(Recording<'a>, usize),
    /// It takes so many bytes, of which not all are there.
    Part(usize),
    Bad,
}

fn first_request(raw: &[u8]) -> First<'_> {
    let Some((head, after)) = raw.split_first_chunk::<REQUEST_HEAD>() else { return First::Part(REQUEST_HEAD) };
    let Some(content) = content_of(head[0]) else { return First::Bad };
    let (key, bytes) = (usize::from(head[1]), FieldReader::at(head, 4).u32() as usize);
    let size = (REQUEST_HEAD + key).saturating_add(bytes);
    match after.get(..key).zip(after.get(key..size - REQUEST_HEAD)) {
        Some((key, bytes)) => First::Whole(Recording { content, key, bytes }, size),
        None => First::Part(size),
    }
}

/// Calls `each` with the requests of an entry, and holds one of them and one piece inflated at a time; `false` when the
/// payload is none, or is none from some place on.
pub(crate) fn decode(payload: &[u8], mut each: impl FnMut(Recording<'_>)) -> bool {
    let Some((len, mut rest)) = payload.split_first_chunk::<4>() else { return false };
    // Bytes of requests that are still to come.
    let mut left = u32::from_le_bytes(*len) as usize;
    let mut raw = Vec::new();
    loop {
        let mut used = 0;
        let needed = loop {
            match first_request(&raw[used..]) {
                First::Whole(request, size) => {
                    each(request);
                    used += size;
                }
                First::Part(size) => break size,
                First::Bad => return false,
            }
        };
        raw.drain(..used);
        let Some((head, after)) = rest.split_first_chunk::<4>() else { break };
        let (raw_len, data_len) = (u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]));
        let Some((data, after)) = after.split_at_checked(usize::from(data_len)) else { return false };
        // So that a large request does not grow by doubling.
        raw.reserve_exact(needed.min(raw.len() + left).min(PAYLOAD_CAP).saturating_sub(raw.len()) + PIECE);
        if usize::from(raw_len) > left || !lz4::inflate(data, usize::from(raw_len), &mut raw) {
            return false;
        }
        left -= usize::from(raw_len);
        rest = after;
    }
    left == 0 && raw.is_empty() && rest.is_empty()
}

fn encode_decisions(decisions: &Decisions<'_>, before: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + 8 * (decisions.remembered.len() + decisions.alone.len()));
    out.extend_from_slice(&before.to_le_bytes());
    out.extend_from_slice(&(decisions.remembered.len() as u32).to_le_bytes());
    out.extend_from_slice(&(decisions.alone.len() as u32).to_le_bytes());
    for bits in decisions.remembered.iter().chain(decisions.alone) {
        out.extend_from_slice(&bits.to_le_bytes());
    }
    out
}

fn decode_decisions(payload: &[u8], wall_ns: u64) -> Option<DecisionsRead> {
    let (head, rest) = payload.split_first_chunk::<16>()?;
    let mut fields = FieldReader::at(head, 0);
    let (before, remembered, alone) = (fields.u64(), fields.u32() as usize, fields.u32() as usize);
    let (numbers, left) = rest.as_chunks::<8>();
    if !left.is_empty() || remembered.checked_add(alone)? != numbers.len() {
        return None;
    }
    let read = |numbers: &[[u8; 8]]| numbers.iter().map(|bits| u64::from_le_bytes(*bits)).collect();
    let (remembered, alone) = (read(&numbers[..remembered]), read(&numbers[remembered..]));
    Some(DecisionsRead { remembered, alone, before, wall_ns })
}

/// Appends requests in groups.
fn append_all<D: Disk>(
    recorder: &mut Tape<D::File>,
    core: &mut Core<D>,
    requests: &[Recording<'_>],
    wall_ns: u64,
    keep: u64,
) -> Result<(), TapeError> {
    let mut rest = requests;
    let mut payload = Vec::new();
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|request| {
            bytes += request.bytes.len() + request.key.len() + REQUEST_HEAD;
            bytes <= GROUP
        });
        let (now, later) = rest.split_at(fits.count().max(1));
        encode(now, &mut payload);
        let label = Label { kind: EntryKind::Requests, count: now.len() as u32, wall_ns };
        recorder.append(core, label, &payload, keep)?;
        rest = later;
    }
    Ok(())
}

impl<D: Disk> Journal<D> {
    /// Whether requests are recorded in files.
    pub fn records(&self) -> bool {
        self.recorder.is_some()
    }

    /// Records requests, so that they survive the end of the program before they are decided, and with `durable` a power cut.
    /// Gives the sequence of the first one; the others follow.
    ///
    /// # Errors
    /// [`TapeError::Full`] when everything held is still needed: tell the producer to wait. Nothing was answered for then.
    pub fn record(&mut self, requests: &[Recording<'_>], wall_ns: u64, durable: bool) -> Result<u64, TapeError> {
        if !self.core.disk.is_there("lock", &self.lock).map_err(JournalError::io("find", "lock"))? {
            self.check_place()?;
        }
        let Some(recorder) = &mut self.recorder else {
            return Err(JournalError::Options("there is no recorder in files".into()).into());
        };
        let keep = self.rows.taken.needed;
        let mark = recorder.mark();
        let recorded = append_all(recorder, &mut self.core, requests, wall_ns, keep);
        let recorded = recorded.and_then(|()| match durable {
            true => Ok(recorder.sync(&mut self.core)?),
            false => Ok(()),
        });
        if let Err(error) = recorded {
            recorder.take_back(&self.core, mark);
            return Err(error);
        }
        Ok(mark.0)
    }

    /// As [`Journal::commit`], and with it what was decided and how far the recorder is taken over: frames, decisions, note
    /// and both places become valid together, or none of them does.
    ///
    /// # Errors
    /// As [`Journal::commit`]; give the same decisions again then.
    pub fn commit_taken(
        &mut self,
        stamp: Stamp,
        note: &[u8],
        decisions: &Decisions<'_>,
        taken: Taken,
    ) -> Result<Commit, JournalError> {
        let full = |error: TapeError| match error {
            TapeError::Journal(error) => error,
            TapeError::Full(_) => JournalError::io("write", "decisions")(std::io::ErrorKind::StorageFull.into()),
        };
        if mutants::is_on(Mutant::DecisionsLate) {
            let head = self.decisions.as_ref().map_or(1, |tape| tape.next);
            let commit = self.commit_all(stamp, Some(note), Rows { taken, decisions: head })?;
            self.write_decisions(decisions, taken.next, stamp).map_err(full)?;
            return Ok(commit);
        }
        self.write_decisions(decisions, taken.next, stamp).map_err(full)?;
        let head = self.decisions.as_ref().map_or(1, |tape| tape.next);
        self.commit_all(stamp, Some(note), Rows { taken, decisions: head })
    }

    pub(crate) fn write_decisions(
        &mut self,
        decisions: &Decisions<'_>,
        before: u64,
        stamp: Stamp,
    ) -> Result<(), TapeError> {
        let Some(tape) = &mut self.decisions else { return Ok(()) };
        if !(decisions.remembered.is_empty() && decisions.alone.is_empty()) {
            let payload = encode_decisions(decisions, before);
            let label = Label { kind: EntryKind::Decisions, count: 1, wall_ns: stamp.wall_ns };
            tape.append(&mut self.core, label, &payload, u64::MAX)?;
        }
        Ok(tape.sync(&mut self.core)?)
    }

    /// Makes everything durable that is recorded.
    pub(crate) fn sync_recorder(&mut self) -> Result<(), JournalError> {
        self.recorder.as_mut().map_or(Ok(()), |recorder| recorder.sync(&mut self.core))
    }

    /// What the last commit said of the recorder.
    pub fn taken(&self) -> Taken {
        self.rows.taken
    }

    /// Calls `each` with the decisions of every commit that are still held, oldest first.
    ///
    /// # Errors
    /// [`JournalError::Disk`]; damage is passed over.
    pub fn each_decisions(&self, mut each: impl FnMut(DecisionsRead)) -> Result<(), JournalError> {
        let Some(tape) = &self.decisions else { return Ok(()) };
        tape.read(&self.core, 0, |entry, payload| {
            if let Some(read) = decode_decisions(payload, entry.start_ns) {
                each(read);
            }
        })
        .map(drop)
    }

    /// Calls `each` with every request that is recorded from a sequence on, and its sequence; tells how many places were
    /// damaged.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn each_recorded(&self, from: u64, mut each: impl FnMut(u64, Recording<'_>)) -> Result<u64, JournalError> {
        let Some(tape) = &self.recorder else { return Ok(0) };
        tape.read(&self.core, from, |entry, payload| {
            let mut sequence = entry.first;
            decode(payload, |request| {
                if sequence >= from {
                    each(sequence, request);
                }
                sequence += 1;
            });
        })
    }

    /// The oldest request that is recorded, and the sequence that the next one will have.
    pub fn recorded(&self) -> (u64, u64) {
        self.recorder.as_ref().map_or((1, 1), |tape| (tape.oldest(), tape.next))
    }
}
