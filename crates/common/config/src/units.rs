//! Sizes and durations with their units, as people write them.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A number of bytes: `512`, `64KiB`, `10MB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// A length of time: `250ms`, `10s`, `5m`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A share in hundredths, `1%` to `99%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(pub u8);

/// A part of a whole, `0.1%` to `100%`; from 0 to 1, more than 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(pub f64);

/// A stretch of each day, UTC: `22:00-06:00`; seconds since midnight, where it begins and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayWindow(pub u32, pub u32);

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim()))
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn parse_percent(text: &str) -> Option<Percent> {
    let number = text.strip_suffix('%')?.parse().ok()?;
    (1..100).contains(&number).then_some(Percent(number))
}

fn parse_share(text: &str) -> Option<Share> {
    let number: f64 = text.strip_suffix('%')?.trim_end().parse().ok()?;
    (number > 0.0 && number <= 100.0).then_some(Share(number / 100.0))
}

fn parse_window(text: &str) -> Option<DayWindow> {
    let time = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = |text: &str| if is_number(text) { text.parse::<u32>().ok() } else { None };
        let seconds = number(hour)? * 3600 + number(minute).filter(|minute| *minute < 60)? * 60;
        (seconds <= 86_400).then_some(seconds)
    };
    let (from, to) = text.split_once('-')?;
    Some(DayWindow(time(from)?, time(to)?)).filter(|window| window.0 < 86_400 && window.0 != window.1)
}

/// One or more numbers with their units, as Go writes durations: `10s`, `1m30s`, `1.5s`.
fn parse_span(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at_checked(end)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let nanos: u64 = match unit {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let whole = whole.parse::<u64>().ok()?.checked_mul(nanos)?;
        let part = format!("0.{part}").parse::<f64>().ok()? * nanos as f64;
        sum = sum.checked_add(Duration::from_nanos(whole))?.checked_add(Duration::from_nanos(part.round() as u64))?;
        if after.is_empty() {
            return Some(sum);
        }
        rest = after;
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse_span(text.trim()).map(Self).ok_or_else(|| format!("'{text}' is not {SPAN}"))
    }
}

pub(crate) const SPAN: &str = "a duration such as 250ms, 10s, 5m or 2h";

struct UnitVisitor<T> {
    parse: fn(&str) -> Option<T>,
    what: &'static str,
}

impl<T> Visitor<'_> for UnitVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text.trim()).ok_or_else(|| E::custom(format!("'{text}' is not {}", self.what)))
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = UnitVisitor { parse: parse_size, what: "a size such as 512, 64KiB or 10MB" };
        deserializer.deserialize_str(visitor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UnitVisitor { parse: parse_share, what: "a share such as 1%, 0.5% or 100%" })
    }
}

impl<'de> Deserialize<'de> for DayWindow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UnitVisitor { parse: parse_window, what: "a part of the day such as 22:00-06:00" })
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = UnitVisitor { parse: parse_percent, what: "a share from 1% to 99%" };
        deserializer.deserialize_str(visitor)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = UnitVisitor { parse: parse_span, what: SPAN };
        deserializer.deserialize_str(visitor).map(Self)
    }
}

const ADDRESS: &str = "an address to listen on, such as 127.0.0.1:4317, [::1]:4317 or localhost:4317";

/// An IP address with a port, or `localhost` with one.
fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

/// Reads an address to listen on.
pub(crate) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    deserializer.deserialize_str(UnitVisitor { parse: parse_address, what: ADDRESS })
}

/// Reads an address that is not absent.
pub(crate) fn optional_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: parts of the day, also over midnight and to its end, and what is none. Guarantees: read as meant, anything else refused.
    #[test]
    fn parts_of_the_day_are_read() {
        for (text, from, to) in
            [("22:00-06:30", 79_200, 23_400), ("0:00-24:00", 0, 86_400), (" 09:05 - 9:06 ", 32_700, 32_760)]
        {
            assert_eq!(parse_window(text), Some(DayWindow(from, to)), "{text}");
        }
        for text in
            ["", "22:00", "22-6", "22:00-25:00", "24:00-01:00", "1:60-2:00", "5:00-5:00", "+1:00-2:00", "001:00-2:00"]
        {
            assert_eq!(parse_window(text), None, "{text}");
        }
    }

    /// Scenario: durations as people and Go programs write them. Guarantees: read as meant, anything else refused.
    #[test]
    fn durations_are_read() {
        for (text, millis) in
            [("250ms", 250), ("1m30s", 90_000), ("1.5s", 1_500), ("0s", 0), ("0", 0), ("1h", 3_600_000)]
        {
            assert_eq!(parse_span(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "2", "s", "1.2.3s", "1x", "-1s", "1s2", "99999999999999999999s", "9999999999d"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }
}
