//! What is recorded.

use model::Signal;

/// Names an entry of the recorder in memory: ascending in the order of arrival, never used twice while the program runs.
pub type EntryId = u64;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// An OTLP export request of this signal.
    Request(Signal),
    /// An `ExemplarsData` (docs/wire.md): exemplars taken out of incoming points.
    Exemplars,
}

impl Content {
    /// The number that stands in files.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Request(Signal::Traces) => 1,
            Self::Request(Signal::Logs) => 2,
            Self::Request(Signal::Metrics) => 3,
            Self::Exemplars => 4,
        }
    }

    /// The content of a number.
    pub(crate) fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Request(Signal::Traces),
            2 => Self::Request(Signal::Logs),
            3 => Self::Request(Signal::Metrics),
            4 => Self::Exemplars,
            _ => return None,
        })
    }
}
