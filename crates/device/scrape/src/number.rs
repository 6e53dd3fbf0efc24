//! Numbers as expositions have them.

/// The NaN that Prometheus stores for each that is read: never the one that marks a series as ended.
pub(crate) const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// Reads a value as Go does: decimal, with or without exponent, `Inf` and `NaN` in any case. No hexadecimal, no underscores.
pub(crate) fn value(text: &str) -> Option<f64> {
    // Most values are small whole numbers.
    if text.len() <= 9 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.bytes().fold(0_u32, |sum, byte| sum * 10 + u32::from(byte - b'0'));
        return Some(f64::from(number));
    }
    let number: f64 = text.parse().ok()?;
    if number.is_nan() {
        return Some(f64::from_bits(NORMAL_NAN));
    }
    // One that is too large is none; infinity is written out.
    let is_written = text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    (number.is_finite() || is_written).then_some(number)
}

/// A time in whole milliseconds as nanoseconds; times before 1970 are the first moment of it.
pub(crate) fn of_millis(millis: i64) -> u64 {
    u64::try_from(millis).unwrap_or(0).max(1).saturating_mul(1_000_000)
}

/// A time in seconds as nanoseconds, to the millisecond, as Prometheus cuts it.
pub(crate) fn of_seconds(text: &str) -> Option<u64> {
    let seconds = value(text).filter(|seconds| seconds.is_finite())?;
    Some(of_millis((seconds * 1000.0) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers of every form and texts that are none. Guarantees: read as Go reads them.
    #[test]
    fn values_are_read_as_go_reads_them() {
        for (text, number) in
            [("0", 0.0), ("123456789", 123_456_789.0), ("+1.5e3", 1500.0), (".5", 0.5), ("5.", 5.0), ("-0", -0.0)]
        {
            assert_eq!(value(text), Some(number), "{text}");
        }
        assert_eq!(value("+Inf"), Some(f64::INFINITY));
        assert_eq!(value("-infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(value("nan").unwrap().to_bits(), NORMAL_NAN);
        for text in ["", "1e999", "0x1p4", "1_000", "1,5", "--1", "e5", "+", "in"] {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(of_seconds("1520879607.789"), Some(1_520_879_607_789_000_000));
        assert_eq!(of_seconds("-1"), Some(1_000_000));
        assert_eq!(of_seconds("1e300"), Some(u64::MAX));
    }
}
