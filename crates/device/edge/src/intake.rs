//! The way in for sources: a request is answered when what its answer means is true. A large one goes in pieces, all of
//! which were looked at before the first is taken, and is answered once.

use std::rc::Rc;
use std::time::Duration;

use config::AckLevel;
use sources::{Answer, Intake, Request};

use crate::admission::Admitted;
use crate::door::Looked;
use crate::drain::{LARGE_REQUEST, Shared};
use crate::log;
use crate::pipeline::WAIT;
use crate::repeats::digest;

/// How long a request for mission or audit waits for its commit, and a large one for room, before its producer is told to
/// come again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Code pages are given back so often while a large request is taken: it needs the memory more than they do.
const GIVE_BACK_EVERY: usize = 16;

/// How long a large request waits before it looks for room again.
const AGAIN: Duration = Duration::from_millis(100);

/// The way in, by what an answer means.
pub(crate) fn intake(shared: &Rc<Shared>, ack: AckLevel) -> Intake {
    #[cfg(feature = "mutants")]
    let ack = if crate::mutants::answers_early() { AckLevel::Received } else { ack };
    let shared = Rc::clone(shared);
    Rc::new(move |request: Request, share| {
        if shared.gate.is_closed() {
            return Box::pin(std::future::ready(Answer::Wait(WAIT)));
        }
        if request.body.len() >= LARGE_REQUEST {
            shared.pages.give_back();
        }
        let looked = {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.set_wall(shared.clock.wall_ns());
            pipeline.look(&request)
        };
        let looked = match looked {
            Ok(looked) => looked,
            // It came before, and somebody who waited for it to be durable was sent away.
            Err(Answer::Accepted) if shared.commits.is_unsure() => {
                let shared = Rc::clone(&shared);
                return Box::pin(async move { committed(&shared).await });
            }
            Err(answer) => return Box::pin(std::future::ready(answer)),
        };
        if request.body.len() >= LARGE_REQUEST {
            // What looked is not what takes it in.
            shared.pages.give_back();
        }
        // A task of its own: a producer that hangs up must not leave a recorded or half-taken request behind.
        if !looked.is_one_piece(&request.body) {
            let (shared, inside) = (Rc::clone(&shared), shared.gate.enter());
            let taken = tokio::task::spawn_local(async move {
                let answer = in_pieces(&shared, ack, request, &looked).await;
                drop((share, inside));
                answer
            });
            return Box::pin(async move { taken.await.unwrap_or(Answer::Wait(WAIT)) });
        }
        let now = shared.clock.now_ns();
        let admitted = match shared.pipeline.borrow_mut().admit_looked(request.signal, request.body, &looked, now) {
            Ok(admitted) => admitted,
            Err(answer) => return Box::pin(std::future::ready(answer)),
        };
        if ack == AckLevel::Received && !is_urgent(&admitted) {
            let mut pipeline = shared.pipeline.borrow_mut();
            let answer = pipeline.take(admitted, None, now);
            if !is_taken(&answer) || !pipeline.must_commit() {
                return Box::pin(std::future::ready(answer));
            }
            let shared = Rc::clone(&shared);
            return Box::pin(async move { committed(&shared).await });
        }
        let (shared, inside) = (Rc::clone(&shared), shared.gate.enter());
        let taken = tokio::task::spawn_local(async move {
            let urgent = is_urgent(&admitted);
            let answer = take(&shared, ack, admitted).await;
            drop((share, inside));
            match ack {
                AckLevel::Received if urgent && is_taken(&answer) => committed(&shared).await,
                _ => answer,
            }
        });
        Box::pin(async move { taken.await.unwrap_or(Answer::Wait(WAIT)) })
    })
}

fn is_urgent(admitted: &Admitted) -> bool {
    admitted.urgent().next().is_some()
}

fn is_taken(answer: &Answer) -> bool {
    matches!(answer, Answer::Accepted | Answer::Partial { .. })
}

/// Takes a request in, piece by piece, and waits between them until there is room again. When that takes too long the
/// producer is told to come again; what was taken of the same request is passed over then.
async fn in_pieces(shared: &Rc<Shared>, ack: AckLevel, request: Request, looked: &Looked) -> Answer {
    let Request { signal, body, .. } = request;
    let first = {
        let repeats = &mut shared.pipeline.borrow_mut().repeats;
        if repeats.has_parts() { repeats.take_part(digest(signal, &body)) } else { 0 }
    };
    let until = shared.clock.now_ns().saturating_add(PATIENCE.as_nanos() as u64);
    let wall_ns = shared.clock.wall_ns();
    let (mut urgent, mut taken) = (false, first);
    let mut pieces = looked.pieces(signal, &body, wall_ns).skip(first).peekable();
    while let Some(piece) = pieces.next() {
        // The key is that of the whole: it is remembered with the last piece.
        let key = looked.key.clone().filter(|_| pieces.peek().is_none());
        let admitted = loop {
            let now = shared.clock.now_ns();
            let found = &looked.found;
            let admitted =
                shared.pipeline.borrow_mut().admit_piece(signal, piece.clone(), key.clone(), found.names_lane, now);
            match admitted {
                Err(Answer::Wait(_)) if taken > 0 && now < until && !shared.gate.is_closed() => {
                    room(shared).await;
                    // Room comes with decisions, too.
                    tokio::time::sleep(AGAIN).await;
                }
                other => break other,
            }
        };
        let answer = match admitted {
            Ok(admitted) => {
                urgent |= is_urgent(&admitted);
                take(shared, ack, admitted).await
            }
            Err(answer) => answer,
        };
        if !is_taken(&answer) {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.refuse_rest(signal, &piece, pieces);
            if taken > 0 && matches!(answer, Answer::Wait(_)) {
                pipeline.repeats.remember_part(digest(signal, &body), taken);
            }
            return answer;
        }
        taken += 1;
        if taken % GIVE_BACK_EVERY == 0 {
            shared.pages.give_back();
        }
        let wait = {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.seal();
            pipeline.is_crowded() || pipeline.must_commit()
        };
        if wait {
            room(shared).await;
        }
    }
    shared.pipeline.borrow_mut().book_look(&looked.found);
    let must = shared.pipeline.borrow().must_commit();
    match (urgent && ack == AckLevel::Received || must).then(|| committed(shared)) {
        Some(committed) => match committed.await {
            Answer::Accepted => looked.answer(),
            other => other,
        },
        None => looked.answer(),
    }
}

/// Waits until what is ready went to the journal, which makes room, or for a moment.
async fn room(shared: &Shared) {
    const MOMENT: Duration = Duration::from_millis(500);
    // A disk that stalls is told by health; here the wait goes on until it is too long.
    let _in_time = tokio::time::timeout(MOMENT, shared.commits.wait()).await;
}

/// Takes what is admitted in: recorded in files where the level says so, in any case with room for mission and audit.
async fn take(shared: &Shared, ack: AckLevel, admitted: Admitted) -> Answer {
    let urgent = is_urgent(&admitted);
    let admitted = match make_room(shared, admitted).await {
        Ok(admitted) => admitted,
        Err(answer) => return answer,
    };
    if ack == AckLevel::Received {
        return shared.pipeline.borrow_mut().take(admitted, None, shared.clock.now_ns());
    }
    record(shared, admitted, urgent || ack == AckLevel::Durable).await
}

/// Mission and audit are never given up: without room for them the whole request is refused (P11).
async fn make_room(shared: &Shared, admitted: Admitted) -> Result<Admitted, Answer> {
    /// What a frame has besides its records.
    const AROUND: usize = 1024;
    for (lane, bytes) in admitted.urgent() {
        let room = shared.io.make_room(lane, bytes + AROUND, shared.clock.stamp()).await;
        if let Err(error) = room.map_err(|error| error.to_string()).and_then(|room| room) {
            let text = format!("{error}; producers of lane {lane} are told to wait");
            log::error_limited(lane.name(), shared.clock.now_ns(), &text);
            return Err(shared.pipeline.borrow_mut().refuse(&admitted));
        }
    }
    Ok(admitted)
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
            let text = format!("{error}; producers are told to wait");
            log::error_limited("recorder", shared.clock.now_ns(), &text);
            pipeline.refuse(&admitted)
        }
    }
}
