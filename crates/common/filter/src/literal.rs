//! Values with units: durations, sizes, levels, moments.

/// Log levels by name: the lowest `SeverityNumber` of each range (OpenTelemetry logs data model, "SeverityNumber").
const LEVELS: [(&str, u8); 10] = [
    ("trace", 1),
    ("debug", 5),
    ("info", 9),
    ("information", 9),
    ("warn", 13),
    ("warning", 13),
    ("error", 17),
    ("err", 17),
    ("fatal", 21),
    ("critical", 21),
];

/// The lowest `SeverityNumber` of a level; `None` for an unknown name.
pub fn level_number(name: &str) -> Option<u8> {
    LEVELS.iter().find(|(level, _)| level.eq_ignore_ascii_case(name)).map(|(_, number)| *number)
}

/// The name of the range that a `SeverityNumber` lies in; empty for 0.
pub fn level_name(number: u64) -> &'static str {
    match number {
        0 => "",
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        _ => "fatal",
    }
}

/// Nanoseconds of a duration such as `200ms`, `1.5h`, `1h30m`; `None` when it is none.
pub(crate) fn duration_ns(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut sum = 0.0;
    loop {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|at| *at > 0)?;
        let (number, tail) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        sum += number
            * match unit {
                "ns" => 1.0,
                "us" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" | "min" => 60e9,
                "h" => 3600e9,
                "d" => 86_400e9,
                "w" => 604_800e9,
                _ => return None,
            };
        if after.is_empty() {
            return Some(sum);
        }
        rest = after;
    }
}

/// Bytes of a size such as `5KB` or `1MiB`.
fn size(text: &str) -> Option<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).filter(|at| *at > 0)?;
    let (number, unit) = text.split_at(at);
    let factor = match unit {
        "B" => 1.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// A number: plain, a duration (nanoseconds) or a size (bytes). Never infinite nor NaN.
pub(crate) fn number(text: &str) -> Option<f64> {
    // Rust reads "inf" and "nan" as numbers; in a query they are words.
    let plain = text.parse::<f64>().ok().filter(|_| !text.contains(['n', 'N', 'f', 'F']));
    plain.or_else(|| duration_ns(text)).or_else(|| size(text)).filter(|number| number.is_finite())
}

/// What [`moment`] reads, for messages.
pub const MOMENTS: &str = "2h (ago), 07:50 (today), yesterday, 2026-03-01 or 2026-03-01T10:20:30Z";

/// Nanoseconds of a day.
const DAY: u64 = 86_400_000_000_000;

/// Unix nanoseconds of a moment in UTC: a span of time before now (`2h`, `-2h`), seconds since the epoch, `now`, `today` and
/// `yesterday` (their beginning), a time of today (`07:50`, `07:50:30`), a date or a time (RFC 3339: `2026-03-01`,
/// `2026-03-01T10:20:30Z`, with fractions and offsets); `None` for anything else.
pub fn moment(text: &str, now_ns: u64) -> Option<u64> {
    let text = text.trim();
    if let Some(ago) = duration_ns(text.strip_prefix('-').unwrap_or(text)) {
        return Some(now_ns.saturating_sub(ago as u64));
    }
    let today = now_ns - now_ns % DAY;
    match text {
        "now" => return Some(now_ns),
        "today" => return Some(today),
        "yesterday" => return today.checked_sub(DAY),
        _ => {}
    }
    if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u64>().ok()?.checked_mul(1_000_000_000);
    }
    if text.as_bytes().get(2) == Some(&b':') {
        // A day to have a date before it; only the time of day counts.
        return Some(today + rfc3339_ns(&format!("1970-01-01T{text}")).filter(|of_day| *of_day < DAY)?);
    }
    rfc3339_ns(text)
}

/// A date or time of RFC 3339 (years 1970 to 2500), `T` or a blank between both, UTC where no zone stands, as Unix nanoseconds; `None` for
/// anything else.
pub fn rfc3339_ns(text: &str) -> Option<u64> {
    let digits = |range: std::ops::Range<usize>| -> Option<i64> {
        let part = text.get(range)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let is = |at: usize, what: &[u8]| text.as_bytes().get(at).is_some_and(|byte| what.contains(byte));
    let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
    if !(is(4, b"-") && is(7, b"-") && (1970..=2500).contains(&year) && (1..=12).contains(&month) && day >= 1) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if day > length[month as usize - 1] {
        return None;
    }
    // Days since 1970-01-01 of the proleptic Gregorian calendar, years beginning in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1 - 719_468;
    let mut seconds = days * 86_400;
    let mut nanos = 0;
    if text.len() > 10 {
        let (hour, minute) = (digits(11..13)?, digits(14..16)?);
        if !(is(10, b"Tt ") && is(13, b":") && hour < 24 && minute < 60) {
            return None;
        }
        seconds += hour * 3600 + minute * 60;
        let mut rest = text.get(16..)?;
        if rest.starts_with(':') {
            let second = digits(17..19).filter(|second| *second < 60)?;
            seconds += second;
            rest = text.get(19..)?;
            if let Some(fraction) = rest.strip_prefix('.') {
                let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
                let (fraction, after) = fraction.split_at(end);
                if fraction.is_empty() || fraction.len() > 9 {
                    return None;
                }
                nanos = fraction.parse::<u64>().ok()? * 10_u64.pow(9 - fraction.len() as u32);
                rest = after;
            }
        }
        seconds -= offset_seconds(rest)?;
    }
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// Seconds east of UTC of `Z`, nothing or `+02:00`.
fn offset_seconds(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let part = |part: &str, below: i64| part.parse::<i64>().ok().filter(|n| part.len() == 2 && (0..below).contains(n));
    Some(sign * (part(hours, 24)? * 3600 + part(minutes, 60)? * 60))
}
