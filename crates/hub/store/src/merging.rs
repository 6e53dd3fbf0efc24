//! Which metric packs become one, and when.
//!
//! Where two packs have a point of one series and time, the one that was taken in last counts. Packs made of heads lie one
//! after the other in the order of intake, so that a pack's place stands for its points; as long as neighbours are merged
//! with neighbours this stays so. Only where a pack lies between others (packs of the first hubs, and what a damaged one
//! leaves open), points keep places of their own.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pack::{DAY_NS, Kind, Pack};

/// A metric pack has at most about this many points.
const MOST_POINTS: u64 = 32 << 20;
/// A day that ended this long ago gets one pack: little more will come.
const SETTLED_NS: u64 = 3_600_000_000_000;

/// Packs that become one.
#[derive(Debug)]
pub(crate) struct Merge {
    pub(crate) packs: Vec<Arc<Pack>>,
    /// Whether points keep their places in the order of intake.
    pub(crate) with_orders: bool,
}

/// The size class of a pack: those of one class have sizes within `radix` of each other.
fn class(points: u64, radix: usize) -> u32 {
    points.max(1).ilog(radix.max(2) as u64)
}

/// Neighbours that should become one: places `from..to` of the packs of one day in the order of intake.
fn neighbours(points: &[u64], merge_at: usize, is_settled: bool) -> Option<(usize, usize)> {
    let fits = |run: &[u64]| run.iter().sum::<u64>() <= MOST_POINTS;
    let runs = |most: u32| {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (at, size) in points.iter().enumerate() {
            match runs.last_mut() {
                Some((from, to)) if *to == at && class(*size, merge_at) <= most && fits(&points[*from..=at]) => {
                    *to += 1;
                }
                _ if class(*size, merge_at) <= most => runs.push((at, at + 1)),
                _ => {}
            }
        }
        runs
    };
    let largest = |(from, to): (usize, usize)| points[from..to].iter().max().copied().unwrap_or(0);
    let total = |(from, to): (usize, usize)| points[from..to].iter().sum::<u64>();
    let highest = points.iter().map(|size| class(*size, merge_at)).max()?;
    let by_class = (0..=highest)
        .flat_map(runs)
        .find(|(from, to)| to - from >= merge_at && largest((*from, *to)).saturating_mul(2) <= total((*from, *to)));
    by_class.or_else(|| {
        // What came late is not worth writing everything again before it is an eighth of it.
        let is_worth = |run: &(usize, usize)| run.1 - run.0 >= 2 && (total(*run) - largest(*run)) * 8 >= largest(*run);
        runs(highest).into_iter().find(|run| is_settled && is_worth(run))
    })
}

/// What of the metric packs is to be merged next, or written anew because it is of the first hubs; `is_open` says of a pack
/// whether one that cannot be read may lie beside it.
pub(crate) fn next_metric_merge(
    packs: &[Arc<Pack>],
    merge_at: usize,
    now_ns: u64,
    is_open: impl Fn(&Pack) -> bool,
) -> Option<Merge> {
    let metrics = || packs.iter().filter(|pack| pack.kind == Kind::Metrics && !pack.is_damaged());
    if let Some(old) = metrics().find(|pack| pack.columns.is_none()) {
        return Some(Merge { packs: vec![Arc::clone(old)], with_orders: true });
    }
    let mut days: BTreeMap<u32, Vec<&Arc<Pack>>> = BTreeMap::new();
    for pack in metrics() {
        days.entry(pack.index.day).or_default().push(pack);
    }
    for (day, mut of_day) in days {
        of_day.sort_unstable_by_key(|pack| (pack.index.max_order, pack.number));
        let points: Vec<u64> = of_day.iter().map(|pack| pack.index.rows).collect();
        let is_settled = (u64::from(day) + 1).saturating_mul(DAY_NS).saturating_add(SETTLED_NS) <= now_ns;
        if let Some((from, to)) = neighbours(&points, merge_at.max(2), is_settled) {
            let chosen: Vec<Arc<Pack>> = of_day[from..to].iter().map(|pack| Arc::clone(pack)).collect();
            let min = chosen.iter().map(|pack| pack.index.min_order).min().unwrap_or(0);
            let max = chosen.iter().map(|pack| pack.index.max_order).max().unwrap_or(u64::MAX);
            let is_between = |pack: &Arc<Pack>| {
                let is_chosen = chosen.iter().any(|chosen| chosen.number == pack.number);
                let index = &pack.index;
                pack.kind == Kind::Metrics
                    && index.day == day
                    && !is_chosen
                    && index.min_order <= max
                    && index.max_order >= min
            };
            let with_orders = packs.iter().any(is_between) || chosen.iter().any(|pack| is_open(pack));
            return Some(Merge { packs: chosen, with_orders });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: packs of one day, written pass by pass. Guarantees: as many neighbours of one size as `merge_at` become
    /// one; a large one is not written again for a few small ones; sizes that differ a little are of one size.
    #[test]
    fn neighbours_of_one_size_become_one() {
        assert_eq!(neighbours(&[10; 7], 8, false), None);
        assert_eq!(neighbours(&[10; 8], 8, false), Some((0, 8)));
        assert_eq!(neighbours(&[80, 10, 10, 10, 10, 10, 10, 10], 8, false), None);
        assert_eq!(neighbours(&[80, 10, 10, 10, 10, 10, 10, 10, 10], 8, false), Some((1, 9)));
        assert_eq!(neighbours(&[60, 70, 60, 70, 60, 70, 60, 70], 8, false), Some((0, 8)));
        assert_eq!(neighbours(&[], 8, true), None);
    }

    /// Scenario: a day that is over, in one large and a few small packs. Guarantees: they become one when the small ones
    /// are worth it, never beyond the most points of a pack.
    #[test]
    fn a_day_that_is_over_gets_one_pack() {
        assert_eq!(neighbours(&[800, 10, 10], 8, true), None);
        assert_eq!(neighbours(&[800, 60, 60], 8, true), Some((0, 3)));
        assert_eq!(neighbours(&[800], 8, true), None);
        assert_eq!(neighbours(&[MOST_POINTS, 60, 60], 8, true), Some((1, 3)));
    }
}
