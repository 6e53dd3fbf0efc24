//! Numbers of payment cards: told by issuer, length, check digit, grouping and what stands around them; with the tracks of a magnetic
//! stripe (ISO/IEC 7813).

use std::ops::Range;

use super::runs::each_long_run;
use super::{at, before, run_end, run_start};

/// The fewest digits of a card number that is looked for.
const LEAST: usize = 13;
/// The most digits of a card number (ISO/IEC 7812).
const MOST: usize = 19;

/// Hexadecimal digits of a span's id and of a trace's.
const SPAN_ID: usize = 16;
const TRACE_ID: usize = 32;

/// Groups that people write: with the same separator between them.
const LAYOUTS: [&[usize]; 9] = [
    &[4, 4, 4, 4],
    &[4, 6, 5],
    &[4, 6, 4],
    &[4, 4, 4, 4, 3],
    &[4, 4, 4, 1],
    &[4, 3, 3, 3],
    &[8, 8],
    &[6, 10],
    &[6, 13],
];

/// Digits of a candidate.
#[derive(Default)]
struct Digits {
    digits: [u8; MOST],
    count: usize,
}

impl Digits {
    /// Adds digits; false where there are too many.
    fn push(&mut self, digits: &[u8]) -> bool {
        let Some(place) = self.digits.get_mut(self.count..self.count + digits.len()) else { return false };
        place.copy_from_slice(digits);
        self.count += digits.len();
        true
    }

    fn is_card_number(&self) -> bool {
        self.digits.get(..self.count).is_some_and(is_card_number)
    }
}

/// Whether digits are the number of a card: of an issuer, of a length that it gives out, with the right check digit.
pub(crate) fn is_card_number(digits: &[u8]) -> bool {
    let Some((first, rest)) = digits.split_first() else { return false };
    is_issued(digits) && rest.iter().any(|digit| digit != first) && has_check_digit(digits)
}

/// Whether an issuer gives out numbers that begin so and are so long. Issuers whose numbers begin with 1 (air travel) are left out:
/// today's times in milliseconds and microseconds do, too.
fn is_issued(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        digits.iter().take(length).fold(0u32, |sum, digit| sum * 10 + u32::from(digit.wrapping_sub(b'0')))
    };
    let length = digits.len();
    if !(LEAST..=MOST).contains(&length) {
        return false;
    }
    match prefix(4) {
        4000..=4999 => matches!(length, 13 | 16 | 18 | 19),
        3400..=3499 | 3700..=3799 => length == 15,
        5100..=5599 | 2221..=2720 => length == 16,
        6200..=6299 | 8100..=8199 => length >= 16,
        // Longer ones are foreseen, and not given out; ids of 64 bits are as long and begin so.
        6011 | 6440..=6599 | 3528..=3589 | 2200..=2204 | 6000..=6099 | 5080..=5089 | 8200..=8299 | 9792 => length == 16,
        3000..=3059 | 3090..=3099 | 3600..=3699 | 3800..=3999 => matches!(length, 14 | 16),
        5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763 => true,
        _ => false,
    }
}

/// Luhn's check (ISO/IEC 7812-1, annex B).
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = (digits.iter().rev().enumerate())
        .map(|(place, digit)| {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            match place % 2 {
                0 => digit,
                _ => digit * 2 / 10 + digit * 2 % 10,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// A digit, or what may stand between groups of them.
#[inline(always)]
fn is_of_number(byte: u8) -> bool {
    const OF_NUMBER: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = (byte as u8).is_ascii_digit() || is_separator(byte as u8);
            byte += 1;
        }
        table
    };
    OF_NUMBER[usize::from(byte)]
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'_' | b'/')
}

/// Card numbers, with the rest of the track where there is one.
pub(super) fn each(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    each_long_run(text, 0, LEAST, is_of_number, |all| {
        from = all.start.max(from);
        while let Some(start) = text.get(from..all.end).and_then(|rest| rest.iter().position(u8::is_ascii_digit)) {
            from = each_at(text, from + start, found);
        }
    });
}

/// Calls `found` with the number that begins at a digit. Returns where the next one may begin.
fn each_at(text: &[u8], start: usize, found: &mut dyn FnMut(Range<usize>)) -> usize {
    let run = run_end(text, start, |byte| byte.is_ascii_digit());
    let end = if begins(text, start) { whole(text, start, run).or_else(|| grouped(text, start, run)) } else { None };
    match end {
        Some(end) => {
            let (start, end) = with_track(text, start, end);
            found(start..end);
            end
        }
        None => run,
    }
}

/// Whether a number can begin here: not inside of a word, and it is no fraction, no phone number.
fn begins(text: &[u8], start: usize) -> bool {
    match before(text, start) {
        b'B' | b'b' => before(text, start - 1) == b'%',
        b'+' => false,
        b'.' => !before(text, start - 1).is_ascii_digit(),
        byte => !byte.is_ascii_alphanumeric(),
    }
}

/// Whether a number can end here.
fn ends(text: &[u8], end: usize) -> bool {
    !at(text, end).is_ascii_alphanumeric() || track_two(text, end).is_some()
}

/// The end of a number without separators.
fn whole(text: &[u8], start: usize, run: usize) -> Option<usize> {
    let digits = text.get(start..run)?;
    // The randomness and threshold of consistent sampling: 14 hexadecimal digits in a trace state, which may all be decimal.
    let is_sampling = digits.len() == 14 && start >= 3 && matches!(text.get(start - 3..start), Some(b"rv:" | b"th:"));
    let is_id = || digits.len() == SPAN_ID && (is_named_id(text, start) || is_traceparent(text, start, run));
    (!is_sampling && digits.len() <= MOST && is_card_number(digits) && ends(text, run) && !is_id()).then_some(run)
}

/// Whether the name before a number, with a sign and quotes between them, says that it is the id of a span.
fn is_named_id(text: &[u8], start: usize) -> bool {
    let sign = run_start(text, start, |byte| matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'=' | b':'));
    let name = run_start(text, sign, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    sign < start && start - sign <= 6 && text.get(name..sign).is_some_and(is_name_of_id)
}

/// Whether a key or a name is that of a span's id. One in two thousand of them has no letters, and half a percent of those pass as card
/// numbers.
pub(crate) fn is_name_of_id(name: &[u8]) -> bool {
    let ends = |end: &[u8]| {
        name.len()
            .checked_sub(end.len())
            .and_then(|at| name.get(at..))
            .is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    [b"span_id".as_slice(), b"spanid", b"span.id", b"parent_id", b"parentid", b"parent.id", b"trace_id", b"traceid"]
        .into_iter()
        .any(ends)
}

/// Whether a number is the parent id in a `traceparent` of W3C: 32 hexadecimal digits stand before it, and flags behind.
fn is_traceparent(text: &[u8], start: usize, end: usize) -> bool {
    let trace = start.checked_sub(TRACE_ID + 2).and_then(|place| text.get(place..start));
    at(text, end) == b'-'
        && trace.is_some_and(|trace| {
            trace.starts_with(b"-") && trace.ends_with(b"-") && trace[1..=TRACE_ID].iter().all(u8::is_ascii_hexdigit)
        })
}

/// The end of a number in groups.
fn grouped(text: &[u8], start: usize, run: usize) -> Option<usize> {
    let separator = at(text, run);
    if !is_separator(separator) {
        return None;
    }
    // With what stands before it, it is a longer number.
    let is_longer = separator != b' ' && before(text, start) == separator && before(text, start - 1).is_ascii_digit();
    if is_longer {
        return None;
    }
    LAYOUTS.iter().find_map(|layout| in_layout(text, start, separator, layout))
}

fn in_layout(text: &[u8], start: usize, separator: u8, layout: &[usize]) -> Option<usize> {
    let (mut digits, mut place) = (Digits::default(), start);
    for (index, length) in layout.iter().enumerate() {
        if index > 0 {
            if at(text, place) != separator {
                return None;
            }
            place += 1;
        }
        let group = text.get(place..place + length)?;
        if !group.iter().all(u8::is_ascii_digit) || !digits.push(group) {
            return None;
        }
        place += length;
    }
    let goes_on = at(text, place) == separator && separator != b' ' && at(text, place + 1).is_ascii_digit();
    (!goes_on && ends(text, place) && digits.is_card_number()).then_some(place)
}

/// The end of what follows a number on track 2: a separator, expiry, service code and discretionary data.
fn track_two(text: &[u8], end: usize) -> Option<usize> {
    if !matches!(at(text, end), b'=' | b'D' | b'd') {
        return None;
    }
    let rest = run_end(text, end + 1, |byte| byte.is_ascii_digit());
    (rest - end > 7).then_some(rest)
}

/// A number with the rest of its track.
fn with_track(text: &[u8], start: usize, end: usize) -> (usize, usize) {
    if let Some(end) = track_two(text, end) {
        return (start, end);
    }
    if at(text, end) != b'^' {
        return (start, end);
    }
    // Track 1: the name up to the next ^, then expiry, service code and discretionary data up to the end sentinel.
    let name = run_end(text, end + 1, |byte| byte != b'^' && byte != b'?');
    (start, run_end(text, name, |byte| byte != b'?' && byte != b'"' && byte != b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        each(text.as_bytes(), &mut |range| all.push(&text[range]));
        all
    }

    /// Scenario: test numbers of every large issuer, alone, in groups, in text, in JSON, in lists, on tracks. Guarantees: each is found,
    /// from its first digit to its last (P10).
    #[test]
    fn card_numbers_are_found() {
        for number in [
            "4111111111111111",
            "4012888888881881",
            "4222222222222",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "371449635398431",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "38520000023237",
            "6200000000000005",
            "6759649826438453",
            "2200000000000004",
        ] {
            assert_eq!(found(number), [number]);
            for (before, after) in [("pan=", ""), ("{\"card\":\"", "\"}"), ("a ", " b"), ("(", ")"), ("card:", ",ok")] {
                assert_eq!(found(&format!("{before}{number}{after}")), [number], "{before}{after}");
            }
        }
        for text in [
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "4111.1111.1111.1111",
            "3782 822463 10005",
            "3056-930902-5904",
            "41111111 11111111",
        ] {
            assert_eq!(found(&format!("paid with {text} today")), [text]);
            assert_eq!(found(&format!("12 {text} 34")), [text]);
        }
        for text in ["pan_id=4111111111111111", "span: 4111111111111111", "span_id,4111111111111111"] {
            assert_eq!(found(text), ["4111111111111111"], "{text}");
        }
        assert_eq!(found("4111111111111111,5555555555554444"), ["4111111111111111", "5555555555554444"]);
        assert_eq!(found(";4111111111111111=25121010000012300001?"), ["4111111111111111=25121010000012300001"]);
        assert_eq!(found("4111111111111111D2512101000001230"), ["4111111111111111D2512101000001230"]);
        assert_eq!(
            found("%B4111111111111111^DOE/JOHN^25121010000000123?;x"),
            ["4111111111111111^DOE/JOHN^25121010000000123"]
        );
    }

    /// Scenario: numbers with a wrong check digit, of no issuer, of a wrong length, in ids, in longer numbers, fractions, times, phone
    /// numbers. Guarantees: none is taken for a card number.
    #[test]
    fn other_numbers_are_not() {
        for text in [
            "4111111111111112",
            "1111111111111117",
            "411111111111111",
            "4111111111111111a",
            "a4111111111111111",
            "order4111111111111111",
            "94111111111111111111",
            "0.4111111111111111",
            "+4111111111111111",
            "1764441600000",
            "1764441600000000000",
            "4111-1111-1111-1111-1111",
            "2026-11-29 19:49:45.123456",
            "550e8400-e29b-41d4-a716-446655440000",
            "4444444444444444",
            "6533669667045638188",
            "{\"span_id\":\"5539389264541596\"}",
            "parent.spanId: 5539389264541596",
            "00-0af7651916cd43dd8448eb211c80319c-5539389264541596-01",
            "6508153524038140000",
            "ot=rv:30569309025904",
            "0000000000000000",
            "4111 1111 11111111",
            "10.20.30.40 4111:1111:1111:1111",
        ] {
            assert_eq!(found(text), Vec::<&str>::new(), "{text}");
        }
    }
}
