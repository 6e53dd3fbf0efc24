//! What a hub says of each block that it was sent (docs/link.md).

use link::{BlocksAck, Outcome};
use model::Refusal;

use crate::error::SendError;
use crate::range::Range;

/// What became of the blocks of a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acknowledged {
    /// The hub has them, durably.
    pub confirmed: Vec<Range>,
    /// Bytes of these.
    pub bytes: usize,
    /// It cannot read them, or they are more than it takes: it keeps them aside, and tells of them as lost.
    pub put_aside: Vec<Range>,
    /// The first under whose identity it has other content.
    pub quarantined: Option<Range>,
    /// So many did not arrive as they were sent, or were not named.
    pub unconfirmed: usize,
}

/// Sorts what was sent, with the bytes of each block, by what the hub said of it.
pub fn sort_ack(sent: &[(Range, usize)], ack: &BlocksAck) -> Acknowledged {
    let mut sorted = Acknowledged::default();
    for (range, bytes) in sent {
        let mut named = ack.blocks.iter();
        let named =
            named.find(|one| one.lane() == Some(range.lane) && (one.first, one.last) == (range.first, range.last));
        match named.map(|one| one.outcome) {
            Some(Outcome::Stored | Outcome::Duplicate) => {
                sorted.confirmed.push(*range);
                sorted.bytes += bytes;
            }
            Some(Outcome::Unreadable) => sorted.put_aside.push(*range),
            Some(Outcome::Quarantined) => {
                sorted.quarantined.get_or_insert(*range);
            }
            Some(Outcome::Corrupt) | None => sorted.unconfirmed += 1,
        }
    }
    sorted
}

/// The hub has other content under these identities: a copy of the data directory went another way under the same epoch, or
/// somebody took its name. The cursor stays, and what it is at goes out again under a new epoch.
pub fn quarantined(first: &Range, may_renew: bool) -> SendError {
    let then = if may_renew { "a new epoch begins" } else { "a new epoch begins a while after the last one" };
    let why = format!(
        "the hub has other content under {first}: a copy of this data directory is in use elsewhere under the same epoch; the hub \
         keeps both, and nothing is confirmed; {then}"
    );
    SendError::retry(Refusal::Quarantined, why)
}

/// Some blocks did not arrive as they were sent.
pub fn unconfirmed(blocks: usize, of: usize) -> SendError {
    SendError::retry(Refusal::Damaged, format!("the hub could not read {blocks} of {of} blocks"))
}

#[cfg(test)]
mod tests {
    use link::BlockAck;
    use model::Lane;

    use super::*;

    /// Scenario: a hub answers each of six blocks otherwise, and one of another lane. Guarantees: only what it has is confirmed; what it does
    /// not name, or names otherwise than it was sent, is sent again (P3, P8).
    #[test]
    fn only_what_the_hub_has_is_confirmed() {
        let range = |first| Range { lane: Lane::Logs, first, last: first + 9 };
        let sent: Vec<(Range, usize)> = (0..6).map(|block| (range(10 * block), 100)).collect();
        let answer =
            |lane: Lane, first, outcome| BlockAck { epoch: 1, lane: lane.number(), first, last: first + 9, outcome };
        let ack = BlocksAck {
            blocks: vec![
                answer(Lane::Logs, 0, Outcome::Stored),
                answer(Lane::Logs, 10, Outcome::Duplicate),
                answer(Lane::Logs, 20, Outcome::Quarantined),
                answer(Lane::Logs, 30, Outcome::Unreadable),
                answer(Lane::Logs, 40, Outcome::Corrupt),
                answer(Lane::Traces, 50, Outcome::Stored),
            ],
        };
        let expected = Acknowledged {
            confirmed: vec![range(0), range(10)],
            bytes: 200,
            put_aside: vec![range(30)],
            quarantined: Some(range(20)),
            unconfirmed: 2,
        };
        assert_eq!(sort_ack(&sent, &ack), expected);
        assert_eq!(sort_ack(&sent, &BlocksAck { blocks: Vec::new() }).unconfirmed, 6);
    }
}
