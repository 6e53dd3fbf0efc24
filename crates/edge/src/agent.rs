//! What the tasks of a running agent share, and how it shows itself.

use std::cell::RefCell;
use std::rc::Rc;

use sources::Limits;

use crate::destination_status::DestinationStatus;
use crate::drain::Shared;
use crate::status::{Snapshot, View};
use crate::vault::State;

/// Parts that the tasks share.
pub(crate) struct Agent {
    shared: Rc<Shared>,
    limits: Rc<Limits>,
    started_ns: u64,
    disk_error: RefCell<Option<String>>,
    /// What the disk thread told last.
    state: RefCell<State>,
    expected_share: Option<(f64, f64)>,
}

impl Agent {
    /// An agent that starts now.
    pub(crate) fn new(shared: Rc<Shared>, limits: Rc<Limits>, expected_share: Option<(f64, f64)>) -> Self {
        let started_ns = shared.clock.now_ns();
        Self { shared, limits, started_ns, disk_error: RefCell::new(None), state: RefCell::default(), expected_share }
    }

    /// What it shares with its drains.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Requests and connections refused before they were looked into.
    pub(crate) fn refusals(&self) -> model::RefusalCounts {
        self.limits.refusals()
    }

    /// Notes what the disk says now, and gives what it said before.
    pub(crate) fn set_disk_error(&self, error: Option<String>) -> Option<String> {
        self.disk_error.replace(error)
    }

    /// Why the disk does not take what it should; `None` when it does.
    pub(crate) fn disk_error(&self) -> Option<String> {
        self.disk_error.borrow().clone()
    }

    /// Why it does not do all of its work, though it runs: an operator has to act. `None` when all is well.
    pub(crate) fn unready(&self) -> Option<String> {
        let destinations = self.shared.destinations.borrow();
        let unwell: Vec<String> = destinations.iter().filter_map(DestinationStatus::unwell).collect();
        (!unwell.is_empty()).then(|| unwell.join("; "))
    }

    /// Gathers what status and metrics tell, and shows it.
    pub(crate) async fn show(&self, view: View) -> String {
        let stalls = match self.shared.io.state().await {
            Ok(state) => {
                *self.state.borrow_mut() = state;
                None
            }
            // What was known is shown, and why it is not newer.
            Err(error) => Some(error.to_string()),
        };
        let state = self.state.borrow();
        let mut destinations = self.shared.destinations.borrow_mut();
        for (status, depth) in destinations.iter_mut().zip(&state.depths) {
            status.queued_records = depth.records;
            status.queued_bytes = depth.bytes;
            status.oldest_ns = depth.oldest_ns.unwrap_or(0);
        }
        let pipeline = self.shared.pipeline.borrow();
        let disk_error = self.disk_error().or(stalls).unwrap_or_default();
        let snapshot = Snapshot {
            device: &self.shared.device,
            epoch: state.epoch.to_string(),
            uptime_ns: self.shared.clock.now_ns().saturating_sub(self.started_ns),
            wall_ns: self.shared.clock.wall_ns(),
            pipeline: &pipeline,
            destinations: &destinations,
            refusals: self.limits.refusals(),
            disk_bytes: state.stats.disk_bytes,
            bytes_written: state.stats.bytes_written,
            thinned: state.thinned,
            dead_letters: state.dead_letters,
            lane_bytes: state.stats.lane_bytes,
            fsyncs: state.stats.syncs,
            disk_error: &disk_error,
            expected_share: self.expected_share,
        };
        snapshot.show(view)
    }
}
