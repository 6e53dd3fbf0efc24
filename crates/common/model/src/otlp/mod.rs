//! OTLP 1.11 (opentelemetry-proto v1.11.0): the schema as tables, and borrowed views of what the device looks at.
//!
//! The tables in [`schema`] are the one description of OTLP in the house: frames, masking and tests are driven by them.

mod bounds;
mod facts;
mod findings;
mod inspect;
#[cfg(test)]
mod inspect_tests;
pub mod json;
mod pieces;
mod scalar_pair;
pub mod schema;
mod select;
mod slice;
mod validate;
mod views;

pub use bounds::{MAX_AROUND, MAX_PARTS, MAX_RECORD, PIECE_BYTES, PIECE_PARTS, PIECE_RECORDS};
pub use facts::{SpanFacts, Spans, for_each_scope_of_spans};
pub use findings::{LANE_ATTRIBUTE, MAX_DEPTH, mended};
pub use inspect::{Inspection, fits, inspect, inspect_spans};
pub use pieces::Pieces;
pub use scalar_pair::{ScalarValue, scalar_pair};
pub use select::Selection;
pub use slice::slice;
pub use validate::validate;
pub use views::{
    LONGEST_NS, LogView, PointView, ResourceGroup, ScopeGroup, SpanView, attribute, attributes, count_records,
    each_exemplar, for_each_scope, messages, string_attribute,
};

/// `status.code` of a span that failed (opentelemetry/proto/trace/v1/trace.proto, `Status.StatusCode`).
pub const STATUS_ERROR: u64 = 2;
/// `status.code` of a span that was marked as good.
pub const STATUS_OK: u64 = 1;
