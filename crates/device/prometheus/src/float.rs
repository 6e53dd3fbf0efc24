//! Numbers as the values of labels.

use std::fmt::Write;

/// Writes a number as OpenMetrics' canonical labels `le` and `quantile` have it, and as Prometheus 3 stores them: `1.0`, `0.25`, `1e+06`,
/// `+Inf`.
pub fn put_float(out: &mut String, number: f64) {
    if number.is_nan() {
        out.push_str("NaN");
        return;
    }
    if number.is_infinite() {
        out.push_str(if number > 0.0 { "+Inf" } else { "-Inf" });
        return;
    }
    let start = out.len();
    // Writing into a String cannot fail. The shortest digits that are this number, with an exponent.
    let _written = write!(out, "{number:e}");
    let exponent =
        out.get(start..).and_then(|text| text.split_once('e')).and_then(|(_, text)| text.parse::<i32>().ok());
    let exponent = exponent.unwrap_or(0);
    if (-4..6).contains(&exponent) {
        out.truncate(start);
        let _written = write!(out, "{number:?}");
        return;
    }
    if let Some(at) = out.get(start..).and_then(|text| text.find('e')) {
        out.truncate(start + at);
        let sign = if exponent < 0 { '-' } else { '+' };
        let _written = write!(out, "e{sign}{:02}", exponent.unsigned_abs());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: numbers around the edges of each form. Guarantees: the texts that Go's shortest form, with a point where there is
    /// neither point nor exponent, has for them.
    #[test]
    fn numbers_are_written_as_prometheus_stores_them() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.005, "0.005"),
            (0.25, "0.25"),
            (100_000.0, "100000.0"),
            (1e6, "1e+06"),
            (2.5e6, "2.5e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456.5, "123456.5"),
            (1.5e-10, "1.5e-10"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            let mut out = String::new();
            put_float(&mut out, number);
            assert_eq!(out, text);
        }
    }
}
