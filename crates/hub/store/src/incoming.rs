//! A frame on its way in: read and turned into rows by the caller's thread, so that the writer only commits.

use std::sync::Arc;

use model::{Epoch, Lane, Stamp};
use wire::{FrameHeader, Gap, Section, SectionRef};

use crate::error::FrameRefused;
use crate::rows::Records;
use crate::shared::SharedSeries;
use crate::weigh::{MAX_COST, TooHeavy, schema_of, weigh};

/// The device under which OTLP that came straight to the hub is stored.
pub const OTLP_DEVICE: &str = "otlp";

/// A frame that is ready to be committed.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) device: Arc<str>,
    pub(crate) lane: Lane,
    pub(crate) identity: Identity,
    pub(crate) records: Records,
    pub(crate) gaps: Vec<Gap>,
    /// Why nothing of it can be shown, if so: it is kept aside whole.
    pub(crate) unreadable: Option<String>,
    /// Bytes that its records take in memory, estimated.
    pub(crate) cost: usize,
}

/// How a frame comes by its identity.
#[derive(Debug)]
pub(crate) enum Identity {
    /// The device gave it.
    Given { epoch: Epoch, seq: u64, digest: [u8; 16], bytes: Vec<u8> },
    /// The writer gives out the next sequence of the pseudo-device and seals the body.
    Next { body: Vec<u8>, stamp: Stamp },
}

/// Largest sequence: one above it could be nobody's next.
pub const MAX_SEQ: u64 = 1 << 62;
/// What a frame takes beside its records.
const FRAME_COST: usize = 512;
/// What a gap record takes.
const GAP_COST: usize = 256;

/// Decodes a section; what its records take in memory.
fn add_section(
    records: &mut Records,
    device: (&Arc<str>, u64),
    section: SectionRef<'_>,
    shared: &SharedSeries,
) -> Result<usize, FrameRefused> {
    let cost = weigh_section(&section)?;
    let name = name_of(&section);
    let result = match section {
        SectionRef::Traces(bytes) => records.add_traces(device, bytes).map(|()| cost),
        SectionRef::Logs(bytes) => records.add_logs(device, bytes).map(|()| cost),
        SectionRef::Metrics(bytes) => records.add_metrics(device, bytes, shared),
        SectionRef::Exemplars(bytes) => records.add_exemplars(device, bytes).map(|()| cost),
        SectionRef::Gap(_) => return Ok(0),
    };
    result.map_err(|source| FrameRefused::Section { section: name, source })
}

/// The word for a section.
fn name_of(section: &SectionRef<'_>) -> &'static str {
    match section {
        SectionRef::Traces(_) => "traces",
        SectionRef::Logs(_) => "logs",
        SectionRef::Metrics(_) => "metrics",
        SectionRef::Exemplars(_) => "exemplars",
        SectionRef::Gap(_) => "gap",
    }
}

fn weigh_section(section: &SectionRef<'_>) -> Result<usize, FrameRefused> {
    let (
        Some(schema),
        SectionRef::Traces(bytes) | SectionRef::Logs(bytes) | SectionRef::Metrics(bytes) | SectionRef::Exemplars(bytes),
    ) = (schema_of(section), section)
    else {
        return Ok(0);
    };
    weigh(schema, bytes).map_err(|source| FrameRefused::TooHeavy { section: name_of(section), source })
}

/// Refuses sequences that no device gives out: one forged frame would be the end of its lane.
fn check_bounds(seq: u64, gaps: &[Gap]) -> Result<(), FrameRefused> {
    let is_wrong = |seq: u64| seq == 0 || seq > MAX_SEQ;
    if is_wrong(seq) {
        return Err(FrameRefused::Bounds(format!("its sequence is {seq}; sequences are between 1 and {MAX_SEQ}")));
    }
    let wrong = gaps.iter().find(|gap| gap.last > MAX_SEQ || gap.first > MAX_SEQ);
    wrong.map_or(Ok(()), |gap| {
        Err(FrameRefused::Bounds(format!("it declares {}-{} of lane {} lost", gap.first, gap.last, gap.lane)))
    })
}

impl Incoming {
    /// Reads a frame as it came over the link; its series are those of `shared`, where the store has them.
    ///
    /// # Errors
    /// [`FrameRefused`] when it is not a frame of a version that this hub reads, or one of its sections is not OTLP.
    pub fn from_frame(bytes: Vec<u8>, shared: &SharedSeries) -> Result<Self, FrameRefused> {
        let frame = wire::decode_frame(&bytes).map_err(|error| FrameRefused::Frame(error.to_string()))?;
        let FrameHeader { device, epoch, lane, seq, .. } = frame.header;
        let device: Arc<str> = Arc::from(device);
        let mut records = Records::default();
        let mut gaps = Vec::new();
        // The pseudo-device's epoch is given out after its rows are made.
        let life = if &*device == OTLP_DEVICE { 0 } else { epoch.0 };
        let mut cost = FRAME_COST;
        for section in &frame.sections {
            if let Section::Gap(gap) = section {
                gaps.push(*gap);
                cost += GAP_COST;
            }
            cost += add_section(&mut records, (&device, life), section.as_ref(), shared)?;
            if cost > MAX_COST {
                return Err(FrameRefused::TooHeavy { section: name_of(&section.as_ref()), source: TooHeavy::Memory });
            }
        }
        check_bounds(seq, &gaps)?;
        records.shrink();
        let digest = wire::digest(&bytes);
        Ok(Self {
            device,
            lane,
            identity: Identity::Given { epoch, seq, digest, bytes },
            records,
            gaps,
            unreadable: None,
            cost,
        })
    }

    /// Reads a frame whose block was whole. If only its identity can be read, sending it again would not help: it is
    /// taken in to be kept aside. Its series are those of `shared`, where the store has them.
    ///
    /// # Errors
    /// [`FrameRefused`] when not even its identity can be read, as with frames of a newer version.
    pub fn from_whole_block(bytes: Vec<u8>, shared: &SharedSeries) -> Result<Self, FrameRefused> {
        let header = wire::decode_header(&bytes).map_err(|error| FrameRefused::Frame(error.to_string()))?;
        check_bounds(header.seq, &[])?;
        Self::from_frame(bytes.clone(), shared).or_else(|refused| Self::aside(bytes, &refused.to_string()))
    }

    /// A frame that is kept aside without being read.
    ///
    /// # Errors
    /// [`FrameRefused`] when not even its identity can be read.
    pub fn aside(bytes: Vec<u8>, why: &str) -> Result<Self, FrameRefused> {
        let header = wire::decode_header(&bytes).map_err(|error| FrameRefused::Frame(error.to_string()))?;
        check_bounds(header.seq, &[])?;
        let FrameHeader { device, epoch, lane, seq, .. } = header;
        let digest = wire::digest(&bytes);
        Ok(Self {
            device: Arc::from(device),
            lane,
            identity: Identity::Given { epoch, seq, digest, bytes },
            records: Records::default(),
            gaps: Vec::new(),
            unreadable: Some(why.to_owned()),
            cost: FRAME_COST,
        })
    }

    /// Why nothing of it can be shown, if so.
    pub fn unreadable(&self) -> Option<&str> {
        self.unreadable.as_deref()
    }

    /// Reads an OTLP request that came straight to the hub (`TracesData` and its kin have the bytes of the export
    /// requests); `stamp` is the hub's clock. Its series are those of `shared`, where the store has them.
    ///
    /// # Errors
    /// [`FrameRefused`] when the bytes are not the message.
    pub fn from_otlp(section: SectionRef<'_>, stamp: Stamp, shared: &SharedSeries) -> Result<Self, FrameRefused> {
        let device: Arc<str> = Arc::from(OTLP_DEVICE);
        let (lane, len) = match section {
            SectionRef::Traces(bytes) | SectionRef::Exemplars(bytes) => (Lane::Traces, bytes.len()),
            SectionRef::Logs(bytes) => (Lane::Logs, bytes.len()),
            SectionRef::Metrics(bytes) => (Lane::Metrics, bytes.len()),
            SectionRef::Gap(gap) => (gap.lane, 0),
        };
        let mut records = Records::default();
        let cost = FRAME_COST + add_section(&mut records, (&device, 0), section, shared)?;
        records.shrink();
        let mut body = Vec::with_capacity(len);
        wire::encode_body(&[section], &mut body).map_err(|error| FrameRefused::Frame(error.to_string()))?;
        Ok(Self {
            device,
            lane,
            identity: Identity::Next { body, stamp },
            records,
            gaps: Vec::new(),
            unreadable: None,
            cost,
        })
    }

    /// Bytes that its records take in memory.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// The device that made it.
    pub fn device(&self) -> &Arc<str> {
        &self.device
    }

    /// Its delivery class.
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Its epoch and sequence, where the device gave them.
    pub fn identity(&self) -> Option<(Epoch, u64)> {
        match &self.identity {
            Identity::Given { epoch, seq, .. } => Some((*epoch, *seq)),
            Identity::Next { .. } => None,
        }
    }

    /// Bytes of the frame (or its body) as it will be written.
    pub fn written_bytes(&self) -> usize {
        match &self.identity {
            Identity::Given { bytes, .. } => bytes.len(),
            Identity::Next { body, .. } => body.len(),
        }
    }
}

/// What became of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameOutcome {
    /// Stored now.
    Stored,
    /// The same content was there.
    Duplicate,
    /// Other content was there: kept aside and alarmed (P8).
    Quarantined,
    /// Its content cannot be read: kept aside, declared lost, alarmed. Sending it again does not help.
    Unreadable,
}
