//! The labels of a record on its way through a pipeline: those of its stream, its structured metadata, and what stages make of it.

use promql::Labels;

/// The label that says that a stage could not do its work.
pub const ERROR: &str = "__error__";
/// What went wrong there.
pub const ERROR_DETAILS: &str = "__error_details__";
/// What is appended to a name that the record has already.
const EXTRACTED: &str = "_extracted";

/// Labels, found by name.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    stream: &'a Labels,
    metadata: &'a [(String, String)],
    /// What stages set, in order; each name once.
    set: Vec<(String, String)>,
    /// Names of the stream and metadata that went.
    gone: Vec<String>,
    error: Option<(&'static str, String)>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(stream: &'a Labels, metadata: &'a [(String, String)]) -> Self {
        Self { stream, metadata, set: Vec::new(), gone: Vec::new(), error: None }
    }

    fn of_record(&self, name: &str) -> Option<&str> {
        let metadata = self.metadata.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str());
        metadata.or_else(|| Some(self.stream.get(name)).filter(|value| !value.is_empty()))
    }

    /// The value of a label, if there is one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        match (name, &self.error) {
            (ERROR, error) => return error.as_ref().map(|(what, _)| *what),
            (ERROR_DETAILS, error) => return error.as_ref().map(|(_, details)| details.as_str()),
            _ => {}
        }
        if let Some((_, value)) = self.set.iter().find(|(own, _)| own == name) {
            return Some(value);
        }
        if self.gone.iter().any(|own| own == name) {
            return None;
        }
        self.of_record(name)
    }

    /// Sets a label.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.set.iter_mut().find(|(own, _)| own == name) {
            Some((_, own)) => *own = value.into(),
            None => self.set.push((name.to_owned(), value.into())),
        }
    }

    /// Sets a label that a parser found: the record's own of that name stays, and the one that was found first.
    pub(crate) fn extract(&mut self, name: &str, value: impl Into<String>) {
        if self.of_record(name).is_some() {
            self.set(&format!("{name}{EXTRACTED}"), value);
        } else {
            self.set(name, value);
        }
    }

    /// Takes a label away.
    pub(crate) fn remove(&mut self, name: &str) {
        if matches!(name, ERROR | ERROR_DETAILS) {
            self.error = None;
            return;
        }
        self.set.retain(|(own, _)| own != name);
        if self.of_record(name).is_some() {
            self.gone.push(name.to_owned());
        }
    }

    /// Says that a stage could not do its work; what was said first stays.
    pub(crate) fn fail(&mut self, what: &'static str, details: impl Into<String>) {
        if self.error.is_none() {
            self.error = Some((what, details.into()));
        }
    }

    /// What went wrong first.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.error.as_ref().map(|(what, _)| *what)
    }

    fn is_shadowed(&self, name: &str) -> bool {
        self.gone.iter().any(|own| own == name) || self.set.iter().any(|(own, _)| own == name)
    }

    /// Labels of the stream that are as they were.
    pub(crate) fn stream(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stream.iter().filter(|(name, _)| !self.is_shadowed(name) && !self.is_metadata(name))
    }

    fn is_metadata(&self, name: &str) -> bool {
        self.metadata.iter().any(|(own, _)| own == name)
    }

    /// Structured metadata that is as it was.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.filter(|(name, value)| !value.is_empty() && !self.is_shadowed(name))
    }

    /// What stages made.
    pub(crate) fn made(&self) -> impl Iterator<Item = (&str, &str)> {
        let set = self.set.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let error = self.error.iter().flat_map(|(what, details)| [(ERROR, *what), (ERROR_DETAILS, details.as_str())]);
        set.chain(error).filter(|(_, value)| !value.is_empty())
    }

    /// All labels, each name once, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.stream().chain(self.metadata()).chain(self.made())
    }

    /// The names of all labels.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all().map(|(name, _)| name.to_owned()).collect()
    }
}

/// A name as labels may have it: characters beyond `[a-zA-Z0-9_]` become underscores, and no digit comes first.
pub(crate) fn put_label_name(out: &mut String, key: &str) {
    let key = key.trim();
    if key.starts_with(|c: char| c.is_ascii_digit()) {
        out.push('_');
    }
    out.extend(key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
}
