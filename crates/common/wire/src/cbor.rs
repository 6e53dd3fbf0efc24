//! Deterministic CBOR (RFC 8949 section 4.2.1: shortest heads, definite lengths) over `minicbor`.
//!
//! Writing into a `Vec` cannot fail, so these helpers have no error to hand on.

use minicbor::{Decoder, Encoder};

use crate::error::FrameError;

type Out<'a, 'v> = &'a mut Encoder<&'v mut Vec<u8>>;

pub(crate) fn null(out: Out<'_, '_>) {
    let written = out.null().is_ok();
    debug_assert!(written);
}

pub(crate) fn uint(out: Out<'_, '_>, value: u64) {
    let written = out.u64(value).is_ok();
    debug_assert!(written);
}

pub(crate) fn bytes(out: Out<'_, '_>, value: &[u8]) {
    let written = out.bytes(value).is_ok();
    debug_assert!(written);
}

pub(crate) fn text(out: Out<'_, '_>, value: &str) {
    let written = out.str(value).is_ok();
    debug_assert!(written);
}

pub(crate) fn boolean(out: Out<'_, '_>, value: bool) {
    let written = out.bool(value).is_ok();
    debug_assert!(written);
}

pub(crate) fn array(out: Out<'_, '_>, length: u64) {
    let written = out.array(length).is_ok();
    debug_assert!(written);
}

/// Reads an array head of exactly this length.
pub(crate) fn expect_array(decoder: &mut Decoder<'_>, length: u64) -> Result<(), FrameError> {
    if decoder.array()? == Some(length) { Ok(()) } else { Err(FrameError::Corrupt("an array of another length")) }
}

/// Reads an array head of any definite length.
pub(crate) fn any_array(decoder: &mut Decoder<'_>) -> Result<u64, FrameError> {
    decoder.array()?.ok_or(FrameError::Corrupt("an array without a length"))
}

/// Reads a byte string of exactly `N` bytes.
pub(crate) fn fixed<const N: usize>(decoder: &mut Decoder<'_>) -> Result<[u8; N], FrameError> {
    decoder.bytes()?.try_into().map_err(|_| FrameError::Corrupt("a byte string of another length"))
}
