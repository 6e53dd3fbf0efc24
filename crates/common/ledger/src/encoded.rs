//! The ledger as bytes: a CBOR array, version first.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::{DestinationLedger, Ledger, PerSignal};

const VERSION: u8 = 0;

#[derive(Encode, Decode)]
#[cbor(array)]
struct Encoded {
    #[n(0)]
    version: u8,
    #[n(1)]
    signals: Vec<[u64; 3]>,
    #[n(2)]
    kept_traces: u64,
    #[n(3)]
    dropped_traces: u64,
    #[n(4)]
    destinations: Vec<Destination>,
    /// Absent for 0, as in ledgers of programs that did not know it; so is the next one.
    #[n(5)]
    crash_unknown: Option<u64>,
    #[n(6)]
    allowance: Option<u64>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Destination {
    #[n(0)]
    name: String,
    #[n(1)]
    routed: u64,
    #[n(2)]
    delivered: u64,
    #[n(3)]
    rejected: u64,
    #[n(4)]
    lost: u64,
    /// Absent for 0, as in ledgers of programs that did not know it.
    #[n(5)]
    skipped: Option<u64>,
}

/// Why bytes are no ledger.
#[derive(Debug, PartialEq, Eq)]
pub struct LedgerError(String);

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a ledger: {}", self.0)
    }
}

impl std::error::Error for LedgerError {}

fn triple(counts: &PerSignal) -> [u64; 3] {
    [counts.traces, counts.logs, counts.metrics]
}

pub(crate) fn encode(ledger: &Ledger) -> Vec<u8> {
    let counts = [
        &ledger.received,
        &ledger.generated,
        &ledger.filtered,
        &ledger.sampled_out,
        &ledger.pending,
        &ledger.routed,
        &ledger.lost_crash,
        &ledger.refused,
    ];
    let written = Encoded {
        version: VERSION,
        signals: counts.into_iter().map(triple).collect(),
        kept_traces: ledger.kept_traces,
        dropped_traces: ledger.dropped_traces,
        destinations: ledger
            .destinations
            .iter()
            .map(|one| Destination {
                name: one.name.clone(),
                routed: one.routed,
                delivered: one.delivered,
                rejected: one.rejected,
                lost: one.lost,
                skipped: Some(one.skipped).filter(|records| *records > 0),
            })
            .collect(),
        crash_unknown: Some(ledger.crash_unknown).filter(|records| *records > 0),
        allowance: Some(ledger.allowance).filter(|records| *records > 0),
    };
    let mut out = Vec::new();
    // Writing into a Vec cannot fail.
    let is_written = minicbor::encode(&written, &mut out).is_ok();
    debug_assert!(is_written);
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Ledger, LedgerError> {
    let read: Encoded = minicbor::decode(bytes).map_err(|error| LedgerError(error.to_string()))?;
    if read.version != VERSION {
        return Err(LedgerError(format!("version {}, this program reads {VERSION}", read.version)));
    }
    let count = |index: usize| {
        read.signals.get(index).map_or_else(PerSignal::default, |[traces, logs, metrics]| PerSignal {
            traces: *traces,
            logs: *logs,
            metrics: *metrics,
        })
    };
    Ok(Ledger {
        received: count(0),
        generated: count(1),
        filtered: count(2),
        sampled_out: count(3),
        pending: count(4),
        routed: count(5),
        lost_crash: count(6),
        refused: count(7),
        kept_traces: read.kept_traces,
        dropped_traces: read.dropped_traces,
        crash_unknown: read.crash_unknown.unwrap_or(0),
        allowance: read.allowance.unwrap_or(0),
        destinations: read
            .destinations
            .into_iter()
            .map(|one| DestinationLedger {
                name: one.name,
                routed: one.routed,
                delivered: one.delivered,
                rejected: one.rejected,
                lost: one.lost,
                skipped: one.skipped.unwrap_or(0),
            })
            .collect(),
    })
}
