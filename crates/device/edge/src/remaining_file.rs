//! An orderly end with the recorder in memory: what is undecided, and the decisions, go into the file `undecided`, and the next life
//! goes on with both. The file names the ledger that was committed with it: to any other one it says nothing.
//!
//! Parts behind each other: length (4 bytes, little-endian), the first 8 bytes of the digest of what follows, then a byte that says what
//! it is. The last one says how many there are.

use std::io;

use disk::Disk;
use ledger::PerSignal;
use model::Signal;
use pipeline::{Pipeline, Remaining, Resume};

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
    requests: Remaining,
    ahead: Vec<Vec<u8>>,
    count: u64,
    ended: bool,
    records: PerSignal,
}

impl Parts {
    /// What is undecided and what was decided, for a next life that goes on from this ledger.
    pub(crate) fn of(pipeline: &Pipeline, ledger: &[u8], now_ns: u64) -> Self {
        let mut first = MAGIC.to_vec();
        first.extend_from_slice(&wire::digest(ledger));
        let mut ahead = vec![part(FIRST, &first)];
        let decisions: Vec<(u32, u64)> = pipeline
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
        Self { requests: pipeline.remaining(), ahead, count: 0, ended: false, records: PerSignal::default() }
    }

    /// Records that were given so far.
    pub(crate) fn records(&self) -> PerSignal {
        self.records
    }

    /// The next part; `None` behind the last one.
    pub(crate) fn next(&mut self, pipeline: &mut Pipeline) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        self.count += 1;
        if let Some(part) = self.ahead.pop() {
            return Some(part);
        }
        let Some(found) = pipeline.next_remaining(&mut self.requests) else {
            self.ended = true;
            return Some(part(LAST, &self.count.to_le_bytes()));
        };
        self.records.add(found.signal, found.records);
        let mut bytes = Vec::with_capacity(1 + found.request.len());
        bytes.push(u8::from(found.signal == Signal::Logs));
        bytes.extend_from_slice(&found.request);
        Some(part(REQUEST, &bytes))
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

/// Goes on with what an orderly end left, if it belongs to this ledger.
pub(crate) fn resume<D: Disk>(disk: &D, ledger: Option<&[u8]>, resume: &mut Resume<'_>) {
    let (Some(ledger), Ok(file)) = (ledger, disk.open(PATH)) else { return };
    let (mut at, mut count, mut mine) = (0, 0, false);
    loop {
        let Some((kind, content)) = read_part(disk, &file, &mut at) else {
            // Not written to its end, or damaged: what was read counts, the rest is booked as lost.
            return resume.damaged(1);
        };
        count += 1;
        match kind {
            FIRST => {
                let digest = wire::digest(ledger);
                mine = content.get(..8) == Some(MAGIC) && content.get(8..) == Some(&digest[..]);
                if mine {
                    resume.all_comes_again();
                }
            }
            _ if !mine => return,
            SOME_DECISIONS => restore(&content, resume),
            REQUEST => {
                let Some((logs, body)) = content.split_first() else { continue };
                let signal = if *logs == 0 { Signal::Traces } else { Signal::Logs };
                resume.waiting_request(signal, body);
            }
            LAST => return resume.damaged(u64::from(content != (count as u64).to_le_bytes())),
            _ => resume.damaged(1),
        }
    }
}

/// Decisions with their ages, oldest first.
fn restore(content: &[u8], resume: &mut Resume<'_>) {
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
        let bits: Vec<u64> = same_age.iter().map(|one| one.1).collect();
        resume.decisions(&bits, age_ns);
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
