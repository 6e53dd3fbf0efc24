//! Where series come from.

use crate::STALE;
use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::matcher::Matcher;
use std::sync::Arc;

/// The samples of a series, or a window of them. Times are milliseconds since the epoch, ascending; markers of staleness
/// are among the values (NaN with the bits of [`STALE`], histograms with such a sum).
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Times and numbers.
    pub floats: Vec<(i64, f64)>,
    /// Times and histograms.
    pub histograms: Vec<(i64, Arc<Histogram>)>,
    /// When the counting of each number began (0: unknown); empty where nothing is known.
    pub float_starts: Vec<i64>,
    /// The same of each histogram.
    pub histogram_starts: Vec<i64>,
}

impl Samples {
    /// What they weigh: one for a number, more for a histogram.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.floats.len() + self.histograms.iter().map(|(_, histogram)| histogram.weight()).sum::<usize>()
    }

    /// Without markers of staleness, as ranges want it.
    pub(crate) fn without_markers(mut self) -> Self {
        let stale = |value: f64| value.to_bits() == STALE;
        if self.floats.iter().any(|(_, value)| stale(*value)) {
            let mut keep = self.floats.iter().map(|(_, value)| !stale(*value)).collect::<Vec<_>>().into_iter();
            self.float_starts.retain(|_| keep.next().unwrap_or(true));
            self.floats.retain(|(_, value)| !stale(*value));
        }
        if self.histograms.iter().any(|(_, histogram)| histogram.is_stale()) {
            let mut keep = self.histograms.iter().map(|(_, h)| !h.is_stale()).collect::<Vec<_>>().into_iter();
            self.histogram_starts.retain(|_| keep.next().unwrap_or(true));
            self.histograms.retain(|(_, histogram)| !histogram.is_stale());
        }
        self
    }
}

/// A series and its samples.
#[derive(Clone, Debug)]
pub struct SourceSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub samples: Samples,
}

/// What a selector asks for.
#[derive(Clone, Copy, Debug)]
pub struct Select<'a> {
    /// All have to be fulfilled.
    pub matchers: &'a [Matcher],
    /// The earliest time wanted, inclusive, in milliseconds. More may be given.
    pub start: i64,
    /// The latest time wanted, inclusive.
    pub end: i64,
    /// The query's resolution in milliseconds: a hint.
    pub step: i64,
    /// The range of a range selector in milliseconds, or 0: a hint.
    pub range: i64,
    /// The function around it, or nothing: a hint.
    pub function: &'a str,
    /// How many series the query may still have.
    pub series_left: usize,
    /// How many samples (by [`Samples::weight`]) it may still have.
    pub samples_left: usize,
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// More than the query may have.
    TooMuch(String),
    /// The query was stopped.
    Stopped,
    /// Anything else.
    Failed(String),
}

/// Something that has series.
pub trait SeriesSource {
    /// All series that fulfil the matchers and have a sample in the time asked for, each label set once.
    ///
    /// # Errors
    /// The bounds would be exceeded, or the series cannot be read.
    fn select(&self, select: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError>;
}
