//! How a running agent hands out what its recorder holds: entries one after the other, on its Unix socket.
//!
//! An entry is its number (8 bytes), its content (1: 0 traces, 1 logs, 2 metrics, 3 exemplars), its length (4) and its bytes;
//! integers are little-endian.

use std::io::{self, Read};

use model::Signal;
use recorder::{Content, EntryId};

/// What an entry may have at most; a longer one is no entry.
const MAX_ENTRY: u32 = 64 << 20;

/// One entry as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number: ascending in the order of arrival.
    pub id: EntryId,
    /// What it holds.
    pub content: Content,
    /// An OTLP export request, or `ExemplarsData`.
    pub bytes: Vec<u8>,
}

/// Why entries cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection failed.
    #[error("the agent's answer ended: {0}")]
    Io(#[from] io::Error),
    /// Not what this program understands.
    #[error("the agent's answer is not understood: {0}; are program and agent of one version?")]
    Bad(&'static str),
}

/// Appends an entry.
pub fn write_entry(out: &mut Vec<u8>, id: EntryId, content: Content, bytes: &[u8]) {
    out.extend_from_slice(&id.to_le_bytes());
    out.push(match content {
        Content::Request(Signal::Traces) => 0,
        Content::Request(Signal::Logs) => 1,
        Content::Request(Signal::Metrics) => 2,
        Content::Exemplars => 3,
    });
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Reads an entry; `None` at the end.
///
/// # Errors
/// [`StreamError`].
pub fn read_entry(stream: &mut impl Read) -> Result<Option<Entry>, StreamError> {
    let mut head = [0; 13];
    let mut have = 0;
    while have < head.len() {
        match stream.read(&mut head[have..])? {
            0 if have == 0 => return Ok(None),
            0 => return Err(StreamError::Bad("it is cut off")),
            count => have += count,
        }
    }
    let mut id = [0; 8];
    id.copy_from_slice(&head[..8]);
    let mut len = [0; 4];
    len.copy_from_slice(&head[9..]);
    let content = match head[8] {
        0 => Content::Request(Signal::Traces),
        1 => Content::Request(Signal::Logs),
        2 => Content::Request(Signal::Metrics),
        3 => Content::Exemplars,
        _ => return Err(StreamError::Bad("an entry of a kind that is not known")),
    };
    let len = u32::from_le_bytes(len);
    if len > MAX_ENTRY {
        return Err(StreamError::Bad("an entry is too long"));
    }
    let mut bytes = Vec::new();
    stream.take(u64::from(len)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != u64::from(len) {
        return Err(StreamError::Bad("it is cut off"));
    }
    Ok(Some(Entry { id: EntryId::from_le_bytes(id), content, bytes }))
}
