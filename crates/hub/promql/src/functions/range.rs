//! Which functions over windows there are.

use super::window::{RangeCall, Window};
use crate::functions::{counters, over_time, rate};
use crate::points::{Point, Result};

/// A function over a window.
pub(crate) type RangeFunction = fn(&Window<'_>, &mut RangeCall<'_>) -> Result<Point>;

/// The function of a name.
pub(crate) fn find(name: &str) -> Option<RangeFunction> {
    Some(match name {
        "rate" => rate::rate,
        "increase" => rate::increase,
        "delta" => rate::delta,
        "irate" => rate::irate,
        "idelta" => rate::idelta,
        "resets" => counters::resets,
        "changes" => counters::changes,
        "deriv" => over_time::deriv,
        "predict_linear" => over_time::predict_linear,
        "double_exponential_smoothing" => over_time::smoothing,
        "avg_over_time" => over_time::avg,
        "sum_over_time" => over_time::sum,
        "count_over_time" => |w, _| Ok(Point::Float((w.floats.len() + w.histograms.len()) as f64)),
        "min_over_time" => |w, c| Ok(over_time::extreme(w, c, |now, best| now < best, false)),
        "max_over_time" => |w, c| Ok(over_time::extreme(w, c, |now, best| now > best, false)),
        "ts_of_min_over_time" => |w, c| Ok(over_time::extreme(w, c, |now, best| now <= best, true)),
        "ts_of_max_over_time" => |w, c| Ok(over_time::extreme(w, c, |now, best| now >= best, true)),
        "first_over_time" => |w, _| Ok(over_time::first(w)),
        "last_over_time" => |w, _| Ok(over_time::last(w)),
        "ts_of_first_over_time" => |w, _| Ok(over_time::time_of_first(w)),
        "ts_of_last_over_time" => |w, _| Ok(over_time::time_of_last(w)),
        "stddev_over_time" => |w, c| Ok(over_time::variance(w, c, f64::sqrt)),
        "stdvar_over_time" => |w, c| Ok(over_time::variance(w, c, |variance| variance)),
        "mad_over_time" => over_time::mad,
        "quantile_over_time" => over_time::quantile,
        "integral" => over_time::integral,
        "absent_over_time" | "present_over_time" => |_, _| Ok(Point::Float(1.0)),
        _ => return None,
    })
}
