//! Waiting for commits: a ticket is settled when the commit that has it is on disk.

use std::cell::Cell;

use pipeline::Ticket;
use tokio::sync::{Notify, watch};

/// Who waits for commits, and how far they are.
#[derive(Default)]
pub(crate) struct Commits {
    /// Somebody waits: the next commit is to begin at once.
    wanted: Notify,
    /// The number of the last one that made everything durable that was ready when it began.
    done: watch::Sender<u64>,
    /// Whether somebody was sent away without knowing.
    unsure: Cell<bool>,
    /// Whether the journal has something to commit that did not come through the pipeline.
    forced: Cell<bool>,
}

impl Commits {
    /// Waits until a ticket is settled.
    pub(crate) async fn settled(&self, ticket: Ticket) {
        let Ticket::Commit(number) = ticket else { return };
        let mut done = self.done.subscribe();
        if *done.borrow_and_update() >= number {
            return;
        }
        self.wanted.notify_one();
        // Its sender lives as long as this does.
        let _done = done.wait_for(|done| *done >= number).await;
    }

    /// The next commit is to reach the disk even if the pipeline has nothing for it.
    pub(crate) fn force(&self) {
        self.forced.set(true);
    }

    /// Whether the commit that begins is to reach the disk in any case.
    pub(crate) fn take_forced(&self) -> bool {
        self.forced.take()
    }

    /// Returns when somebody waits.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// A commit is durable.
    pub(crate) fn done(&self, number: u64) {
        self.unsure.set(false);
        self.done.send_replace(number);
    }

    /// Whether somebody was sent away, and what it waited for may still not be durable.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure.get()
    }

    /// Somebody is sent away.
    pub(crate) fn set_unsure(&self) {
        self.unsure.set(true);
    }
}
