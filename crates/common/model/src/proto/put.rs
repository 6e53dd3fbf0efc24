//! Writing protobuf: fields appended to a vector.

/// Appends a LEB128 number.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        put_long_varint(out, value);
    }
}

fn put_long_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`put_varint`] appends.
#[inline]
pub fn varint_len(value: u64) -> usize {
    // A seventh of the bits, rounded up: by a multiplication that is exact for 1 to 64 of them.
    (64 - (value | 1).leading_zeros() as usize) * 9 / 64 + 1
}

/// Appends a varint field.
pub fn put_uint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

/// Appends a fixed64, sfixed64 or double field, given as its bits.
pub fn put_fixed64(out: &mut Vec<u8>, number: u32, bits: u64) {
    put_varint(out, u64::from(number) << 3 | 1);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a fixed32 field.
pub fn put_fixed32(out: &mut Vec<u8>, number: u32, bits: u32) {
    put_varint(out, u64::from(number) << 3 | 5);
    out.extend_from_slice(&bits.to_le_bytes());
}

/// Appends a string, bytes or message field.
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_head(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what stands before the bytes of such a field.
#[inline]
pub fn put_head(out: &mut Vec<u8>, number: u32, length: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, length as u64);
}

/// Appends a message field whose content `write` appends; the length is put in front afterwards.
pub fn put_message(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = begin_message(out, number);
    write(out);
    end_message(out, start);
}

/// Begins a message field, whose content is appended next: what [`end_message`] is told.
#[inline]
pub fn begin_message(out: &mut Vec<u8>, number: u32) -> usize {
    put_varint(out, u64::from(number) << 3 | 2);
    // Most messages are shorter than 128 bytes: their length takes the one byte that is left for it.
    out.push(0);
    out.len()
}

/// Ends a message field: its length is put in front of its content.
#[inline]
pub fn end_message(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    match out.get_mut(start - 1) {
        Some(place) if length < 0x80 => *place = length as u8,
        _ => end_long_message(out, start, length),
    }
}

/// Ends one whose length needs more than the byte that is left for it.
fn end_long_message(out: &mut Vec<u8>, start: usize, length: usize) {
    let more = varint_len(length as u64) - 1;
    out.extend_from_slice(&[0; 9][..more]);
    out.copy_within(start..start + length, start + more);
    let mut rest = length;
    for byte in &mut out[start - 1..start + more] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start - 1 + more] &= 0x7f;
}
