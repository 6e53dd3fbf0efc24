//! The matrix that expressions make: what each series has at each step.

use crate::histogram::Histogram;
use crate::labels::Labels;
use crate::options::Error;
use std::sync::Arc;

pub(crate) type Result<T> = std::result::Result<T, Error>;

pub(crate) fn fault<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Execution(message.into()))
}

/// The times at which expressions have a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Steps {
    pub(crate) start: i64,
    pub(crate) step: i64,
    pub(crate) count: usize,
}

impl Steps {
    pub(crate) fn time(&self, at: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(at as i64))
    }
}

/// What a series has at a step.
#[derive(Clone, Debug, Default)]
pub(crate) enum Point {
    #[default]
    None,
    Float(f64),
    Histogram(Arc<Histogram>),
}

impl Point {
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self, Point::None)
    }

    pub(crate) fn histogram(histogram: Histogram) -> Self {
        Point::Histogram(Arc::new(histogram))
    }
}

/// A series with a point for each step.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) labels: Labels,
    /// The name is to go at the end.
    pub(crate) drop_name: bool,
    pub(crate) points: Vec<Point>,
}
