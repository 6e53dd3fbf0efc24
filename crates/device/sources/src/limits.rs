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
    held: Cell<usize>,
    /// What was held when room was made last, or less since.
    room_made_at: Cell<usize>,
    /// Whether the program takes nearly all the memory that it may.
    pressed: Cell<bool>,
    /// Connections.
    pub places: Rc<Places>,
    refusals: RefCell<RefusalCounts>,
    before_growth: Hook,
}

/// Whenever the bodies together grow by so much, their host is asked to make room.
const LARGE: usize = 512 << 10;

/// What is done before the bodies grow much: their host may want to make room.
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
            room_made_at: Cell::new(0),
            pressed: Cell::new(false),
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

    /// Sets what is done before the bodies grow much, one or all of them together.
    pub fn before_growth(&self, hook: impl Fn() + 'static) {
        *self.before_growth.0.borrow_mut() = Some(Rc::new(hook));
    }

    /// Tells whether the program takes nearly all the memory that it may: then bodies together grow to 512 KiB at most, or one
    /// alone as far as it may, so that there is an end to it.
    pub fn press(&self, pressed: bool) {
        self.pressed.set(pressed);
    }

    /// Whether one body may grow to so much beside what others hold.
    pub(crate) fn has_room(&self, bytes: usize, others: usize) -> bool {
        let together = others + bytes;
        let fits = !self.pressed.get() || others == 0 || together <= LARGE;
        fits && together <= self.settings.in_flight
    }

    /// Sets what is held. Room is made once for each step of growth, not when it goes up and down by little.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held.set(bytes);
        let made_at = self.room_made_at.get().min(bytes);
        let due = bytes - made_at >= LARGE;
        self.room_made_at.set(if due { bytes } else { made_at });
        if due {
            let hook = self.before_growth.0.borrow().clone();
            if let Some(hook) = hook {
                hook();
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Share;

    /// Scenario: memory runs short while bodies come in. Guarantees: small ones do together and a large one does alone, nothing else
    /// grows until there is memory again (P9).
    #[test]
    fn i14_one_large_body_grows_where_memory_is_short() {
        let limits = Limits::new(1 << 20, 4 << 20, 1);
        let (mut first, mut second) = (Share::new(&limits), Share::new(&limits));
        assert!(first.resize(LARGE) && second.resize(LARGE));
        limits.press(true);
        assert!(!first.resize(LARGE + 1) && !second.resize(LARGE + 1));
        assert!(first.resize(1000) && !second.resize(LARGE + 1));
        drop(first);
        assert!(second.resize(2 * LARGE));
        let mut third = Share::new(&limits);
        assert!(!third.resize(1));
        assert!(second.resize(1000) && third.resize(LARGE - 1000) && !third.resize(LARGE));
        limits.press(false);
        assert!(third.resize(LARGE));
    }

    /// Scenario: many small bodies that grow together, a sum that goes up and down around a step, and one that falls and grows
    /// again. Guarantees: room is made whenever all together grew much, and not for every small request (P9).
    #[test]
    fn i14_small_bodies_together_make_room_as_a_large_one_does() {
        let limits = Limits::new(4 << 20, 8 << 20, 1);
        let made = Rc::new(Cell::new(0));
        let count = Rc::clone(&made);
        limits.before_growth(move || count.set(count.get() + 1));
        (1..=512).for_each(|body| limits.hold(body * (8 << 10)));
        assert_eq!(made.get(), 8);
        for _ in 0..100 {
            limits.hold((4 << 20) - (8 << 10));
            limits.hold(4 << 20);
        }
        assert_eq!(made.get(), 8);
        limits.hold(0);
        limits.hold(LARGE);
        assert_eq!(made.get(), 9);
    }
}
