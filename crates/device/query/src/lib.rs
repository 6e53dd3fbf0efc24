//! The local query of a device: what its recorder and its journal hold, filtered, reckoned and shown, with no network.
//!
//! - [`View`] and [`Found`]: one span, log record or point of OTLP bytes as the filter language sees it
//! - [`Scan`]: walks a data directory and the running agent's recorder, and gives what passes to the query's engine
//! - [`output`]: tables, JSON, logfmt, OTLP JSON; [`waterfall`]: one trace with its log records
//! - [`export`]: the journal as OTLP files

mod any;
mod digest;
pub mod export;
mod found;
mod hint;
mod otlp_json;
pub mod output;
mod recorder_stream;
mod scan;
mod seen;
mod settle;
#[cfg(test)]
mod tests;
pub mod time;
mod view;
pub mod waterfall;

pub use found::{Found, Origin, State};
pub use hint::Hint;
pub use otlp::json;
pub use recorder_stream::{Entry, StreamError, read_entry, write_entry};
pub use scan::{Scan, ScanError, Scanned, TailPosition, wanted_blocks};
pub use settle::settle;
pub use view::{Event, View, What, each_in_scope, each_record};
