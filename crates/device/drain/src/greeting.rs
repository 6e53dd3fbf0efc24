//! What a hub is told at connect, with every heartbeat and at an orderly end, and what it asks for.

use std::time::Duration;

use journal::LaneEnds;
use link::{Hello, HelloAck, LaneHead, Verdict};
use model::{Epoch, Lane, Refusal, Stamp};

use crate::error::SendError;

/// Beyond waits, commit and heartbeats: requests on their way, a busy disk.
const ROOM: Duration = Duration::from_secs(2);

/// What a device says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// Its name.
    pub name: &'a str,
    /// The program's version.
    pub version: &'a str,
    /// The epoch of its data directory.
    pub epoch: Epoch,
    /// Its clocks now.
    pub stamp: Stamp,
    /// The ends of its lanes.
    pub lanes: &'a [LaneEnds],
    /// Wall time up to which everything that came in is committed, Unix nanoseconds: of lanes without decisions.
    pub committed_to_ns: u64,
    /// The same of the traces lane.
    pub decided_to_ns: u64,
    /// After how long what comes in is committed and decided, whatever it is, as configured.
    pub settles: Duration,
}

/// The message to a hub that is greeted so often. `stops`: all that was taken in is on disk, and nothing more will be said.
pub fn hello(device: &Device<'_>, heartbeat: Duration, stops: bool) -> Hello {
    let settles = device.settles + 2 * heartbeat + ROOM;
    // A watermark is never ahead of the clock that is told beside it: the clock may have been put right since.
    let watermark = |lane| {
        let to = if lane == Lane::Traces { device.decided_to_ns } else { device.committed_to_ns };
        to.min(device.stamp.wall_ns)
    };
    let head = |ends: &LaneEnds| LaneHead {
        lane: Lane::number(ends.lane),
        next: ends.next,
        oldest: ends.oldest,
        watermark_ns: watermark(ends.lane),
    };
    Hello {
        device: device.name.to_owned(),
        epoch: device.epoch.0,
        stamp: device.stamp.into(),
        lanes: device.lanes.iter().map(head).collect(),
        version: device.version.to_owned(),
        settles_ms: Some(u64::try_from(settles.as_millis()).unwrap_or(u64::MAX)),
        stops: stops.then_some(true),
    }
}

/// What a hub asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It has the lane below `next_expected`, where the frame before that has this digest: that need not be sent.
    Skip {
        /// The lane.
        lane: Lane,
        /// The first sequence that it does not have.
        next_expected: u64,
        /// See [`link::short_digest`].
        digest: u64,
    },
    /// It has the lane up to `next_expected - 1` only: what it confirmed beyond is sent again. Where it has everything that it
    /// confirmed this changes nothing.
    Replay {
        /// The lane.
        lane: Lane,
        /// The first sequence that it does not have.
        next_expected: u64,
    },
    /// It has more of this epoch than the data directory ever gave out.
    NewEpoch,
}

/// What a hub asks for, in the order in which it is to be done.
pub fn wishes(answer: &HelloAck) -> Vec<Wish> {
    match answer.verdict {
        Verdict::NewEpoch => vec![Wish::NewEpoch],
        Verdict::Ok | Verdict::Behind => {
            let mut wishes = Vec::with_capacity(2 * answer.lanes.len());
            for held in &answer.lanes {
                let Some(lane) = Lane::from_number(u64::from(held.lane)) else { continue };
                let next_expected = held.next_expected;
                wishes.extend(held.digest.map(|digest| Wish::Skip { lane, next_expected, digest }));
                wishes.push(Wish::Replay { lane, next_expected });
            }
            wishes
        }
    }
}

/// Nothing can be sent before a new epoch begins, which is now, or not by itself any more.
pub fn wants_new_epoch(may_renew: bool) -> SendError {
    let why = "the hub has more of this data directory's epoch than the directory ever gave out: it was restored from a copy, or two \
               devices share it; ";
    if may_renew {
        return SendError::retry(Refusal::IdentityMismatch, format!("{why}a new epoch begins"));
    }
    SendError::blocked(
        Refusal::IdentityMismatch,
        format!(
            "{why}a new epoch could not begin, or the hub does not take it: see the log, make room on the disk, and start the agent \
             again"
        ),
    )
}

/// The incident window that one of several hubs wants open.
#[derive(Debug, Default)]
pub struct Incidents {
    by: Option<usize>,
}

impl Incidents {
    /// A destination was greeted, and wants a window open for so many seconds, or none. Gives for how many nanoseconds it is to be open
    /// from now on, 0 for not any more; `None` when nothing changes: another hub's silence does not end what this one wants.
    pub fn answered(&mut self, destination: usize, seconds: Option<u32>) -> Option<u64> {
        if seconds.is_none() && self.by != Some(destination) {
            return None;
        }
        self.by = seconds.map(|_| destination);
        Some(seconds.map_or(0, |seconds| u64::from(seconds) * 1_000_000_000))
    }
}

#[cfg(test)]
mod tests {
    use link::LaneConfirmed;

    use super::*;

    /// Scenario: a hub answers that it has one lane with a digest and one without; or that it has too much. Guarantees: what it has is skipped
    /// before it is asked what it lost; a lane that this program does not know is passed over; a new epoch comes before all else (P3, P8).
    #[test]
    fn a_hub_tells_what_it_has() {
        let lane = |number: u8, digest| LaneConfirmed { lane: number, next_expected: 7, digest };
        let mut answer = HelloAck {
            verdict: Verdict::Behind,
            lanes: vec![lane(Lane::Logs.number(), Some(3)), lane(200, None), lane(Lane::Audit.number(), None)],
            hub_wall_ns: 1,
            incident_s: None,
        };
        let expected = [
            Wish::Skip { lane: Lane::Logs, next_expected: 7, digest: 3 },
            Wish::Replay { lane: Lane::Logs, next_expected: 7 },
            Wish::Replay { lane: Lane::Audit, next_expected: 7 },
        ];
        assert_eq!(wishes(&answer), expected);
        answer.verdict = Verdict::NewEpoch;
        assert_eq!(wishes(&answer), [Wish::NewEpoch]);
        assert!(matches!(wants_new_epoch(true), SendError::Retry { .. }));
        assert!(matches!(wants_new_epoch(false), SendError::Blocked { .. }));
    }

    /// Scenario: a clock was put back by an hour since the last commit. Guarantees: no lane's watermark is ahead of the clock that is told
    /// beside it; only an orderly end says that the device stops (P3).
    #[test]
    fn a_watermark_is_never_ahead_of_the_clock() {
        let lanes =
            [Lane::Traces, Lane::Logs].map(|lane| LaneEnds { lane, next: 5, oldest: 1, done: 0, watermark_ns: 0 });
        let device = Device {
            name: "vessel",
            version: "1",
            epoch: Epoch(9),
            stamp: Stamp { wall_ns: 1_000, ..Stamp::default() },
            lanes: &lanes,
            committed_to_ns: 3_600_000,
            decided_to_ns: 900,
            settles: Duration::from_secs(15),
        };
        let message = hello(&device, Duration::from_secs(30), false);
        assert_eq!(message.lanes.iter().map(|head| head.watermark_ns).collect::<Vec<_>>(), [900, 1_000]);
        assert_eq!((message.settles_ms, message.stops), (Some(77_000), None));
        assert_eq!(hello(&device, Duration::from_secs(30), true).stops, Some(true));
    }

    /// Scenario: one hub wants an incident window, another says nothing; then the first one does not want it any more. Guarantees: the
    /// second one's silence changes nothing.
    #[test]
    fn anothers_silence_ends_no_incident() {
        let mut incidents = Incidents::default();
        assert_eq!(incidents.answered(0, Some(60)), Some(60_000_000_000));
        assert_eq!(incidents.answered(1, None), None);
        assert_eq!(incidents.answered(0, None), Some(0));
        assert_eq!(incidents.answered(0, None), None);
    }
}
