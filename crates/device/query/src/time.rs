//! Times and lengths for people.

/// `2026-11-21T10:20:30.123456789Z` of Unix nanoseconds, with so many digits of the fraction (0 to 9).
pub fn rfc3339(time_ns: u64, digits: usize) -> String {
    let (seconds, nanos) = (time_ns / 1_000_000_000, time_ns % 1_000_000_000);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // The proleptic Gregorian calendar in eras of 400 years, years beginning in March.
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let clock = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = format!("{nanos:09}");
    match fraction.get(..digits).filter(|digits| !digits.is_empty()) {
        Some(fraction) => format!("{year:04}-{month:02}-{day:02}T{clock}.{fraction}Z"),
        None => format!("{year:04}-{month:02}-{day:02}T{clock}Z"),
    }
}

/// A length in the unit that leaves one to three digits before the point.
pub fn length(ns: u64) -> String {
    let in_unit = |unit: f64, name: &str| {
        let number = ns as f64 / unit;
        if number >= 100.0 { format!("{number:.0}{name}") } else { format!("{number:.1}{name}") }
    };
    match ns {
        0..=999 => format!("{ns}ns"),
        1000..=999_999 => in_unit(1e3, "us"),
        1_000_000..=999_999_999 => in_unit(1e6, "ms"),
        1_000_000_000..=59_999_999_999 => in_unit(1e9, "s"),
        60_000_000_000..=3_599_999_999_999 => in_unit(60e9, "min"),
        _ => in_unit(3600e9, "h"),
    }
}

/// A size with its unit.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..=9999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}
