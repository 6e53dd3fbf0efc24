//! Words that every part shares: ids, lanes, signals, clock stamps, and the borrowed walk over OTLP bytes.
//!
//! Nothing here allocates per record, does IO or reads a clock.

mod identity;
mod intake;
pub mod otlp;
pub mod proto;
mod refusal;
mod words;

pub use identity::{Epoch, Lane, ParseLaneError, Signal, Signals, SpanId, Stamp, TraceId};
pub use intake::{Answer, Position, ReadTo, Request};
pub use refusal::{Refusal, RefusalCounts};
pub use words::words;
