//! Texts in another clothing: percent-encoded, UTF-16, hexadecimal, base64.

use std::ops::Range;

use super::runs::{Runs, each_long_run, table};
use super::{at, before, run_end};

/// A run shorter than this holds nothing that is looked for: 13 digits are 18 characters of base64, and 26 of hexadecimal.
const LEAST: usize = 18;
/// A run of hexadecimal or base64 from this length on is a dump of a payload.
const DUMP: usize = 64;
/// So many characters of one run are decoded at most.
const MOST: usize = 64 << 10;

/// A text as it reads when it is decoded, with where each byte came from.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// What it says.
    pub(crate) bytes: Vec<u8>,
    /// Where byte `n` begins in the text; one more than there are bytes.
    places: Vec<usize>,
}

impl Decoded {
    fn push(&mut self, byte: u8, place: usize) {
        self.bytes.push(byte);
        self.places.push(place);
    }

    fn finish(mut self, end: usize) -> Self {
        self.places.push(end);
        self
    }

    /// Where a range of what it says stands in the text.
    pub(crate) fn place(&self, range: &Range<usize>) -> Option<Range<usize>> {
        Some(*self.places.get(range.start)?..*self.places.get(range.end)?)
    }
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// A text without its percent-encoding (RFC 3986); `None` where there is none.
pub(crate) fn from_percent(text: &[u8]) -> Option<Decoded> {
    let (mut out, mut place, mut any) = (Decoded::default(), 0, false);
    while let Some(byte) = text.get(place) {
        match text.get(place..place + 3) {
            Some([b'%', high, low]) if let (Some(high), Some(low)) = (nibble(*high), nibble(*low)) => {
                out.push(high << 4 | low, place);
                place += 3;
                any = true;
            }
            _ => {
                out.push(*byte, place);
                place += 1;
            }
        }
    }
    any.then(|| out.finish(text.len()))
}

/// The ASCII of a text in UTF-16 of either order from either byte on, with whatever else is in it as zeros; those that are long enough to
/// hold something.
pub(crate) fn from_utf16(text: &[u8]) -> impl Iterator<Item = Decoded> {
    // Where the pairs begin, and which of the two bytes is the character.
    [(0, 0), (0, 1), (1, 0), (1, 1)].into_iter().filter_map(|(offset, low)| {
        let mut out = Decoded::default();
        let mut characters = 0;
        for (index, pair) in text.get(offset..)?.as_chunks::<2>().0.iter().enumerate() {
            let (byte, other) = (pair[low], pair[1 - low]);
            let is_character = other == 0 && byte != 0;
            characters += usize::from(is_character);
            out.push(if is_character { byte } else { 0 }, offset + 2 * index);
        }
        let end = offset + 2 * out.bytes.len();
        (characters >= 6).then(|| out.finish(end))
    })
}

#[inline(always)]
fn is_base64(byte: u8) -> bool {
    const BASE64: [bool; 256] = table(b"+/-_");
    BASE64[usize::from(byte)]
}

/// A letter, a digit or `+`.
#[inline(always)]
fn is_plain(byte: u8) -> bool {
    const PLAIN: [bool; 256] = table(b"+");
    PLAIN[usize::from(byte)]
}

/// Calls `found` with every run of a text that may be hexadecimal or base64.
pub(crate) fn each_run(text: &[u8], runs: &Runs, found: &mut dyn FnMut(Range<usize>)) {
    runs.each(text, LEAST, is_base64, |Range { start, end }| {
        let start = if text.get(start..start + 2).is_some_and(|two| two.eq_ignore_ascii_case(b"0x")) {
            start + 2
        } else {
            start
        };
        if end >= start + LEAST {
            found(start..end);
            // In a path, or behind a name, it is only a part.
            each_long_run(text.get(..end).unwrap_or_default(), start, LEAST, is_plain, |part| {
                if part.len() < end - start {
                    found(part);
                }
            });
        }
    });
}

/// Whether a run may say a value of a class of [`crate::Class::has_capital`] in base64: without a capital letter it says none.
pub(crate) fn may_be_base64(run: &[u8]) -> bool {
    run.iter().any(u8::is_ascii_uppercase)
}

/// Calls `found` with every row of at least so many pairs of hexadecimal digits with the same separator between them.
pub(crate) fn each_row(text: &[u8], least: usize, found: &mut dyn FnMut(Range<usize>)) {
    let is_pair = |place: usize| text.get(place..place + 2).is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit));
    let mut start = 0;
    while start < text.len() {
        let separator = at(text, start + 2);
        let mut end = start;
        if is_pair(start) && matches!(separator, b' ' | b':' | b',' | b'-') && !before(text, start).is_ascii_hexdigit()
        {
            end = start + 2;
            while at(text, end) == separator && is_pair(end + 1) {
                end += 3;
            }
        }
        // 13 pairs take 38 characters.
        if end - start >= 3 * least - 1 {
            found(start..end);
        }
        start = end.max(start + 1);
    }
}

/// What a row says.
pub(crate) fn decode_row(row: &[u8]) -> Option<Vec<u8>> {
    if row.len() > 3 * MOST {
        return None;
    }
    row.chunks(3).map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}

/// Runs that are long enough to be a raw payload.
pub(super) fn each_dump(text: &[u8], runs: &Runs, found: &mut dyn FnMut(Range<usize>)) {
    each_run(text, runs, &mut |range| {
        let run = text.get(range.clone()).unwrap_or_default();
        // A path or a name in words is none: bytes that were written so have digits.
        let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
        if run.len() >= DUMP && digits >= run.len() / 16 {
            found(range);
        }
    });
    each_row(text, DUMP / 2, found);
}

/// What a run says as hexadecimal; `None` where it is none.
pub(crate) fn decode_hex(run: &[u8]) -> Option<Vec<u8>> {
    if !run.len().is_multiple_of(2) || run.len() > MOST || !run.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    run.as_chunks::<2>().0.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}

/// What a run says as base64 in either alphabet, with or without its padding; `None` where it is none.
pub(crate) fn decode_base64(run: &[u8]) -> Option<Vec<u8>> {
    let end = run_end(run, 0, is_base64);
    let (run, padding) = run.split_at_checked(end)?;
    if padding.iter().any(|byte| *byte != b'=') || run.len() > MOST || run.len() < 2 {
        return None;
    }
    let mut out = Vec::with_capacity(run.len() * 3 / 4);
    for four in run.chunks(4) {
        let bits = four.iter().try_fold(0, |bits, byte| Some(bits << 6 | sextet(*byte)?))?;
        let [_, bytes @ ..] = (bits << (6 * (4 - four.len()))).to_be_bytes();
        out.extend_from_slice(bytes.get(..four.len() * 3 / 4)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: texts in every clothing. Guarantees: they read as what they say, and ranges lead back to where they stand.
    #[test]
    fn clothings_come_off() {
        let decoded = from_percent(b"a%40b%2").unwrap();
        assert_eq!(decoded.bytes, b"a@b%2");
        assert_eq!(decoded.place(&(1..2)), Some(1..4));
        assert_eq!(decoded.place(&(4..5)), Some(6..7));
        assert!(from_percent(b"100% of it").is_none());
        let wide: Vec<u8> = "xyz 12345".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let decoded = from_utf16(&wide).next().unwrap();
        assert_eq!((decoded.bytes.as_slice(), decoded.place(&(4..9))), (b"xyz 12345".as_slice(), Some(8..18)));
        let wide: Vec<u8> = [b'-'].into_iter().chain("xyz 12345".encode_utf16().flat_map(u16::to_be_bytes)).collect();
        assert!(from_utf16(&wide).any(|decoded| decoded.bytes == b"xyz 12345"));
        assert_eq!(from_utf16(b"\0 few\0").count(), 0);
        assert_eq!(decode_hex(b"34313131"), Some(b"4111".to_vec()));
        assert_eq!((decode_hex(b"343"), decode_hex(b"3x")), (None, None));
        for (written, says) in
            [("dXNlcjpwYXNz", "user:pass"), ("dXNlcg==", "user"), ("dXNlcg", "user"), ("dXNlcjo", "user:")]
        {
            assert_eq!(decode_base64(written.as_bytes()), Some(says.as_bytes().to_vec()), "{written}");
        }
        assert_eq!((decode_base64(b"a b"), decode_base64(b"")), (None, None));
        let mut rows = Vec::new();
        each_row(b"at 34 31:32 33 34 35 6 aa bb cc", 3, &mut |range| rows.push(range));
        assert_eq!(rows, [9..20, 23..31]);
        assert_eq!(decode_row(b"34 31 3a"), Some(b"41:".to_vec()));
    }

    /// Scenario: a value of each class of which it is said, at each place of a group of three, with random characters where it has some,
    /// alone and in hexadecimal, percent and base64 inside. Guarantees: its base64 has a capital letter, so that a run without one says
    /// none of them (P10).
    #[test]
    fn values_have_a_capital_in_base64() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut character = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            char::from(b"jknorsvwz0123456789abcdefghilmpqtuxy"[(random % 36) as usize])
        };
        for value in [
            "4222222222222",
            "6759 6498 2643 8453",
            "eyJhbGciOiJub25lIn0.e30.",
            "bearer zzzzz9",
            "basic a:bcd",
            "negotiate ????????????????",
            "token ????????????????",
            "Token ????????????????",
            "AKIA7777777777777777",
            "ghp_????????????????????????????????????",
            "gho_????????????????????????????????????",
            "github_pat_??????????????????????",
            "glpat-????????????????????",
            "xoxb-9999999999",
            "AIza???????????????????????????????????",
            "ya29.????????????????????",
            "sk_live_????????????????",
            "sk-????????????????????????????????",
            "SG.????????????????????????????????????????",
            "npm_????????????????????????????????????",
            "hvs.????????????????????????",
            "dop_v1_????????????????????????????????????????",
            "-----BEGIN ",
            "://z:z@",
            "DE89370400440532013000",
            "192.168.0.1",
            "fe80::1:2",
            "00:1a:2b:3c:4d:5e",
        ] {
            for _ in 0..200 {
                let value: String = value.chars().map(|one| if one == '?' { character() } else { one }).collect();
                let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
                let percent: String = value.bytes().map(|byte| format!("%{byte:02x}")).collect();
                for text in [&value, &hex, &percent, &encode(&value)] {
                    for before in ["", "n", "no"] {
                        let run = encode(&format!("{before}{text}"));
                        assert!(may_be_base64(run.as_bytes()), "{text} {run}");
                    }
                }
            }
        }
    }

    fn encode(text: &str) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |three: &[u8]| {
            let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            (0..=three.len()).map(move |place| char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]))
        };
        text.as_bytes().chunks(3).flat_map(group).collect()
    }
}
