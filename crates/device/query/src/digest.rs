//! Telling a record in the recorder and the same one in the journal.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::output::logfmt_without_ids;
use crate::view::{View, What};

/// The same for the same record in the recorder and in the journal, whose encoding orders some fields anew, and whose log records
/// have their trace's id in its own field.
pub(crate) fn digest(view: &View<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    match view.what {
        What::Span(span) if span.span_id.is_some() => (1, span.trace_id, span.span_id).hash(&mut hasher),
        _ => logfmt_without_ids(view).hash(&mut hasher),
    }
    hasher.finish()
}
