//! How a file is known again, whatever it is called now, and how far it was read.

use model::proto::{Reader, Value, put_bytes, put_uint};

/// The most first bytes of a file by which it is known.
pub const HEAD: usize = 1024;
/// The most bytes before a position by which it is known that this is the place.
pub const TAIL: usize = 64;

/// A digest of some bytes (FNV-1a, 64 bits): it tells files of one machine apart, and keeps nothing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Print {
    /// How many bytes.
    pub length: u64,
    digest: u64,
}

impl Print {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self { length: 0, digest: 0xcbf2_9ce4_8422_2325 }.and(bytes)
    }

    /// Of its bytes and these behind them.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self { length: self.length + bytes.len() as u64, digest: bytes.iter().fold(self.digest, mix) }
    }
}

impl Default for Print {
    /// Of nothing.
    fn default() -> Self {
        Self::of(&[])
    }
}

/// How far a file was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Where it was seen last.
    pub path: String,
    /// Its device and inode then.
    pub inode: (u64, u64),
    /// Its first bytes: at most [`HEAD`], and none behind the position.
    pub head: Print,
    /// The bytes before the position: at most [`TAIL`].
    pub tail: Print,
    /// The next byte to be read.
    pub position: u64,
    /// Whether the file is not where it was any more: only what was left of it is still to be read, from wherever it went.
    pub is_past: bool,
}

impl Place {
    /// As bytes (protobuf: what is added later is passed over by older programs).
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.path.len());
        put_bytes(&mut out, 1, self.path.as_bytes());
        for (number, value) in (2..).zip([
            self.inode.0,
            self.inode.1,
            self.head.length,
            self.head.digest,
            self.tail.length,
            self.tail.digest,
            self.position,
            u64::from(self.is_past),
        ]) {
            put_uint(&mut out, number, value);
        }
        out
    }

    /// From bytes; `None` for what is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut place = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field().ok()? {
            match (number, value) {
                (1, Value::Bytes(path)) => place.path = String::from_utf8(path.to_vec()).ok()?,
                (2, Value::Varint(value)) => place.inode.0 = value,
                (3, Value::Varint(value)) => place.inode.1 = value,
                (4, Value::Varint(value)) => place.head.length = value,
                (5, Value::Varint(value)) => place.head.digest = value,
                (6, Value::Varint(value)) => place.tail.length = value,
                (7, Value::Varint(value)) => place.tail.digest = value,
                (8, Value::Varint(value)) => place.position = value,
                (9, Value::Varint(value)) => place.is_past = value != 0,
                _ => {}
            }
        }
        let fits = place.head.length <= HEAD as u64 && place.tail.length <= TAIL as u64;
        (fits && place.head.length.max(place.tail.length) <= place.position).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a place that was kept, and bytes that are none. Guarantees: it comes back as it was; nothing else is taken for one.
    #[test]
    fn places_survive() {
        let place = Place {
            path: "/var/log/a \u{e9}.log".into(),
            inode: (66_306, u64::MAX),
            head: Print::of(&[1; HEAD]),
            tail: Print::of(b"last line\n"),
            position: 1 << 40,
            is_past: true,
        };
        assert_eq!(Place::decode(&place.encode()), Some(place.clone()));
        assert_eq!(Place::decode(b"\xff\xff"), None);
        assert_eq!(Place::decode(&Place { position: 3, ..place }.encode()), None);
        assert_ne!(Print::of(b"a"), Print::of(b"b"));
        assert_ne!(Print::of(b""), Print::of(b"\0"));
        assert_eq!(Print::of(b"a").and(b"b"), Print::of(b"ab"));
    }
}
