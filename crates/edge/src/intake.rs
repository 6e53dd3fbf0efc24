//! The way in for sources: a request is answered when what its answer means is true.

use std::rc::Rc;
use std::time::Duration;

use config::AckLevel;
use sources::{Answer, Intake, Request};

use crate::admission::Admitted;
use crate::drain::{LARGE_REQUEST, Shared};
use crate::log;
use crate::pipeline::WAIT;

/// How long a request for mission or audit waits for its commit, before its producer is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way in, by what an answer means.
pub(crate) fn intake(shared: &Rc<Shared>, ack: AckLevel) -> Intake {
    #[cfg(feature = "mutants")]
    let ack = if crate::mutants::answers_early() { AckLevel::Received } else { ack };
    let shared = Rc::clone(shared);
    Rc::new(move |request: Request| {
        if request.body.len() >= LARGE_REQUEST {
            shared.pages.give_back();
        }
        let now = shared.clock.now_ns();
        let admitted = match shared.pipeline.borrow_mut().admit(request, now) {
            Ok(admitted) => admitted,
            // It came before, and somebody who waited for it to be durable was sent away.
            Err(Answer::Accepted) if shared.commits.is_unsure() => {
                let shared = Rc::clone(&shared);
                return Box::pin(async move { committed(&shared).await });
            }
            Err(answer) => return Box::pin(std::future::ready(answer)),
        };
        let urgent = admitted.urgent().next().is_some();
        if ack == AckLevel::Received && !urgent {
            let mut pipeline = shared.pipeline.borrow_mut();
            let answer = pipeline.take(admitted, None, now);
            if !matches!(answer, Answer::Accepted) || !pipeline.must_commit() {
                return Box::pin(std::future::ready(answer));
            }
            let shared = Rc::clone(&shared);
            return Box::pin(async move { committed(&shared).await });
        }
        // A task of its own: a producer that hangs up must not leave a recorded request behind.
        let shared = Rc::clone(&shared);
        let taken = tokio::task::spawn_local(async move {
            let admitted = match make_room(&shared, admitted).await {
                Ok(admitted) => admitted,
                Err(answer) => return answer,
            };
            if ack == AckLevel::Received {
                commit(&shared, admitted).await
            } else {
                record(&shared, admitted, urgent || ack == AckLevel::Durable).await
            }
        });
        Box::pin(async move { taken.await.unwrap_or(Answer::Wait(WAIT)) })
    })
}

/// Mission and audit are never given up: without room for them the whole request is refused (P11).
async fn make_room(shared: &Shared, admitted: Admitted) -> Result<Admitted, Answer> {
    /// What a frame has besides its records.
    const AROUND: usize = 1024;
    for (lane, bytes) in admitted.urgent() {
        let room = shared.io.make_room(lane, bytes + AROUND, shared.clock.stamp()).await;
        if let Err(error) = room.map_err(|error| error.to_string()).and_then(|room| room) {
            log::error(&format!("{error}; producers of lane {lane} are told to wait"));
            return Err(shared.pipeline.borrow_mut().refuse(&admitted));
        }
    }
    Ok(admitted)
}

/// Takes a request in and answers once it is committed.
async fn commit(shared: &Shared, admitted: Admitted) -> Answer {
    let answer = shared.pipeline.borrow_mut().take(admitted, None, shared.clock.now_ns());
    if !matches!(answer, Answer::Accepted) {
        return answer;
    }
    committed(shared).await
}

/// Waits until all that is taken in is durable, but not for ever.
async fn committed(shared: &Shared) -> Answer {
    match tokio::time::timeout(PATIENCE, shared.commits.wait()).await {
        Ok(()) => Answer::Accepted,
        Err(_) => {
            shared.commits.set_unsure();
            Answer::Wait(WAIT)
        }
    }
}

/// Records a request in files, and takes it in once that is done.
async fn record(shared: &Shared, admitted: Admitted, durable: bool) -> Answer {
    let (admitted, sequence) = match shared.io.record(admitted, shared.clock.wall_ns(), durable).await {
        Ok(recorded) => recorded,
        Err(error) => {
            log::error(&format!("{error}; producers are told to wait"));
            return Answer::Wait(WAIT);
        }
    };
    let mut pipeline = shared.pipeline.borrow_mut();
    match sequence {
        Ok(sequence) => pipeline.take(admitted, Some(sequence), shared.clock.now_ns()),
        Err(error) => {
            log::error(&format!("{error}; producers are told to wait"));
            pipeline.refuse(&admitted)
        }
    }
}
