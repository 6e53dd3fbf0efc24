//! Tickets: when what an answer says is true. A request that is safe at its level as soon as it is taken in has one that is settled;
//! any other waits for the commit that has it.

/// When what an answer says is true. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Ticket {
    /// It is.
    #[default]
    Settled,
    /// Once the commit of this number, or a later one, is on disk.
    Commit(u64),
}

/// The commits that began, and those that are on disk.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    begun: u64,
    durable: u64,
}

impl Tickets {
    /// For what is taken in now: the next commit has it.
    pub(crate) fn next(&self) -> Ticket {
        Ticket::Commit(self.begun + 1)
    }

    /// A commit begins; its number.
    pub(crate) fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// A commit is on disk, and all that was ready before it.
    pub(crate) fn settle(&mut self, number: u64) {
        self.durable = self.durable.max(number);
    }

    /// Whether a ticket is settled.
    pub(crate) fn is_settled(&self, ticket: Ticket) -> bool {
        match ticket {
            Ticket::Settled => true,
            Ticket::Commit(number) => number <= self.durable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: something is taken in while a commit is on its way, which then fails; the one after it is done. Guarantees: the ticket
    /// is settled by a commit that began after it was given, and not before (P2).
    #[test]
    fn a_ticket_waits_for_a_commit_that_has_it() {
        let mut tickets = Tickets::default();
        let first = tickets.begin();
        let ticket = tickets.next();
        tickets.settle(first);
        assert!(!tickets.is_settled(ticket) && tickets.is_settled(Ticket::Settled) && Ticket::Settled < ticket);
        let _failed = tickets.begin();
        let third = tickets.begin();
        assert!(!tickets.is_settled(ticket));
        tickets.settle(third);
        assert!(tickets.is_settled(ticket) && !tickets.is_settled(tickets.next()));
    }
}
