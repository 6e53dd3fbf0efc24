//! What the tasks of a running agent share, and how it shows itself.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use model::{Refusal, RefusalCounts};
use sources::{Limits, Places, SourceState};

use crate::access::Access;
use crate::disk_state::DiskStatus;
use crate::own_telemetry::Speaker;
use crate::shared::Shared;
use crate::status::{Snapshot, View};

/// Parts that the tasks share.
pub(crate) struct Agent {
    shared: Rc<Shared>,
    limits: Rc<Limits>,
    started_ns: u64,
    disk_error: RefCell<Option<String>>,
    /// What the disk thread told last.
    state: RefCell<DiskStatus>,
    expected_share: Option<(f64, f64)>,
    /// Who may ask on the admin address.
    pub(crate) access: Access,
    /// Connections of the admin address and of the Unix socket.
    pub(crate) places: [Rc<Places>; 2],
    admin_refusals: RefCell<RefusalCounts>,
    /// The sources that read.
    sources: OnceCell<Vec<Rc<SourceState>>>,
    /// How many connections found no place, and when that was seen to grow.
    full: Cell<(u64, Option<u64>)>,
}

/// So long after a connection found no place the agent is not ready, nanoseconds.
const FULL_NS: u64 = 30_000_000_000;

impl Agent {
    /// An agent that starts now. `admin` is how many connections may ask at once.
    pub(crate) fn new(
        shared: Rc<Shared>,
        limits: Rc<Limits>,
        expected_share: Option<(f64, f64)>,
        access: Access,
        admin: usize,
    ) -> Self {
        let started_ns = shared.clock.now_ns();
        Self {
            shared,
            limits,
            started_ns,
            disk_error: RefCell::new(None),
            state: RefCell::default(),
            expected_share,
            access,
            places: [Places::new(admin), Places::new(admin)],
            admin_refusals: RefCell::default(),
            sources: OnceCell::new(),
            full: Cell::default(),
        }
    }

    /// Whether producers found no place for their connections lately.
    pub(crate) fn is_full(&self) -> bool {
        let now = self.shared.clock.now_ns();
        let count = self.limits.places.refusals().get(Refusal::TooManyConnections);
        let (before, mut since) = self.full.get();
        if count > before {
            since = Some(now);
            self.full.set((count, since));
        }
        since.is_some_and(|since| now.saturating_sub(since) < FULL_NS)
    }

    /// Sets the sources that read, once they run.
    pub(crate) fn set_sources(&self, sources: Vec<Rc<SourceState>>) {
        // They are started once in a life.
        let _again = self.sources.set(sources);
    }

    /// The sources that read.
    pub(crate) fn sources(&self) -> &[Rc<SourceState>] {
        self.sources.get().map_or(&[], Vec::as_slice)
    }

    /// What the sources may take.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it shares with its drains.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Requests and connections refused before they were looked into.
    pub(crate) fn refusals(&self) -> RefusalCounts {
        let mut all = self.limits.refusals();
        all.merge(&self.shared.pipeline.borrow().counters().refused);
        self.places.iter().for_each(|places| all.merge(&places.refusals()));
        all.merge(&self.admin_refusals.borrow());
        all
    }

    /// Counts a request to the admin endpoint that is refused.
    pub(crate) fn refuse_admin(&self, reason: Refusal) {
        self.admin_refusals.borrow_mut().add(reason, 1);
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
        let mut unwell = self.shared.destinations.unwell();
        if self.is_full() {
            unwell.push("all connections of producers are in use".to_owned());
        }
        (!unwell.is_empty()).then(|| unwell.join("; "))
    }

    /// Gathers what status and metrics tell, and shows it.
    pub(crate) async fn show(&self, view: View) -> String {
        self.look(|snapshot| snapshot.show(view)).await
    }

    /// The counters of `/metrics` as OTLP points.
    pub(crate) async fn own_metrics(&self) -> Vec<u8> {
        self.look(|snapshot| {
            let (device, wall_ns) = (snapshot.device, snapshot.wall_ns);
            let started_ns = wall_ns.saturating_sub(snapshot.uptime_ns);
            let masks = snapshot.pipeline.guard().version();
            Speaker { device, masks, started_ns, wall_ns }.metrics(&snapshot.families())
        })
        .await
    }

    /// Gathers what there is to tell.
    async fn look<T>(&self, tell: impl FnOnce(&Snapshot<'_>) -> T) -> T {
        let stalls = match self.shared.disk_status().await {
            Ok(state) => {
                *self.state.borrow_mut() = state;
                None
            }
            // What was known is shown, and why it is not newer.
            Err(error) => Some(error.to_string()),
        };
        let state = self.state.borrow();
        self.shared.destinations.set_depths(&state.depths);
        let destinations = self.shared.destinations.all();
        let pipeline = self.shared.pipeline.borrow();
        let disk_error = self.disk_error().or(stalls).unwrap_or_default();
        let snapshot = Snapshot {
            device: &self.shared.device,
            uptime_ns: self.shared.clock.now_ns().saturating_sub(self.started_ns),
            wall_ns: self.shared.clock.wall_ns(),
            pipeline: &pipeline,
            destinations: &destinations,
            refusals: self.refusals(),
            limits: &self.limits,
            sources: self.sources(),
            disk: &state,
            disk_error: &disk_error,
            expected_share: self.expected_share,
        };
        tell(&snapshot)
    }
}
