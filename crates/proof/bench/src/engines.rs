//! The engines, each doing the same work.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use disk::RealDisk;
use journal::{FrameMeta, Journal, StoredBlock};
use model::{Epoch, Lane, Stamp};
use serde::{Deserialize, Serialize};
use wire::BlockEncoder;

use crate::work::{Frames, Load, Phase, Results};

/// Bytes that a reader takes at once.
const READ_BYTES: usize = 64 << 10;
/// Blocks that a reader of the other engines takes at once.
const READ_BLOCKS: usize = 8;

/// An engine's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Name {
    /// `crates/device/journal`
    Journal,
    /// LSM tree
    Fjall,
    /// Copy-on-write B-tree
    Redb,
    /// `journal_mode = WAL`, `synchronous = FULL`
    Sqlite,
}

/// A durable queue of blocks: commits are synced, confirmations need not be.
trait Queue {
    /// Appends the frames of one commit and makes them durable.
    fn commit(&mut self, bodies: &[Vec<u8>]) -> Result<()>;
    /// Takes what comes next, and confirms it; (frames, bytes), 0 when nothing is left.
    fn take(&mut self) -> Result<(u64, u64)>;
}

/// Does the work and measures it.
pub(crate) fn run(name: Name, phase: Phase, directory: &Path, load: &Load) -> Result<Results> {
    let mut queue: Box<dyn Queue> = match name {
        Name::Journal => Box::new(JournalQueue::open(directory)?),
        Name::Fjall => Box::new(FjallQueue::open(directory)?),
        Name::Redb => Box::new(RedbQueue::open(directory)?),
        Name::Sqlite => Box::new(SqliteQueue::open(directory)?),
    };
    let mut frames = Frames::new(load);
    let (mut taken, mut bytes) = (0, 0);
    let before = written()?;
    #[allow(clippy::disallowed_methods, reason = "the one place of this program that looks at a clock")]
    let begin = Instant::now();
    for _ in 0..load.commits {
        let bodies = (0..load.frames).map(|_| frames.body()).collect::<Result<Vec<_>>>()?;
        queue.commit(&bodies)?;
        if phase == Phase::Steady {
            drain(queue.as_mut(), &mut taken, &mut bytes)?;
        }
    }
    drain(queue.as_mut(), &mut taken, &mut bytes)?;
    let seconds = begin.elapsed().as_secs_f64();
    let expected = u64::from(load.commits) * u64::from(load.frames);
    ensure!(taken == expected, "{taken} of {expected} frames came out");
    let (high_water_rss, anonymous_rss) = (status("VmHWM")?, status("RssAnon")?);
    // What is still in the page cache belongs to the work.
    sync_tree(directory)?;
    let written_bytes = written()? - before;
    Ok(Results {
        frames: taken,
        delivered_bytes: bytes,
        written_bytes,
        written_per_delivered: written_bytes as f64 / bytes as f64,
        high_water_rss,
        anonymous_rss,
        disk_bytes_after: disk_bytes(directory)?,
        seconds,
    })
}

fn drain(queue: &mut dyn Queue, taken: &mut u64, bytes: &mut u64) -> Result<()> {
    loop {
        let (frames, size) = queue.take()?;
        if frames == 0 {
            return Ok(());
        }
        *taken += frames;
        *bytes += size;
    }
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let value = value.with_context(|| format!("{file} has no {name}"))?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Bytes of this process's memory of this kind.
fn status(name: &str) -> Result<u64> {
    Ok(field("/proc/self/status", name)? * 1024)
}

/// Bytes that this process caused to be sent to the storage layer.
fn written() -> Result<u64> {
    field("/proc/self/io", "write_bytes")
}

fn each_file(directory: &Path, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            each_file(&path, each)?;
        } else if path.is_file() {
            each(&path)?;
        }
    }
    Ok(())
}

fn sync_tree(directory: &Path) -> Result<()> {
    each_file(directory, &mut |path| Ok(fs::File::open(path)?.sync_all()?))
}

fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    each_file(directory, &mut |path| {
        bytes += fs::metadata(path)?.blocks() * 512;
        Ok(())
    })?;
    Ok(bytes)
}

struct JournalQueue {
    journal: Journal<RealDisk>,
    blocks: Vec<StoredBlock>,
}

impl JournalQueue {
    fn open(directory: &Path) -> Result<Self> {
        let options = journal::Options {
            device: "bench".into(),
            consumers: journal::Consumer::all(&["hub"]),
            total_bytes: 1 << 30,
            lane_bytes: [u64::MAX; 6],
            lane_ages: [u64::MAX; 6],
            history_bytes: 0,
            free_space_floor: 0,
            cut_uncommitted: false,
        };
        let (journal, _) = Journal::open(RealDisk::new(directory)?, options, Stamp::default())?;
        Ok(Self { journal, blocks: Vec::new() })
    }
}

impl Queue for JournalQueue {
    fn commit(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        for body in bodies {
            self.journal.append(
                Lane::Logs,
                body,
                FrameMeta { records: 1, start_ns: 0, end_ns: 0, signals: None },
                Stamp::default(),
            )?;
        }
        self.journal.commit(Stamp::default(), &[])?;
        Ok(())
    }

    fn take(&mut self) -> Result<(u64, u64)> {
        self.blocks.clear();
        self.journal.next_blocks(0, READ_BYTES, &mut self.blocks)?;
        let (mut frames, mut bytes) = (0, 0);
        for block in &self.blocks {
            frames += block.last - block.first + 1;
            bytes += block.bytes.len() as u64;
            self.journal.confirm(0, block.lane, block.first, block.last)?;
        }
        Ok((frames, bytes))
    }
}

/// Makes the blocks for the engines that do not: the same compression as the journal's.
struct Blocks {
    encoder: BlockEncoder,
    next: u64,
}

impl Blocks {
    fn new() -> Result<Self> {
        Ok(Self { encoder: BlockEncoder::new()?, next: 1 })
    }

    /// The first sequence, and the block behind the number of its frames.
    fn make(&mut self, bodies: &[Vec<u8>]) -> Result<(u64, Vec<u8>)> {
        let first = self.next;
        let mut value = u32::try_from(bodies.len())?.to_le_bytes().to_vec();
        let frames: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        self.encoder.encode(Epoch(1), Lane::Logs, first, &frames, &mut value)?;
        self.next += bodies.len() as u64;
        Ok((first, value))
    }
}

/// (frames, bytes) of a value that [`Blocks::make`] made.
fn measure(value: &[u8]) -> Result<(u64, u64)> {
    let count = value.first_chunk::<4>().context("a value came back cut off")?;
    Ok((u64::from(u32::from_le_bytes(*count)), value.len() as u64 - 4))
}

struct FjallQueue {
    database: fjall::Database,
    keyspace: fjall::Keyspace,
    blocks: Blocks,
}

impl FjallQueue {
    fn open(directory: &Path) -> Result<Self> {
        let database = fjall::Database::builder(directory).cache_size(256 << 10).worker_threads(1).open()?;
        let keyspace =
            database.keyspace("queue", || fjall::KeyspaceCreateOptions::default().max_memtable_size(1 << 20))?;
        Ok(Self { database, keyspace, blocks: Blocks::new()? })
    }
}

impl Queue for FjallQueue {
    fn commit(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let (first, value) = self.blocks.make(bodies)?;
        self.keyspace.insert(first.to_be_bytes(), value)?;
        self.database.persist(fjall::PersistMode::SyncAll)?;
        Ok(())
    }

    fn take(&mut self) -> Result<(u64, u64)> {
        let (mut frames, mut bytes) = (0, 0);
        let mut keys = Vec::new();
        for item in self.keyspace.iter().take(READ_BLOCKS) {
            let (key, value) = item.into_inner()?;
            let (count, size) = measure(&value)?;
            frames += count;
            bytes += size;
            keys.push(key);
        }
        for key in keys {
            self.keyspace.remove(key)?;
        }
        Ok((frames, bytes))
    }
}

const REDB_TABLE: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("queue");

struct RedbQueue {
    database: redb::Database,
    blocks: Blocks,
}

impl RedbQueue {
    fn open(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let database = redb::Builder::new().set_cache_size(256 << 10).create(directory.join("queue.redb"))?;
        Ok(Self { database, blocks: Blocks::new()? })
    }
}

impl Queue for RedbQueue {
    fn commit(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let (first, value) = self.blocks.make(bodies)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(REDB_TABLE)?.insert(first, value.as_slice())?;
        transaction.commit()?;
        Ok(())
    }

    fn take(&mut self) -> Result<(u64, u64)> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(redb::Durability::None)?;
        let (mut frames, mut bytes) = (0, 0);
        {
            let mut table = transaction.open_table(REDB_TABLE)?;
            for _ in 0..READ_BLOCKS {
                let Some((_, value)) = table.pop_first()? else { break };
                let (count, size) = measure(value.value())?;
                frames += count;
                bytes += size;
            }
        }
        transaction.commit()?;
        Ok((frames, bytes))
    }
}

struct SqliteQueue {
    connection: rusqlite::Connection,
    blocks: Blocks,
}

impl SqliteQueue {
    fn open(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let connection = rusqlite::Connection::open(directory.join("queue.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "cache_size", -256)?;
        connection.execute("CREATE TABLE queue (first INTEGER PRIMARY KEY, block BLOB NOT NULL)", [])?;
        Ok(Self { connection, blocks: Blocks::new()? })
    }
}

impl Queue for SqliteQueue {
    fn commit(&mut self, bodies: &[Vec<u8>]) -> Result<()> {
        let (first, value) = self.blocks.make(bodies)?;
        self.connection.pragma_update(None, "synchronous", "FULL")?;
        let first = first.cast_signed();
        self.connection.execute("INSERT INTO queue VALUES (?1, ?2)", rusqlite::params![first, value])?;
        Ok(())
    }

    fn take(&mut self) -> Result<(u64, u64)> {
        self.connection.pragma_update(None, "synchronous", "OFF")?;
        let (mut frames, mut bytes, mut last) = (0, 0, None);
        {
            let mut statement =
                self.connection.prepare_cached("SELECT first, block FROM queue ORDER BY first LIMIT ?1")?;
            let mut rows = statement.query([READ_BLOCKS as i64])?;
            while let Some(row) = rows.next()? {
                let value: Vec<u8> = row.get(1)?;
                let (count, size) = measure(&value)?;
                frames += count;
                bytes += size;
                last = Some(row.get::<_, i64>(0)?);
            }
        }
        if let Some(last) = last {
            self.connection.execute("DELETE FROM queue WHERE first <= ?1", [last])?;
        }
        Ok((frames, bytes))
    }
}
