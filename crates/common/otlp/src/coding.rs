//! Content codings (RFC 9110 section 8.4): names without regard to case, several of them, always into a capped output.

use std::io::Read;

use model::Refusal;

/// What is offered: for `Accept-Encoding` of a refusal (RFC 9110 section 12.5.3) and `grpc-accept-encoding`.
pub const ACCEPTED: &str = "gzip, zstd, deflate, identity";
/// More codings than this on one body are nobody's wish.
const MOST: usize = 3;
/// Inflated bytes come in such portions.
const PORTION: usize = 16 << 10;

/// Bytes that count against a budget while they grow. The agent's share one with all requests in flight, the hub's have one limit
/// each.
pub trait Buffer: Sized {
    /// An empty one of the same budget.
    fn empty(&self) -> Self;

    /// The bytes.
    fn bytes(&self) -> &[u8];

    /// Appends, while `beside` is held as well.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] beyond the largest request, [`Refusal::NoRoom`] where others have the room.
    fn append(&mut self, data: &[u8], beside: &Self) -> Result<(), Refusal>;

    /// Bytes that one more of them may hold now, and the refusal of what needs more.
    fn room(&self) -> (usize, Refusal);

    /// One of the same budget with bytes that are there already.
    ///
    /// # Errors
    /// As [`Buffer::append`].
    fn adopt(&self, bytes: Vec<u8>) -> Result<Self, Refusal>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Deflate,
    Zstd,
}

fn coding(name: &str) -> Option<Coding> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    Some(match () {
        () if is("") || is("identity") || is("none") => Coding::Identity,
        () if is("gzip") || is("x-gzip") => Coding::Gzip,
        () if is("deflate") || is("zlib") => Coding::Deflate,
        () if is("zstd") => Coding::Zstd,
        () => return None,
    })
}

/// Whether a list of codings is none at all.
pub fn is_identity(list: &str) -> bool {
    list.split(',').all(|name| coding(name.trim()) == Some(Coding::Identity))
}

/// Undoes a list of codings (`Content-Encoding`), the last one first.
///
/// # Errors
/// [`Refusal::UnsupportedEncoding`], [`Refusal::Undecodable`], and what the buffer refuses at any step.
pub fn undo<B: Buffer>(list: &str, body: B) -> Result<B, Refusal> {
    let names = list.split(',').map(|name| coding(name.trim()).ok_or(Refusal::UnsupportedEncoding));
    let codings = names.collect::<Result<Vec<_>, _>>()?;
    if codings.iter().filter(|one| **one != Coding::Identity).count() > MOST {
        return Err(Refusal::UnsupportedEncoding);
    }
    codings.into_iter().rev().try_fold(body, inflate)
}

fn inflate<B: Buffer>(body: B, coding: Coding) -> Result<B, Refusal> {
    let compressed = body.bytes();
    match coding {
        Coding::Identity => Ok(body),
        Coding::Gzip => copy(flate2::read::MultiGzDecoder::new(compressed), &body),
        // The name means zlib; some senders leave its two bytes out (RFC 9110 section 8.4.1.2).
        Coding::Deflate if is_zlib(compressed) => copy(flate2::read::ZlibDecoder::new(compressed), &body),
        Coding::Deflate => copy(flate2::read::DeflateDecoder::new(compressed), &body),
        Coding::Zstd => {
            // It inflates into one buffer of which only the pages exist that are written: the cap is the room that there is.
            let (cap, beyond) = body.room();
            let mut inflater = wire::Inflater::new();
            match inflater.inflate(compressed, cap) {
                Ok(_) => {}
                Err(wire::InflateError::TooLarge { .. }) => return Err(beyond),
                Err(wire::InflateError::Corrupt { .. }) => return Err(Refusal::Undecodable),
                Err(wire::InflateError::OutOfMemory) => return Err(Refusal::NoRoom),
            }
            let mut content = inflater.into_output();
            content.shrink_to_fit();
            body.adopt(content)
        }
    }
}

/// CMF and FLG of RFC 1950.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0)
}

fn copy<B: Buffer>(mut from: impl Read, compressed: &B) -> Result<B, Refusal> {
    let mut out = compressed.empty();
    let mut portion = vec![0; PORTION];
    loop {
        let read = from.read(&mut portion).map_err(|_| Refusal::Undecodable)?;
        if read == 0 {
            return Ok(out);
        }
        out.append(portion.get(..read).unwrap_or_default(), compressed)?;
    }
}
