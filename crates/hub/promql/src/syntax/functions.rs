//! Which functions there are, what they take and give.

use crate::syntax::types::ValueType::{self, Matrix as M, Scalar as S, String as T, Vector as V};

/// A function of PromQL.
#[derive(Debug, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// The types of its arguments.
    pub args: &'static [ValueType],
    /// 0: as many arguments as types. n: the last type up to n times, or not at all. -1: as often as wanted.
    pub variadic: i32,
    /// What comes out.
    pub returns: ValueType,
}

const fn function(name: &'static str, args: &'static [ValueType], variadic: i32, returns: ValueType) -> Function {
    Function { name, args, variadic, returns }
}

/// All functions, sorted by name.
pub(crate) static FUNCTIONS: &[Function] = &[
    function("abs", &[V], 0, V),
    function("absent", &[V], 0, V),
    function("absent_over_time", &[M], 0, V),
    function("acos", &[V], 0, V),
    function("acosh", &[V], 0, V),
    function("asin", &[V], 0, V),
    function("asinh", &[V], 0, V),
    function("atan", &[V], 0, V),
    function("atanh", &[V], 0, V),
    function("avg_over_time", &[M], 0, V),
    function("ceil", &[V], 0, V),
    function("changes", &[M], 0, V),
    function("clamp", &[V, S, S], 0, V),
    function("clamp_max", &[V, S], 0, V),
    function("clamp_min", &[V, S], 0, V),
    function("cos", &[V], 0, V),
    function("cosh", &[V], 0, V),
    function("count_over_time", &[M], 0, V),
    function("day_of_month", &[V], 1, V),
    function("day_of_week", &[V], 1, V),
    function("day_of_year", &[V], 1, V),
    function("days_in_month", &[V], 1, V),
    function("deg", &[V], 0, V),
    function("delta", &[M], 0, V),
    function("deriv", &[M], 0, V),
    function("double_exponential_smoothing", &[M, S, S], 0, V),
    function("end", &[], 0, S),
    function("exp", &[V], 0, V),
    function("first_over_time", &[M], 0, V),
    function("floor", &[V], 0, V),
    function("histogram_avg", &[V], 0, V),
    function("histogram_count", &[V], 0, V),
    function("histogram_fraction", &[S, S, V], 0, V),
    function("histogram_quantile", &[S, V], 0, V),
    function("histogram_quantiles", &[V, T, S, S], 9, V),
    function("histogram_stddev", &[V], 0, V),
    function("histogram_stdvar", &[V], 0, V),
    function("histogram_sum", &[V], 0, V),
    function("hour", &[V], 1, V),
    function("idelta", &[M], 0, V),
    function("increase", &[M], 0, V),
    function("info", &[V, V], 1, V),
    function("integral", &[M, S], 1, V),
    function("irate", &[M], 0, V),
    function("label_join", &[V, T, T, T], -1, V),
    function("label_replace", &[V, T, T, T, T], 0, V),
    function("last_over_time", &[M], 0, V),
    function("ln", &[V], 0, V),
    function("log10", &[V], 0, V),
    function("log2", &[V], 0, V),
    function("mad_over_time", &[M], 0, V),
    function("max_of", &[S, S], 0, S),
    function("max_over_time", &[M], 0, V),
    function("min_of", &[S, S], 0, S),
    function("min_over_time", &[M], 0, V),
    function("minute", &[V], 1, V),
    function("month", &[V], 1, V),
    function("pi", &[], 0, S),
    function("predict_linear", &[M, S], 0, V),
    function("present_over_time", &[M], 0, V),
    function("quantile_over_time", &[S, M], 0, V),
    function("rad", &[V], 0, V),
    function("range", &[], 0, S),
    function("rate", &[M], 0, V),
    function("resets", &[M], 0, V),
    function("round", &[V, S], 1, V),
    function("scalar", &[V], 0, S),
    function("sgn", &[V], 0, V),
    function("sin", &[V], 0, V),
    function("sinh", &[V], 0, V),
    function("sort", &[V], 0, V),
    function("sort_by_label", &[V, T], -1, V),
    function("sort_by_label_desc", &[V, T], -1, V),
    function("sort_desc", &[V], 0, V),
    function("sqrt", &[V], 0, V),
    function("start", &[], 0, S),
    function("start_timestamp", &[V], 0, V),
    function("stddev_over_time", &[M], 0, V),
    function("stdvar_over_time", &[M], 0, V),
    function("step", &[], 0, S),
    function("sum_over_time", &[M], 0, V),
    function("tan", &[V], 0, V),
    function("tanh", &[V], 0, V),
    function("time", &[], 0, S),
    function("timestamp", &[V], 0, V),
    function("ts_of_first_over_time", &[M], 0, V),
    function("ts_of_last_over_time", &[M], 0, V),
    function("ts_of_max_over_time", &[M], 0, V),
    function("ts_of_min_over_time", &[M], 0, V),
    function("vector", &[S], 0, V),
    function("year", &[V], 1, V),
];

/// The function of a name.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}

#[cfg(test)]
mod tests {
    /// Scenario: the table of functions. Promise: it is sorted, so that each is found.
    #[test]
    fn sorted() {
        assert!(super::FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
    }
}
