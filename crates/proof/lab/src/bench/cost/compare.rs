//! Whether costs grew since the results that are committed.

use super::{CostResults, ScenarioCost, StageCost};

/// By so much a stage may grow.
const TOLERANCE: f64 = 0.03;
/// By so much one may grow whose work depends on how many records the clock brings together: a busy machine makes more, smaller frames.
const TIMED_TOLERANCE: f64 = 0.4;
/// Those stages, and the sum of all.
const TIMED: [&str; 6] = ["all stages", "intake", "encode", "journal", "sink", "rest"];
/// A stage of less than this share of the whole is judged as if it had so much: where ticks fall is chance.
const LEAST_SHARE: f64 = 0.15;

/// What grew, each in a sentence; empty when nothing did.
pub(crate) fn compare(before: &CostResults, now: &CostResults) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, before) in &before.scenarios {
        let Some(now) = now.scenarios.get(name) else {
            faults.push(format!("{name}: was not measured"));
            continue;
        };
        faults.extend(one(name, before, now));
    }
    faults
}

fn one(name: &str, before: &ScenarioCost, now: &ScenarioCost) -> Vec<String> {
    let whole = |cost: &ScenarioCost| [("all stages".to_owned(), cost.total)];
    let stages =
        |cost: &ScenarioCost| cost.stages.iter().map(|(stage, cost)| (stage.clone(), *cost)).collect::<Vec<_>>();
    let pairs = whole(before).into_iter().chain(stages(before));
    let mut faults = Vec::new();
    for (stage, was) in pairs {
        let is = whole(now).into_iter().chain(stages(now)).find(|(other, _)| *other == stage);
        let is = is.map_or_else(StageCost::default, |(_, cost)| cost);
        let tolerance = if TIMED.contains(&stage.as_str()) { TIMED_TOLERANCE } else { TOLERANCE };
        let slack = before.total.instructions * LEAST_SHARE * TOLERANCE;
        if is.instructions > was.instructions * (1.0 + tolerance) + slack {
            faults.push(format!(
                "{name}, {stage}: {:.0} instructions a record, {:.0} before ({:+.1} %)",
                is.instructions,
                was.instructions,
                (is.instructions / was.instructions - 1.0) * 100.0
            ));
        }
        let slack = before.total.allocations * LEAST_SHARE;
        if is.allocations > was.allocations * (1.0 + tolerance) + slack {
            faults.push(format!(
                "{name}, {stage}: {:.2} allocations a record, {:.2} before",
                is.allocations, was.allocations
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn results(look: f64, sink: f64) -> CostResults {
        let cost = |instructions| StageCost { instructions, allocations: 1.0, copied_bytes: None };
        let stages = BTreeMap::from([("look".to_owned(), cost(look)), ("sink".to_owned(), cost(sink))]);
        let total = cost(look + sink);
        let one = ScenarioCost { what: String::new(), records: 1, bytes_per_record: 1.0, total, stages };
        CostResults { commit: None, host: None, scenarios: BTreeMap::from([("http".to_owned(), one)]) }
    }

    /// Scenario: the same results, a stage that grows by 2 % and by 5 %, one that shrinks, a scenario that is missing. Guarantees: only
    /// growth beyond 3 % and what is missing are told.
    #[test]
    fn growth_is_told() {
        let before = results(4000.0, 6000.0);
        assert!(compare(&before, &before).is_empty());
        assert!(compare(&before, &results(4080.0, 6000.0)).is_empty());
        assert!(compare(&before, &results(2000.0, 6000.0)).is_empty());
        let faults = compare(&before, &results(4200.0, 5800.0));
        assert!(faults.len() == 1 && faults[0].starts_with("http, look: 4200"), "{faults:?}");
        let none = CostResults { scenarios: BTreeMap::new(), ..before.clone() };
        assert_eq!(compare(&before, &none).len(), 1);
    }
}
