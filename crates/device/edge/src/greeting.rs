//! What the agent says to a hub at connect, with every heartbeat and at its end, and what it does about the answer.

use std::time::Duration;

use link::{Hello, LaneHead, Verdict};
use model::{Lane, Refusal, Stamp};
use sinks::{HubSink, SinkError};

use crate::disk_state::DiskStatus;
use crate::drain::{Shared, disk_error};
use crate::log;

/// Beyond waits, commit and heartbeats: requests on their way, a busy disk.
const ROOM: Duration = Duration::from_secs(2);

/// Which hub is greeted.
pub(crate) struct Greeting<'a> {
    pub(crate) shared: &'a Shared,
    /// The destination's position.
    pub(crate) index: usize,
    pub(crate) name: &'a str,
}

/// What an agent says of itself.
fn message(shared: &Shared, state: &DiskStatus, heartbeat: Duration) -> Hello {
    let stamp = shared.clock.stamp();
    let settles = shared.settles + 2 * heartbeat + ROOM;
    Hello {
        device: shared.device.clone(),
        epoch: state.epoch.0,
        stamp: stamp.into(),
        lanes: heads(state, shared.watermarks.get(), &stamp),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settles_ms: Some(u64::try_from(settles.as_millis()).unwrap_or(u64::MAX)),
        stops: None,
    }
}

/// The lanes. A watermark is never ahead of the clock that is told beside it: the clock may have been put right since.
fn heads(state: &DiskStatus, (direct, decided): (u64, u64), stamp: &Stamp) -> Vec<LaneHead> {
    let of = |lane| if lane == Lane::Traces { decided } else { direct };
    let head = |head: &journal::LaneEnds| LaneHead {
        lane: Lane::number(head.lane),
        next: head.next,
        oldest: head.oldest,
        watermark_ns: of(head.lane).min(stamp.wall_ns),
    };
    state.heads.iter().map(head).collect()
}

/// Says goodbye: all that was taken in is on disk, and nothing more will be said.
pub(crate) async fn goodbye(shared: &Shared, sink: &mut HubSink, heartbeat: Duration) -> Result<(), SinkError> {
    let state = shared.disk.status().await.map_err(disk_error)?;
    let message = Hello { stops: Some(true), ..message(shared, &state, heartbeat) };
    sink.hello(&message).await.map(drop)
}

/// Greets a hub, and does what it asks for.
pub(crate) async fn hello(greeting: &Greeting<'_>, sink: &mut HubSink, heartbeat: Duration) -> Result<(), SinkError> {
    let Greeting { shared, index, name } = *greeting;
    let state = shared.disk.status().await.map_err(disk_error)?;
    let answer = sink.hello(&message(shared, &state, heartbeat)).await?;
    // Another hub's silence does not end what this one wants.
    if answer.incident_s.is_some() || shared.incident_by.get() == Some(index) {
        shared.incident_by.set(answer.incident_s.map(|_| index));
        let wanted = answer.incident_s.map_or(0, |seconds| u64::from(seconds) * 1_000_000_000);
        shared.pipeline.borrow_mut().set_remote_incident(wanted, shared.clock.now_ns());
    }
    match answer.verdict {
        Verdict::Ok | Verdict::Behind => {
            // Where the hub has everything that it confirmed this changes nothing.
            let mut again = 0;
            for held in &answer.lanes {
                let Some(lane) = Lane::from_number(u64::from(held.lane)) else { continue };
                if let Some(digest) = held.digest {
                    skip(greeting, lane, held.next_expected, digest).await?;
                }
                again += shared.disk.replay(index, lane, held.next_expected).await.map_err(disk_error)?;
            }
            if again > 0 {
                log::warn(&format!(
                    "destination {name}: the hub has less than it confirmed (restored from a backup?); {again} records \
                     are sent again, and a gap tells of what is not held any more"
                ));
                shared.pipeline.borrow_mut().books_mut().queued_again(name, again);
            }
            Ok(())
        }
        Verdict::NewEpoch => {
            let why = "the hub has more of this data directory's epoch than the directory ever gave out: it was restored \
                       from a copy, or two devices share it; ";
            if shared.may_renew() {
                shared.new_epoch.notify_one();
                return Err(SinkError::retry(Refusal::IdentityMismatch, format!("{why}a new epoch begins")));
            }
            Err(SinkError::blocked(
                Refusal::IdentityMismatch,
                format!(
                    "{why}a new epoch could not begin, or the hub does not take it: see the log, make room on the disk, and start \
                     the agent again"
                ),
            ))
        }
    }
}

/// Goes round what the hub has: the answers that said so were lost with an earlier life, or on their way.
async fn skip(greeting: &Greeting<'_>, lane: Lane, next_expected: u64, digest: u64) -> Result<(), SinkError> {
    let Greeting { shared, index, name } = *greeting;
    let (records, backlog) = shared.disk.skip(index, lane, next_expected, digest).await.map_err(disk_error)?;
    if records > 0 {
        shared.set_backlog(backlog);
        shared.pipeline.borrow_mut().books_mut().confirmed(name, records, 0);
        log::info(&format!(
            "destination {name}: the hub has {records} records of lane {lane} already; they are not sent again"
        ));
    }
    Ok(())
}
