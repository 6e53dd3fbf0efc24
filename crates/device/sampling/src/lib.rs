//! One decision per trace (P4). Sans-IO: time is an argument, spans stay in the recorder, memory is counted in bytes.
//!
//! The sampler keeps an index only: for each trace what its policies have to know, and which recorder entries hold parts
//! of it. Decisions are remembered, for what arrives late; a dropped trace is kept after all when something worth it comes
//! while the recorder still holds it.

mod adapt;
mod alarm;
mod conditions;
mod decided;
mod decisions;
mod field_names;
mod index;
mod json;
mod judge;
mod limits;
mod log_record;
mod options;
mod parts;
mod policy;
mod probability;
mod released;
mod sampler;
mod stats;

pub use adapt::Adaptive;
pub use alarm::{Alert, Raised};
pub use conditions::{Condition, Conditions, MAX_CONDITIONS};
pub use decided::{Decided, Fetch, Standing};
pub use decisions::{NewDecisions, Remembered, Verdict};
pub use field_names::{FieldNames, Means};
pub use index::{Entries, EntryId};
pub use json::{Field as JsonField, for_each_field as each_json_field};
pub use limits::TokenBucket;
pub use log_record::{LogRecordFacts, LogRecordRule, severity};
pub use options::{Options, RouteShare};
pub use parts::{Part, Route, SpanPart};
pub use policy::{Evidence, Policy, PolicyRule, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET, Share};
pub use probability::{ALWAYS, DEFAULT_SALT, NEVER, OtState, probability, randomness, threshold, with_threshold};
pub use regex_lite::{Error as PatternError, Regex};
pub use sampler::Sampler;
pub use stats::Stats;
