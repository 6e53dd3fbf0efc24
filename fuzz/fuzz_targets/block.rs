//! Any bytes as a block, with its checksum made right so that the rest is reached, and as frames to be put into one:
//! nothing panics, nothing is read beyond the lengths, and what goes in comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Epoch, Lane};
use wire::{BLOCK_HEADER_LEN, BlockEncoder, Inflater, RawBlock};

/// Where the header has its checksum, and how long it is (docs/wire.md, "Block").
const CHECKSUM: std::ops::Range<usize> = 36..40;
const PAYLOAD_LENGTH: std::ops::Range<usize> = 32..36;

fuzz_target!(|input: &[u8]| {
    read(input);
    let mut repaired = input.to_vec();
    if repair(&mut repaired) {
        read(&repaired);
    }
    write(input);
});

fn read(bytes: &[u8]) {
    let Ok((block, rest)) = RawBlock::parse(bytes) else { return };
    assert_eq!(block.bytes().len() + rest.len(), bytes.len());
    let mut inflater = Inflater::new();
    let Ok(frames) = block.frames(&mut inflater) else { return };
    let header = block.header();
    let sequences: Vec<u64> = frames.map(|(sequence, _)| sequence).collect();
    assert_eq!(sequences.len() as u64, u64::from(header.frames));
    assert_eq!((sequences.first(), sequences.last()), (Some(&header.first), Some(&header.last())));
}

/// Gives the block the checksum that its bytes have; false when it is too short for that.
fn repair(block: &mut [u8]) -> bool {
    let Some(length) = block.get(PAYLOAD_LENGTH).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes) else {
        return false;
    };
    let Some(payload) = block.get(BLOCK_HEADER_LEN..).and_then(|rest| rest.get(..length as usize)) else {
        return false;
    };
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&block[..CHECKSUM.start]), payload);
    block[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    true
}

/// Cuts the input into frames, the first byte of each saying how long it is, and writes a block of them.
fn write(mut input: &[u8]) {
    let mut frames = Vec::new();
    while let Some((length, rest)) = input.split_first() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        frames.push(frame);
        input = rest;
    }
    let mut out = Vec::new();
    let mut encoder = BlockEncoder::new().expect("an encoder can be made");
    if encoder.encode(Epoch(7), Lane::Traces, 3, &frames, &mut out).is_err() {
        assert!(out.is_empty(), "a failed encoding leaves bytes behind");
        return;
    }
    let (block, rest) = RawBlock::parse(&out).expect("what was written can be read");
    assert!(rest.is_empty());
    let mut inflater = Inflater::new();
    let read: Vec<&[u8]> = block.frames(&mut inflater).expect("and inflated").map(|(_, frame)| frame).collect();
    assert_eq!(read, frames);
}
