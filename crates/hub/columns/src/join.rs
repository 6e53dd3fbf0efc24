//! Chunks of one series joined into one: in the order of time, and of points with one time the one that was taken in last.

use crate::chunk::Chunk;
use crate::points::Values;

/// Where a point lies: its time, its place in the order of intake, its part, its place in that.
type Place = (u64, u64, usize, usize);

/// The part's place in the order of intake that stands for all of its points which have none of their own, and its points.
pub type Part = (u64, Chunk);

fn order(part: &Part, at: usize) -> u64 {
    part.1.orders.as_ref().and_then(|orders| orders.get(at)).copied().unwrap_or(part.0)
}

/// Joins parts, each in the order of time; parts of another kind of values than the first are left out. The result says the
/// order of intake of each point if `with_orders`. `None` where there are no points.
pub fn join(mut parts: Vec<Part>, with_orders: bool) -> Option<Chunk> {
    parts.retain(|(_, chunk)| !chunk.is_empty());
    let kind = parts.first()?.1.values.kind();
    parts.retain(|(_, chunk)| chunk.values.kind() == kind);
    parts.sort_by_key(|(_, chunk)| chunk.times.first().copied());
    let follows = |pair: &[Part]| pair[0].1.times.last() < pair[1].1.times.first();
    if parts.windows(2).all(follows) {
        return Some(one_after_the_other(parts, with_orders));
    }
    let mut places: Vec<Place> = Vec::with_capacity(parts.iter().map(|(_, chunk)| chunk.len()).sum());
    for (number, part) in parts.iter().enumerate() {
        places.extend(part.1.times.iter().enumerate().map(|(at, time)| (*time, order(part, at), number, at)));
    }
    places.sort_unstable_by_key(|(time, order, part, at)| (*time, std::cmp::Reverse((*order, *part, *at))));
    places.dedup_by_key(|(time, ..)| *time);
    let of = |pick: fn(&Chunk) -> &[u64]| places.iter().map(|(_, _, part, at)| pick(&parts[*part].1)[*at]).collect();
    Some(Chunk {
        times: places.iter().map(|(time, ..)| *time).collect(),
        starts: of(|chunk| &chunk.starts),
        flags: of(|chunk| &chunk.flags),
        orders: with_orders.then(|| places.iter().map(|(_, order, ..)| *order).collect()),
        values: gathered(&parts, &places),
    })
}

fn one_after_the_other(parts: Vec<Part>, with_orders: bool) -> Chunk {
    let orders = with_orders.then(|| {
        let of_part = |part: &Part| (0..part.1.len()).map(|at| order(part, at)).collect::<Vec<_>>();
        parts.iter().flat_map(of_part).collect()
    });
    let mut parts = parts.into_iter().map(|(_, chunk)| chunk);
    let mut joined = parts.next().unwrap_or_else(Chunk::empty);
    for part in parts {
        joined.times.extend(part.times);
        joined.starts.extend(part.starts);
        joined.flags.extend(part.flags);
        match (&mut joined.values, part.values) {
            (Values::Numbers(all), Values::Numbers(more)) => all.extend(more),
            (Values::Histograms(all), Values::Histograms(more)) => all.extend(more),
            (Values::Exponentials(all), Values::Exponentials(more)) => all.extend(more),
            (Values::Summaries(all), Values::Summaries(more)) => all.extend(more),
            _ => {}
        }
    }
    joined.orders = orders;
    joined
}

fn gathered(parts: &[Part], places: &[Place]) -> Values {
    fn rows<T: Clone>(parts: &[Part], places: &[Place], of: fn(&Values) -> &[T]) -> Vec<T> {
        let row = |(_, _, part, at): &Place| of(&parts[*part].1.values).get(*at).cloned();
        places.iter().filter_map(row).collect()
    }
    match parts.first().map(|(_, chunk)| &chunk.values) {
        Some(Values::Histograms(_)) => Values::Histograms(rows(parts, places, |values| match values {
            Values::Histograms(rows) => rows,
            _ => &[],
        })),
        Some(Values::Exponentials(_)) => Values::Exponentials(rows(parts, places, |values| match values {
            Values::Exponentials(rows) => rows,
            _ => &[],
        })),
        Some(Values::Summaries(_)) => Values::Summaries(rows(parts, places, |values| match values {
            Values::Summaries(rows) => rows,
            _ => &[],
        })),
        _ => Values::Numbers(rows(parts, places, |values| match values {
            Values::Numbers(rows) => rows,
            _ => &[],
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Number, Summary};

    fn part(order: u64, points: &[(u64, i64)]) -> Part {
        let chunk = Chunk {
            times: points.iter().map(|(time, _)| *time).collect(),
            starts: vec![1; points.len()],
            flags: points.iter().map(|(_, value)| *value as u64).collect(),
            orders: None,
            values: Values::Numbers(points.iter().map(|(_, value)| Number::Int(*value)).collect()),
        };
        (order, chunk)
    }

    fn points(chunk: &Chunk) -> Vec<(u64, i64)> {
        let Values::Numbers(values) = &chunk.values else { panic!("{chunk:?}") };
        let value = |number: &Number| if let Number::Int(value) = number { *value } else { 0 };
        assert!(chunk.flags.iter().zip(values).all(|(flag, number)| *flag as i64 == value(number)));
        chunk.times.iter().copied().zip(values.iter().map(value)).collect()
    }

    /// Scenario: parts that follow each other, in any order, and parts that overlap, with points of one time. Guarantees:
    /// the order of time; of one time the highest intake order, whichever part comes first.
    #[test]
    fn the_highest_order_wins() {
        let joined = join(vec![part(2, &[(30, 3)]), part(1, &[(10, 1), (20, 2)])], true).unwrap();
        assert_eq!(points(&joined), [(10, 1), (20, 2), (30, 3)]);
        assert_eq!(joined.orders, Some(vec![1, 1, 2]));
        for parts in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let of =
                [part(1, &[(10, 1), (20, 1), (30, 1)]), part(3, &[(20, 3)]), part(2, &[(20, 2), (30, 2), (40, 2)])];
            let joined = join(parts.map(|at| of[at].clone()).to_vec(), false).unwrap();
            assert_eq!(points(&joined), [(10, 1), (20, 3), (30, 2), (40, 2)]);
            assert_eq!(joined.orders, None);
        }
    }

    /// Scenario: points with orders of their own beside a part without; a part of another kind; nothing. Guarantees: own
    /// orders count before the part's; kinds are not mixed.
    #[test]
    fn points_may_have_orders_of_their_own() {
        let mut own = part(9, &[(10, 1), (20, 1)]);
        own.1.orders = Some(vec![1, 5]);
        let joined = join(vec![own, part(3, &[(10, 3), (20, 3)])], true).unwrap();
        assert_eq!((points(&joined), joined.orders), (vec![(10, 3), (20, 1)], Some(vec![3, 5])));
        let mut other = part(4, &[(10, 4)]);
        other.1.values = Values::Summaries(vec![Summary::default()]);
        assert_eq!(points(&join(vec![part(1, &[(20, 2)]), other], false).unwrap()), [(20, 2)]);
        assert_eq!(join(vec![part(1, &[])], false), None);
    }
}
