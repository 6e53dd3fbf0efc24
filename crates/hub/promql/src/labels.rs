//! The label set of a series: sorted, without empty values, cheap to clone.

use crate::text::quote;
use std::fmt;
use std::sync::Arc;

/// The label that holds a metric's name.
pub const NAME: &str = "__name__";
/// The label of a classic histogram's bucket: its upper bound.
pub const BUCKET: &str = "le";
/// Labels that tell of the metric and not of the series: they go together where a name goes.
const METADATA: [&str; 3] = [NAME, "__type__", "__unit__"];

/// One label: name and value.
pub type Label = (Arc<str>, Arc<str>);

/// A sorted label set. Labels with an empty value are not in it, as in Prometheus.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[Label]>);

impl Labels {
    /// A label set of pairs in any order; of two with one name the last counts.
    pub fn new<N: Into<Arc<str>>, V: Into<Arc<str>>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut all: Vec<Label> = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all.reverse();
        all.dedup_by(|later, first| later.0 == first.0);
        all.reverse();
        all.retain(|(_, value)| !value.is_empty());
        Self(all.into())
    }

    /// The value of a label, or nothing (`""`).
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.0.binary_search_by(|(n, _)| n.as_ref().cmp(name)).map_or("", |at| &self.0[at].1)
    }

    /// The metric's name, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        self.get(NAME)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        if self.0.iter().all(|(name, _)| keep(name)) {
            return self.clone();
        }
        Self(self.0.iter().filter(|(name, _)| keep(name)).cloned().collect())
    }

    /// Without name, type and unit of the metric.
    #[must_use]
    pub fn without_metadata(&self) -> Self {
        self.filtered(|name| !is_metadata(name))
    }

    /// Only the labels that are named.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().any(|n| n == name))
    }

    /// Without the labels that are named.
    #[must_use]
    pub fn without(&self, names: &[String]) -> Self {
        self.filtered(|name| names.iter().all(|n| n != name))
    }

    /// With a label set to a value; an empty one removes it.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let own = [(Arc::from(name), Arc::from(value))];
        Self::new(self.0.iter().cloned().chain(own))
    }

    /// The hash that decides what `limit_ratio` keeps: that of Prometheus.
    #[must_use]
    pub(crate) fn hash_of_prometheus(&self) -> u64 {
        let mut bytes = Vec::new();
        for (name, value) in self.iter() {
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(0xff);
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0xff);
        }
        xxhash_rust::xxh64::xxh64(&bytes, 0)
    }
}

/// Whether a label tells of the metric and not of the series.
pub(crate) fn is_metadata(name: &str) -> bool {
    METADATA.contains(&name)
}

/// Whether a label's name needs no quotes.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_plain_name(name) {
                write!(f, "{name}={}", quote(value))?;
            } else {
                write!(f, "{}={}", quote(name), quote(value))?;
            }
        }
        f.write_str("}")
    }
}
