//! Requests as an entry of the ring: compressed in pieces, together where they are small.

use segment::{FieldReader, PAYLOAD_CAP, lz4};

use crate::content::Content;

/// Bytes in front of each request in an entry: content, length of the key, 2 zero bytes, length.
const REQUEST_HEAD: usize = 8;
/// The largest request that can be recorded in files, bytes.
pub const REQUEST_CAP: usize = PAYLOAD_CAP - (64 << 10);
/// Bytes of requests that go into one entry, unless a single one is larger.
const GROUP_BYTES: usize = 128 << 10;

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

/// How many of these requests, at least one, go into one entry.
pub(crate) fn group_len(requests: &[Recording<'_>]) -> usize {
    let mut bytes = 0;
    let fits = requests.iter().take_while(|request| {
        bytes += request.bytes.len() + request.key.len() + REQUEST_HEAD;
        bytes <= GROUP_BYTES
    });
    fits.count().max(1)
}

/// Requests, compressed in pieces: raw length (4), then for each piece raw length and data length (2 + 2) and data.
pub(crate) fn encode(requests: &[Recording<'_>], out: &mut Vec<u8>) {
    let mut raw = Vec::with_capacity(requests.iter().map(|one| REQUEST_HEAD + one.key.len() + one.bytes.len()).sum());
    for request in requests {
        let key = &request.key[..request.key.len().min(255)];
        raw.extend_from_slice(&[request.content.number(), key.len() as u8, 0, 0]);
        raw.extend_from_slice(&(request.bytes.len() as u32).to_le_bytes());
        raw.extend_from_slice(key);
        raw.extend_from_slice(request.bytes);
    }
    out.clear();
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    for piece in raw.chunks(lz4::PIECE) {
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
    let Some(content) = Content::of(head[0]) else { return First::Bad };
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
        raw.reserve_exact(needed.min(raw.len() + left).min(PAYLOAD_CAP).saturating_sub(raw.len()) + lz4::PIECE);
        if usize::from(raw_len) > left || !lz4::inflate(data, usize::from(raw_len), &mut raw) {
            return false;
        }
        left -= usize::from(raw_len);
        rest = after;
    }
    left == 0 && raw.is_empty() && rest.is_empty()
}
