//! Which stage of a record's way a function belongs to. What no stage has by name (the walk over protobuf, the allocator, copying,
//! compressing) counts where it was called from.

use super::callgrind::Profile;
use std::collections::BTreeMap;

/// A stage of a record's way, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Intake,
    Look,
    /// Masking.
    Guard,
    /// Limits, series of metrics, and the look for drifting fields.
    Limits,
    Route,
    Red,
    Sampler,
    Recorder,
    Decision,
    Encode,
    Journal,
    Sink,
    Rest,
}

/// All of them.
pub(super) const STAGES: [Stage; 13] = [
    Stage::Intake,
    Stage::Look,
    Stage::Guard,
    Stage::Limits,
    Stage::Route,
    Stage::Red,
    Stage::Sampler,
    Stage::Recorder,
    Stage::Decision,
    Stage::Encode,
    Stage::Journal,
    Stage::Sink,
    Stage::Rest,
];

impl Stage {
    /// Its name in results and tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Look => "look",
            Self::Guard => "guard",
            Self::Limits => "limits",
            Self::Route => "route",
            Self::Red => "red",
            Self::Sampler => "sampler",
            Self::Recorder => "recorder",
            Self::Decision => "decision",
            Self::Encode => "encode",
            Self::Journal => "journal",
            Self::Sink => "sink",
            Self::Rest => "rest",
        }
    }
}

/// Beginnings of paths, the first that fits counts.
const BY_PATH: [(&str, Stage); 42] = [
    ("model::otlp::inspect", Stage::Look),
    ("model::otlp::pieces", Stage::Look),
    ("model::otlp::findings", Stage::Look),
    ("model::otlp::facts", Stage::Look),
    ("model::otlp::json", Stage::Look),
    ("guard::", Stage::Guard),
    ("limit::", Stage::Limits),
    ("drift::", Stage::Limits),
    ("red::", Stage::Red),
    ("sampling::", Stage::Sampler),
    ("journal::recorder", Stage::Recorder),
    ("recorder::", Stage::Recorder),
    ("lz4_flex::", Stage::Recorder),
    ("wire::decode", Stage::Sink),
    ("wire::frame::decode", Stage::Sink),
    ("wire::block", Stage::Journal),
    ("wire::frame::seal_frame", Stage::Journal),
    ("wire::inflate", Stage::Sink),
    ("wire::", Stage::Encode),
    ("edge::batch", Stage::Encode),
    ("pipeline::batch", Stage::Encode),
    ("edge::carry_out", Stage::Decision),
    ("pipeline::decision", Stage::Decision),
    ("pipeline::undecided", Stage::Decision),
    ("edge::door", Stage::Look),
    ("edge::admission", Stage::Route),
    ("edge::take", Stage::Route),
    ("edge::lanes", Stage::Route),
    ("pipeline::", Stage::Route),
    ("journal::", Stage::Journal),
    ("segment::lz4", Stage::Recorder),
    ("segment::", Stage::Journal),
    ("disk::", Stage::Journal),
    ("edge::vault", Stage::Journal),
    ("edge::io", Stage::Journal),
    ("sinks::", Stage::Sink),
    ("drain::", Stage::Sink),
    ("edge::drain", Stage::Sink),
    ("otlp::", Stage::Intake),
    ("sources::", Stage::Intake),
    ("hyper::server", Stage::Intake),
    ("h2::server", Stage::Intake),
];

/// The path of a function without what stands around it: `<&mut a::B<T> as c::D>::e` begins with `a::B`.
fn path(name: &str) -> &str {
    name.trim_start_matches(['<', '&', '*', ' ']).trim_start_matches("mut ").trim_start_matches("dyn ")
}

fn stage_by_name(name: &str) -> Option<Stage> {
    let path = path(name);
    // Whatever a task is made of, dropping it is no work of its own.
    let is = |start: &str| path.starts_with(start);
    BY_PATH.iter().find(|(start, _)| is(start)).map(|(_, stage)| *stage)
}

/// The stage of a frame of a stack, as DHAT tells it: `0x1A2B: function (file.rs:12)`.
pub(super) fn stage_of_frame(frame: &str) -> Option<Stage> {
    frame.split_once(": ").and_then(|(_, name)| stage_by_name(name))
}

/// Functions of allocators that give memory.
const ALLOCATING: [&str; 6] = ["malloc", "calloc", "realloc", "posix_memalign", "memalign", "aligned_alloc"];

/// What each stage cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Cost {
    pub(super) instructions: f64,
    pub(super) allocations: f64,
}

/// The share of each stage in what a function does.
type Shares = [f64; STAGES.len()];

/// How often costs are handed on: more than any chain of functions without a stage is long.
const ROUNDS: usize = 60;

/// Costs by stage. A function without a stage is divided among those who called it, by what it cost each of them.
pub(super) fn by_stage(profile: &Profile) -> BTreeMap<Stage, Cost> {
    let own_stage: Vec<Option<Stage>> = profile.functions.iter().map(|name| stage_by_name(name)).collect();
    let mut callers: Vec<Vec<(usize, f64)>> = vec![Vec::new(); profile.functions.len()];
    for ((caller, callee), arc) in &profile.arcs {
        if caller != callee {
            callers[*callee].push((*caller, arc.instructions as f64));
        }
    }
    // In a fixed order, so that sums of floats are the same each time.
    callers.iter_mut().for_each(|list| list.sort_by_key(|one| one.0));
    let certain = |stage: Stage| {
        let mut shares: Shares = [0.0; STAGES.len()];
        shares[stage as usize] = 1.0;
        shares
    };
    let mut shares: Vec<Shares> = own_stage.iter().map(|stage| certain(stage.unwrap_or(Stage::Rest))).collect();
    for _ in 0..ROUNDS {
        let before = shares.clone();
        for (function, callers) in callers.iter().enumerate() {
            let sum: f64 = callers.iter().map(|(_, weight)| weight).sum();
            if own_stage[function].is_some() || sum == 0.0 {
                continue;
            }
            let mut mixed: Shares = [0.0; STAGES.len()];
            for (caller, weight) in callers {
                for (mixed, share) in mixed.iter_mut().zip(&before[*caller]) {
                    *mixed += share * weight / sum;
                }
            }
            shares[function] = mixed;
        }
    }
    let mut costs = [Cost::default(); STAGES.len()];
    for (own, shares) in profile.own.iter().zip(&shares) {
        for (cost, share) in costs.iter_mut().zip(shares) {
            cost.instructions += *own as f64 * share;
        }
    }
    let mut arcs: Vec<_> = profile.arcs.iter().collect();
    arcs.sort_by_key(|(ends, _)| **ends);
    for ((caller, callee), arc) in arcs {
        let gives = |function: &usize| ALLOCATING.contains(&profile.functions[*function].as_str());
        // One of them calling another is one allocation.
        if gives(callee) && !gives(caller) {
            for (cost, share) in costs.iter_mut().zip(&shares[*caller]) {
                cost.allocations += arc.calls as f64 * share;
            }
        }
    }
    STAGES.into_iter().zip(costs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two stages call the same helper, which allocates, unequally often; something belongs to nobody. Guarantees: the helper
    /// counts where it was called from, and nothing is lost or counted twice.
    #[test]
    fn helpers_count_where_they_were_called_from() {
        let text = "fn=(1) main\n1 10\ncfn=(2) <red::Red as core::fmt::Debug>::observe\ncalls=1 1\n1 130\n\
                    cfn=(3) sampling::sampler::Sampler::part\ncalls=1 1\n1 400\nfn=(2)\n1 30\ncfn=(4) model::proto::help\n\
                    calls=1 1\n1 100\nfn=(3)\n1 100\ncfn=(4)\ncalls=3 1\n1 300\nfn=(4)\n1 200\ncfn=(5) malloc\ncalls=4 1\n\
                    1 200\nfn=(5)\n1 200\n";
        let profile = Profile::read(text);
        let costs = by_stage(&profile);
        assert_eq!(costs[&Stage::Red], Cost { instructions: 130.0, allocations: 1.0 });
        assert_eq!(costs[&Stage::Sampler], Cost { instructions: 400.0, allocations: 3.0 });
        assert_eq!(costs[&Stage::Rest].instructions, 10.0);
        assert_eq!(costs.values().map(|cost| cost.instructions).sum::<f64>(), profile.own.iter().sum::<u64>() as f64);
    }

    /// Scenario: names as the compiler makes them. Guarantees: each is told its stage by the path that it begins with.
    #[test]
    fn names_tell_their_stage() {
        for (name, stage) in [
            ("model::otlp::inspect::look_at_span", Some(Stage::Look)),
            ("<sampling::index::Entries as core::ops::Deref>::deref", Some(Stage::Sampler)),
            ("edge::carry_out::<impl edge::pipeline::Pipeline>::carry_out", Some(Stage::Decision)),
            ("wire::encode::Node::push'2", Some(Stage::Encode)),
            ("wire::decode::NodeReader::read", Some(Stage::Sink)),
            ("model::proto::Reader::any_field", None),
            ("ZSTD_compress2", None),
        ] {
            assert_eq!(stage_by_name(name), stage, "{name}");
        }
    }
}
