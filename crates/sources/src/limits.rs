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
    before_growth: Hook,
}

/// What is done before a large body grows: its host may want to make room.
#[derive(Default)]
struct Hook(RefCell<Option<Rc<dyn Fn()>>>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

impl Limits {
    /// Limits with nothing held yet: the most bytes of one request, of all bodies, and the most connections.
    pub fn new(max_request: usize, in_flight: usize, connections: usize) -> Rc<Self> {
        Self::with(Settings {
            max_request,
            in_flight,
            connections,
            #[cfg(feature = "otlp-http")]
            cors: None,
        })
    }

    /// Limits with nothing held yet.
    pub fn with(settings: Settings) -> Rc<Self> {
        let places = Places::new(settings.connections.max(1));
        Rc::new(Self {
            settings,
            held: Cell::new(0),
            places,
            refusals: RefCell::default(),
            before_growth: Hook::default(),
        })
    }

    /// Requests and connections refused before they reached the intake.
    pub fn refusals(&self) -> RefusalCounts {
        let mut all = *self.refusals.borrow();
        all.merge(&self.places.refusals());
        all
    }

    /// Sets what is done before a large body grows.
    pub fn before_growth(&self, hook: impl Fn() + 'static) {
        *self.before_growth.0.borrow_mut() = Some(Rc::new(hook));
    }

    pub(crate) fn grows(&self) {
        let hook = self.before_growth.0.borrow().clone();
        if let Some(hook) = hook {
            hook();
        }
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
