//! Values that are told by the grammar around them: URLs, SQL, bank accounts.

use std::ops::Range;

use super::{at, before, find, run_end};

/// User and password of URLs (RFC 3986, 3.2.1).
pub(super) fn each_user_info(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(scheme) = find(text, from, b"://") {
        let start = scheme + 3;
        let end = run_end(text, start, |byte| byte > b' ' && !b"/?#\"'<>\\@".contains(&byte));
        from = end.max(start);
        if at(text, end) == b'@' && end > start {
            // A password may have an @ itself: the last one before the path counts.
            let whole = run_end(text, start, |byte| byte > b' ' && !b"/?#\"'<>\\".contains(&byte));
            let end = text.get(start..whole).and_then(|part| part.iter().rposition(|byte| *byte == b'@'));
            let end = end.map_or(whole, |place| start + place);
            found(start..end);
            from = end;
        }
    }
}

/// Values in queries of URLs: what stands behind `=` after a `?`.
pub(super) fn each_query_value(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let is_part = |byte: u8| byte > b' ' && !b"\"'<>\\#".contains(&byte);
    let mut from = 0;
    while let Some(mark) = text.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b'?')) {
        let mark = from + mark;
        let end = run_end(text, mark + 1, is_part);
        let mut place = mark + 1;
        while place < end {
            let pair = run_end(text, place, |byte| is_part(byte) && byte != b'&' && byte != b';');
            if let Some(sign) = text.get(place..pair).and_then(|pair| pair.iter().position(|byte| *byte == b'='))
                && place + sign + 1 < pair
            {
                found(place + sign + 1..pair);
            }
            place = pair + 1;
        }
        from = end.max(mark + 1);
    }
}

/// Literals of SQL: texts in single quotes, and numbers that are no part of a name.
pub(super) fn each_sql_literal(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut place = 0;
    while place < text.len() {
        match at(text, place) {
            b'\'' => {
                let mut end = place + 1;
                // A quote that is doubled or escaped goes on.
                while end < text.len() {
                    match (at(text, end), at(text, end + 1)) {
                        (b'\'', b'\'') | (b'\\', _) => end += 2,
                        (b'\'', _) => break,
                        _ => end += 1,
                    }
                }
                let end = (end + 1).min(text.len());
                found(place..end);
                place = end;
            }
            b'0'..=b'9' => {
                let end = run_end(text, place, |byte| byte.is_ascii_alphanumeric() || byte == b'.');
                let is_name = matches!(before(text, place), b'_' | b'$' | b':' | b'@' | b'"' | b'.');
                if !is_name && !before(text, place).is_ascii_alphanumeric() {
                    found(place..end);
                }
                place = end;
            }
            byte if byte.is_ascii_alphabetic() || byte == b'_' => {
                place = run_end(text, place, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
            }
            _ => place += 1,
        }
    }
}

/// Countries with the length of their account numbers (ISO 13616, the register's issue 97), two letters and two digits each.
const COUNTRIES: &str = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18\
FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19\
MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29\
VA22VG24XK20YE30";

fn iban_length(country: &[u8]) -> Option<usize> {
    let entries = COUNTRIES.as_bytes().as_chunks::<4>().0;
    let entry = entries.iter().find(|entry| entry.starts_with(country))?;
    Some(usize::from(entry[2] - b'0') * 10 + usize::from(entry[3] - b'0'))
}

/// International bank account numbers: a country, its length, and the check digits (ISO 13616, modulo 97); in groups of four as well.
pub(super) fn each_iban(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut place = 0;
    while let Some([first, second, third, fourth]) = text.get(place..).and_then(|rest| rest.first_chunk::<4>()) {
        let may_begin = first.is_ascii_alphabetic()
            && second.is_ascii_alphabetic()
            && third.is_ascii_digit()
            && fourth.is_ascii_digit()
            && !before(text, place).is_ascii_alphanumeric();
        match may_begin.then(|| iban_end(text, place)).flatten() {
            Some(end) => {
                found(place..end);
                place = end;
            }
            None => place += 1,
        }
    }
}

fn iban_end(text: &[u8], start: usize) -> Option<usize> {
    let country = [at(text, start).to_ascii_uppercase(), at(text, start + 1).to_ascii_uppercase()];
    let length = iban_length(&country)?;
    let (mut taken, mut place) = ([0u8; 34], start);
    for index in 0..length {
        if index > 0 && index % 4 == 0 && matches!(at(text, place), b' ' | b'-') {
            place += 1;
        }
        let byte = at(text, place);
        if !byte.is_ascii_alphanumeric() {
            return None;
        }
        *taken.get_mut(index)? = byte.to_ascii_uppercase();
        place += 1;
    }
    if at(text, place).is_ascii_alphanumeric() {
        return None;
    }
    let taken = taken.get(..length)?;
    let (head, body) = taken.split_at_checked(4)?;
    let rest = body.iter().chain(head).fold(0u32, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    (rest == 1).then_some(place)
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

    /// Scenario: URLs, statements and account numbers, and what only looks like them. Guarantees: their values are found, and nothing
    /// else of them (P10).
    #[test]
    fn values_in_their_grammar_are_found() {
        for (class, text, expected) in [
            (Class::UrlUserInfo, "postgres://app:s3cret@db:5432/x and http://h/a@b", vec!["app:s3cret"]),
            (Class::UrlUserInfo, "amqp://u:p@ss@host/", vec!["u:p@ss"]),
            (Class::UrlUserInfo, "a://b c@d", vec![]),
            (Class::UrlQuery, "GET /a?b=1&c=&d=x%20y#f=2", vec!["1", "x%20y"]),
            (Class::UrlQuery, "why? a=b", vec![]),
            (
                Class::Sql,
                "SELECT c1 FROM t2 WHERE a='it''s' AND b = 12.5 AND c IN (3,'x') AND d=$1",
                vec!["'it''s'", "12.5", "3", "'x'"],
            ),
            (Class::Iban, "to DE89 3704 0044 0532 0130 00 now", vec!["DE89 3704 0044 0532 0130 00"]),
            (Class::Iban, "GB82WEST12345698765432,NO9386011117947", vec!["GB82WEST12345698765432", "NO9386011117947"]),
            (
                Class::Iban,
                "DE88370400440532013000 DE8937040044053201300 XX12345678901234567890 aDE89370400440532013000",
                vec![],
            ),
        ] {
            assert_eq!(found(class, text), expected, "{text}");
        }
    }
}
