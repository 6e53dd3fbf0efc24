//! The hub's embedded store: it stores each frame at most once (P8), keeps every record of any age, and knows what it
//! has not got. Synchronous; it knows neither HTTP nor a clock (docs/hub.md).
//!
//! | module | concept |
//! |---|---|
//! | [`incoming`] | a frame on its way in, read and turned into rows |
//! | `weigh` | what a section will take in memory, before it is decoded |
//! | `shared` | series and origins that many points share |
//! | `writer` | one thread, one synchronous batch over many requests, the answer only after it |
//! | `registry` | devices, claims, gaps: in memory, rebuilt at start |
//! | `view` | what queries see: heads in memory and packs on disk |
//! | `compact` | heads into packs, small packs into larger ones, expired packs away |
//! | `merging` | which metric packs become one, and when |
//! | `damage`, `repair` | what cannot be read any more, and how a manifest is rebuilt from packs |
//! | `pack` | the format of packs |
//! | [`query`] | traces, logs, metrics, exemplars, services, coverage |

mod compact;
mod coverage;
mod damage;
mod db;
mod digests;
mod error;
mod gaps;
mod ids;
pub mod incoming;
mod inner;
mod intake_row;
mod intervals;
mod lossy;
mod manifest;
mod merging;
mod opening;
mod origin;
mod pack;
mod proto;
pub mod query;
mod registry;
mod repair;
pub mod rows;
mod series;
mod shared;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod view;
mod weigh;
mod writer;

pub use compact::Compacted;
pub use coverage::{Contact, Head, Interval, State};
pub use damage::{Damage, Reason};
pub use error::{FrameRefused, StoreError};
pub use incoming::{FrameOutcome, Incoming, MAX_SEQ, OTLP_DEVICE};
pub use inner::Options;
pub use proto::{Counters, ExemplarSeries, ExemplarsData, PointData};
pub use registry::Known;
pub use repair::{Repaired, inspect, repair};
pub use shared::SharedSeries;
pub use store::{Greeted, Reached, Store, StoreStats};
pub use weigh::{MAX_COST, TooHeavy};
pub use writer::Reply;
