//! StatsD without IO: lines of datagrams, gathered, and once an interval written as an OTLP export request
//! ([sources.md](../../../docs/sources.md#statsd)).
//!
//! | module | concept |
//! |---|---|
//! | [`read_line`] | one line: name, values, type, rate, tags |
//! | [`Gathered`] | what lines came to, series by series, within a bound of bytes |
//! | `write` | series as OTLP |

mod gathered;
mod line;
mod series;
mod write;

pub use gathered::{Gathered, NotTaken};
pub use line::{Fault, Kind, Line, read_line};
pub use series::BOUNDS;
