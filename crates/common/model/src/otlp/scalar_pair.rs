//! A `KeyValue` as every SDK writes it: the key, then one scalar. Nearly all attributes are of this form, and it is told apart at a
//! glance; whatever else a `KeyValue` may be is left to the walk over its fields.

/// A scalar `AnyValue`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScalarValue<'a> {
    /// A text, not necessarily UTF-8.
    Text(&'a [u8]),
    /// bool
    Bool(bool),
    /// int64, as its bits
    Int(u64),
    /// double, as its bits
    Double(u64),
}

/// Keys of fields: number and wire type in one byte.
const KEY: u8 = 1 << 3 | 2;
const VALUE: u8 = 2 << 3 | 2;
const TEXT: u8 = 1 << 3 | 2;
const BOOL: u8 = 2 << 3;
const INT: u8 = 3 << 3;
const DOUBLE: u8 = 4 << 3 | 1;

/// The key and the scalar of a `KeyValue` that holds just these, each shorter than 128 bytes, and an integer below 2^14; `None` for
/// every other form, also where the bytes are not protobuf.
#[inline(always)]
pub fn scalar_pair(pair: &[u8]) -> Option<(&[u8], ScalarValue<'_>)> {
    let [KEY, length @ ..0x80, rest @ ..] = pair else { return None };
    let (key, rest) = rest.split_at_checked(usize::from(*length))?;
    let [VALUE, length @ ..0x80, any @ ..] = rest else { return None };
    if any.len() != usize::from(*length) {
        return None;
    }
    let value = match any {
        [TEXT, length @ ..0x80, text @ ..] if text.len() == usize::from(*length) => ScalarValue::Text(text),
        [BOOL, value @ ..0x80] => ScalarValue::Bool(*value != 0),
        [INT, value @ ..0x80] => ScalarValue::Int(u64::from(*value)),
        [INT, low @ 0x80..=0xff, high @ ..0x80] => ScalarValue::Int(u64::from(*low & 0x7f) | u64::from(*high) << 7),
        [DOUBLE, bits @ ..] => ScalarValue::Double(u64::from_le_bytes(bits.try_into().ok()?)),
        _ => return None,
    };
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::schema::{any_value, key_value};
    use crate::proto::{Reader, Value, put_bytes, put_fixed64, put_message, put_uint, put_varint};

    fn pair(key: &[u8], any: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        put_bytes(&mut out, key_value::KEY, key);
        put_message(&mut out, key_value::VALUE, any);
        out
    }

    /// What the walk over the fields of a pair finds: the key, and the last scalar.
    fn walked(pair: &[u8]) -> Option<(&[u8], ScalarValue<'_>)> {
        let (mut key, mut any) = (&[][..], None);
        let mut reader = Reader::new(pair);
        while let Some((number, value)) = reader.next_field().ok()? {
            match (number, value) {
                (key_value::KEY, Value::Bytes(bytes)) => key = bytes,
                (key_value::VALUE, Value::Bytes(bytes)) => any = Some(bytes),
                _ => return None,
            }
        }
        let mut reader = Reader::new(any?);
        let mut found = None;
        while let Some(field) = reader.next_field().ok()? {
            found = Some(match field {
                (any_value::STRING, Value::Bytes(text)) => ScalarValue::Text(text),
                (any_value::BOOL, Value::Varint(value)) => ScalarValue::Bool(value != 0),
                (any_value::INT, Value::Varint(value)) => ScalarValue::Int(value),
                (any_value::DOUBLE, Value::Fixed64(bits)) => ScalarValue::Double(bits),
                _ => return None,
            });
        }
        found.map(|value| (key, value))
    }

    /// Scenario: pairs of every scalar at the edges of their lengths; then each of them with every byte changed to every value, and cut
    /// at every place. Guarantees: where the glance tells something, the walk over the fields tells the same; nothing panics.
    #[test]
    fn a_glance_tells_what_the_walk_tells() {
        let mut pairs = vec![pair(b"", |_| {}), pair(b"key", |_| {})];
        for length in [0, 1, 100, 127, 128, 300] {
            pairs.push(pair(&vec![b'k'; length], |out| put_bytes(out, any_value::STRING, b"text")));
            pairs.push(pair(b"key", |out| put_bytes(out, any_value::STRING, &vec![0xff; length])));
        }
        for value in [0, 1, 127, 128, 200, 16_383, 16_384, u64::MAX] {
            pairs.push(pair(b"key", |out| put_uint(out, any_value::INT, value)));
            pairs.push(pair(b"key", |out| put_uint(out, any_value::BOOL, value)));
            pairs.push(pair(b"key", |out| put_fixed64(out, any_value::DOUBLE, value)));
        }
        pairs.push(pair(b"key", |out| {
            put_uint(out, any_value::INT, 5);
            put_varint(out, 1);
        }));
        let mut told = 0;
        for one in &pairs {
            for cut in 0..=one.len() {
                let mut changed = one[..cut].to_vec();
                for place in 0..cut.min(12) {
                    let before = changed[place];
                    for value in 0..=255 {
                        changed[place] = value;
                        if let Some(found) = scalar_pair(&changed) {
                            told += 1;
                            assert_eq!(walked(&changed), Some(found), "{changed:?}");
                        }
                    }
                    changed[place] = before;
                }
            }
        }
        assert!(told > 10_000, "{told}");
        let usual = pair(b"http.response.status_code", |out| put_uint(out, any_value::INT, 404));
        assert_eq!(scalar_pair(&usual), Some((b"http.response.status_code".as_slice(), ScalarValue::Int(404))));
    }
}
