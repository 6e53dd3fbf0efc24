//! Durations as people write them: `200ms`, `1.5s`, `10m`, `30d`.

const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3_600e9), ("d", 86_400e9)];

/// A number and a unit (ns, us, ms, s, m, h, d), in nanoseconds; `None` for anything else, for less than nothing, and
/// for more than 500 years.
pub fn parse_ns(text: &str) -> Option<u64> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
    let (number, unit) = text.split_at(digits);
    let factor = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let nanoseconds = number.parse::<f64>().ok()? * factor;
    (nanoseconds < 500.0 * 365.0 * 86_400e9).then_some(nanoseconds.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what people write, right and wrong. Guarantees: no wrong one is taken for something else.
    #[test]
    fn durations_are_read() {
        assert_eq!(parse_ns("200ms"), Some(200_000_000));
        assert_eq!(parse_ns("1.5s"), Some(1_500_000_000));
        assert_eq!(parse_ns("30d"), Some(30 * 86_400_000_000_000));
        assert_eq!(parse_ns("0s"), Some(0));
        for wrong in ["", "10", "s", "-1s", "1 s", "1sec", "1..5s", "1e3s", "nan", "9999999d", "10S"] {
            assert_eq!(parse_ns(wrong), None, "{wrong}");
        }
    }
}
