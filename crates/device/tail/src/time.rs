//! Times as log lines have them.

/// RFC 3339, with a comma or a point before the fraction, `T` or a blank between date and time; UTC where no zone stands. Unix
/// nanoseconds.
pub(crate) fn rfc3339(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if !text.contains(',') {
        return filter::rfc3339_ns(text);
    }
    filter::rfc3339_ns(&text.replacen(',', ".", 1))
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size.
pub(crate) fn epoch(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    // 1973 in the smaller unit, and 5138 in the larger one.
    let unit: u64 = match whole {
        100_000_000..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        100_000_000_000_000_000.. => 1,
        _ => return None,
    };
    let digits: String = fraction.chars().take(9).collect();
    let part = match digits.is_empty() {
        true => 0,
        false => {
            (digits.parse::<u64>().ok()? * 10_u64.pow(9 - digits.len() as u32)) / (1_000_000_000 / unit.max(1)).max(1)
        }
    };
    whole.checked_mul(unit)?.checked_add(if unit == 1 { 0 } else { part })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times in the forms of log lines, and texts that are none. Guarantees: each is the same moment (Unix nanoseconds).
    #[test]
    fn times_are_read() {
        let moment = 1_767_225_600_250_000_000;
        for text in ["2026-01-01T00:00:00.25Z", "2026-01-01 01:00:00,250+01:00", "2026-01-01 00:00:00.250"] {
            assert_eq!(rfc3339(text.as_bytes()), Some(moment), "{text}");
        }
        for text in ["1767225600.25", "1767225600250", "1767225600250000", "1767225600250000000"] {
            assert_eq!(epoch(text), Some(moment), "{text}");
        }
        for text in ["", "12", "x", "-5", "1.2.3", "99999999999999999999999"] {
            assert_eq!((rfc3339(text.as_bytes()), epoch(text)), (None, None), "{text}");
        }
    }
}
