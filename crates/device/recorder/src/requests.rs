//! Requests as an entry of the ring: compressed in pieces, together where they are small.

use segment::{FieldReader, PAYLOAD_CAP, lz4};

use crate::compressed::Compressed;
use crate::content::Content;

/// Bytes in front of each request in an entry: content, length of the key, length of the position (2), length.
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
    /// Where the source that read it stands behind it, at most 65,535 bytes; empty for what was sent.
    pub position: &'a [u8],
    /// Its bytes, masked.
    pub bytes: &'a [u8],
    /// The same, compressed, where somebody did that already.
    pub compressed: Option<&'a Compressed>,
}

impl<'a> Recording<'a> {
    /// The key, as far as it is recorded.
    fn key(&self) -> &'a [u8] {
        &self.key[..self.key.len().min(255)]
    }

    /// The position, where it has room: part of one is none.
    fn position(&self) -> &'a [u8] {
        if self.position.len() > usize::from(u16::MAX) { &[] } else { self.position }
    }
}

/// How many of these requests, at least one, go into one entry.
pub(crate) fn group_len(requests: &[Recording<'_>]) -> usize {
    let mut bytes = 0;
    let fits = requests.iter().take_while(|request| {
        bytes += request.bytes.len() + request.key.len() + request.position.len() + REQUEST_HEAD;
        bytes <= GROUP_BYTES
    });
    fits.count().max(1)
}

/// Requests, compressed in pieces: raw length (4), then for each piece raw length and data length (2 + 2) and data. What comes compressed
/// goes in as it is.
pub(crate) fn encode(requests: &[Recording<'_>], compressor: &mut lz4::Compressor, out: &mut Vec<u8>) {
    let head_len = |one: &Recording<'_>| REQUEST_HEAD + one.key().len() + one.position().len();
    let len: usize = requests.iter().map(|one| head_len(one) + one.bytes.len()).sum();
    out.clear();
    out.extend_from_slice(&(len as u32).to_le_bytes());
    let together = |one: &Recording<'_>| head_len(one) + if one.compressed.is_none() { one.bytes.len() } else { 0 };
    let mut raw = Vec::with_capacity(requests.iter().map(together).sum());
    for request in requests {
        raw.extend_from_slice(&[request.content.number(), request.key().len() as u8]);
        raw.extend_from_slice(&(request.position().len() as u16).to_le_bytes());
        raw.extend_from_slice(&(request.bytes.len() as u32).to_le_bytes());
        raw.extend_from_slice(request.key());
        raw.extend_from_slice(request.position());
        match request.compressed {
            None => raw.extend_from_slice(request.bytes),
            Some(compressed) => {
                put_compressed(&raw, compressor, out);
                raw.clear();
                compressed.pieces().iter().for_each(|piece| put_piece(piece.raw_len as usize, &piece.data, out));
            }
        }
    }
    put_compressed(&raw, compressor, out);
}

fn put_compressed(raw: &[u8], compressor: &mut lz4::Compressor, out: &mut Vec<u8>) {
    raw.chunks(lz4::PIECE).for_each(|piece| put_piece(piece.len(), compressor.compressed(piece), out));
}

fn put_piece(raw_len: usize, data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(raw_len as u16).to_le_bytes());
    out.extend_from_slice(&(data.len() as u16).to_le_bytes());
    out.extend_from_slice(data);
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
    let position = usize::from(u16::from_le_bytes([head[2], head[3]]));
    let size = (REQUEST_HEAD + key + position).saturating_add(bytes);
    let parts = after.get(..size - REQUEST_HEAD).map(|all| {
        let (key, rest) = all.split_at(key);
        (key, rest.split_at(position))
    });
    match parts {
        Some((key, (position, bytes))) => {
            First::Whole(Recording { content, key, position, bytes, compressed: None }, size)
        }
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

#[cfg(test)]
mod tests {
    use model::Signal;

    use super::*;

    /// Scenario: a group of requests, some of which come compressed: the first, one between, the last, larger than a piece, and one that
    /// does not shrink. Guarantees: all of them are read as they were, with their keys and positions.
    #[test]
    fn requests_that_come_compressed_survive() {
        let text = |letter: u8, len: usize| vec![letter; len];
        let noise: Vec<u8> = (0..40_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let bodies = [text(b'a', 20_000), text(b'b', 10), noise, text(b'c', 300), text(b'd', 70_000)];
        let mut compressor = lz4::Compressor::default();
        let compressed: Vec<Compressed> = bodies.iter().map(|body| Compressed::new(body, &mut compressor)).collect();
        for which in 0..1usize << bodies.len() {
            let one = |(place, bytes)| Recording {
                content: Content::Request(Signal::Traces),
                key: &b"key"[..place % 4],
                position: &b"position"[..place],
                bytes,
                compressed: compressed.get(place).filter(|_| which >> place & 1 == 1),
            };
            let requests: Vec<Recording<'_>> = bodies.iter().map(Vec::as_slice).enumerate().map(one).collect();
            let (mut payload, mut read) = (Vec::new(), Vec::new());
            encode(&requests, &mut compressor, &mut payload);
            assert!(decode(&payload, |one| read.push((
                one.content,
                one.key.to_vec(),
                one.position.to_vec(),
                one.bytes.to_vec()
            ))));
            let expected: Vec<_> = requests
                .iter()
                .map(|one| (one.content, one.key.to_vec(), one.position.to_vec(), one.bytes.to_vec()))
                .collect();
            assert!(read == expected, "{which}");
        }
    }
}
