//! Functions over one number, and what is made of many.

/// A function from number to number.
pub(crate) fn find(name: &str) -> Option<fn(f64) -> f64> {
    Some(match name {
        "abs" => f64::abs,
        "acos" => f64::acos,
        "acosh" => f64::acosh,
        "asin" => f64::asin,
        "asinh" => f64::asinh,
        "atan" => f64::atan,
        "atanh" => f64::atanh,
        "ceil" => f64::ceil,
        "cos" => f64::cos,
        "cosh" => f64::cosh,
        "deg" => |value| value * (180.0 / std::f64::consts::PI),
        "exp" => f64::exp,
        "floor" => f64::floor,
        "ln" => f64::ln,
        "log10" => f64::log10,
        "log2" => f64::log2,
        "rad" => |value| value * (std::f64::consts::PI / 180.0),
        "sgn" => |value| {
            if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            }
        },
        "sin" => f64::sin,
        "sinh" => f64::sinh,
        "sqrt" => f64::sqrt,
        "tan" => f64::tan,
        "tanh" => f64::tanh,
        _ => return None,
    })
}

/// A quantile of numbers, interpolated; sorts them, NaN first.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_by(|a, b| match (a.is_nan(), b.is_nan()) {
        (false, false) => a.total_cmp(b),
        (a, b) => b.cmp(&a),
    });
    let most = values.len() - 1;
    let rank = q * most as f64;
    let low = rank.floor().max(0.0);
    let share = rank - low;
    let at = (low as usize).min(most);
    if share == 0.0 {
        return values[at];
    }
    values[at] * (1.0 - share) + values[(at + 1).min(most)] * share
}

/// The larger of two, NaN where one is, as Go's `math.Max`.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

/// The smaller of two, NaN where one is, as Go's `math.Min`.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    -max(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: infinities and NaN beside each other. Promise: as in Go.
    #[test]
    fn extremes() {
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
        assert!(min(f64::NAN, 1.0).is_nan());
        assert_eq!(min(2.0, 1.0), 1.0);
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0, f64::NAN]), 1.5);
    }
}
