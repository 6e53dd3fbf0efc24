//! Texts as Prometheus writes and reads them: quoted strings, numbers, durations.

use std::fmt::Write;

/// A text in double quotes, with escapes.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What stands between the quotes of a literal, escapes resolved. Errors name what is wrong.
pub(crate) fn unquote(literal: &str) -> Result<String, String> {
    let mut chars = literal.chars();
    let open = chars.next().ok_or("empty string literal")?;
    let inner = chars.as_str().strip_suffix(open).ok_or("unterminated quoted string")?;
    if open == '`' {
        return Ok(inner.to_owned());
    }
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let kind = rest.next().ok_or("escape sequence not terminated")?;
        let (digits, base, first) = match kind {
            'a' => (0, 0, 7),
            'b' => (0, 0, 8),
            'f' => (0, 0, 12),
            'n' => (0, 0, 10),
            'r' => (0, 0, 13),
            't' => (0, 0, 9),
            'v' => (0, 0, 11),
            '\\' | '\'' | '"' => (0, 0, kind as u32),
            'x' => (2, 16, 0),
            'u' => (4, 16, 0),
            'U' => (8, 16, 0),
            '0'..='7' => (2, 8, kind as u32 - 48),
            other => return Err(format!("unknown escape sequence \\{other}")),
        };
        let mut code = first;
        for _ in 0..digits {
            let digit = rest.next().and_then(|d| d.to_digit(base)).ok_or("illegal character in escape sequence")?;
            code = code.checked_mul(base).and_then(|c| c.checked_add(digit)).ok_or("escape sequence is too large")?;
        }
        if kind == 'x' || kind.is_ascii_digit() {
            bytes.push(u8::try_from(code).map_err(|_| "octal escape value is over 255")?);
        } else {
            let c = char::from_u32(code).ok_or("escape sequence is an invalid Unicode code point")?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    // A byte that is no UTF-8 cannot be in a label; it is shown as what replaces it.
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

/// A number as Go's `%g` writes it: an exponent from `large` on.
fn general(value: f64, large: i32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0".into() } else { "0".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= large {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}

/// A number as in messages (`%g` of Go's fmt).
pub(crate) fn short(value: f64) -> String {
    general(value, 21)
}

/// A number as a sample's value in Prometheus' JSON.
#[must_use]
pub fn sample_value(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && size.is_finite() && !(1e-6..1e21).contains(&size) { general(value, 21) } else { plain(value) }
}

/// A number without exponent.
pub(crate) fn plain(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { general(value, 21) }
}

/// A number as the value of a label made from it (OpenMetrics).
pub(crate) fn label_value(value: f64) -> String {
    if value.is_finite() && value == value.trunc() && value.abs() < 1e15 {
        format!("{value:.1}")
    } else {
        general(value, 21)
    }
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration (`1h30m`, `5m`, `100ms`) in milliseconds. Units go from large to small.
///
/// # Errors
/// Says that it is none, or that it is too long.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty duration string".into());
    }
    let mut rest = text;
    let mut total: i64 = 0;
    let mut last = 0;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        let at = UNITS.iter().position(|(name, _)| *name == unit).ok_or_else(invalid)?;
        if number.is_empty() || at < last {
            return Err(invalid());
        }
        last = at + 1;
        let number: i64 = number.parse().map_err(|_| "duration out of range".to_owned())?;
        total = number
            .checked_mul(UNITS[at].1)
            .and_then(|ms| total.checked_add(ms))
            .filter(|ms| *ms <= i64::MAX / 1_000_000)
            .ok_or("duration out of range")?;
        rest = tail;
    }
    Ok(total)
}

/// A duration as Prometheus writes it.
pub(crate) fn show_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".into();
    }
    let mut out = String::from(if ms < 0 { "-" } else { "" });
    let mut rest = ms.unsigned_abs();
    for (at, (unit, size)) in UNITS.iter().enumerate() {
        let size = size.unsigned_abs();
        // Years and weeks only where nothing is left: 90d reads better than 12w6d.
        if at < 2 && !rest.is_multiple_of(size) {
            continue;
        }
        if rest >= size {
            let _ = write!(out, "{}{unit}", rest / size);
            rest %= size;
        }
    }
    out
}

/// A number literal: decimal, hexadecimal, with underscores, or `Inf` and `NaN`.
pub(crate) fn parse_number(text: &str) -> Result<f64, String> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "inf" => return Ok(f64::INFINITY),
        "nan" => return Ok(f64::NAN),
        _ => {}
    }
    let bare = lower.replace('_', "");
    let parsed = if let Some(hex) = bare.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok().map(|n| n as f64)
    } else if bare.len() > 1 && bare.starts_with('0') && bare.bytes().all(|b| b.is_ascii_digit()) {
        // As in Go: a leading zero means octal, and where that is none, decimal.
        i64::from_str_radix(&bare, 8).ok().map(|n| n as f64).or_else(|| bare.parse().ok())
    } else {
        bare.parse().ok()
    };
    parsed.ok_or_else(|| format!("error parsing number: {}", quote(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers of all sizes. Promise: they are written as Prometheus writes them.
    #[test]
    fn numbers() {
        assert_eq!(short(0.1), "0.1");
        assert_eq!(short(1e21), "1e+21");
        assert_eq!(short(1.5e-7), "1.5e-07");
        assert_eq!(sample_value(0.000_000_1), "1e-07");
        assert_eq!(sample_value(f64::INFINITY), "+Inf");
        assert_eq!(sample_value(123_456_789.0), "123456789");
        assert_eq!(label_value(1.0), "1.0");
        assert_eq!(parse_number("0x1F"), Ok(31.0));
        assert_eq!(parse_number("1_000"), Ok(1000.0));
    }

    /// Scenario: durations, good and bad. Promise: good ones are exact, bad ones are errors.
    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h30m"), Ok(5_400_000));
        assert_eq!(parse_duration("1m1ms"), Ok(60_001));
        for bad in ["", "5", "m5", "5m5m", "5s1m", "1.5m", "99999999999999999999s", "999999999y"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(show_duration(5_400_000), "1h30m");
        assert_eq!(show_duration(90 * 86_400_000), "90d");
        assert_eq!(show_duration(-1_500), "-1s500ms");
    }

    /// Scenario: literals with escapes. Promise: they mean what they mean in Go.
    #[test]
    fn literals() {
        assert_eq!(unquote(r#""a\n\x41\u00e9\101""#).as_deref(), Ok("a\nA\u{e9}A"));
        assert_eq!(unquote(r"`a\n`").as_deref(), Ok(r"a\n"));
        assert!(unquote(r#""\q""#).is_err());
        assert!(unquote(r#""\"#).is_err());
    }
}
