//! Which requests were imported, and which the journal has anyway: so that what comes twice is stored once.
//!
//! `imported` in the data directory: magic `LSIM`, version, 3 zero bytes, then 16 bytes of digest for each request.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use disk::RealDisk;
use journal::JournalError;
use journal::reader::{Filter, Reader};
use model::Signal;
use model::proto::ProtoError;
use wire::{Inflater, RawBlock, Section, SectionRef, decode_frame};

const NAME: &str = "imported";
const HEAD: [u8; 8] = *b"LSIM\0\0\0\0";
/// Requests that are remembered; beyond it the older half is forgotten. A megabyte.
const MOST: usize = 1 << 16;

/// What tells a request from all others.
pub(crate) type Digest = [u8; 16];

/// The digest of what a request says, whichever form its file has: of its deterministic encoding (docs/wire.md).
///
/// # Errors
/// When the request does not read.
pub(crate) fn digest(signal: Signal, request: &[u8]) -> Result<Digest, ProtoError> {
    let section = match signal {
        Signal::Traces => SectionRef::Traces(request),
        Signal::Logs => SectionRef::Logs(request),
        Signal::Metrics => SectionRef::Metrics(request),
    };
    let mut body = Vec::new();
    wire::encode_body(&[section], &mut body)?;
    Ok(wire::digest(&body))
}

/// Digests of everything that the lanes of a journal hold.
///
/// # Errors
/// When the journal cannot be read; what is damaged in it is passed over.
pub(crate) fn held(disk: RealDisk) -> Result<HashSet<Digest>, JournalError> {
    let (mut held, mut inflater) = (HashSet::new(), Inflater::new());
    let reader = match Reader::open(disk) {
        Ok(reader) => reader,
        // A directory that is new has nothing.
        Err(JournalError::Disk(error)) if error.source.kind() == io::ErrorKind::NotFound => return Ok(held),
        Err(error) => return Err(error),
    };
    reader.blocks(&Filter::default(), |block| {
        let frames = RawBlock::parse(block.bytes).and_then(|(block, _)| {
            let frames = block.frames(&mut inflater)?;
            Ok(frames.filter_map(|(_, bytes)| decode_frame(bytes).ok()).collect::<Vec<_>>())
        });
        for section in frames.into_iter().flatten().flat_map(|frame| frame.sections) {
            let digest = match &section {
                Section::Traces(bytes) => digest(Signal::Traces, bytes),
                Section::Logs(bytes) => digest(Signal::Logs, bytes),
                Section::Metrics(bytes) => digest(Signal::Metrics, bytes),
                Section::Exemplars(_) | Section::Gap(_) => continue,
            };
            held.extend(digest);
        }
        ControlFlow::Continue(())
    })?;
    Ok(held)
}

/// The requests that were imported into a data directory.
pub(crate) struct Imports {
    file: File,
    known: HashSet<Digest>,
}

impl Imports {
    /// Reads what is remembered. Whoever calls holds the directory's lock.
    ///
    /// # Errors
    /// When the file cannot be read or made, or a later program wrote it.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(NAME);
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(file) => {
                // The most that this program writes, and a torn end.
                let _read = file.take((HEAD.len() + 2 * MOST * 16) as u64).read_to_end(&mut bytes)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(named(&path, &error)),
        }
        if bytes.len() >= HEAD.len() && bytes[..HEAD.len()] != HEAD {
            let why = "it is not a list of imports that this program knows; a later one may have written it";
            return Err(named(&path, &io::Error::other(why)));
        }
        let digests = bytes.get(HEAD.len()..).unwrap_or_default().as_chunks::<16>().0;
        let kept = digests.get(digests.len().saturating_sub(MOST / 2)..).unwrap_or_default();
        let digests = if digests.len() >= MOST { kept } else { digests };
        // Written anew as a whole: a torn end goes, and too many are halved.
        let temporary = data_dir.join("imported.tmp");
        let written = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&HEAD)?;
            file.write_all(digests.as_flattened())?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            File::open(data_dir)?.sync_all()?;
            OpenOptions::new().append(true).open(&path)
        };
        let file = written().map_err(|error| named(&path, &error))?;
        Ok(Self { file, known: digests.iter().copied().collect() })
    }

    /// Whether this request was imported before.
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.known.contains(digest)
    }

    /// Remembers a request that is committed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn remember(&mut self, digest: Digest) -> io::Result<()> {
        self.file.write_all(&digest)?;
        self.file.sync_data()?;
        self.known.insert(digest);
        Ok(())
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: requests are remembered, the end of the file is torn, and it is opened again; then more are remembered than
    /// there is place for. Guarantees: whole entries are known, what is written after a torn end too; the newer half stays; a
    /// file of a later version is refused untouched (P9).
    #[test]
    fn requests_are_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let number = |number: u64| wire::digest(&number.to_le_bytes());
        Imports::open(directory.path()).unwrap().remember(number(1)).unwrap();
        let mut torn = std::fs::read(&path).unwrap();
        torn.extend_from_slice(&number(2)[..9]);
        std::fs::write(&path, torn).unwrap();
        let mut imports = Imports::open(directory.path()).unwrap();
        assert!(imports.contains(&number(1)) && !imports.contains(&number(2)));
        assert_ne!(digest(Signal::Traces, &[]).unwrap(), digest(Signal::Logs, &[]).unwrap());
        imports.remember(number(3)).unwrap();
        let mut many = std::fs::read(&path).unwrap();
        assert!(Imports::open(directory.path()).unwrap().contains(&number(3)));
        (0..MOST as u64).for_each(|one| many.extend_from_slice(&number(one + 10)));
        std::fs::write(&path, many).unwrap();
        let imports = Imports::open(directory.path()).unwrap();
        assert!(!imports.contains(&number(3)) && imports.contains(&number(MOST as u64 + 9)));
        assert_eq!(imports.known.len(), MOST / 2);
        std::fs::write(&path, b"LSIM\x01\0\0\0").unwrap();
        assert!(Imports::open(directory.path()).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"LSIM\x01\0\0\0");
    }
}
