//! The bytes of a file, as it is or compressed.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use tail::{Place, Print};

/// The bytes of a file.
pub(super) enum Content {
    /// As they are.
    Plain(File),
    /// Compressed by gzip: read from the front only.
    Gz {
        /// Where it is.
        path: PathBuf,
        decoder: Box<MultiGzDecoder<BufReader<File>>>,
        /// How many of its bytes were read.
        at: u64,
    },
}

impl Content {
    /// Opens a file; by its name it is compressed or not.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        Ok(match is_gz(path) {
            true => Self::Gz { path: path.into(), decoder: decoder(file), at: 0 },
            false => Self::Plain(file),
        })
    }

    /// Fills the buffer from this place as far as there are bytes; tells how many there were.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => fill(buffer, |part, done| file.read_at(part, offset + done as u64)),
            Self::Gz { path, decoder: inflating, at } => {
                if *at > offset {
                    (*inflating, *at) = (decoder(File::open(path)?), 0);
                }
                let skipped = io::copy(&mut inflating.by_ref().take(offset - *at), &mut io::sink())?;
                *at += skipped;
                if *at < offset {
                    return Ok(0);
                }
                let read = fill(buffer, |part, _| inflating.read(part))?;
                *at += read as u64;
                Ok(read)
            }
        }
    }

    /// Whether this is what a place is in: the same first bytes, and the same bytes before the position.
    pub(super) fn holds(&mut self, place: &Place) -> io::Result<bool> {
        Ok(self.print(0, place.head.length)? == place.head
            && self.print(place.position - place.tail.length, place.tail.length)? == place.tail)
    }

    /// The print of so many bytes from this place, or of as many as there are.
    pub(super) fn print(&mut self, offset: u64, length: u64) -> io::Result<Print> {
        let mut bytes = [0; tail::HEAD];
        let length = bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let read = self.read_at(offset, &mut bytes[..length])?;
        Ok(Print::of(&bytes[..read]))
    }
}

/// Whether a name says that a file is compressed by gzip.
pub(super) fn is_gz(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

fn decoder(file: File) -> Box<MultiGzDecoder<BufReader<File>>> {
    Box::new(MultiGzDecoder::new(BufReader::new(file)))
}

fn fill(buffer: &mut [u8], mut read: impl FnMut(&mut [u8], usize) -> io::Result<usize>) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], done) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
