//! What destinations refused for good, kept in files that can be read and sent again: `dead-letters/` in the data directory, one
//! request in each, in the form that `lightship journal import` and the Collector read (docs/delivery.md).

use std::collections::VecDeque;
use std::io;

use disk::Disk;
use model::{Refusal, Signal};

const DIR: &str = "dead-letters";
/// All of them together; the oldest go first.
pub(crate) const MOST_BYTES: u64 = 16 << 20;
/// And no more than this part of what the journal may take.
pub(crate) const PART_OF_BUDGET: u64 = 4;
/// The most files.
const MOST_FILES: usize = 1024;

/// A request that a destination refused.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The destination's name.
    pub destination: String,
    /// What it holds.
    pub signal: Signal,
    /// Why it was refused.
    pub reason: Refusal,
    /// Its bytes.
    pub request: Vec<u8>,
    /// When, seconds since the Unix epoch.
    pub wall_s: u64,
}

/// How the files stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterCounts {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that went because there was no room for all, since start.
    pub dropped: u64,
}

/// The files.
#[derive(Debug, Default)]
pub(crate) struct DeadLetters {
    most: u64,
    files: VecDeque<(String, u64)>,
    counts: DeadLetterCounts,
    number: u64,
}

impl DeadLetters {
    /// Finds what earlier lives left. `budget` is what the journal may take.
    pub(crate) fn open<D: Disk>(disk: &D, budget: u64) -> Self {
        let mut this = Self { most: MOST_BYTES.min(budget / PART_OF_BUDGET), ..Self::default() };
        let mut names = disk.list(DIR).unwrap_or_default();
        names.retain(|name| name.ends_with(".otlp"));
        names.sort_by_key(|name| (time_of(name), name.clone()));
        for name in names {
            let path = format!("{DIR}/{name}");
            let Ok(bytes) = disk.open(&path).and_then(|file| disk.len(&file)) else { continue };
            this.number = this.number.max(time_of(&name).1);
            this.add(path, bytes);
        }
        this
    }

    fn add(&mut self, path: String, bytes: u64) {
        self.counts.files += 1;
        self.counts.bytes += bytes;
        self.files.push_back((path, bytes));
    }

    /// Keeps a request, durably. The oldest make room.
    ///
    /// # Errors
    /// What the disk says: then nothing is kept of it.
    pub(crate) fn keep<D: Disk>(&mut self, disk: &D, letter: &DeadLetter) -> io::Result<()> {
        let len = u32::try_from(letter.request.len()).map_err(|_| io::Error::other("a request of more than 4 GiB"))?;
        let bytes = u64::from(len) + 4;
        while !self.files.is_empty() && (self.counts.bytes + bytes > self.most || self.files.len() >= MOST_FILES) {
            self.drop_oldest(disk);
        }
        let number = self.number + 1;
        let path = format!(
            "{DIR}/{}-{}-{number:06}-{}-{}.otlp",
            letter.signal.name(),
            letter.wall_s,
            letter.destination,
            letter.reason
        );
        disk.create_dir(DIR)?;
        let file = loop {
            match disk.create(&path, bytes) {
                // What was refused earlier makes room for what is now.
                Err(error) if error.kind() == io::ErrorKind::StorageFull && !self.files.is_empty() => {
                    self.drop_oldest(disk);
                }
                made => break made?,
            }
        };
        let written = disk
            .write_at(&file, 0, &[&len.to_be_bytes(), letter.request.as_slice()].concat())
            .and_then(|()| disk.sync_data(&file))
            .and_then(|()| disk.sync_dir(DIR))
            .and_then(|()| disk.sync_dir(""));
        if let Err(error) = written {
            let _gone = disk.remove(&path);
            return Err(error);
        }
        self.number = number;
        self.add(path, bytes);
        Ok(())
    }

    /// The request of one that is kept under this file name.
    ///
    /// # Errors
    /// When there is none of that name, or it cannot be read.
    pub(crate) fn read<D: Disk>(&self, disk: &D, name: &str) -> io::Result<Vec<u8>> {
        let (path, _) = self.find(name).ok_or_else(|| unknown(name))?;
        let file = disk.open(path)?;
        let mut bytes = vec![0; usize::try_from(disk.len(&file)?).unwrap_or(0)];
        let is_whole = disk::read_exact_at(disk, &file, 0, &mut bytes)?;
        let Some((len, request)) = bytes.split_first_chunk::<4>().filter(|_| is_whole) else {
            return Err(io::Error::other(format!("{name} is cut")));
        };
        match request.len() == u32::from_be_bytes(*len) as usize {
            true => Ok(request.to_vec()),
            false => Err(io::Error::other(format!("{name} is cut, or holds more than one request"))),
        }
    }

    /// Removes one that is kept under this file name.
    ///
    /// # Errors
    /// When there is none of that name, or the disk refuses.
    pub(crate) fn remove<D: Disk>(&mut self, disk: &D, name: &str) -> io::Result<()> {
        let (path, bytes) = self.find(name).cloned().ok_or_else(|| unknown(name))?;
        disk.remove(&path)?;
        disk.sync_dir(DIR)?;
        self.files.retain(|(other, _)| *other != path);
        self.counts.files -= 1;
        self.counts.bytes -= bytes;
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&(String, u64)> {
        self.files.iter().find(|(path, _)| path.strip_prefix(DIR).and_then(|path| path.strip_prefix('/')) == Some(name))
    }

    fn drop_oldest<D: Disk>(&mut self, disk: &D) {
        let Some((path, bytes)) = self.files.pop_front() else { return };
        // Somebody may have taken it away.
        let _gone = disk.remove(&path);
        self.counts.files -= 1;
        self.counts.bytes -= bytes;
        self.counts.dropped += 1;
    }

    pub(crate) fn counts(&self) -> DeadLetterCounts {
        self.counts
    }
}

fn unknown(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no dead letter has the name {name}; see lightship queue dead ls"))
}

/// The destination and signal in a file's name.
pub(crate) fn addressee(name: &str) -> Option<(&str, Signal)> {
    let (signal, rest) = name.strip_suffix(".otlp")?.split_once('-')?;
    let (destination, _) = rest.splitn(3, '-').nth(2)?.rsplit_once('-')?;
    let signal = Signal::ALL.into_iter().find(|one| one.name() == signal)?;
    Some((destination, signal))
}

/// Second and number in a file's name.
fn time_of(name: &str) -> (u64, u64) {
    let mut parts = name.split('-').skip(1).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::model::ModelDisk;

    fn letter(wall_s: u64, bytes: usize) -> DeadLetter {
        let request = vec![wall_s as u8; bytes];
        DeadLetter {
            destination: "back-end_1".into(),
            signal: Signal::Logs,
            reason: Refusal::RejectedStatus,
            request,
            wall_s,
        }
    }

    /// Scenario: more is refused than there is room for, over two lives; then the disk is full. Guarantees: the newest requests stay,
    /// whole and in the form that is imported; what goes is counted; bounds hold (P9).
    #[test]
    fn d2_dead_letters_are_kept_within_their_bound() {
        let disk = ModelDisk::new();
        let mut letters = DeadLetters::open(&disk, 40_000);
        for number in 0..5 {
            letters.keep(&disk, &letter(100 + number, 3000)).unwrap();
        }
        assert_eq!(letters.counts(), DeadLetterCounts { files: 3, bytes: 3 * 3004, dropped: 2 });
        let mut letters = DeadLetters::open(&disk, 40_000);
        assert_eq!(letters.counts(), DeadLetterCounts { files: 3, bytes: 3 * 3004, dropped: 0 });
        letters.keep(&disk, &letter(99, 3000)).unwrap();
        let mut paths = disk.paths();
        paths.sort();
        assert_eq!(paths.len(), 3);
        assert!(
            paths.iter().any(|path| path == "dead-letters/logs-99-000006-back-end_1-rejected_status.otlp"),
            "{paths:?}"
        );
        let content = disk.content("dead-letters/logs-104-000005-back-end_1-rejected_status.otlp").unwrap();
        assert_eq!(content[..4], 3000u32.to_be_bytes());
        assert_eq!(content[4..], [104; 3000]);
        disk.set_capacity(Some(disk.used()));
        letters.keep(&disk, &letter(200, 3000)).unwrap();
        assert_eq!(letters.counts().files, 3);
        let name = "logs-200-000007-back-end_1-rejected_status.otlp";
        assert_eq!(addressee(name), Some(("back-end_1", Signal::Logs)));
        assert_eq!(letters.read(&disk, name).unwrap(), [200; 3000]);
        assert!(letters.read(&disk, "../lock").is_err() && letters.remove(&disk, "logs-1-1-x-y.otlp").is_err());
        letters.remove(&disk, name).unwrap();
        assert_eq!((letters.counts().files, letters.counts().dropped), (2, 2));
        assert!(letters.read(&disk, name).is_err());
        letters.keep(&disk, &letter(200, 3000)).unwrap();
        disk.set_capacity(Some(0));
        assert!(letters.keep(&disk, &letter(201, 3000)).is_err(), "nothing can be kept");
    }
}
