//! OTLP log records as Loki knows them, sans-IO: streams by their labels, lines, and structured metadata, as Loki's own OTLP endpoint
//! makes them, written as push requests ([delivery.md](../../../docs/delivery.md#loki)).
//!
//! | module | concept |
//! |---|---|
//! | `pairs` | names and values of labels and metadata, as Loki may have them |
//! | `stream` | which resource attributes are a stream's labels |
//! | [`Pushes`] | the walk over an OTLP request |

mod pairs;
mod push;
#[cfg(test)]
mod push_tests;
mod stream;

pub use pairs::put_name;
pub use push::Pushes;
pub use stream::{INDEX_LABELS, MAX_LABELS};
