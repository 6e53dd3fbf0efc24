//! Durations and sizes as LogQL and Go write them, read and written.

use std::fmt::Write;

/// Units of durations with their nanoseconds.
const TIMES: [(&str, i64); 10] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
    ("y", 31_536_000_000_000_000),
];

/// Units of sizes, in lower case, with their bytes.
const SIZES: [(&str, u64); 20] = [
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("eb", 1_000_000_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("eib", 1 << 60),
    ("k", 1_000),
    ("m", 1_000_000),
    ("g", 1_000_000_000),
    ("t", 1_000_000_000_000),
    ("p", 1_000_000_000_000_000),
    ("e", 1_000_000_000_000_000_000),
    ("", 1),
];

/// A duration in nanoseconds: numbers with units, one after the other (`1h30m`, `1.5s`), perhaps with a sign; `None` for anything else,
/// and beyond 292 years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit = if unit == "\u{3bc}s" { "us" } else { unit };
        let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        sum = sum.checked_add(whole.checked_mul(*factor)?)?;
        if !fraction.is_empty() {
            let part: f64 = format!("0.{fraction}").parse().ok()?;
            sum = sum.checked_add((part * *factor as f64) as i64)?;
        }
        rest = after;
    }
    Some(if negative { -sum } else { sum })
}

/// A size in bytes (`5KB`, `1.5MiB`, `10 B`); `None` for anything else.
#[must_use]
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
    let number: f64 = number.replace(',', "").parse().ok()?;
    let bytes = number * *factor as f64;
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A duration as LogQL writes it: the fewest units that say it exactly.
#[must_use]
pub fn write_duration(ns: i64) -> String {
    if ns == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if ns < 0 {
        out.push('-');
    }
    let mut left = ns.unsigned_abs();
    for (unit, factor) in [("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)] {
        if left >= factor {
            // Writing into a String cannot fail.
            let _ = write!(out, "{}{unit}", left / factor);
            left %= factor;
        }
    }
    for (unit, factor) in [("ms", 1_000_000), ("us", 1_000), ("ns", 1)] {
        if left >= factor {
            let _ = write!(out, "{}{unit}", left / factor);
            left %= factor;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: durations and sizes, right and wrong. Promise: each is what it says, and no wrong one is taken for something else.
    #[test]
    fn lengths_are_read() {
        for (text, ns) in [
            ("5m", 300_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("-2d", -172_800_000_000_000),
            ("10\u{b5}s", 10_000),
            (".5s", 500_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_duration(text), Some(ns), "{text}");
        }
        for text in ["", "5", "m", "1x", "1h30", "1..5s", ".s", "99999999999y", "-", "1 s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        for (text, bytes) in [("5KB", 5_000), ("1.5MiB", 1_572_864), ("7", 7), ("10 B", 10), ("2G", 2_000_000_000)] {
            assert_eq!(parse_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "KB", "5XB", "99999999EB", "1.2.3MB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
        for text in ["1h30m", "5m", "1s500ms", "-7ns", "36h"] {
            assert_eq!(write_duration(parse_duration(text).unwrap()), text);
        }
    }
}
