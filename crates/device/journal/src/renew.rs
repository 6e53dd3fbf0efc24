//! A new epoch in the same data directory: what is queued, recorded and remembered goes over to it under new sequences
//! (docs/journal.md, "A new epoch").

use std::io;
use std::ops::ControlFlow;

use disk::{Disk, read_exact_at};
use model::{Epoch, Lane, Signal, Stamp};
use segment::{FieldReader, Row};
use wire::{Inflater, RawBlock, Section};

use crate::error::{AppendError, JournalError};
use crate::journal::{Journal, Options};
use crate::lane::FrameMeta;
use crate::reader::{Filter, FoundBlock, Reader};
use crate::recording::{Decisions, Taken};
use crate::tape::TapeError;
use crate::{cursor, identity, note};

/// Where the new directory is made, beside the old one.
const DIR: &str = "renewed";
/// Says that it is whole, and names its files.
const READY: &str = "renewed/ready";
const TEMPORARY: &str = "renewed/ready.tmp";
/// The most bytes that the list of files may have.
const READY_CAP: u64 = 1 << 20;

/// What went over to a new epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The epoch that ended.
    pub from: Epoch,
    /// The one that begins.
    pub to: Epoch,
    /// Frames that some destination still has to get.
    pub frames: u64,
    /// For each destination the records that could not be read any more: lost, for the ledger (P1).
    pub lost: Vec<u64>,
}

/// Begins a new epoch: the directory was put back from a copy, or copied, so that its sequences name other frames somewhere.
/// Whatever a destination has not confirmed, what is recorded and undecided, the decisions and the caller's note go over.
/// A crash leaves the old epoch or the new one, with all of it. Needs room for what goes over once more.
///
/// # Errors
/// As [`Journal::open`], and [`JournalError::Disk`] when there is no room; the directory is as it was then.
pub fn renew<D: Disk>(disk: &D, options: &Options, stamp: Stamp) -> Result<Renewed, JournalError> {
    renew_as(disk, options, stamp, identity::fresh()?)
}

/// As [`renew`], with an epoch that is chosen, so that a seed always gives the same run.
///
/// # Errors
/// As [`renew`].
pub fn renew_as<D: Disk>(disk: &D, options: &Options, stamp: Stamp, epoch: Epoch) -> Result<Renewed, JournalError> {
    let (old, _) = Journal::open(Within { disk, prefix: "" }, options.clone(), stamp)?;
    clear(disk)?;
    disk.create_dir(DIR).map_err(JournalError::io("create", DIR))?;
    disk.sync_dir("").map_err(JournalError::io("sync directory of", DIR))?;
    let within = || Within { disk, prefix: "renewed/" };
    identity::set_epoch(&within(), epoch)?;
    let (new, _) = Journal::open(within(), options.clone(), stamp)?;
    let renewed = Move { old, new, stamp }.run()?;
    let paths = files(&within())?;
    let mut ready = paths.join("\n").into_bytes();
    let crc = crc32c::crc32c(&ready);
    ready.splice(0..0, crc.to_le_bytes());
    disk::replace(disk, DIR, TEMPORARY, READY, &ready)?;
    finish(disk)?;
    Ok(renewed)
}

/// Puts a new directory that is whole in the old one's place; a crash may have come before it was done. One that is not whole
/// is removed by the next [`renew`].
pub(crate) fn finish<D: Disk>(disk: &D) -> Result<(), JournalError> {
    let file = match disk.open(READY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(JournalError::io("open", READY)(error)),
    };
    let len = disk.len(&file).map_err(JournalError::io("measure", READY))?;
    let mut bytes = vec![0; len.min(READY_CAP) as usize];
    let whole = matches!(read_exact_at(disk, &file, 0, &mut bytes), Ok(true)) && bytes.len() >= 4;
    let list = bytes.get(4..).unwrap_or_default();
    if !whole || crc32c::crc32c(list) != FieldReader::at(&bytes, 0).u32() {
        let damaged = io::Error::new(io::ErrorKind::InvalidData, "the list of a new epoch's files is damaged");
        return Err(JournalError::io("read", READY)(damaged));
    }
    let list = String::from_utf8_lossy(list);
    let paths: Vec<&str> = list.split('\n').collect();
    for dir in dirs() {
        disk.create_dir(&dir).map_err(JournalError::io("create", &dir))?;
    }
    for path in &paths {
        let from = format!("{DIR}/{path}");
        match disk.rename(&from, path) {
            // It was renamed before the crash.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("rename", from)(error)),
            Ok(()) => {}
        }
    }
    // The names are durable before the list goes that could bring them about again.
    sync_dirs(disk)?;
    let old = files(disk)?;
    for path in old.iter().filter(|path| !paths.contains(&path.as_str())) {
        disk.remove(path).map_err(JournalError::io("remove", path))?;
    }
    sync_dirs(disk)?;
    disk.remove(READY).map_err(JournalError::io("remove", READY))?;
    disk.sync_dir(DIR).map_err(JournalError::io("sync directory of", READY))
}

fn sync_dirs<D: Disk>(disk: &D) -> Result<(), JournalError> {
    for dir in dirs().chain([String::new()]) {
        disk.sync_dir(&dir).map_err(JournalError::io("sync directory of", &dir))?;
    }
    Ok(())
}

/// Directories with files of a journal, those above first.
fn dirs() -> impl Iterator<Item = String> {
    ["lanes".to_owned(), cursor::DIR.to_owned()].into_iter().chain(Row::all().map(Row::dir))
}

/// The files of a journal.
fn files<D: Disk>(disk: &D) -> Result<Vec<String>, JournalError> {
    let mut files: Vec<String> = Vec::new();
    for path in [identity::PATH, note::PATHS[0], note::PATHS[1], "spare"] {
        match disk.open(path) {
            Ok(_) => files.push(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("open", path)(error)),
        }
    }
    for dir in Row::all().map(Row::dir).chain([cursor::DIR.to_owned()]) {
        match disk.list(&dir) {
            Ok(names) => {
                let ours = names.iter().filter(|name| name.ends_with(".seg") || name.ends_with(".cur"));
                files.extend(ours.map(|name| format!("{dir}/{name}")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("list", dir)(error)),
        }
    }
    Ok(files)
}

/// Removes what an attempt left that did not come to its end.
fn clear<D: Disk>(disk: &D) -> Result<(), JournalError> {
    for path in files(&Within { disk, prefix: "renewed/" })? {
        let path = format!("{DIR}/{path}");
        disk.remove(&path).map_err(JournalError::io("remove", path))?;
    }
    Ok(())
}

struct Move<'a, D: Disk> {
    old: Journal<Within<'a, D>>,
    new: Journal<Within<'a, D>>,
    stamp: Stamp,
}

impl<D: Disk> Move<'_, D> {
    fn run(mut self) -> Result<Renewed, JournalError> {
        let mut frames = 0;
        for lane in Lane::ALL {
            frames += self.lane(lane)?;
        }
        let taken = self.recorded()?;
        let note = self.old.notes.caller().map(<[u8]>::to_vec);
        match (note, taken) {
            (Some(note), Some(taken)) => {
                self.new.commit_taken(self.stamp, &note, &Decisions::default(), taken)?;
            }
            (note, _) => {
                self.new.commit(self.stamp, note.as_deref())?;
            }
        }
        let mut lost = Vec::new();
        for destination in 0..self.old.destinations.len() {
            for lane in Lane::ALL {
                self.confirm(destination, lane)?;
            }
            let (before, after) = (self.old.depth(destination)?.records, self.new.depth(destination)?.records);
            lost.push(before.saturating_sub(after));
        }
        self.new.sync_cursors()?;
        Ok(Renewed { from: self.old.epoch(), to: self.new.epoch(), frames, lost })
    }

    /// How far a destination has a lane of the old epoch.
    fn confirmed(&self, destination: usize, lane: Lane) -> u64 {
        self.old.destinations[destination].windows[usize::from(lane.number())].confirmed
    }

    /// Blocks of the new epoch are those of the old one, less what every destination has and what told of gaps in the old
    /// one's sequences: cursors stay at the border of a block.
    fn lane(&mut self, lane: Lane) -> Result<u64, JournalError> {
        let all = (0..self.old.destinations.len()).map(|destination| self.confirmed(destination, lane)).min();
        let from = all.unwrap_or(0);
        let end = self.old.lanes[usize::from(lane.number())].committed.next;
        let reader = Reader::open(Within { disk: self.old.core.disk.disk, prefix: "" })?;
        let (new, stamp) = (&mut self.new, self.stamp);
        let (mut frames, mut failed) = (0, None);
        let mut inflater = Inflater::new();
        reader.blocks(&Filter { lanes: vec![lane], ..Filter::default() }, |block| {
            if block.last <= from || block.first >= end {
                return ControlFlow::Continue(());
            }
            match append(new, &block, stamp, &mut inflater) {
                Ok(count) => frames += count,
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        match failed {
            Some(error) => Err(error),
            None => Ok(frames),
        }
    }

    /// Puts a destination behind those blocks of a lane that it has and another one has not.
    fn confirm(&mut self, destination: usize, lane: Lane) -> Result<(), JournalError> {
        let behind = self.moved_before(lane, self.confirmed(destination, lane))?;
        if behind > 0 {
            self.new.confirm(destination, lane, 1, behind)?;
        }
        Ok(())
    }

    /// How many frames of a lane went over whose old sequence is at most this one.
    fn moved_before(&self, lane: Lane, confirmed: u64) -> Result<u64, JournalError> {
        let all = (0..self.old.destinations.len()).map(|destination| self.confirmed(destination, lane)).min();
        let from = all.unwrap_or(0);
        let reader = Reader::open(Within { disk: self.old.core.disk.disk, prefix: "" })?;
        let mut inflater = Inflater::new();
        let mut count = 0;
        reader.blocks(&Filter { lanes: vec![lane], ..Filter::default() }, |block| {
            if block.last > from && block.last <= confirmed {
                count += contents(&block, &mut inflater).len() as u64;
            }
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    /// Requests that are still needed, and the decisions. Tells how far the requests are in the note's books.
    fn recorded(&mut self) -> Result<Option<Taken>, JournalError> {
        if !self.old.records() {
            return Ok(None);
        }
        let full = |error: TapeError| match error {
            TapeError::Journal(error) => error,
            TapeError::Full(_) => JournalError::io("write", "recorder")(io::ErrorKind::StorageFull.into()),
        };
        let Self { old, new, stamp } = self;
        let taken = old.taken();
        let (mut sequences, mut failed) = (Vec::new(), None);
        old.each_recorded(taken.needed, |sequence, request| match new.record(&[request], 0, false) {
            Ok(_) => sequences.push(sequence),
            Err(error) => failed = failed.take().or(Some(error)),
        })?;
        if let Some(error) = failed {
            return Err(full(error));
        }
        new.sync_recorder()?;
        let placed = |before: u64| sequences.partition_point(|sequence| *sequence < before) as u64 + 1;
        let mut failed = None;
        old.each_decisions(|read| {
            let decisions = Decisions { remembered: &read.remembered, alone: &read.alone };
            let stamp = Stamp { wall_ns: read.wall_ns, ..*stamp };
            let written = new.write_decisions(&decisions, placed(read.before), stamp);
            failed = failed.take().or(written.err());
        })?;
        match failed {
            Some(error) => Err(full(error)),
            None => Ok(Some(Taken { next: placed(taken.next), needed: placed(taken.needed) })),
        }
    }
}

/// The frames of a block that hold records: body and stamp of each, with what the journal wants to know of it.
fn contents(block: &FoundBlock<'_>, inflater: &mut Inflater) -> Vec<(Vec<u8>, FrameMeta, Stamp)> {
    let Ok((raw, _)) = RawBlock::parse(block.bytes) else { return Vec::new() };
    let Ok(frames) = raw.frames(inflater) else { return Vec::new() };
    let mut found = Vec::new();
    for (_, bytes) in frames {
        let Ok(frame) = wire::decode_frame(bytes) else { continue };
        if frame.sections.iter().any(|section| matches!(section, Section::Gap(_))) {
            continue;
        }
        let records = frame.sections.iter().map(|section| match section {
            Section::Traces(otlp) => model::otlp::count_records(Signal::Traces, otlp).unwrap_or(0),
            Section::Logs(otlp) => model::otlp::count_records(Signal::Logs, otlp).unwrap_or(0),
            Section::Metrics(otlp) => model::otlp::count_records(Signal::Metrics, otlp).unwrap_or(0),
            Section::Exemplars(_) | Section::Gap(_) => 0,
        });
        // A single frame has what its entry says.
        let records = if raw.header().frames == 1 { block.records } else { records.sum::<u64>() as u32 };
        let meta = FrameMeta { records, start_ns: block.start_ns, end_ns: block.end_ns };
        let mut before = Vec::new();
        wire::seal_frame::<String>(&frame.header, &[], &mut before);
        found.push((bytes.get(before.len()..).unwrap_or_default().to_vec(), meta, frame.header.stamp));
    }
    found
}

/// Appends the frames of a block as a block of the new epoch.
fn append<D: Disk>(
    new: &mut Journal<D>,
    block: &FoundBlock<'_>,
    stamp: Stamp,
    inflater: &mut Inflater,
) -> Result<u64, JournalError> {
    let mut count = 0;
    for (body, meta, made) in contents(block, inflater) {
        new.append(block.lane, &body, meta, made).map_err(|error| match error {
            AppendError::Journal(error) => error,
            full => JournalError::io("find room in", DIR)(io::Error::new(io::ErrorKind::StorageFull, full.to_string())),
        })?;
        count += 1;
    }
    new.lanes[usize::from(block.lane.number())].close_block(&mut new.core)?;
    if new.lanes.iter().any(|lane| lane.unsynced_bytes() > 128 << 10) {
        new.commit(stamp, None)?;
    }
    Ok(count)
}

/// A directory of a disk as a disk of its own.
struct Within<'a, D> {
    disk: &'a D,
    prefix: &'static str,
}

impl<D: Disk> Within<'_, D> {
    fn path(&self, path: &str) -> String {
        match path {
            "" => self.prefix.trim_end_matches('/').to_owned(),
            path => format!("{}{path}", self.prefix),
        }
    }
}

impl<D: Disk> Disk for Within<'_, D> {
    type File = D::File;

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(&self.path(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(&self.path(dir))
    }

    fn create(&self, path: &str, len: u64) -> io::Result<D::File> {
        self.disk.create(&self.path(path), len)
    }

    fn open(&self, path: &str) -> io::Result<D::File> {
        self.disk.open(&self.path(path))
    }

    fn open_settled(&self, path: &str) -> io::Result<D::File> {
        self.disk.open_settled(&self.path(path))
    }

    fn len(&self, file: &D::File) -> io::Result<u64> {
        self.disk.len(file)
    }

    fn set_len(&self, file: &D::File, len: u64) -> io::Result<()> {
        self.disk.set_len(file, len)
    }

    fn read_at(&self, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, offset, buffer)
    }

    fn write_at(&self, file: &D::File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(file, offset, bytes)
    }

    fn sync_data(&self, file: &D::File) -> io::Result<()> {
        self.disk.sync_data(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(&self.path(from), &self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(&self.path(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(&self.path(dir))
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn is_there(&self, path: &str, file: &D::File) -> io::Result<bool> {
        self.disk.is_there(&self.path(path), file)
    }

    fn lock(&self, path: &str) -> io::Result<D::File> {
        if self.prefix.is_empty() {
            return self.disk.lock(path);
        }
        // Whoever makes it has the lock of the directory that it is in.
        match self.create(path, 0) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.open(path),
            other => other,
        }
    }
}
