//! What the tasks of the program share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use drain::SendError;
use model::{Lane, Refusal};
use pipeline::Pipeline;
use sources::Limits;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::commits::Commits;
use crate::destinations::Destinations;
use crate::disk_state::{DiskStatus, Passed};
use crate::disk_thread::{DiskThread, DiskThreadError};
use crate::gate::Gate;
use crate::log;
use crate::memory::{self, ProgramPages};

/// Before a request of so many bytes, code pages are given back: it needs the memory more than they do.
pub(crate) const LARGE_REQUEST: usize = 64 << 10;

/// How long a life that began with a new epoch goes on before another one may begin: who takes its identities again and again
/// must not keep it from its work.
const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// What the tasks of the program share.
pub(crate) struct Shared {
    pub(crate) device: String,
    pub(crate) clock: Clock,
    pub(crate) disk: DiskThread,
    /// The program's own code, given back where memory is needed for data.
    pub(crate) pages: ProgramPages,
    pub(crate) pipeline: Rc<RefCell<Pipeline>>,
    /// Wall time up to which everything that came in is committed: for lanes without decisions, and for traces.
    pub(crate) watermarks: Cell<(u64, u64)>,
    pub(crate) destinations: Destinations,
    pub(crate) commits: Commits,
    /// After how long what comes in is committed and decided, whatever it is, as configured.
    pub(crate) settles: Duration,
    /// Where requests come in.
    pub(crate) gate: Rc<Gate>,
    /// The program ends: drains say goodbye.
    pub(crate) leaving: watch::Sender<bool>,
    /// A hub wants a new epoch.
    pub(crate) new_epoch: Notify,
    /// Whether this is the first life of the program, in which one may begin at once.
    pub(crate) first_life: bool,
}

impl Shared {
    /// Waits until everything that is ready now is durable.
    pub(crate) async fn all_settled(&self) {
        let ticket = self.pipeline.borrow().ticket();
        self.commits.settled(ticket).await;
    }

    /// Whether a new epoch may begin now.
    pub(crate) fn may_renew(&self) -> bool {
        self.first_life || u128::from(self.clock.now_ns()) >= RENEW_AGAIN.as_nanos()
    }

    /// Looks at the memory, and gives pages back, before the bodies grow much.
    pub(crate) fn watch_growth(self: &Rc<Self>, limits: &Rc<Limits>, limit: Option<u64>) {
        let (weak, shared) = (Rc::downgrade(limits), Rc::clone(self));
        limits.before_growth(move || {
            if let (Some(limits), Some(limit)) = (weak.upgrade(), limit) {
                memory::look(&limits, limit, shared.clock.now_ns());
            }
            shared.pages.give_back();
        });
    }

    /// Books what destinations were passed by.
    pub(crate) fn book_passed(&self, passed: &Passed) {
        self.destinations.skipped(passed, self.pipeline.borrow_mut().books_mut());
    }

    /// How the disk stands; what it tells of what destinations were passed by is booked.
    pub(crate) async fn disk_status(&self) -> Result<DiskStatus, DiskThreadError> {
        let status = self.disk.status().await?;
        self.book_passed(&status.passed);
        Ok(status)
    }

    /// Tells the pipeline what each lane has on disk that some destination has not confirmed, by the lane's number.
    pub(crate) fn set_backlog(&self, bytes: [u64; Lane::ALL.len()]) {
        let changed = self.pipeline.borrow_mut().set_backlog(bytes);
        for one in changed {
            let (lane, waiting) = (one.lane, one.backlog / 1024);
            match one.raised {
                true => log::warn(&format!(
                    "lane {lane}: {waiting} KiB wait to be delivered, above its high watermark; producers of it are told to \
                     wait until it is below {} KiB",
                    one.marks.low / 1024
                )),
                false => log::info(&format!("lane {lane}: {waiting} KiB wait to be delivered; it is taken again")),
            }
        }
    }
}

/// The disk does not do what delivery needs: it is tried again.
pub(crate) fn disk_error(error: DiskThreadError) -> SendError {
    SendError::retry(Refusal::Cancelled, error.to_string())
}
