//! Which records a destination gets: those that its filter means.

use filter::Filter;
use model::otlp::ScopeGroup;
use query::{View, What};

/// The records that a destination gets.
#[derive(Debug)]
pub struct Only {
    device: String,
    filter: Filter,
}

impl Only {
    /// Those of a device of this name that a filter means.
    pub fn new(device: &str, filter: Filter) -> Self {
        Self { device: device.to_owned(), filter }
    }

    /// Whether a record, or a data point, is one of them.
    pub(crate) fn takes(&self, scope: &ScopeGroup<'_>, item: &[u8], what: What<'_>) -> bool {
        let (resource, scope) = (scope.resource.resource, scope.scope);
        self.filter.matches(&View { device: &self.device, resource, scope, item, what })
    }
}
