//! The protobuf wire format (protobuf.dev/programming-guides/encoding), borrowed: reading allocates nothing.

mod put;

use std::fmt;

pub use put::{
    begin_message, end_message, put_bytes, put_fixed32, put_fixed64, put_head, put_message, put_uint, put_varint,
    varint_len,
};

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1, little endian.
    Fixed64(u64),
    /// Wire type 2: strings, bytes, messages, packed lists.
    Bytes(&'a [u8]),
    /// Wire type 5, little endian.
    Fixed32(u32),
}

/// Bytes that are not protobuf. Offsets count from the start of the message that [`Reader::new`] was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtoError {
    /// A field starts or goes on beyond the end.
    Truncated {
        /// Where the field's key stands.
        offset: usize,
    },
    /// A varint of more than 10 bytes, or above 64 bits.
    Varint {
        /// Where it stands.
        offset: usize,
    },
    /// A key with field number 0 or a wire type that protobuf does not have, or the end of a group that did not begin.
    Key {
        /// Where it stands.
        offset: usize,
    },
    /// Messages nested deeper than the reader accepts.
    Depth,
}

impl fmt::Display for ProtoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProtoError::Truncated { offset } => write!(f, "the field at byte {offset} is cut off"),
            ProtoError::Varint { offset } => write!(f, "the number at byte {offset} is longer than 64 bits"),
            ProtoError::Key { offset } => write!(f, "the byte at {offset} starts no protobuf field"),
            ProtoError::Depth => f.write_str("messages are nested too deeply"),
        }
    }
}

impl std::error::Error for ProtoError {}

/// Wire types of groups, which proto3 has no more.
const GROUP: u64 = 3;
const END_GROUP: u64 = 4;
/// How deep groups may nest.
const MAX_GROUPS: usize = 32;
/// The highest field number (protobuf.dev/programming-guides/proto3, "Assigning Field Numbers").
const MAX_NUMBER: u32 = (1 << 29) - 1;

/// Walks the fields of one message, in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    passed_group: bool,
}

impl<'a> Reader<'a> {
    /// A reader at the start of a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, passed_group: false }
    }

    /// The next field's number and value; `None` at the end. Groups, which OTLP does not have, are passed over as every
    /// unknown field is.
    ///
    /// # Errors
    /// [`ProtoError`] when the bytes are not protobuf; the reader must not be used after that.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtoError> {
        let Some(rest) = self.bytes.get(self.at..) else { return Ok(None) };
        // Nearly every field of OTLP has a number below 16, and what has a length is shorter than 16 KiB: the key is one byte, and the
        // length one or two.
        let (number, value, used) = match *rest {
            [] => return Ok(None),
            [key @ 8..0x80, length @ ..0x80, ref content @ ..]
                if key & 7 == 2 && content.len() >= usize::from(length) =>
            {
                let length = usize::from(length);
                (key >> 3, Value::Bytes(&content[..length]), 2 + length)
            }
            [key @ 8..0x80, value @ ..0x80, ..] if key & 7 == 0 => (key >> 3, Value::Varint(u64::from(value)), 2),
            [key @ 8..0x80, a, b, c, d, e, f, g, h, ..] if key & 7 == 1 => {
                (key >> 3, Value::Fixed64(u64::from_le_bytes([a, b, c, d, e, f, g, h])), 9)
            }
            [key @ 8..0x80, low, high @ ..0x80, ref content @ ..]
                if key & 7 == 2 && low >= 0x80 && content.len() >= long(low, high) =>
            {
                (key >> 3, Value::Bytes(&content[..long(low, high)]), 3 + long(low, high))
            }
            _ => return self.any_field(),
        };
        self.at += used;
        Ok(Some((u32::from(number), value)))
    }

    /// The last field of bytes with a number below 16: the one that counts, where there are several. Other fields are only passed over.
    ///
    /// # Errors
    /// [`ProtoError`] when the bytes are not protobuf.
    pub fn last_bytes(mut self, number: u8) -> Result<Option<&'a [u8]>, ProtoError> {
        let wanted = number << 3 | 2;
        let mut found = None;
        loop {
            // Fields as most are, told by their first two bytes.
            let mut at = self.at;
            while let Some(&[key, length]) = self.bytes.get(at..).and_then(<[u8]>::first_chunk) {
                let used = match key & 0x87 {
                    2 if length < 0x80 => 2 + usize::from(length),
                    0 if length < 0x80 => 2,
                    1 => 9,
                    _ => break,
                };
                let end = at + used;
                if end > self.bytes.len() || key < 8 {
                    break;
                }
                if key == wanted {
                    found = self.bytes.get(at + 2..end);
                }
                at = end;
            }
            self.at = at;
            match self.any_field()? {
                None => return Ok(found),
                Some((other, Value::Bytes(bytes))) if other == u32::from(number) => found = Some(bytes),
                Some(_) => {}
            }
        }
    }

    /// Passes over fields of bytes with a number below 16 that stand here one after the other, as long as they are whole and shorter
    /// than 16 KiB.
    #[inline]
    pub(crate) fn pass_over(&mut self, number: u8) {
        let mut rest = self.bytes.get(self.at..).unwrap_or_default();
        while let [key, low, after @ ..] = rest {
            let (length, content) = match after {
                _ if *key != number << 3 | 2 => break,
                _ if *low < 0x80 => (usize::from(*low), after),
                [high @ ..0x80, content @ ..] => (long(*low, *high), content),
                _ => break,
            };
            let Some(behind) = content.get(length..) else { break };
            rest = behind;
        }
        self.at = self.bytes.len() - rest.len();
    }

    /// The bytes of the next field, where it begins with this byte and they are shorter than 128; without them it is not passed over.
    #[inline]
    pub(crate) fn short_bytes(&mut self, key: u8) -> Option<&'a [u8]> {
        let [first, length @ ..0x80, after @ ..] = self.bytes.get(self.at..)? else { return None };
        let bytes = after.get(..usize::from(*length))?;
        if *first != key {
            return None;
        }
        self.at += 2 + bytes.len();
        Some(bytes)
    }

    /// The same of bytes that are shorter than 16 KiB.
    #[inline]
    pub(crate) fn bytes_behind(&mut self, key: u8) -> Option<&'a [u8]> {
        let [first, low, after @ ..] = self.bytes.get(self.at..)? else { return None };
        let (length, content, head) = match after {
            _ if *low < 0x80 => (usize::from(*low), after, 2),
            [high @ ..0x80, content @ ..] => (long(*low, *high), content, 3),
            _ => return None,
        };
        let bytes = content.get(..length)?;
        if *first != key {
            return None;
        }
        self.at += head + length;
        Some(bytes)
    }

    /// The next field, whatever it is.
    #[inline(never)]
    fn any_field(&mut self) -> Result<Option<(u32, Value<'a>)>, ProtoError> {
        // The flags of spans and links: their key is two bytes.
        if let Some([low @ 0x80..=0xff, high @ 1..0x80, a, b, c, d, ..]) = self.bytes.get(self.at..)
            && low & 7 == 5
        {
            self.at += 6;
            let number = long(*low, *high) as u32 >> 3;
            return Ok(Some((number, Value::Fixed32(u32::from_le_bytes([*a, *b, *c, *d])))));
        }
        loop {
            let start = self.at;
            if start >= self.bytes.len() {
                return Ok(None);
            }
            let (number, wire_type) = self.key(start)?;
            match wire_type {
                GROUP => {
                    self.skip_group(number, start)?;
                    self.passed_group = true;
                }
                _ => return Ok(Some((number, self.value(wire_type, start)?))),
            }
        }
    }

    #[inline]
    fn key(&mut self, start: usize) -> Result<(u32, u64), ProtoError> {
        let key = self.varint(start)?;
        match u32::try_from(key >> 3) {
            Ok(number) if (1..=MAX_NUMBER).contains(&number) => Ok((number, key & 7)),
            _ => Err(ProtoError::Key { offset: start }),
        }
    }

    /// Passes over a group to its end, with the groups in it.
    fn skip_group(&mut self, number: u32, start: usize) -> Result<(), ProtoError> {
        let mut open = [0; MAX_GROUPS];
        open[0] = number;
        let mut depth = 1;
        while depth > 0 {
            let at = self.at;
            if at >= self.bytes.len() {
                return Err(ProtoError::Truncated { offset: start });
            }
            match self.key(at)? {
                (number, GROUP) => {
                    *open.get_mut(depth).ok_or(ProtoError::Depth)? = number;
                    depth += 1;
                }
                (number, END_GROUP) => {
                    depth -= 1;
                    if open[depth] != number {
                        return Err(ProtoError::Key { offset: at });
                    }
                }
                (_, wire_type) => {
                    self.value(wire_type, at)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, wire_type: u64, start: usize) -> Result<Value<'a>, ProtoError> {
        Ok(match wire_type {
            0 => Value::Varint(self.varint(start)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array(start)?)),
            2 => {
                let length = self.varint(start)?;
                let length = usize::try_from(length).map_err(|_| ProtoError::Truncated { offset: start })?;
                Value::Bytes(self.take(length, start)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array(start)?)),
            _ => return Err(ProtoError::Key { offset: start }),
        })
    }

    /// Whether a group was passed over: its bytes stand in the message, though no field tells of them.
    pub fn passed_group(&self) -> bool {
        self.passed_group
    }

    /// Where the reader stands, in bytes from the start of the message.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// What was not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on at a part of the rest, up to the end.
    #[inline]
    pub(crate) fn go_on_at(&mut self, rest: &'a [u8]) {
        self.at = self.bytes.len() - rest.len();
    }

    fn take(&mut self, length: usize, field: usize) -> Result<&'a [u8], ProtoError> {
        let end = self.at.checked_add(length).ok_or(ProtoError::Truncated { offset: field })?;
        let taken = self.bytes.get(self.at..end).ok_or(ProtoError::Truncated { offset: field })?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: usize) -> Result<[u8; N], ProtoError> {
        self.take(N, field)?.try_into().map_err(|_| ProtoError::Truncated { offset: field })
    }

    fn varint(&mut self, field: usize) -> Result<u64, ProtoError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match read_varint(rest) {
            Ok((value, used)) => {
                self.at += used;
                Ok(value)
            }
            Err(VarintError::Short) => Err(ProtoError::Truncated { offset: field }),
            Err(VarintError::Long) => Err(ProtoError::Varint { offset: self.at }),
        }
    }
}

/// A number of two bytes.
fn long(low: u8, high: u8) -> usize {
    usize::from(low & 0x7f) | usize::from(high) << 7
}

/// Why [`read_varint`] found no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VarintError {
    /// The bytes end inside it.
    Short,
    /// It has more than 64 bits.
    Long,
}

/// Reads one LEB128 number from the start of `bytes`: its value and how many bytes it took.
///
/// # Errors
/// [`VarintError`] when there is none.
#[inline]
pub fn read_varint(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    match *bytes {
        [first @ ..0x80, ..] => Ok((u64::from(first), 1)),
        [first, second @ ..0x80, ..] => Ok((u64::from(first & 0x7f) | u64::from(second) << 7, 2)),
        _ => read_long_varint(bytes),
    }
}

fn read_long_varint(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let bits = u64::from(byte & 0x7f);
        if index == 9 && bits > 1 {
            return Err(VarintError::Long);
        }
        value |= bits << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((value, index + 1));
        }
    }
    if bytes.len() >= 10 { Err(VarintError::Long) } else { Err(VarintError::Short) }
}

/// Appends a field as it was read.
pub fn put_field(out: &mut Vec<u8>, number: u32, value: Value<'_>) {
    match value {
        Value::Varint(value) => put_uint(out, number, value),
        Value::Fixed64(bits) => put_fixed64(out, number, bits),
        Value::Fixed32(bits) => put_fixed32(out, number, bits),
        Value::Bytes(bytes) => put_bytes(out, number, bytes),
    }
}

/// Maps a signed number to an unsigned one with small magnitudes first (protobuf `sint`).
pub fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers at the edges of each length. Guarantees: what is written is read, with the stated length.
    #[test]
    fn varints_survive() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value));
                assert_eq!(read_varint(&out), Ok((value, out.len())));
                assert_eq!(unzigzag(zigzag(value as i64)), value as i64);
            }
        }
        assert_eq!(read_varint(&[0xff; 10]), Err(VarintError::Long));
        assert_eq!(read_varint(&[0xff; 9]), Err(VarintError::Short));
    }

    /// Scenario: fields of each wire type, then groups, field 0, and cuts. Guarantees: values as written; bad bytes
    /// are an error with an offset, never a panic.
    #[test]
    fn fields_and_their_faults() {
        let mut out = Vec::new();
        put_uint(&mut out, 1, 300);
        put_fixed64(&mut out, 2, u64::MAX);
        put_message(&mut out, 3, |out| put_bytes(out, 1, &[7; 200]));
        put_fixed32(&mut out, 4, 9);
        let mut reader = Reader::new(&out);
        assert_eq!(reader.next_field(), Ok(Some((1, Value::Varint(300)))));
        assert_eq!(reader.next_field(), Ok(Some((2, Value::Fixed64(u64::MAX)))));
        let Ok(Some((3, Value::Bytes(inner)))) = reader.next_field() else { panic!("no message") };
        assert_eq!(Reader::new(inner).next_field(), Ok(Some((1, Value::Bytes(&[7; 200])))));
        assert_eq!(reader.next_field(), Ok(Some((4, Value::Fixed32(9)))));
        assert_eq!(reader.next_field(), Ok(None));
        assert_eq!(Reader::new(&[0x0c]).next_field(), Err(ProtoError::Key { offset: 0 }));
        assert_eq!(Reader::new(&[0x00, 0x00]).next_field(), Err(ProtoError::Key { offset: 0 }));
        assert_eq!(Reader::new(&out[..2]).next_field(), Err(ProtoError::Truncated { offset: 0 }));
        assert_eq!(
            Reader::new(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]).next_field(),
            Err(ProtoError::Truncated { offset: 0 })
        );
    }

    /// Scenario: fields of all kinds in every order and with every length, cut anywhere, with the wanted one never, once and twice.
    /// Guarantees: the last one is found, as a walk finds it, with the same error where there is one.
    #[test]
    fn the_last_field_of_bytes_is_found() {
        let mut message = Vec::new();
        for round in 0..3 {
            put_fixed32(&mut message, 16, 257);
            put_bytes(&mut message, 9, &vec![round; 100 + 100 * usize::from(round)]);
            put_uint(&mut message, 6, 100 + 100 * u64::from(round));
            put_fixed64(&mut message, 7, u64::MAX);
            put_bytes(&mut message, 1, &[round; 16]);
            put_fixed32(&mut message, 300, 257);
            put_fixed32(&mut message, 3, 1);
            put_bytes(&mut message, 17, b"");
            put_bytes(&mut message, 2, &vec![round; 200 * usize::from(round)]);
        }
        for end in 0..=message.len() {
            let message = &message[..end];
            for number in [1, 2, 6, 9, 15] {
                let walked = || {
                    let (mut found, mut reader) = (None, Reader::new(message));
                    while let Some((other, value)) = reader.next_field()? {
                        if let (true, Value::Bytes(bytes)) = (other == u32::from(number), value) {
                            found = Some(bytes);
                        }
                    }
                    Ok(found)
                };
                assert_eq!(Reader::new(message).last_bytes(number), walked(), "{end} {number}");
            }
        }
    }

    /// Scenario: runs of fields of bytes, short, long and longer than 16 KiB, before and behind others, cut anywhere. Guarantees: a walk that
    /// passes over them finds every other field, and the same error.
    #[test]
    fn runs_are_passed_over() {
        let mut message = Vec::new();
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 5] {
            put_bytes(&mut message, 2, &vec![7; length]);
            if length % 2 == 0 {
                put_bytes(&mut message, 1, b"scope");
                put_fixed32(&mut message, 2, 9);
            }
        }
        let walk = |message, over: bool| {
            let (mut found, mut reader) = (Vec::new(), Reader::new(message));
            loop {
                if over {
                    reader.pass_over(2);
                }
                match reader.next_field() {
                    Ok(Some((2, Value::Bytes(_)))) => {}
                    Ok(Some(field)) => found.push(field),
                    Ok(None) => return (found, None),
                    Err(error) => return (found, Some(error)),
                }
            }
        };
        for end in (0..=message.len()).filter(|end| end % 97 == 0 || *end < 1000 || message.len() - end < 40) {
            assert_eq!(walk(&message[..end], true), walk(&message[..end], false), "{end}");
        }
        assert_eq!(walk(&message, true).0.len(), 8);
    }

    /// Scenario: groups before, between and after fields, nested, ended by another number, cut, deeper than allowed.
    /// Guarantees: a whole group is passed over as unknown fields are; a broken one is an error, never a panic (I10).
    #[test]
    fn i10_groups_are_passed_over() {
        let group = |number: u8, inside: &[u8]| [&[number << 3 | 3], inside, &[number << 3 | 4]].concat();
        let mut message = group(9, &[]);
        put_uint(&mut message, 1, 5);
        message.extend(group(3, &group(4, &[0x0a, 2, 0x24, 0x24])));
        put_bytes(&mut message, 2, b"text");
        message.extend(group(1, &[0x08, 1]));
        let mut reader = Reader::new(&message);
        assert_eq!(reader.next_field(), Ok(Some((1, Value::Varint(5)))));
        assert_eq!(reader.next_field(), Ok(Some((2, Value::Bytes(b"text")))));
        assert_eq!(reader.next_field(), Ok(None));
        assert_eq!(Reader::new(&[0x0b, 0x14]).next_field(), Err(ProtoError::Key { offset: 1 }));
        assert_eq!(Reader::new(&[0x0b, 0x08, 1]).next_field(), Err(ProtoError::Truncated { offset: 0 }));
        let deep = (0..40).fold(Vec::new(), |inside, _| group(1, &inside));
        assert_eq!(Reader::new(&deep).next_field(), Err(ProtoError::Depth));
        for wire_type in [6, 7] {
            assert_eq!(Reader::new(&[0x08 | wire_type, 0]).next_field(), Err(ProtoError::Key { offset: 0 }));
        }
    }
}
