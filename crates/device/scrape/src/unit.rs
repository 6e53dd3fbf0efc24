//! Units: Prometheus writes words, OpenTelemetry the codes of UCUM.

use std::borrow::Cow;

/// The unit of a Prometheus family as OpenTelemetry has it: `seconds` is `s`, `bytes_per_second` is `By/s`, `ratio` is `1`.
pub(crate) fn ucum(unit: &str) -> Cow<'_, str> {
    match unit.split_once("_per_") {
        Some((main, per)) if !main.is_empty() && !per.is_empty() => format!("{}/{}", code(main), per_code(per)).into(),
        _ => code(unit).into(),
    }
}

fn code(word: &str) -> &str {
    match word {
        "days" => "d",
        "hours" => "h",
        "minutes" => "min",
        "seconds" => "s",
        "milliseconds" => "ms",
        "microseconds" => "us",
        "nanoseconds" => "ns",
        "bytes" => "By",
        "kibibytes" => "KiBy",
        "mebibytes" => "MiBy",
        "gibibytes" => "GiBy",
        "tibibytes" => "TiBy",
        "kilobytes" => "KBy",
        "megabytes" => "MBy",
        "gigabytes" => "GBy",
        "terabytes" => "TBy",
        "meters" => "m",
        "volts" => "V",
        "amperes" => "A",
        "joules" => "J",
        "watts" => "W",
        "grams" => "g",
        "celsius" => "Cel",
        "hertz" => "Hz",
        "ratio" => "1",
        "percent" => "%",
        other => other,
    }
}

fn per_code(word: &str) -> &str {
    match word {
        "second" => "s",
        "minute" => "m",
        "hour" => "h",
        "day" => "d",
        "week" => "w",
        "month" => "mo",
        "year" => "y",
        other => other,
    }
}
