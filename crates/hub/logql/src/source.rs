//! Where log records come from.

use promql::{Labels, Matcher};

/// A log record as Loki knows it.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Its place among records of the same time.
    pub place: (u64, u32),
    /// The labels of its stream.
    pub stream: &'a Labels,
    /// What it says.
    pub line: &'a str,
    /// Its structured metadata, each name once; names are those that labels may have.
    pub metadata: &'a [(String, String)],
}

/// In which order records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Forward,
    /// The newest first.
    Backward,
}

/// Which records are asked for.
#[derive(Clone, Copy)]
pub struct Select<'a> {
    /// All have to be fulfilled by the labels of the stream.
    pub matchers: &'a [Matcher],
    /// The earliest time wanted.
    pub from: i64,
    /// The first time that is not wanted any more.
    pub to: i64,
    /// A hint: records come about in this order, so that the rest can be passed over once enough is found.
    pub order: Order,
    /// Labels of streams or metadata that have this value in every record that counts: a hint.
    pub exact: &'a [(&'a str, &'a str)],
    /// Whether a line can pass at all: asked before metadata is made.
    pub passes: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Select").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

/// What takes records.
pub trait Sink {
    /// Takes a record; whether it wants more.
    fn take(&mut self, record: &Record<'_>) -> bool;

    /// Whether records at `time`, and beyond it in the order that was asked for, make no difference any more.
    fn is_settled(&self, time: i64) -> bool;
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// The query was stopped.
    Stopped,
    /// Anything else.
    Failed(String),
}

/// Something that has log records.
pub trait LogSource {
    /// Gives all records that are asked for to `sink`, until it wants no more.
    ///
    /// # Errors
    /// They cannot be read.
    fn scan(&self, select: &Select<'_>, sink: &mut dyn Sink) -> Result<(), SourceError>;
}
