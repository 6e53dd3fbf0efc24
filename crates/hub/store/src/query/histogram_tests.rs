//! Histograms against a slow, obvious reference (every observation by itself), and against Prometheus' own arithmetic.

use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{ExponentialHistogramDataPoint, HistogramDataPoint};

use super::histogram::{Explicit, Exponential, Mixture, Shape, bound};

/// The finest scale that the reference knows.
const FINE: i32 = 8;

struct Random(u64);

impl Random {
    fn next(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// An observation: its bucket at the finest scale, and whether it is negative.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Observed {
    index: i64,
    is_negative: bool,
}

fn observations(random: &mut Random, most: u64) -> Vec<Observed> {
    let (count, spread) = (random.next(most), 1 + random.next(3000));
    let from = random.next(4000) as i64 - 2000;
    let one =
        |random: &mut Random| Observed { index: from + random.next(spread) as i64, is_negative: random.next(4) == 0 };
    (0..count).map(|_| one(random)).collect()
}

/// The histogram of observations, each put into its bucket by itself; the zero bucket ends where fine bucket `zero` begins.
fn counted(observed: &[Observed], scale: i32, zero: Option<i64>) -> ExponentialHistogramDataPoint {
    let in_zero = |one: &Observed| zero.is_some_and(|zero| one.index < zero);
    let side = |is_negative: bool| {
        let mut indexes: Vec<i64> = observed
            .iter()
            .filter(|one| one.is_negative == is_negative && !in_zero(one))
            .map(|one| one.index.div_euclid(1 << (FINE - scale)))
            .collect();
        indexes.sort_unstable();
        let (first, last) = (*indexes.first()?, *indexes.last()?);
        let count = |index: i64| indexes.iter().filter(|one| **one == index).count() as u64;
        Some(Buckets { offset: first as i32, bucket_counts: (first..=last).map(count).collect() })
    };
    ExponentialHistogramDataPoint {
        count: observed.len() as u64,
        scale,
        zero_count: observed.iter().filter(|one| in_zero(one)).count() as u64,
        zero_threshold: zero.map_or(0.0, |zero| bound(FINE, zero)),
        positive: side(false),
        negative: side(true),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn exponential(point: &ExponentialHistogramDataPoint) -> Exponential<u128> {
    match Shape::of_exponential(point) {
        Shape::Exponential(one) => one,
        other => panic!("{other:?}"),
    }
}

/// Whether every bucket of `found` holds what the reference counts for its bounds.
fn agrees(found: &Exponential<u128>, observed: &[Observed]) {
    let fine = |index: i64| index << (FINE - found.scale);
    let in_zero = |one: &Observed| bound(FINE, one.index + 1) <= found.zero_threshold * (1.0 + 1e-12);
    let zero = observed.iter().filter(|one| in_zero(one)).count();
    assert_eq!(found.zero, zero as u128, "zero bucket of {found:?}");
    let mut total = found.zero;
    for (side, is_negative) in [(&found.positive, false), (&found.negative, true)] {
        for (index, count) in side {
            let inside = |one: &&Observed| {
                one.is_negative == is_negative
                    && !in_zero(one)
                    && one.index >= fine(*index)
                    && one.index < fine(index + 1)
            };
            assert_eq!(*count, observed.iter().filter(inside).count() as u128, "bucket {index} of {found:?}");
            total += count;
        }
    }
    assert_eq!(total, observed.len() as u128);
}

/// Scenario: 3,000 random pairs of cumulative states of one counting (seed 3): other scales, offsets, zero thresholds, first
/// zero counts, negative values. Guarantees: what is added between them is, bucket by bucket, what was observed between
/// them (P6).
#[test]
fn h3_what_was_added_is_what_was_observed() {
    let mut random = Random(3);
    for round in 0..3000 {
        let (first, added) = (observations(&mut random, 12), observations(&mut random, 12));
        let all = [first.clone(), added.clone()].concat();
        let scale = |random: &mut Random| FINE - random.next(12) as i32;
        let zero = |random: &mut Random| (random.next(3) == 0).then(|| random.next(3000) as i64 - 2000);
        let (before, now) = (scale(&mut random), scale(&mut random));
        let mut threshold = zero(&mut random);
        let then = Shape::of_exponential(&counted(
            &first,
            before,
            threshold.filter(|zero| zero % (1 << (FINE - before).max(0)) == 0),
        ));
        if random.next(2) == 0 {
            threshold = zero(&mut random);
        }
        let threshold = threshold.filter(|zero| zero % (1 << (FINE - now).max(0)) == 0);
        let Some(Shape::Exponential(found)) = Shape::of_exponential(&counted(&all, now, threshold)).since(then) else {
            panic!("round {round}: taken for a reset")
        };
        assert!(found.scale <= before.min(now));
        agrees(&found, &added);
    }
}

/// Scenario: an observation of the state before is missing from the state now, in whatever bucket. Guarantees: this is a
/// reset, not a rate, also where the total has grown.
#[test]
fn h3_a_bucket_that_shrank_is_a_reset() {
    let mut random = Random(5);
    for _ in 0..500 {
        let first = [observations(&mut random, 12), vec![Observed { index: 9000, is_negative: false }]].concat();
        let now = [first[..first.len() - 1].to_vec(), observations(&mut random, 12)].concat();
        let scale = FINE - random.next(4) as i32;
        let then = Shape::of_exponential(&counted(&first, FINE, None));
        assert_eq!(Shape::of_exponential(&counted(&now, scale, None)).since(then), None);
    }
}

/// Scenario: random histograms, quantiles between two observations (seed 7). Guarantees: the quantile lies in the bucket of
/// the observation that it names, for positive, zero and negative ones.
#[test]
fn h4_a_quantile_lies_in_its_bucket() {
    let mut random = Random(7);
    for round in 0..2000 {
        let mut observed = observations(&mut random, 30);
        observed.push(Observed { index: 2560, is_negative: false });
        let scale = FINE - random.next(10) as i32;
        let point = counted(&observed, scale, None);
        let mut mixture = Mixture::default();
        mixture.add(Shape::of_exponential(&point).times(1.0), None);
        observed.sort_by_key(|one| if one.is_negative { -one.index - 100_000 } else { one.index });
        let named = random.next(observed.len() as u64) as usize;
        let quantile = (named as f64 + 0.5) / observed.len() as f64;
        let found = mixture.quantile(quantile).unwrap();
        let index = observed[named].index.div_euclid(1 << (FINE - scale));
        let (lower, upper) = (bound(scale, index), bound(scale, index + 1));
        let (lower, upper) = if observed[named].is_negative { (-upper, -lower) } else { (lower, upper) };
        let room = 1e-9 * upper.abs().max(lower.abs());
        assert!(found >= lower - room && found <= upper + room, "round {round}: {found} is not in ({lower}, {upper}]");
    }
}

/// Scenario: delta, scale 4, one zero, a hundred observations in bucket 160. Guarantees: the median is inside that bucket.
#[test]
fn h4_the_median_of_a_full_bucket_is_inside_it() {
    let point = ExponentialHistogramDataPoint {
        count: 101,
        scale: 4,
        zero_count: 1,
        positive: Some(Buckets { offset: 160, bucket_counts: vec![100] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let mut mixture = Mixture::default();
    mixture.add(Shape::of_exponential(&point).times(1.0), None);
    let median = mixture.quantile(0.5).unwrap();
    assert!(median > 1024.0 && median <= 1069.3, "{median}");
    assert_eq!(mixture.quantile(0.001), Some(0.0));
}

/// Scenario: histograms that cannot be: scales and offsets at the ends of their types, largest counts, thresholds that are
/// no numbers, bounds that do not rise. Guarantees: an answer or none, never a panic, never a bucket per index.
#[test]
fn h4_impossible_histograms_do_no_harm() {
    for scale in [i32::MIN, -11, 0, 20, i32::MAX] {
        for offset in [i32::MIN, 0, i32::MAX] {
            for threshold in [f64::NAN, -1.0, f64::INFINITY, f64::MAX, 0.0] {
                let buckets = Some(Buckets { offset, bucket_counts: vec![u64::MAX, 0, u64::MAX] });
                let point = ExponentialHistogramDataPoint {
                    count: u64::MAX,
                    scale,
                    zero_count: u64::MAX,
                    zero_threshold: threshold,
                    positive: buckets.clone(),
                    negative: buckets,
                    ..ExponentialHistogramDataPoint::default()
                };
                let other = ExponentialHistogramDataPoint { scale: 0, zero_threshold: 1.0, ..point.clone() };
                let _ = Shape::of_exponential(&point).since(Shape::of_exponential(&other));
                let mut mixture = Mixture::default();
                mixture.add(Shape::of_exponential(&point).times(0.5), None);
                mixture.add(Shape::of_exponential(&other).times(0.5), None);
                for quantile in [0.0, 0.5, 1.0] {
                    assert!(!mixture.quantile(quantile).unwrap().is_nan());
                }
            }
        }
    }
    for bounds in [vec![2.0, 1.0], vec![f64::NAN], vec![1.0, 1.0], vec![1.0, 2.0, 3.0]] {
        let point = HistogramDataPoint { explicit_bounds: bounds, bucket_counts: vec![1, 1, 1], ..Default::default() };
        assert_eq!(Shape::of_explicit(&point), Shape::None);
    }
}

fn explicit(bounds: &[f64], buckets: &[u64]) -> Shape<u128> {
    Shape::Explicit(Explicit {
        bounds: bounds.to_vec(),
        buckets: buckets.iter().map(|count| u128::from(*count)).collect(),
    })
}

/// Scenario: a producer changes its explicit bounds in the middle of one counting. Guarantees: what was added is told in the
/// bounds that both have; a bucket of them that shrank is a reset.
#[test]
fn h3_explicit_bounds_may_change() {
    let then = explicit(&[1.0, 5.0, 10.0], &[1, 2, 3, 4]);
    let now = explicit(&[1.0, 2.0, 10.0, 20.0], &[2, 1, 5, 6, 1]);
    assert_eq!(now.since(then.clone()), Some(explicit(&[1.0, 10.0], &[1, 1, 3])));
    assert_eq!(explicit(&[3.0], &[5, 5]).since(then.clone()), Some(explicit(&[], &[0])));
    assert_eq!(explicit(&[1.0, 10.0], &[0, 9, 9]).since(then), None);
}

/// Scenario: known buckets. Guarantees: Prometheus' interpolation of explicit buckets.
#[test]
fn quantiles_interpolate_in_their_bucket() {
    let quantile = |quantile: f64, buckets: &[u64]| {
        let mut mixture = Mixture::default();
        mixture.add(explicit(&[10.0, 20.0, 40.0], buckets).times(1.0), None);
        mixture.quantile(quantile)
    };
    assert_eq!(quantile(0.75, &[10, 10, 0, 0]), Some(15.0));
    assert_eq!(quantile(0.25, &[10, 10, 0, 0]), Some(5.0));
    assert_eq!(quantile(0.99, &[0, 0, 0, 3]), Some(40.0));
    assert_eq!(quantile(0.5, &[0; 4]), None);
}

/// Scenario: histograms of other bounds, of other forms, and with the smallest and largest observation told, in one step.
/// Guarantees: each observation counts where it was, and no quantile is beyond what was observed.
#[test]
fn h4_other_forms_add_up() {
    let mut mixture = Mixture::default();
    mixture.add(explicit(&[10.0, 20.0], &[0, 50, 0]).times(1.0), Some((11.0, 19.0)));
    mixture.add(explicit(&[100.0, 200.0], &[0, 50, 0]).times(1.0), Some((150.0, 160.0)));
    let low = mixture.quantile(0.25).unwrap();
    assert!((low - 15.0).abs() < 1e-9, "{low}");
    assert!((10.0..=20.0).contains(&mixture.quantile(0.49).unwrap()));
    assert!(mixture.quantile(0.51).unwrap() >= 100.0);
    assert_eq!((mixture.quantile(0.0), mixture.quantile(1.0)), (Some(11.0), Some(160.0)));
    let point = ExponentialHistogramDataPoint {
        positive: Some(Buckets { offset: 10, bucket_counts: vec![100] }),
        ..ExponentialHistogramDataPoint::default()
    };
    mixture.add(Shape::of_exponential(&point).times(1.0), None);
    assert!((1024.0..=2048.0).contains(&mixture.quantile(0.75).unwrap()));
}

/// Scenario: 200 pairs of native histograms with the difference and quantiles that Prometheus gives for them
/// (`tests/prometheus-histograms` makes the file). Guarantees: the same buckets, and the same quantiles.
#[test]
fn h3_prometheus_agrees() {
    let cases: serde_json::Value = serde_json::from_str(include_str!("prometheus_cases.json")).unwrap();
    let cases = cases.as_array().unwrap();
    assert!(cases.len() >= 200);
    let point = |one: &serde_json::Value| {
        let side = |name: &str| {
            let counts = one[name]["counts"].as_array()?.iter().map(|count| count.as_u64().unwrap());
            Some(Buckets { offset: one[name]["offset"].as_i64().unwrap() as i32, bucket_counts: counts.collect() })
        };
        ExponentialHistogramDataPoint {
            scale: one["scale"].as_i64().unwrap() as i32,
            zero_threshold: one["zero_threshold"].as_f64().unwrap(),
            zero_count: one["zero_count"].as_u64().unwrap(),
            positive: side("positive"),
            negative: side("negative"),
            ..ExponentialHistogramDataPoint::default()
        }
    };
    for (number, case) in cases.iter().enumerate() {
        let now = Shape::of_exponential(&point(&case["now"]));
        let added = now.since(Shape::of_exponential(&point(&case["before"])));
        let Some(Shape::Exponential(added)) = added else { panic!("case {number}: a reset") };
        let wanted = exponential(&point(&case["added"]));
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        assert!(close(added.zero_threshold, wanted.zero_threshold), "case {number}: {added:?} {wanted:?}");
        let filled = |side: &[(i64, u128)]| side.iter().copied().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
        assert_eq!(
            (added.scale, added.zero, filled(&added.positive), filled(&added.negative)),
            (wanted.scale, wanted.zero, filled(&wanted.positive), filled(&wanted.negative)),
            "case {number}"
        );
        let mut mixture = Mixture::default();
        mixture.add(Shape::Exponential(added).times(1.0), None);
        for (quantile, wanted) in case["quantiles"].as_object().unwrap() {
            let found = mixture.quantile(quantile.parse().unwrap());
            match wanted.as_f64() {
                None => assert_eq!(found, None, "case {number} quantile {quantile}"),
                Some(wanted) => {
                    assert!(close(found.unwrap(), wanted), "case {number} quantile {quantile}: {found:?} {wanted}");
                }
            }
        }
    }
}
