//! Which service calls which, from stored spans.

use std::collections::{BTreeMap, HashMap};

use model::{SpanId, TraceId};

use super::Scoped;
use super::{TimeRange, budget};
use crate::pack::Kind;
use crate::rows::SpanRow;

/// A service that calls another one, or itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Service of the parent spans.
    pub parent: String,
    /// Service of their children.
    pub child: String,
    /// Children, each once.
    pub calls: u64,
}

/// How long before the range parents are looked for.
const PARENTS_NS: u64 = 3_600_000_000_000;
/// What an entry of each table takes, with its share of empty places.
const ENTRY_BYTES: usize = 96;

type Key = (TraceId, SpanId);

/// What is gathered of spans: services by number, the service of each span, and what each child is a child of.
#[derive(Default)]
struct Calls {
    numbers: HashMap<String, u32>,
    services: HashMap<Key, u32>,
    children: HashMap<Key, (SpanId, u32)>,
}

impl Calls {
    fn number(&mut self, service: &str) -> u32 {
        if let Some(number) = self.numbers.get(service) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(service.to_owned(), number);
        budget::hold(ENTRY_BYTES + service.len());
        number
    }

    /// Takes a span; whether there is room for more.
    fn add(&mut self, row: &SpanRow, range: TimeRange) -> bool {
        let (trace, span) = (row.trace_id(), row.span_id());
        if trace == TraceId::default() || span == SpanId::default() {
            return budget::goes_on();
        }
        let service = self.number(&row.origin.service);
        self.services.entry((trace, span)).or_insert(service);
        let parent = SpanId::from_bytes(&row.span.parent_span_id);
        if let Some(parent) = parent.filter(|_| range.contains(row.span.start_time_unix_nano)) {
            // A span that was stored twice calls once.
            self.children.insert((trace, span), (parent, service));
            return budget::hold(2 * ENTRY_BYTES);
        }
        budget::hold(ENTRY_BYTES)
    }

    fn finish(self) -> Vec<Dependency> {
        let mut calls: HashMap<(u32, u32), u64> = HashMap::new();
        for ((trace, _), (parent, child)) in &self.children {
            if let Some(caller) = self.services.get(&(*trace, *parent)) {
                *calls.entry((*caller, *child)).or_default() += 1;
            }
        }
        let mut names: Vec<String> = vec![String::new(); self.numbers.len()];
        for (name, number) in self.numbers {
            names[number as usize] = name;
        }
        let named: BTreeMap<(&str, &str), u64> = calls
            .into_iter()
            .map(|((parent, child), calls)| ((names[parent as usize].as_str(), names[child as usize].as_str()), calls))
            .collect();
        let dependency = |((parent, child), calls): ((&str, &str), u64)| Dependency {
            parent: parent.to_owned(),
            child: child.to_owned(),
            calls,
        };
        named.into_iter().map(dependency).collect()
    }
}

impl Scoped<'_> {
    /// How often spans that start in `range` have a parent, by both's services (a service may call itself). A parent counts that starts in
    /// the range or up to an hour before; calls whose spans were sampled out are not known.
    pub fn dependencies(&self, range: TimeRange) -> Vec<Dependency> {
        let mut calls = Calls::default();
        let looked_at = TimeRange { from: range.from.saturating_sub(PARENTS_NS), to: range.to };
        let mut add = |row: &SpanRow| !looked_at.contains(row.span.start_time_unix_nano) || calls.add(row, range);
        let snapshot = self.inner.snapshot();
        let mut goes_on = snapshot.frames.iter().flat_map(|frame| &frame.records.spans).all(&mut add);
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Traces) {
            for (number, block) in pack.index.blocks.iter().enumerate() {
                if goes_on && block.min_time < looked_at.to && block.max_time >= looked_at.from {
                    goes_on = self.span_block(pack, number).rows().iter().all(&mut add);
                }
            }
        }
        calls.finish()
    }
}
