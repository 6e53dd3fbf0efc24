//! Everything between a source and the journal, sans-IO: bytes and times in, batches and answers out. No runtime, no socket, no
//! clock, no disk.
//!
//! - [`Pipeline`] passes a record from one part to the next; its body reads as the way of a record
//! - `admission`: the look at a request, the guard, repeats by their key, limits, lanes, and the metrics of every span; the plan of a
//!   request is made there, and serves the live path, a restart ([`Resume`]) and a fetch ([`Pipeline::take_fetched`])
//! - `undecided`: the recorder, the sampler, and the outcome of each decision; nobody else pins
//! - `outbox`: the batches on their way to the journal, and the lanes' pressure
//! - `books`: the ledger and its counters ([`Books`]); the others hand over facts, nobody else adds
//! - `positions`: how far sources that read are, as it rides in commits
//! - `ticket`: when what an answer says is true
//! - `limited`: what limits took out, as gaps
//! - `attributes`, `exemplars`: what is written on records, and what is taken out of points

mod admission;
mod attributes;
mod books;
mod exemplars;
mod limited;
#[cfg(feature = "mutants")]
mod mutants;
mod outbox;
mod pipeline;
mod positions;
mod ticket;
mod undecided;

pub use admission::{Admitted, LaneRules, Looked, MAX_RECORDING, Piece};
pub use books::{Books, Counters, WAIT};
pub use outbox::{Batch, LaneStanding, MAX_QUEUED, Watermarks};
pub use pipeline::{
    CommitAttachment, Fetched, NotTaken, Pipeline, Receipt, Remaining, Resume, Resumed, Source, Standing,
};
pub use positions::PositionsLeftOut;
pub use ticket::Ticket;
pub use undecided::{RemainingRequest, Rules, span_part, trace_of};
