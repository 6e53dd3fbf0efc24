//! What day and hour a number of seconds is, in UTC.

/// Civil date of a number of days since the epoch: year, month, day, day of the year.
fn civil(days: i64) -> (i64, i64, i64, i64) {
    // Eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let before: i64 = (1..month).map(|m| days_in(year, m)).sum();
    (year, month, day, before + day)
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A function of a time in seconds since the epoch.
pub(crate) fn find(name: &str) -> Option<fn(f64) -> f64> {
    fn at(seconds: f64) -> (i64, (i64, i64, i64, i64)) {
        // Beyond what a calendar has, the last day that it has.
        let seconds = (seconds as i64).clamp(-62_167_219_200_000, 62_167_219_200_000);
        (seconds, civil(seconds.div_euclid(86_400)))
    }
    Some(match name {
        "year" => |t| at(t).1.0 as f64,
        "month" => |t| at(t).1.1 as f64,
        "day_of_month" => |t| at(t).1.2 as f64,
        "day_of_year" => |t| at(t).1.3 as f64,
        "day_of_week" => |t| (at(t).0.div_euclid(86_400) + 4).rem_euclid(7) as f64,
        "hour" => |t| (at(t).0.rem_euclid(86_400) / 3_600) as f64,
        "minute" => |t| (at(t).0.rem_euclid(3_600) / 60) as f64,
        "days_in_month" => |t| {
            let (year, month, ..) = at(t).1;
            days_in(year, month) as f64
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    /// Scenario: days around leap years and before the epoch. Promise: the calendar is right.
    #[test]
    fn calendar() {
        let of = |name: &str, t: f64| super::find(name).unwrap()(t);
        assert_eq!(of("year", 1_709_164_800.0), 2024.0);
        assert_eq!(of("month", 1_709_164_800.0), 2.0);
        assert_eq!(of("day_of_month", 1_709_164_800.0), 29.0);
        assert_eq!(of("day_of_year", 1_735_603_200.0), 366.0);
        assert_eq!(of("day_of_week", 0.0), 4.0);
        assert_eq!(of("year", -1.0), 1969.0);
        assert_eq!(of("minute", -60.0), 59.0);
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
            assert!(of("year", odd).is_finite());
        }
    }
}
