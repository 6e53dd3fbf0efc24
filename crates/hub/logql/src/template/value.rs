//! Values of a template.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// Nanoseconds since the epoch.
    Time(i64),
}

impl Value {
    /// As it is written.
    pub(super) fn text(&self) -> String {
        match self {
            Value::Text(text) => text.clone(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Bool(value) => value.to_string(),
            Value::Time(ns) => time_text(*ns),
        }
    }

    /// Whether an `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Text(text) => !text.is_empty(),
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Bool(value) => *value,
            Value::Time(_) => true,
        }
    }

    /// As a whole number; 0 where it is none.
    pub(super) fn int(&self) -> i64 {
        match self {
            Value::Text(text) => {
                text.trim().parse().unwrap_or_else(|_| text.trim().parse::<f64>().unwrap_or(0.0) as i64)
            }
            Value::Int(value) => *value,
            Value::Float(value) => *value as i64,
            Value::Bool(value) => i64::from(*value),
            Value::Time(ns) => *ns,
        }
    }

    /// As a number; 0 where it is none.
    pub(super) fn float(&self) -> f64 {
        match self {
            Value::Text(text) => text.trim().parse().unwrap_or(0.0),
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            Value::Bool(value) => f64::from(u8::from(*value)),
            Value::Time(ns) => *ns as f64,
        }
    }
}

/// A time in UTC as Go prints it.
fn time_text(ns: i64) -> String {
    let (days, of_day) = (ns.div_euclid(86_400_000_000_000), ns.rem_euclid(86_400_000_000_000));
    // The civil calendar from days since 1970 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, fraction) = (of_day / 1_000_000_000, of_day % 1_000_000_000);
    let fraction =
        if fraction == 0 { String::new() } else { format!(".{fraction:09}").trim_end_matches('0').to_owned() };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: times before, at and after the epoch, in leap years. Promise: the calendar is right.
    #[test]
    fn times_are_written() {
        assert_eq!(time_text(0), "1970-01-01 00:00:00 +0000 UTC");
        assert_eq!(time_text(1_709_210_096_120_000_000), "2024-02-29 12:34:56.12 +0000 UTC");
        assert_eq!(time_text(-1), "1969-12-31 23:59:59.999999999 +0000 UTC");
    }
}
