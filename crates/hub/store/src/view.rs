//! What queries see: the heads in memory and the packs on disk, changed together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::TraceId;

use crate::ids::FrameKey;
use crate::pack::Pack;
use crate::rows::Records;

/// A frame whose records live in memory and whose bytes lie in the intake keyspace.
#[derive(Debug)]
pub(crate) struct HeadFrame {
    pub(crate) key: FrameKey,
    /// Its place in the order of intake.
    pub(crate) order: u64,
    /// Hub's wall clock at intake.
    pub(crate) received_ns: u64,
    /// Bytes in memory, estimated.
    pub(crate) cost: usize,
    pub(crate) records: Records,
}

/// Heads and packs at one moment.
#[derive(Debug, Default)]
pub(crate) struct View {
    frames: BTreeMap<u64, Arc<HeadFrame>>,
    /// Trace id to the frames that hold spans or lines of it.
    traces: HashMap<TraceId, Vec<u64>>,
    /// Sum of the frames' costs.
    pub(crate) cost: usize,
    pub(crate) packs: Vec<Arc<Pack>>,
}

fn traces_of(frame: &HeadFrame) -> HashSet<TraceId> {
    let spans = frame.records.spans.iter().map(crate::rows::SpanRow::trace_id);
    let lines = frame.records.logs.iter().filter_map(crate::rows::LogRow::trace_id);
    spans.chain(lines).collect()
}

impl View {
    pub(crate) fn add(&mut self, frame: Arc<HeadFrame>) {
        for trace in traces_of(&frame) {
            self.traces.entry(trace).or_default().push(frame.order);
        }
        self.cost += frame.cost;
        self.frames.insert(frame.order, frame);
    }

    /// Takes out frames that are in packs now.
    pub(crate) fn remove(&mut self, orders: &[u64]) {
        for order in orders {
            let Some(frame) = self.frames.remove(order) else { continue };
            self.cost -= frame.cost;
            for trace in traces_of(&frame) {
                if let Some(places) = self.traces.get_mut(&trace) {
                    places.retain(|place| place != order);
                    if places.is_empty() {
                        self.traces.remove(&trace);
                    }
                }
            }
        }
    }

    /// The frames in the order of intake.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &Arc<HeadFrame>> {
        self.frames.values()
    }

    /// How many frames there are.
    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    /// How many traces the heads hold.
    pub(crate) fn trace_count(&self) -> usize {
        self.traces.len()
    }

    /// Everything, for a query that looks at all of it. Frames and packs are shared, not copied.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot { frames: self.frames.values().cloned().collect(), packs: self.packs.clone() }
    }

    /// Only the frames that hold something of these traces, and all packs.
    pub(crate) fn snapshot_of_trace(&self, trace: TraceId) -> Snapshot {
        let places = self.traces.get(&trace).map(Vec::as_slice).unwrap_or_default();
        let frames = places.iter().filter_map(|order| self.frames.get(order)).cloned().collect();
        Snapshot { frames, packs: self.packs.clone() }
    }
}

/// What one query works on.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) frames: Vec<Arc<HeadFrame>>,
    pub(crate) packs: Vec<Arc<Pack>>,
}
