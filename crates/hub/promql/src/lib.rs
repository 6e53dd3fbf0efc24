//! PromQL as Prometheus 3 means it: a parser and an evaluator that know no storage.
//!
//! A query is parsed ([`parse`]) and evaluated ([`evaluate`]) over a [`SeriesSource`], which hands over each series once,
//! decoded, in order of time. Two cursors go over it; what comes out is one sample per series and step, and all operators
//! work on that matrix. No IO, no clock, no thread: bounds and the question whether to go on are [`Options`].
//!
//! `cargo xtask promqltest` measures it by Prometheus' own tests (docs/promql.md).

mod annotations;
mod engine;
mod eval;
mod functions;
mod histogram;
mod labels;
mod matcher;
mod options;
mod points;
mod source;
mod syntax;
mod text;

pub use annotations::{Annotation, Annotations};
pub use engine::{Answer, Value, evaluate};
pub use histogram::{Bucket, Buckets, CUSTOM as CUSTOM_BUCKETS, Histogram, ResetHint};
pub use labels::{BUCKET, Label, Labels, NAME};
pub use matcher::{MatchOp, Matcher, expression};
pub use options::{Error, Options, Query};
pub use source::{Samples, Select, SeriesSource, SourceError, SourceSeries};
pub use syntax::{Function, MAX_DEPTH, MAX_LENGTH, MAX_TIME, ParseError, ast, parse};
pub use text::{parse_duration, quote, sample_value};

/// The bits of the NaN that marks a series as ended.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;
