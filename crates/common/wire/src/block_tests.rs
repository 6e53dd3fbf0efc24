use super::*;

const EPOCH: Epoch = Epoch(0x0123_4567_89ab_cdef);

fn small_block() -> Vec<u8> {
    let mut out = Vec::new();
    let frames: [&[u8]; 3] = [b"GET /positions 200 GET /positions 200 GET /positions 200", b"b", b"GET /positions 404"];
    let header = BlockEncoder::new().unwrap().encode(EPOCH, Lane::Traces, 41, &frames, &mut out).unwrap();
    assert_eq!(header.codec, Codec::Zstd);
    out
}

fn frames_of(bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, BlockError> {
    let (block, _) = RawBlock::parse(bytes)?;
    let mut inflater = Inflater::new();
    Ok(block.frames(&mut inflater)?.map(|(sequence, frame)| (sequence, frame.to_vec())).collect())
}

/// Scenario: two blocks back to back, one that shrinks and one that does not. Guarantees: the same frames under the same
/// sequences come back, and the blocks' borders are found.
#[test]
fn frames_come_back() {
    let mut out = small_block();
    let first_len = out.len();
    let noise: Vec<u8> = (0..200u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let header = BlockEncoder::new().unwrap().encode(EPOCH, Lane::Audit, 1, &[&noise], &mut out).unwrap();
    assert_eq!((header.codec, header.first, header.last()), (Codec::Stored, 1, 1));

    let (block, rest) = RawBlock::parse(&out).unwrap();
    assert_eq!(block.bytes(), &out[..first_len]);
    assert_eq!((block.header().lane, block.header().epoch, block.header().last()), (Lane::Traces, EPOCH, 43));
    let frames = frames_of(&out).unwrap();
    assert_eq!(frames.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), [41, 42, 43]);
    assert_eq!(frames[2].1, b"GET /positions 404");

    let (second, rest) = RawBlock::parse(rest).unwrap();
    assert!(rest.is_empty());
    assert_eq!(frames_of(second.bytes()).unwrap(), [(1, noise)]);
}

/// Scenario: one encoder used twice, another one, and a body filled in place. Guarantees: the same frames give the same
/// bytes.
#[test]
fn the_same_frames_give_the_same_bytes() {
    let frames: Vec<Vec<u8>> = (0..300u32).map(|n| format!("span {n} of route /fuel/{}", n % 7).into_bytes()).collect();
    let slices: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let mut encoder = BlockEncoder::new().unwrap();
    let (mut one, mut two, mut three) = (Vec::new(), Vec::new(), Vec::new());
    encoder.encode(EPOCH, Lane::Logs, 7, &slices, &mut one).unwrap();
    encoder.encode(EPOCH, Lane::Debug, 9, &slices[..3], &mut three).unwrap();
    encoder.encode(EPOCH, Lane::Logs, 7, &slices, &mut two).unwrap();
    assert_eq!(one, two);
    let mut body = BlockBody::new();
    for frame in &frames {
        body.push_with(|raw| raw.extend_from_slice(frame)).unwrap();
    }
    three.clear();
    BlockEncoder::new().unwrap().encode_body(EPOCH, Lane::Logs, 7, &body, &mut three).unwrap();
    assert_eq!(one, three);
}

/// Scenario: every bit of a small block flipped, one at a time. Guarantees: each flip is found (P8: nothing wrong is ever
/// read as a frame).
#[test]
fn every_flip_is_found() {
    let good = small_block();
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[index] ^= 1 << bit;
            assert!(frames_of(&bad).is_err(), "byte {index} bit {bit}");
        }
    }
}

/// Scenario: a block cut at each length. Guarantees: cut blocks are told from damaged ones.
#[test]
fn every_cut_is_found() {
    let good = small_block();
    for cut in 0..good.len() {
        match RawBlock::parse(&good[..cut]) {
            Err(BlockError::Truncated { needed, have }) => assert!(have == cut && needed > cut && needed <= good.len()),
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

/// Scenario: headers that lie, with a right checksum. Guarantees: lengths are checked against the caps and each other
/// before anything is inflated (P9).
#[test]
fn lies_in_the_header_are_found() {
    let lie = |offset: usize, bytes: &[u8]| {
        let mut block = small_block();
        block[offset..offset + bytes.len()].copy_from_slice(bytes);
        let fixed = *block.first_chunk::<BLOCK_HEADER_LEN>().unwrap();
        let crc = checksum(&fixed, &block[BLOCK_HEADER_LEN..]);
        block[CRC_OFFSET..BLOCK_HEADER_LEN].copy_from_slice(&crc.to_le_bytes());
        frames_of(&block).unwrap_err()
    };
    assert_eq!(lie(4, &[1]), BlockError::Unsupported { offset: 4, what: "version", found: 1 });
    assert_eq!(lie(5, &[2]), BlockError::Unsupported { offset: 5, what: "codec", found: 2 });
    assert!(matches!(lie(6, &[6]), BlockError::Corrupt { offset: 6, .. }));
    assert!(matches!(lie(7, &[1]), BlockError::Corrupt { offset: 7, .. }));
    assert!(matches!(lie(16, &[0; 8]), BlockError::Corrupt { offset: 16, .. }));
    assert!(matches!(lie(16, &[0xff; 8]), BlockError::Corrupt { offset: 16, .. }));
    assert!(matches!(lie(24, &[0; 4]), BlockError::Corrupt { offset: 24, .. }));
    assert!(matches!(lie(24, &[2, 0, 0, 0]), BlockError::Corrupt { .. }));
    assert!(matches!(lie(24, &[4, 0, 0, 0]), BlockError::Corrupt { .. }));
    assert!(matches!(lie(28, &[1, 0, 16, 0]), BlockError::TooLarge { offset: 28, .. }));
    assert!(matches!(lie(28, &[86, 0, 0, 0]), BlockError::Corrupt { .. }));
    assert!(matches!(lie(32, &[0xff; 4]), BlockError::Corrupt { offset: 32, .. }));
}

/// Scenario: no frame, an empty frame, a frame beyond the cap, sequence 0. Guarantees: refused, nothing half-written.
#[test]
fn what_does_not_fit_is_refused() {
    let mut encoder = BlockEncoder::new().unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(encoder.encode(EPOCH, Lane::Logs, 1, &[], &mut out), Err(EncodeError::Empty));
    assert_eq!(encoder.encode(EPOCH, Lane::Logs, 1, &[b"a", b""], &mut out), Err(EncodeError::Empty));
    let large = vec![7; FRAME_CAP];
    let both: [&[u8]; 2] = [&large, b"x"];
    assert!(matches!(encoder.encode(EPOCH, Lane::Logs, 1, &both, &mut out), Err(EncodeError::TooLarge { .. })));
    assert!(matches!(encoder.encode(EPOCH, Lane::Logs, 0, &[b"a"], &mut out), Err(EncodeError::Sequence { .. })));
    assert!(matches!(
        encoder.encode(EPOCH, Lane::Logs, u64::MAX, &[b"a"], &mut out),
        Err(EncodeError::Sequence { .. })
    ));
    assert_eq!(out, b"before");
    encoder.encode(EPOCH, Lane::Logs, 1, &[&large], &mut out).unwrap();
    assert_eq!(frames_of(&out[6..]).unwrap()[0].1, large);
}

/// Scenario: an encoder that has written full blocks. Guarantees: its tables stay small (P9, the device's memory).
#[test]
fn the_encoder_stays_small() {
    let mut encoder = BlockEncoder::new().unwrap();
    let text: Vec<u8> =
        (0..4000u32).flat_map(|n| format!("{:08x} route", n.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    let mut out = Vec::new();
    encoder.encode(EPOCH, Lane::Logs, 1, &[&text[..50_000]], &mut out).unwrap();
    let tables = encoder.resident_bytes() - encoder.body.capacity();
    assert!(tables < 300 << 10, "{tables} bytes");
}
