//! The gate of the intake: at an orderly end it closes first, and what is inside comes to its end, so that nothing is answered that
//! the last commit does not have.

use std::cell::Cell;
use std::rc::Rc;

/// Whether requests are let in, and how many are inside.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: Cell<bool>,
    inside: Cell<usize>,
}

impl Gate {
    /// Whether nobody is let in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Lets nobody in any more.
    pub(crate) fn close(&self) {
        self.closed.set(true);
    }

    /// Counts a request that is inside until what this gives is dropped.
    pub(crate) fn enter(self: &Rc<Self>) -> Inside {
        self.inside.set(self.inside.get() + 1);
        Inside(Rc::clone(self))
    }

    /// Requests that are inside.
    pub(crate) fn inside(&self) -> usize {
        self.inside.get()
    }
}

/// A request that is inside.
#[derive(Debug)]
pub(crate) struct Inside(Rc<Gate>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.set(self.0.inside.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two requests are inside, the gate closes, they leave. Guarantees: it knows when it is empty, also when a request
    /// ends without an answer.
    #[test]
    fn a_closed_gate_empties() {
        let gate = Rc::new(Gate::default());
        let (first, second) = (gate.enter(), gate.enter());
        gate.close();
        assert!(gate.is_closed() && gate.inside() == 2);
        drop(second);
        assert_eq!(gate.inside(), 1);
        drop(first);
        assert_eq!(gate.inside(), 0);
    }
}
