//! Places for connections, never more than allowed. When they run out, the connection that has been idle for longest makes
//! room; one that never sent a request goes first.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use model::{Refusal, RefusalCounts};
use tokio::sync::Notify;
use tokio::time::Instant;

/// Connections beyond the allowed ones that are told so at once; more are closed without a word.
const TOLD: usize = 8;

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
pub struct Working(Rc<State>);

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

    /// Closes the connection that has been idle for longest; false when none is idle.
    pub fn close_idle(&self) -> bool {
        let mut open = self.open.borrow_mut();
        let idle = open.iter().enumerate().filter(|(_, state)| state.active.get() == 0);
        let oldest = idle.min_by_key(|(_, state)| (state.used.get(), state.idle_since.get()));
        let Some((index, _)) = oldest else { return false };
        // Its place is free at once: what is left of it is a farewell of bounded length.
        open.swap_remove(index).close.notify_one();
        self.refusals.borrow_mut().add(Refusal::IdleConnection, 1);
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
        self.state.active.set(self.state.active.get() + 1);
        self.state.used.set(true);
        Working(Rc::clone(&self.state))
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

impl Drop for Working {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
        self.0.idle_since.set(Instant::now());
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

    /// Whether a future is ready at once.
    fn futures_lite(future: impl Future) -> bool {
        let mut future = std::pin::pin!(future);
        future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready()
    }
}
