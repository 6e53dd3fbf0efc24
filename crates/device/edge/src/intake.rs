//! The way in for sources: a request is answered when what its answer means is true, that is when its ticket is settled. A large one
//! goes in pieces, all of which were looked at before the first is taken, and is answered once.

use std::rc::Rc;
use std::time::Duration;

use config::AckLevel;
use pipeline::{Admitted, Looked, Receipt, Ticket, WAIT};
use sources::{Answer, Intake, Pending, Position, Request};

use crate::log;
use crate::shared::{LARGE_REQUEST, Shared};

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
    Rc::new(move |request: Request, position: Option<Position>, share| {
        if shared.gate.is_closed() {
            return Pending::settled(Answer::Wait(WAIT));
        }
        if request.body.len() >= LARGE_REQUEST {
            shared.pages.give_back();
        }
        let is_read = position.is_some();
        if let Some(position) = position.as_ref().filter(|_| request.body.is_empty()) {
            shared.pipeline.borrow_mut().passed_over(position);
            return Pending::settled(Answer::Accepted);
        }
        let again = position.as_ref().filter(|position| position.is_again);
        let request = match again {
            None => request,
            Some(position) => {
                let missing = shared.pipeline.borrow().only_missing(request, position);
                let Some(missing) = missing else {
                    shared.pipeline.borrow_mut().passed_over(position);
                    return Pending::settled(Answer::Accepted);
                };
                missing
            }
        };
        let looked = {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.set_wall(shared.clock.wall_ns());
            pipeline.look(&request)
        };
        let looked = match looked {
            Ok(looked) => looked,
            // It came before, and somebody who waited for it to be durable was sent away.
            Err(Answer::Accepted) if shared.commits.is_unsure() => {
                let receipt = Receipt { answer: Answer::Accepted, ticket: shared.pipeline.borrow().ticket() };
                return settled(&shared, receipt, is_read);
            }
            Err(answer) => return Pending::settled(answer),
        };
        if request.body.len() >= LARGE_REQUEST {
            // What looked is not what takes it in.
            shared.pages.give_back();
        }
        // A task of its own: a producer that hangs up must not leave a recorded or half-taken request behind.
        if !looked.is_one_piece(&request.body) {
            let (shared, inside) = (Rc::clone(&shared), shared.gate.enter());
            let taken = tokio::task::spawn_local(async move {
                let answer = in_pieces(&shared, ack, request, position, &looked).await;
                drop((share, inside));
                answer
            });
            return Pending::later(async move { taken.await.unwrap_or(Answer::Wait(WAIT)) });
        }
        let now = shared.clock.now_ns();
        let admitted = match shared.pipeline.borrow_mut().admit_looked(request.signal, request.body, looked, now) {
            Ok(admitted) => covering(admitted, position, true),
            Err(answer) => return Pending::settled(answer),
        };
        if ack == AckLevel::Received && !admitted.is_urgent() {
            let receipt = shared.pipeline.borrow_mut().take(admitted, None, now);
            return settled(&shared, receipt, is_read);
        }
        let (shared, inside) = (Rc::clone(&shared), shared.gate.enter());
        let taken = tokio::task::spawn_local(async move {
            let receipt = take(&shared, ack, admitted).await;
            drop((share, inside));
            settle(&shared, receipt, is_read).await
        });
        Pending::later(async move { taken.await.unwrap_or(Answer::Wait(WAIT)) })
    })
}

/// The answer of a receipt, at once where it is true already.
fn settled(shared: &Rc<Shared>, receipt: Receipt, is_read: bool) -> Pending {
    if receipt.ticket == Ticket::Settled {
        return Pending::settled(receipt.answer);
    }
    let shared = Rc::clone(shared);
    Pending::later(async move { settle(&shared, receipt, is_read).await })
}

/// Waits until the answer of a receipt is true, but not for ever; a source that reads waits on, and has nothing to send twice.
async fn settle(shared: &Shared, receipt: Receipt, is_read: bool) -> Answer {
    let Receipt { answer, ticket } = receipt;
    if ticket == Ticket::Settled {
        return answer;
    }
    if is_read {
        shared.commits.settled(ticket).await;
        return answer;
    }
    match tokio::time::timeout(PATIENCE, shared.commits.settled(ticket)).await {
        Ok(()) => answer,
        Err(_) => {
            shared.commits.set_unsure();
            Answer::Wait(WAIT)
        }
    }
}

/// The same with the position of the source that read it.
fn covering(admitted: Admitted, position: Option<Position>, is_last: bool) -> Admitted {
    match position {
        Some(position) => admitted.covering(position, is_last),
        None => admitted,
    }
}

/// Of a request that is not taken.
fn not_taken(answer: Answer) -> Receipt {
    Receipt { answer, ticket: Ticket::Settled }
}

/// Takes a request in, piece by piece, and waits between them until there is room again. When that takes too long the
/// producer is told to come again; what was taken of the same request is passed over then.
async fn in_pieces(
    shared: &Rc<Shared>,
    ack: AckLevel,
    request: Request,
    position: Option<Position>,
    looked: &Looked,
) -> Answer {
    let Request { signal, body, .. } = request;
    let is_read = position.is_some();
    let first = shared.pipeline.borrow_mut().pieces_taken(signal, &body);
    let until = shared.clock.now_ns().saturating_add(PATIENCE.as_nanos() as u64);
    let wall_ns = shared.clock.wall_ns();
    let (mut ticket, mut taken) = (Ticket::Settled, first);
    let mut pieces = looked.pieces(signal, &body, wall_ns).skip(first).peekable();
    while let Some(piece) = pieces.next() {
        // The key is that of the whole: it is remembered with the last piece.
        let key = looked.key().filter(|_| pieces.peek().is_none());
        let admitted = loop {
            let now = shared.clock.now_ns();
            let admitted = shared.pipeline.borrow_mut().admit_piece(signal, piece.clone(), key, looked, now);
            match admitted {
                Err(Answer::Wait(_)) if taken > 0 && now < until && !shared.gate.is_closed() => {
                    room(shared).await;
                    // Room comes with decisions, too.
                    tokio::time::sleep(AGAIN).await;
                }
                other => break other,
            }
        };
        let receipt = match admitted {
            Ok(admitted) => {
                let admitted = covering(admitted, position.clone(), pieces.peek().is_none());
                take(shared, ack, admitted).await
            }
            Err(answer) => not_taken(answer),
        };
        if !receipt.answer.is_taken() {
            let mut pipeline = shared.pipeline.borrow_mut();
            pipeline.refuse_pieces(signal, std::iter::once(piece).chain(pieces));
            if taken > 0 && matches!(receipt.answer, Answer::Wait(_)) {
                pipeline.remember_pieces(signal, &body, taken);
            }
            return receipt.answer;
        }
        ticket = ticket.max(receipt.ticket);
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
    shared.pipeline.borrow_mut().all_pieces_taken(looked);
    settle(shared, Receipt { answer: looked.answer(), ticket }, is_read).await
}

/// Waits until what is ready went to the journal, which makes room, or for a moment.
async fn room(shared: &Shared) {
    const MOMENT: Duration = Duration::from_millis(500);
    let ticket = shared.pipeline.borrow().ticket();
    // A disk that stalls is told by health; here the wait goes on until it is too long.
    let _in_time = tokio::time::timeout(MOMENT, shared.commits.settled(ticket)).await;
}

/// Takes what is admitted in: recorded in files where the level says so, in any case with room for mission and audit.
async fn take(shared: &Shared, ack: AckLevel, admitted: Admitted) -> Receipt {
    let urgent = admitted.is_urgent();
    let admitted = match make_room(shared, admitted).await {
        Ok(admitted) => admitted,
        Err(answer) => return not_taken(answer),
    };
    if ack == AckLevel::Received {
        return shared.pipeline.borrow_mut().take(admitted, None, shared.clock.now_ns());
    }
    record(shared, admitted, urgent || ack == AckLevel::Durable).await
}

/// Mission and audit are never evicted: without room for them the whole request is refused (P11).
async fn make_room(shared: &Shared, admitted: Admitted) -> Result<Admitted, Answer> {
    /// What a frame has besides its records.
    const AROUND: usize = 1024;
    for (lane, bytes) in admitted.urgent() {
        let room = shared.disk.make_room(lane, bytes + AROUND, shared.clock.stamp()).await;
        if let Err(error) = room.map_err(|error| error.to_string()).and_then(|room| room) {
            let text = format!("{error}; producers of lane {lane} are told to wait");
            log::error_limited(lane.name(), shared.clock.now_ns(), &text);
            return Err(shared.pipeline.borrow_mut().refuse(&admitted));
        }
    }
    Ok(admitted)
}

/// Records a request in files, and takes it in once that is done.
async fn record(shared: &Shared, admitted: Admitted, durable: bool) -> Receipt {
    let admitted = shared.pipeline.borrow_mut().compress(admitted);
    let (admitted, sequence) = match shared.disk.record(admitted, shared.clock.wall_ns(), durable).await {
        Ok(recorded) => recorded,
        Err(error) => {
            log::error(&format!("{error}; producers are told to wait"));
            return not_taken(Answer::Wait(WAIT));
        }
    };
    let mut pipeline = shared.pipeline.borrow_mut();
    match sequence {
        Ok(sequence) => pipeline.take(admitted, Some(sequence), shared.clock.now_ns()),
        Err(error) => {
            let text = format!("{error}; producers are told to wait");
            log::error_limited("recorder", shared.clock.now_ns(), &text);
            not_taken(pipeline.refuse(&admitted))
        }
    }
}
