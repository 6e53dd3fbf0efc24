//! What it takes to say how much a counter grew: resets that start times tell of, sums and differences that are told of.

use super::window::RangeCall;
use crate::histogram::{Histogram, Incompatible, SumFacts};

/// Whether start times tell that a counter began anew between two samples.
pub(crate) fn is_reset(start_before: i64, before: i64, start_now: i64, now: i64) -> bool {
    if start_before == start_now || start_now == 0 || start_now >= now || start_now < before {
        return false;
    }
    if start_now > before {
        return true;
    }
    start_before <= before && start_before != 0 && start_before != before
}

/// Whether a start lies before a sample that was counted from another one.
pub(crate) fn overlaps(start_before: i64, before: i64, start_now: i64) -> bool {
    start_now != 0 && start_now < before && start_now != start_before
}

/// One histogram more, and what there is to tell of it.
pub(crate) fn add(sum: &Histogram, more: &Histogram, call: &mut RangeCall<'_>) -> Option<Histogram> {
    joined(sum.plus(more), "addition", call)
}

/// One histogram less.
pub(crate) fn subtract(from: &Histogram, less: &Histogram, call: &mut RangeCall<'_>) -> Option<Histogram> {
    joined(from.minus(less), "subtraction", call)
}

fn joined(
    outcome: Result<(Histogram, SumFacts), Incompatible>,
    operation: &str,
    call: &mut RangeCall<'_>,
) -> Option<Histogram> {
    match outcome {
        Ok((sum, facts)) => {
            if facts.bounds_reconciled {
                call.annotations.reconciled(call.span(), operation);
            }
            Some(sum)
        }
        Err(Incompatible) => {
            call.mixed_buckets();
            None
        }
    }
}
