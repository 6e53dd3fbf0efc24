//! Places for connections, never more than allowed. When they run out, one makes room: first one that never sent a request, then
//! one whose request does not come, then the one that has been idle for longest.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use model::{Refusal, RefusalCounts};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::Intake;

/// How long a request may be on its way before its connection makes room for others, when places run out.
const STALLED: Duration = Duration::from_secs(1);
/// Connections beyond the allowed ones that are told so at once; more are closed without a word.
const TOLD: usize = 4;

/// The connections of one or several listeners.
#[derive(Debug)]
pub struct Places {
    most: Cell<usize>,
    open: RefCell<Vec<Rc<State>>>,
    told: Cell<usize>,
    refusals: RefCell<RefusalCounts>,
}

/// How one connection stands.
#[derive(Debug)]
struct State {
    /// Requests that are worked on.
    active: Cell<u32>,
    /// Those of them that have not come whole, and since when there are any.
    coming: Cell<u32>,
    coming_since: Cell<Instant>,
    /// Whether a request ever came.
    used: Cell<bool>,
    /// Since when there is no request.
    idle_since: Cell<Instant>,
    close: Notify,
}

/// What a new connection gets.
#[derive(Debug)]
pub enum Entry {
    /// A place.
    Place(Place),
    /// None: all others work. It is told so.
    Full(Place),
    /// Not even that.
    None,
}

/// The place of one connection; given back when dropped.
#[derive(Debug)]
pub struct Place {
    state: Rc<State>,
    places: Rc<Places>,
    told: bool,
}

/// A request that is worked on: its connection is not idle.
#[derive(Debug)]
pub struct Working {
    state: Rc<State>,
    coming: Cell<bool>,
}

impl State {
    /// Which connection makes room first, as a row of reasons; `None` for one that works.
    fn rank(&self) -> Option<(u8, Instant)> {
        let stalled = self.coming.get() == self.active.get() && self.coming_since.get().elapsed() >= STALLED;
        match self.active.get() {
            0 if !self.used.get() => Some((0, self.idle_since.get())),
            0 => Some((2, self.idle_since.get())),
            _ if stalled => Some((1, self.coming_since.get())),
            _ => None,
        }
    }
}

/// An intake that notes that the request has come whole when it is handed over.
pub(crate) fn told(intake: Intake, working: &Rc<Working>) -> Intake {
    let working = Rc::clone(working);
    Rc::new(move |request, position, share| {
        working.came();
        intake(request, position, share)
    })
}

impl Places {
    /// So many at most.
    pub fn new(most: usize) -> Rc<Self> {
        Rc::new(Self {
            most: Cell::new(most),
            open: RefCell::default(),
            told: Cell::new(0),
            refusals: RefCell::default(),
        })
    }

    /// Changes how many there may be.
    pub fn set_most(&self, most: usize) {
        self.most.set(most);
    }

    /// How many there may be.
    pub fn most(&self) -> usize {
        self.most.get()
    }

    /// How many there are.
    pub fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Connections that were refused or closed, by reason.
    pub fn refusals(&self) -> RefusalCounts {
        *self.refusals.borrow()
    }

    /// Counts.
    pub fn count(&self, reason: Refusal) {
        self.refusals.borrow_mut().add(reason, 1);
    }

    /// A connection comes.
    pub fn enter(self: &Rc<Self>) -> Entry {
        let state = Rc::new(State {
            active: Cell::new(0),
            coming: Cell::new(0),
            coming_since: Cell::new(Instant::now()),
            used: Cell::new(false),
            idle_since: Cell::new(Instant::now()),
            close: Notify::new(),
        });
        let told = self.open() >= self.most.get() && !self.close_idle();
        let place = Place { state: Rc::clone(&state), places: Rc::clone(self), told };
        if !told {
            self.open.borrow_mut().push(state);
            return Entry::Place(place);
        }
        self.count(Refusal::TooManyConnections);
        self.told.set(self.told.get() + 1);
        if self.told.get() > TOLD { Entry::None } else { Entry::Full(place) }
    }

    /// Closes a connection that does not work; false when all do.
    pub fn close_idle(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let ranks = open.iter().enumerate().filter_map(|(index, state)| Some((state.rank()?, index)));
        let Some(((rank, _), index)) = ranks.min() else { return false };
        // Its place is free at once: what is left of it is a farewell of bounded length.
        open.swap_remove(index).close.notify_one();
        let reason = if rank == 1 { Refusal::TooSlow } else { Refusal::IdleConnection };
        self.refusals.borrow_mut().add(reason, 1);
        true
    }
}

impl Place {
    /// Returns when the connection is to make room.
    pub async fn closed(&self) {
        self.state.close.notified().await;
    }

    /// A request begins.
    pub fn work(&self) -> Working {
        let state = &self.state;
        state.active.set(state.active.get() + 1);
        state.used.set(true);
        if state.coming.replace(state.coming.get() + 1) == 0 {
            state.coming_since.set(Instant::now());
        }
        Working { state: Rc::clone(state), coming: Cell::new(true) }
    }

    /// Since when there is no request; `None` while there is one.
    pub fn idle_since(&self) -> Option<Instant> {
        (self.state.active.get() == 0).then(|| self.state.idle_since.get())
    }

    /// Whether it is there only to be told that there is no place.
    pub fn is_full(&self) -> bool {
        self.told
    }

    /// Counts, why the connection ends.
    pub fn count(&self, reason: Refusal) {
        self.places.count(reason);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.told {
            self.places.told.set(self.places.told.get().saturating_sub(1));
        }
        self.places.open.borrow_mut().retain(|state| !Rc::ptr_eq(state, &self.state));
    }
}

impl Working {
    /// The request has come whole.
    pub fn came(&self) {
        if self.coming.replace(false) {
            self.state.coming.set(self.state.coming.get().saturating_sub(1));
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.came();
        self.state.active.set(self.state.active.get().saturating_sub(1));
        self.state.idle_since.set(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(entry: Entry) -> Place {
        match entry {
            Entry::Place(place) => place,
            other => panic!("{other:?}"),
        }
    }

    /// Scenario: all places are taken by a connection that works, one that worked, one that never sent anything; then by
    /// ones that all work. Guarantees: the silent one makes room first, then the one that has been idle for longest; one
    /// that works never does: the newcomer is told, beyond a few not even that (P9).
    #[test]
    fn i1_the_oldest_idle_connection_makes_room() {
        let places = Places::new(3);
        let (working, used, silent) = (place(places.enter()), place(places.enter()), place(places.enter()));
        let _request = working.work();
        drop(used.work());
        let closes = |place: &Place| futures_lite(place.closed());
        let newcomer = place(places.enter());
        assert!(closes(&silent) && !closes(&used) && !closes(&working));
        let _request_too = newcomer.work();
        let third = place(places.enter());
        assert!(closes(&used) && !closes(&working));
        let _last_request = third.work();
        let told: Vec<_> = (0..TOLD).map(|_| places.enter()).collect();
        assert!(told.iter().all(|entry| matches!(entry, Entry::Full(_))));
        assert!(matches!(places.enter(), Entry::None));
        assert_eq!(places.open(), 3);
        let counts = places.refusals();
        assert_eq!(counts.get(Refusal::IdleConnection), 2);
        assert_eq!(counts.get(Refusal::TooManyConnections), TOLD as u64 + 1);
        drop((told, third));
        assert!(matches!(places.enter(), Entry::Place(_)));
    }

    /// Scenario: all places are taken: by a request that does not come, by one that has come and is worked on, by a connection that
    /// waits for its producer's next request. Guarantees: the request that does not come makes room after a second, not the
    /// honest producer's connection, and not before (P9).
    #[tokio::test(start_paused = true)]
    async fn i1_a_request_that_does_not_come_makes_room() {
        let places = Places::new(3);
        let (slow, working, honest) = (place(places.enter()), place(places.enter()), place(places.enter()));
        let _body = slow.work();
        let request = working.work();
        request.came();
        let busy = honest.work();
        assert!(!places.close_idle(), "all work");
        drop(busy);
        tokio::time::advance(STALLED).await;
        let closes = |place: &Place| futures_lite(place.closed());
        let _newcomer = place(places.enter());
        assert!(closes(&slow) && !closes(&honest) && !closes(&working));
        assert_eq!(places.refusals().get(Refusal::TooSlow), 1);
        assert!(places.close_idle(), "the newcomer, which never sent anything");
        assert!(!closes(&honest));
    }

    /// Whether a future is ready at once.
    fn futures_lite(future: impl Future) -> bool {
        let mut future = std::pin::pin!(future);
        future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}
