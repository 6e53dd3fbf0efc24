//! What a certificate says of its dates (X.509, RFC 5280 4.1), for people: whether it is good, TLS decides.

use crate::text::unix_seconds;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Until when a certificate in DER is valid, Unix seconds; `None` where it cannot be read.
pub fn valid_until(der: &[u8]) -> Option<u64> {
    let (_, certificate, _) = element(der).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, after) = element(validity)?;
    let (tag, text, _) = element(after)?;
    time(tag, text)
}

/// The first element of DER: its tag, its content, and what is behind it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if length >= 0x80 {
        let digits = rest.get(..length - 0x80).filter(|digits| (1..=4).contains(&digits.len()))?;
        rest = &rest[digits.len()..];
        length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    }
    Some((*tag, rest.get(..length)?, rest.get(length..)?))
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    let number = |part: &[u8]| part.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2]);
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| number(&rest[2 * at..2 * at + 2]);
    unix_seconds([year, part(0), part(1), part(2), part(3), part(4)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: certificates that end before and after 2050, which are written in two forms, each cut at every byte. Guarantees: the date
    /// is read; nothing else is, and nothing panics.
    #[test]
    fn dates_of_certificates_are_read() {
        for (year, seconds) in [(2031, 1_924_992_000), (2061, 2_871_763_200)] {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            let der = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
            assert_eq!(valid_until(der.der()), Some(seconds), "{year}");
            for end in 0..der.der().len() {
                assert_eq!(valid_until(&der.der()[..end]), None);
            }
        }
        for (tag, text) in [
            (UTC_TIME, "311301000000Z"),
            (UTC_TIME, "310101000000"),
            (GENERALIZED_TIME, "2031010100000Z"),
            (2, "310101000000Z"),
        ] {
            assert_eq!(time(tag, text.as_bytes()), None, "{text}");
        }
    }
}
