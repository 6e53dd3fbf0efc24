//! Addresses of people and machines.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{at, before, run_end, run_start};

/// Calls `each` with every place of a byte.
fn places(text: &[u8], wanted: u8, mut each: impl FnMut(usize)) {
    text.iter().enumerate().filter(|(_, byte)| **byte == wanted).for_each(|(place, _)| each(place));
}

/// E-mail addresses as they are in use: a local part of usual characters, and a domain whose last label is letters.
pub(super) fn each_email(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut last = 0;
    places(text, b'@', |sign| {
        let local = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b"._%+-'&~!#$*=/?^`{|}".contains(&byte);
        let start = run_start(text, sign, local).max(last);
        // What only leads to it is not part of it.
        let start = run_end(text, start, |byte| b"'=/?{|}&.`".contains(&byte)).min(sign);
        let start = text
            .get(start..sign)
            .and_then(|name| name.iter().rposition(|byte| b"=/?{|}&'".contains(byte)))
            .map_or(start, |place| start + place + 1);
        let domain = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-');
        let mut end = run_end(text, sign + 1, domain);
        while end > sign && matches!(before(text, end), b'.' | b'-') {
            end -= 1;
        }
        let name = text.get(sign + 1..end).unwrap_or_default();
        let mut labels = name.rsplit(|byte| *byte == b'.');
        let has_end =
            labels.next().is_some_and(|label| label.len() >= 2 && label.iter().all(|byte| !byte.is_ascii_digit()));
        if start < sign && has_end && labels.next().is_some_and(|label| !label.is_empty()) {
            found(start..end);
            last = end;
        }
    });
}

/// IPv4 addresses; a longer row of numbers with dots is none.
pub(super) fn each_ipv4(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    each_run(
        text,
        |byte| byte.is_ascii_digit() || byte == b'.',
        |range, run| {
            let trimmed = run.trim_ascii_end().strip_suffix(b".").unwrap_or(run);
            if parsed::<Ipv4Addr>(trimmed) {
                found(range.start..range.start + trimmed.len());
            }
        },
    );
}

/// IPv6 addresses.
pub(super) fn each_ipv6(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    each_run(
        text,
        |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'),
        |range, run| {
            let trimmed = run.strip_suffix(b".").unwrap_or(run);
            // `::` is in every program text.
            let trimmed =
                if trimmed.starts_with(b"::") { trimmed } else { trimmed.strip_suffix(b":").unwrap_or(trimmed) };
            if trimmed.len() > 2 && trimmed.contains(&b':') && parsed::<Ipv6Addr>(trimmed) {
                found(range.start..range.start + trimmed.len());
            }
        },
    );
}

/// MAC addresses: six pairs of hexadecimal digits.
pub(super) fn each_mac(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    each_run(
        text,
        |byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'-'),
        |range, run| {
            let separator = at(run, 2);
            let is_mac = run.len() == 17
                && matches!(separator, b':' | b'-')
                && run
                    .iter()
                    .enumerate()
                    .all(|(place, byte)| if place % 3 == 2 { *byte == separator } else { byte.is_ascii_hexdigit() });
            if is_mac {
                found(range);
            }
        },
    );
}

/// Phone numbers in international form: `+`, or `00`, and 8 to 15 digits, with separators between groups (E.164).
pub(super) fn each_phone(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(start) = text.get(from..).and_then(|rest| rest.iter().position(|byte| matches!(byte, b'+' | b'0'))) {
        let start = from + start;
        from = start + 1;
        let digits = if at(text, start) == b'+' { start + 1 } else { start + 2 };
        let begins = at(text, start) == b'+' || at(text, start + 1) == b'0';
        if !begins || before(text, start).is_ascii_alphanumeric() || !matches!(at(text, digits), b'1'..=b'9') {
            continue;
        }
        let (mut end, mut count, mut place) = (digits, 0, digits);
        while let Some(byte) = text.get(place) {
            match byte {
                b'0'..=b'9' => {
                    count += 1;
                    end = place + 1;
                }
                b' ' | b'-' | b'(' | b')' | b'/' if place < end + 2 => {}
                _ => break,
            }
            place += 1;
        }
        if (8..=15).contains(&count) && !at(text, end).is_ascii_alphabetic() {
            found(start..end);
            from = end;
        }
    }
}

/// Calls `each` with every run of bytes that fit and is no part of a word.
fn each_run(text: &[u8], fits: impl Fn(u8) -> bool, mut each: impl FnMut(Range<usize>, &[u8])) {
    let mut place = 0;
    while place < text.len() {
        let start = run_end(text, place, |byte| !fits(byte));
        let end = run_end(text, start, &fits);
        place = end.max(start + 1);
        let is_part = before(text, start).is_ascii_alphanumeric() || at(text, end).is_ascii_alphanumeric();
        if let Some(run) = text.get(start..end).filter(|run| run.len() >= 3 && !is_part) {
            each(start..end, run);
        }
    }
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

#[cfg(test)]
mod tests {
    use crate::class::Class;
    use crate::detect::Runs;

    fn found(class: Class, text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        super::super::each(class, text.as_bytes(), &Runs::of(text.as_bytes()), &mut |range| all.push(&text[range]));
        all
    }

    /// Scenario: addresses of every kind in the texts that they come in, and what only looks like them. Guarantees: the first are found,
    /// from end to end, the others are not (P10).
    #[test]
    fn addresses_are_told() {
        for (class, text, expected) in [
            (Class::Email, "to jane.doe+tag@mail.example.com.", vec!["jane.doe+tag@mail.example.com"]),
            (Class::Email, "mailto:a@b.co,c@d.org", vec!["a@b.co", "c@d.org"]),
            (Class::Email, "GET /u?mail=bob@example.org&x=1", vec!["bob@example.org"]),
            (Class::Email, "<\"j\u{fc}rgen@m\u{fc}ller.de\">", vec!["j\u{fc}rgen@m\u{fc}ller.de"]),
            (Class::Email, "git@github and a @ b.c, user@host, x@1.2", vec![]),
            (Class::Ipv4, "from 10.0.0.12:80 to 192.168.1.1.", vec!["10.0.0.12", "192.168.1.1"]),
            (Class::Ipv4, "1.2.3 1.2.3.4.5 1.2.3.256 v1.2.3.4", vec![]),
            (Class::Ipv6, "[2001:db8::1]:443 fe80::1%eth0", vec!["2001:db8::1", "fe80::1"]),
            (Class::Ipv6, "std::net 10:20:30 a:b :: 12:34", vec![]),
            (Class::Mac, "00:1A:2b:3c:4d:5e 00-1a-2b-3c-4d-5e", vec!["00:1A:2b:3c:4d:5e", "00-1a-2b-3c-4d-5e"]),
            (Class::Mac, "00:1a:2b:3c:4d 00:1a:2b-3c:4d:5e", vec![]),
            (
                Class::Phone,
                "call +49 (30) 901820-10 or 0044 20 7946 0958",
                vec!["+49 (30) 901820-10", "0044 20 7946 0958"],
            ),
            (Class::Phone, "1+12345678x +12 0.12345678", vec![]),
        ] {
            assert_eq!(found(class, text), expected, "{text}");
        }
    }
}
