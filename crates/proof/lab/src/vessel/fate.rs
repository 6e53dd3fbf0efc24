//! The plan: what will happen in each request, decided before it happens, from nothing but the seed and the request's
//! number. It is what a run is judged by; no policy of the agent is asked.

use crate::rng::Rng;
use crate::vessel::profile::{ENDPOINTS, Endpoint};
use model::{SpanId, TraceId};

const MS: u64 = 1_000_000;

/// A trace of at least this many nanoseconds, from its earliest start to its latest end, must be kept.
pub(crate) const SLOW_NS: u64 = 200 * MS;

/// Every how many requests one of each kind of boundary case is planned; `None` leaves the published load alone.
pub(crate) type BoundaryEvery = Option<u64>;

/// A request whose length is set on purpose, close to the threshold of 200 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// 199.999 ms: not slow.
    Below,
    /// 200.000 ms: slow.
    Exactly,
    /// 200.001 ms: slow.
    Above,
    /// 230 ms as a whole, while no span of it takes 200 ms: slow.
    OnlyAsAWhole,
}

const BOUNDARIES: [Boundary; 4] = [Boundary::Below, Boundary::Exactly, Boundary::Above, Boundary::OnlyAsAWhole];

impl Boundary {
    fn length_ns(self) -> u64 {
        match self {
            Boundary::Below => SLOW_NS - 1_000,
            Boundary::Exactly => SLOW_NS,
            Boundary::Above => SLOW_NS + 1_000,
            Boundary::OnlyAsAWhole => 230 * MS,
        }
    }
}

/// A span of the plan. Times are nanoseconds from the start of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlannedSpan {
    pub(crate) id: SpanId,
    pub(crate) name: String,
    pub(crate) start_ns: u64,
    pub(crate) end_ns: u64,
}

/// What will happen in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    /// Counts the requests of a run from 0.
    pub(crate) number: u64,
    /// Index into [`ENDPOINTS`].
    pub(crate) endpoint: usize,
    pub(crate) trace: TraceId,
    /// The root first, then the steps in order.
    pub(crate) spans: Vec<PlannedSpan>,
    /// It ends with HTTP status 500.
    pub(crate) fails: bool,
    /// It carries the event `out-of-range-warning`.
    pub(crate) warns: bool,
    /// It is one of the complex diagnostics.
    pub(crate) complex: bool,
    pub(crate) boundary: Option<Boundary>,
    /// How long the user rests afterwards.
    pub(crate) rest_ns: u64,
}

impl Fate {
    /// Decides request `number` of the run with this seed.
    pub(crate) fn decide(seed: u64, number: u64, boundary_every: BoundaryEvery) -> Self {
        let mut rng = Rng::new(seed, number);
        let boundary = boundary_of(number, boundary_every);
        let index = match boundary {
            // Endpoints that never fail and are never slow by themselves.
            Some(_) => usize::from(rng.chance(0.5)),
            None => draw_endpoint(&mut rng),
        };
        let endpoint = &ENDPOINTS[index];
        let complex = rng.chance(endpoint.complex.0);
        let mut steps: Vec<u64> =
            endpoint.steps.iter().map(|step| rng.between(step.ms.0 * MS, step.ms.1 * MS)).collect();
        if complex {
            let (shortest, longest) = endpoint.complex.1;
            let longest_step = steps.len() / 2 - 1;
            steps[longest_step] += rng.between(shortest * MS, longest * MS);
        }
        let mut spans = lay_out(&mut rng, endpoint, &steps);
        if let Some(boundary) = boundary {
            stretch(&mut rng, &mut spans, boundary);
        }
        Self {
            number,
            endpoint: index,
            trace: TraceId(rng.id()),
            spans,
            fails: rng.chance(endpoint.failing),
            warns: rng.chance(endpoint.warning),
            complex,
            boundary,
            rest_ns: rng.between(endpoint.rest_ms.0 * MS, endpoint.rest_ms.1 * MS),
        }
    }

    /// From the earliest start of its spans to their latest end.
    pub(crate) fn length_ns(&self) -> u64 {
        let start = self.spans.iter().map(|span| span.start_ns).min().unwrap_or_default();
        let end = self.spans.iter().map(|span| span.end_ns).max().unwrap_or_default();
        end - start
    }

    /// Whether the agent must keep the trace: it failed, or it was slow as a whole.
    pub(crate) fn should_keep(&self) -> bool {
        self.fails || self.length_ns() >= SLOW_NS
    }

    /// The endpoint that it goes to.
    pub(crate) fn endpoint(&self) -> &'static Endpoint {
        &ENDPOINTS[self.endpoint]
    }

    /// `http.response.status_code`.
    pub(crate) fn status(&self) -> i64 {
        if self.fails { 500 } else { 200 }
    }
}

fn boundary_of(number: u64, every: BoundaryEvery) -> Option<Boundary> {
    let every = every?.max(BOUNDARIES.len() as u64);
    usize::try_from(number % every).ok().and_then(|place| BOUNDARIES.get(place)).copied()
}

fn draw_endpoint(rng: &mut Rng) -> usize {
    let mut drawn = rng.between(0, 99);
    for (index, endpoint) in ENDPOINTS.iter().enumerate() {
        if drawn < endpoint.share {
            return index;
        }
        drawn -= endpoint.share;
    }
    0
}

/// The root around its steps, which follow one another.
fn lay_out(rng: &mut Rng, endpoint: &Endpoint, steps: &[u64]) -> Vec<PlannedSpan> {
    let mut spans = Vec::with_capacity(steps.len() + 1);
    let length = steps.iter().sum();
    let name = format!("GET {}", endpoint.route);
    spans.push(PlannedSpan { id: SpanId(rng.id()), name, start_ns: 0, end_ns: length });
    let mut start_ns = 0;
    for (step, length) in endpoint.steps.iter().zip(steps) {
        let end_ns = start_ns + length;
        spans.push(PlannedSpan { id: SpanId(rng.id()), name: step.name.to_owned(), start_ns, end_ns });
        start_ns = end_ns;
    }
    spans
}

/// Gives the trace the length of its boundary case. In half of the cases, and always where only the whole is slow, the
/// last step goes on after the root has ended, so that no single span has the length of the trace.
fn stretch(rng: &mut Rng, spans: &mut [PlannedSpan], boundary: Boundary) {
    let overhangs = rng.chance(0.5) || boundary == Boundary::OnlyAsAWhole;
    let length = boundary.length_ns();
    if let Some(last) = spans.last_mut() {
        last.end_ns = length;
    }
    if let Some(root) = spans.first_mut() {
        root.end_ns = if overhangs { length / 4 * 3 } else { length };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const SEED: u64 = 42;

    fn fates(count: u64, every: BoundaryEvery) -> impl Iterator<Item = Fate> {
        (0..count).map(move |number| Fate::decide(SEED, number, every))
    }

    /// Scenario: the fate of one request is asked for twice, and of the next one, and with another seed. Guarantees: it
    /// follows from seed and number alone.
    #[test]
    fn a_fate_follows_from_seed_and_number() {
        assert_eq!(Fate::decide(1, 9, None), Fate::decide(1, 9, None));
        assert_ne!(Fate::decide(1, 9, None).trace, Fate::decide(1, 10, None).trace);
        assert_ne!(Fate::decide(1, 9, None).trace, Fate::decide(2, 9, None).trace);
    }

    /// Scenario: twenty thousand requests (seed 42). Guarantees: the published shares, errors and lengths, within the
    /// noise of that many.
    #[test]
    fn the_published_profile_comes_out() {
        let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
        let (mut failed, mut complex) = (0, 0);
        for fate in fates(20_000, None) {
            *counts.entry(fate.endpoint).or_default() += 1;
            failed += u64::from(fate.fails);
            complex += u64::from(fate.complex);
            let length_ms = fate.length_ns() / MS;
            let published = match (fate.endpoint, fate.complex) {
                (0, _) => 46..=90,
                (1, _) => 39..=88,
                (2, false) => 275..=649,
                (2, true) => 755..=1_349,
                _ => 60..=136,
            };
            assert!(published.contains(&length_ms), "{} took {length_ms} ms", fate.endpoint().route);
            assert_eq!(fate.spans[0].end_ns, fate.length_ns(), "the root covers its steps");
        }
        let near = |count: u64, share: f64| (count as f64 / 20_000.0 - share).abs() < 0.012;
        for (index, endpoint) in ENDPOINTS.iter().enumerate() {
            assert!(near(counts[&index], endpoint.share as f64 / 100.0), "{counts:?}");
        }
        assert!(near(failed, 0.016), "{failed} failed");
        assert!(near(complex, 0.018), "{complex} were complex");
    }

    /// Scenario: boundary cases every 40 requests (seed 42). Guarantees: exactly one of each kind in 40, with its exact
    /// length over the whole trace, and kept or not by that length alone.
    #[test]
    fn boundary_cases_have_their_exact_length() {
        let mut seen: BTreeMap<u64, u64> = BTreeMap::new();
        let mut overhanging = 0;
        for fate in fates(4_000, Some(40)) {
            let Some(boundary) = fate.boundary else { continue };
            *seen.entry(fate.length_ns()).or_default() += 1;
            assert!(!fate.fails);
            assert_eq!(fate.should_keep(), boundary != Boundary::Below, "{boundary:?}");
            let longest = fate.spans.iter().map(|span| span.end_ns - span.start_ns).max().unwrap();
            if boundary == Boundary::OnlyAsAWhole {
                assert!(longest < SLOW_NS, "a single span takes {longest} ns");
            }
            overhanging += u64::from(longest < fate.length_ns());
            assert!(fate.spans.iter().all(|span| span.start_ns < span.end_ns));
        }
        let expected = [(199_999_000, 100), (200_000_000, 100), (200_001_000, 100), (230_000_000, 100)];
        assert_eq!(seen, BTreeMap::from(expected));
        assert!((150..350).contains(&overhanging), "{overhanging} of 400 end after their root");
    }
}
