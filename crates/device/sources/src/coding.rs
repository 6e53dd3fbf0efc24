//! Content codings (RFC 9110 section 8.4): names without regard to case, several of them, always into a capped output.

use std::io::Read;
use std::rc::Rc;

use model::Refusal;

use crate::Limits;
use crate::body::{Held, no_room};

/// What is offered: for `Accept-Encoding` of a refusal (RFC 9110 section 12.5.3) and `grpc-accept-encoding`.
pub(crate) const ACCEPTED: &str = "gzip, zstd, deflate, identity";
/// More codings than this on one body are nobody's wish.
const MOST: usize = 3;
/// Inflated bytes come in such portions.
const PORTION: usize = 16 << 10;

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
pub(crate) fn is_identity(list: &str) -> bool {
    list.split(',').all(|name| coding(name.trim()) == Some(Coding::Identity))
}

/// Undoes a list of codings, the last one first. What is larger than `max_request` at any step is refused.
pub(crate) fn undo(list: &str, held: Held, limits: &Rc<Limits>) -> Result<Held, Refusal> {
    let names = list.split(',').map(|name| coding(name.trim()).ok_or(Refusal::UnsupportedEncoding));
    let codings = names.collect::<Result<Vec<_>, _>>()?;
    if codings.iter().filter(|one| **one != Coding::Identity).count() > MOST {
        return Err(Refusal::UnsupportedEncoding);
    }
    let inflated = codings.into_iter().rev().try_fold(held, |held, coding| inflate(coding, held, limits))?;
    if inflated.bytes().len() > limits.settings.max_request {
        return Err(Refusal::TooLarge);
    }
    Ok(inflated)
}

fn inflate(coding: Coding, held: Held, limits: &Rc<Limits>) -> Result<Held, Refusal> {
    let max = limits.settings.max_request;
    let compressed = held.bytes();
    match coding {
        Coding::Identity => Ok(held),
        Coding::Gzip => copy(flate2::read::MultiGzDecoder::new(compressed), &held, limits),
        // The name means zlib; some senders leave its two bytes out (RFC 9110 section 8.4.1.2).
        Coding::Deflate if is_zlib(compressed) => copy(flate2::read::ZlibDecoder::new(compressed), &held, limits),
        Coding::Deflate => copy(flate2::read::DeflateDecoder::new(compressed), &held, limits),
        Coding::Zstd => {
            // It inflates into one buffer of which only the pages exist that are written: the cap is the room that there is.
            let cap = max.min(limits.room());
            let mut inflater = wire::Inflater::new();
            match inflater.inflate(compressed, cap) {
                Ok(_) => {}
                Err(wire::InflateError::TooLarge { .. }) if cap < max => return Err(no_room(limits, held.share())),
                Err(wire::InflateError::TooLarge { .. }) => return Err(Refusal::TooLarge),
                Err(wire::InflateError::Corrupt { .. }) => return Err(Refusal::Undecodable),
                Err(wire::InflateError::OutOfMemory) => return Err(Refusal::NoRoom),
            }
            let mut content = inflater.into_output();
            content.shrink_to_fit();
            Held::of(content, limits)
        }
    }
}

/// CMF and FLG of RFC 1950.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0)
}

fn copy(mut from: impl Read, compressed: &Held, limits: &Rc<Limits>) -> Result<Held, Refusal> {
    let mut out = Held::new(limits);
    let mut portion = vec![0; PORTION];
    loop {
        let read = from.read(&mut portion).map_err(|_| Refusal::Undecodable)?;
        if read == 0 {
            return Ok(out);
        }
        let appended = out.append(portion.get(..read).unwrap_or_default(), limits.settings.max_request);
        appended.map_err(|reason| match reason {
            Refusal::NoRoom => no_room(limits, compressed.share() + out.share()),
            other => other,
        })?;
    }
}
