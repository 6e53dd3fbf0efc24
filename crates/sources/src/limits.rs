//! The caps of all sources together, and what they refused.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use model::{Refusal, RefusalCounts};

use crate::places::Places;

/// What the sources may take.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The most bytes of one request, as sent and when inflated.
    pub max_request: usize,
    /// The most bytes of all request bodies in memory at once, as sent and inflated together.
    pub in_flight: usize,
    /// The most connections at once.
    pub connections: usize,
    /// Which web pages may send.
    #[cfg(feature = "otlp-http")]
    pub cors: Option<crate::Cors>,
}

/// The caps of all sources together, and what they refused.
#[derive(Debug)]
pub struct Limits {
    pub(crate) settings: Settings,
    pub(crate) held: Cell<usize>,
    /// Connections.
    pub places: Rc<Places>,
    refusals: RefCell<RefusalCounts>,
}

impl Limits {
    /// Limits with nothing held yet: the most bytes of one request, of all bodies, and the most connections.
    pub fn new(max_request: usize, in_flight: usize, connections: usize) -> Rc<Self> {
        Self::with(Settings { max_request, in_flight, connections, ..Settings::default() })
    }

    /// Limits with nothing held yet.
    pub fn with(settings: Settings) -> Rc<Self> {
        let places = Places::new(settings.connections.max(1));
        Rc::new(Self { settings, held: Cell::new(0), places, refusals: RefCell::default() })
    }

    /// Requests and connections refused before they reached the intake.
    pub fn refusals(&self) -> RefusalCounts {
        let mut all = *self.refusals.borrow();
        all.merge(&self.places.refusals());
        all
    }

    /// Bytes of bodies in memory.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// What may still be held.
    pub(crate) fn room(&self) -> usize {
        self.settings.in_flight.saturating_sub(self.held.get())
    }

    pub(crate) fn count(&self, reason: Refusal) {
        self.refusals.borrow_mut().add(reason, 1);
    }
}
