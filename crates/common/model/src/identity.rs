//! Ids, lanes, signals and stamps.

use std::fmt;
use std::str::FromStr;

/// A W3C trace id: 16 bytes, all zero means "none" (W3C Trace Context section 3.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TraceId(pub [u8; 16]);

/// A W3C span id: 8 bytes, all zero means "none".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpanId(pub [u8; 8]);

macro_rules! hex_id {
    ($name:ident, $len:expr) => {
        impl $name {
            /// Takes the bytes of a protobuf field; `None` when the length is wrong or all bytes are zero.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let id: [u8; $len] = bytes.try_into().ok()?;
                (id != [0; $len]).then_some(Self(id))
            }

            /// Parses lower- or upper-case hex digits of exactly this id's length; `None` for anything else.
            pub fn from_hex(text: &str) -> Option<Self> {
                let text = text.as_bytes();
                if text.len() != 2 * $len {
                    return None;
                }
                let mut id = [0u8; $len];
                for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
                    let high = char::from(pair[0]).to_digit(16)?;
                    let low = char::from(pair[1]).to_digit(16)?;
                    *byte = (high * 16 + low) as u8;
                }
                Self::from_bytes(&id)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

hex_id!(TraceId, 16);
hex_id!(SpanId, 8);

/// 64 random bits that name one life of a data directory: new with every new directory and after a detected rollback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A delivery class with its own loss rule. The order is the order of importance: the last one yields first (P11).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Lane {
    /// Business records: never dropped by the agent.
    Mission = 0,
    /// Audit records: never dropped by the agent.
    Audit = 1,
    /// Kept traces, with their log records and exemplars.
    Traces = 2,
    /// Log records that belong to no trace.
    Logs = 3,
    /// Metric points.
    Metrics = 4,
    /// Whatever may go first.
    Debug = 5,
}

impl Lane {
    /// All lanes, most important first.
    pub const ALL: [Lane; 6] = [Lane::Mission, Lane::Audit, Lane::Traces, Lane::Logs, Lane::Metrics, Lane::Debug];

    /// The lane with this number on the wire; `None` when there is none.
    pub fn from_number(number: u64) -> Option<Self> {
        usize::try_from(number).ok().and_then(|index| Self::ALL.get(index)).copied()
    }

    /// The lane's number on the wire and on disk.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The lane's name in configuration, paths, metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            Lane::Mission => "mission",
            Lane::Audit => "audit",
            Lane::Traces => "traces",
            Lane::Logs => "logs",
            Lane::Metrics => "metrics",
            Lane::Debug => "debug",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no lane.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseLaneError;

impl fmt::Display for ParseLaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such lane; one of mission, audit, traces, logs, metrics, debug")
    }
}

impl std::error::Error for ParseLaneError {}

impl FromStr for Lane {
    type Err = ParseLaneError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Lane::ALL.into_iter().find(|lane| lane.name() == text).ok_or(ParseLaneError)
    }
}

/// One of OpenTelemetry's signals.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Metric points.
    Metrics,
}

impl Signal {
    /// All signals.
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Logs, Signal::Metrics];

    /// The signal's name, as in the OTLP/HTTP path.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Logs => "logs",
            Signal::Metrics => "metrics",
        }
    }
}

/// Some of the signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signals(u8);

impl Signals {
    /// None of them.
    pub const NONE: Signals = Signals(0);
    /// All of them.
    pub const ALL: Signals = Signals(0b111);

    /// This one alone.
    pub fn of(signal: Signal) -> Self {
        Self(1 << signal as u8)
    }

    /// These and those.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it is one of them.
    pub fn contains(self, signal: Signal) -> bool {
        self.meets(Self::of(signal))
    }

    /// Whether one of them is one of the others.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// A bit for each, in the order of [`Signal::ALL`].
    pub fn bits(self) -> u8 {
        self.0
    }

    /// What [`Signals::bits`] gave; further bits are left out.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & Self::ALL.0)
    }
}

impl FromIterator<Signal> for Signals {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        signals.into_iter().fold(Self::NONE, |all, one| all.with(Self::of(one)))
    }
}

/// When a frame was made, by both clocks of the device (docs/architecture.md, "Two times").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// Random id of the running boot of the device.
    pub boot_id: [u8; 16],
    /// Monotonic nanoseconds since that boot.
    pub uptime_ns: u64,
    /// Wall-clock nanoseconds since the Unix epoch, as the device believes.
    pub wall_ns: u64,
    /// Whether the device's wall clock was synchronised when the frame was made.
    pub synchronised: bool,
}
