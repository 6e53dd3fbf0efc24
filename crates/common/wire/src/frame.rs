//! Frames: the deterministic encoding of a batch with its identity (docs/wire.md, "Frame").

use minicbor::{Decoder, Encoder};
use model::otlp::schema::{self, Message};
use model::proto::ProtoError;
use model::{Epoch, Lane, Stamp};
use sha2::{Digest as _, Sha256};

use crate::cbor;
use crate::decode::NodeReader;
use crate::dictionary::DictionaryReader;
use crate::encode::{Node, Shared};
use crate::error::{FRAME_VERSION, FrameError};

/// The identity and clock stamp of a frame; `Name` is `&str` when written and `String` when read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader<Name = String> {
    /// The device's configured name.
    pub device: Name,
    /// The life of the data directory that gave out the sequence.
    pub epoch: Epoch,
    /// The delivery class.
    pub lane: Lane,
    /// Position in the lane, from 1, without holes.
    pub seq: u64,
    /// When the frame was made.
    pub stamp: Stamp,
}

/// One part of a frame's content, to be written: OTLP bytes as they came (`TracesData` and its kin, which are the same
/// on the wire as the export requests), or a gap record.
#[derive(Debug, Clone, Copy)]
pub enum SectionRef<'a> {
    /// `TracesData`
    Traces(&'a [u8]),
    /// `LogsData`
    Logs(&'a [u8]),
    /// `MetricsData`
    Metrics(&'a [u8]),
    /// `ExemplarsData` (docs/wire.md): exemplars of kept traces, apart from their points.
    Exemplars(&'a [u8]),
    /// What was lost from the lane.
    Gap(&'a Gap),
}

/// One part of a frame's content, as read: canonical OTLP bytes, or a gap record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Section {
    /// `TracesData`
    Traces(Vec<u8>),
    /// `LogsData`
    Logs(Vec<u8>),
    /// `MetricsData`
    Metrics(Vec<u8>),
    /// `ExemplarsData`
    Exemplars(Vec<u8>),
    /// What was lost from the lane.
    Gap(Gap),
}

/// A stretch of a lane that will never be delivered: a tombstone, itself delivered in the same lane (P3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The lane that lost it.
    pub lane: Lane,
    /// First lost sequence.
    pub first: u64,
    /// Last lost sequence, inclusive.
    pub last: u64,
    /// Why.
    pub reason: GapReason,
    /// How many records it held; 0 when not known.
    pub records: u64,
    /// Earliest event time in it, Unix nanoseconds; 0 when not known.
    pub start_ns: u64,
    /// Latest event time in it, Unix nanoseconds; 0 when not known.
    pub end_ns: u64,
}

/// Why a stretch of a lane was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GapReason {
    /// The lane's budget, or the disk's.
    Evicted,
    /// Bytes on disk that cannot be read any more.
    Corrupt,
    /// The hub lost what it had confirmed, and the device no longer holds it.
    HubRestore,
    /// An operator dropped it.
    Dropped,
    /// There was no room for all points of metrics: the extremes and the last of each minute follow in later frames.
    Thinned,
    /// Limits took it out before it got a sequence: `first` tells it from others, `last` is 0.
    Limited,
}

impl GapReason {
    /// All reasons, in the order of their numbers on the wire.
    pub const ALL: [GapReason; 6] = [
        GapReason::Evicted,
        GapReason::Corrupt,
        GapReason::HubRestore,
        GapReason::Dropped,
        GapReason::Thinned,
        GapReason::Limited,
    ];

    /// The reason's name in the API, in metrics and messages.
    pub fn name(self) -> &'static str {
        match self {
            GapReason::Evicted => "evicted",
            GapReason::Corrupt => "corrupt",
            GapReason::HubRestore => "hub-restore",
            GapReason::Dropped => "dropped",
            GapReason::Thinned => "thinned",
            GapReason::Limited => "limited",
        }
    }
}

/// The most that is set aside for a section before its length is known.
const FIRST_SECTION_BYTES: usize = 64 << 10;

/// What happened to the records while a body was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EncodeStats {
    /// Fields that the pinned schema does not know: left out.
    pub unknown_fields: u64,
    /// Different texts that are not UTF-8: kept as bytes.
    pub invalid_utf8: u64,
}

/// A frame as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Identity and stamp.
    pub header: FrameHeader,
    /// Content, in the order in which it was written.
    pub sections: Vec<Section>,
}

impl Section {
    /// The same section, borrowed, as the encoder takes it.
    pub fn as_ref(&self) -> SectionRef<'_> {
        match self {
            Section::Traces(bytes) => SectionRef::Traces(bytes),
            Section::Logs(bytes) => SectionRef::Logs(bytes),
            Section::Metrics(bytes) => SectionRef::Metrics(bytes),
            Section::Exemplars(bytes) => SectionRef::Exemplars(bytes),
            Section::Gap(gap) => SectionRef::Gap(gap),
        }
    }
}

const GAP: u64 = 5;

fn root(kind: u64) -> Option<&'static Message> {
    match kind {
        1 => Some(&schema::TRACES_DATA),
        2 => Some(&schema::LOGS_DATA),
        3 => Some(&schema::METRICS_DATA),
        4 => Some(&schema::EXEMPLARS_DATA),
        _ => None,
    }
}

/// Encodes a batch into a frame body and appends it to `out`. The same sections in the same order give the same bytes
/// on every machine (P7).
///
/// # Errors
/// [`ProtoError`] when a section is not protobuf; `out` is then as it was.
pub fn encode_body(sections: &[SectionRef<'_>], out: &mut Vec<u8>) -> Result<EncodeStats, ProtoError> {
    let mut encoder = BodyEncoder::default();
    for section in sections {
        encoder.push(*section)?;
    }
    Ok(encoder.finish(out))
}

/// Encodes a batch section by section: what was pushed is not needed any more.
#[derive(Default)]
pub struct BodyEncoder {
    shared: Shared,
    parts: Vec<Part>,
}

enum Part {
    Columns(u64, Node),
    Gap(Gap),
}

impl BodyEncoder {
    /// Takes a section in.
    ///
    /// # Errors
    /// [`ProtoError`] when it is not protobuf; the encoder must not be used after that.
    pub fn push(&mut self, section: SectionRef<'_>) -> Result<(), ProtoError> {
        let (kind, bytes) = match section {
            SectionRef::Traces(bytes) => (1, bytes),
            SectionRef::Logs(bytes) => (2, bytes),
            SectionRef::Metrics(bytes) => (3, bytes),
            SectionRef::Exemplars(bytes) => (4, bytes),
            SectionRef::Gap(gap) => {
                self.parts.push(Part::Gap(*gap));
                return Ok(());
            }
        };
        if let Some(schema) = root(kind) {
            let mut node = Node::new(schema, 1);
            node.push(bytes, &mut self.shared)?;
            self.parts.push(Part::Columns(kind, node));
        }
        Ok(())
    }

    /// Appends the body to `out`.
    pub fn finish(self, out: &mut Vec<u8>) -> EncodeStats {
        let Shared { dictionary, unknown, .. } = &self.shared;
        let stats = EncodeStats { unknown_fields: *unknown, invalid_utf8: dictionary.invalid_utf8 };
        let mut encoder = Encoder::new(out);
        cbor::array(&mut encoder, 5);
        dictionary.put(&mut encoder);
        cbor::array(&mut encoder, self.parts.len() as u64);
        for part in &self.parts {
            match part {
                Part::Columns(kind, node) => {
                    cbor::array(&mut encoder, 2);
                    cbor::uint(&mut encoder, *kind);
                    node.put(&mut encoder);
                }
                Part::Gap(gap) => put_gap(&mut encoder, gap),
            }
        }
        stats
    }
}

fn put_gap(encoder: &mut Encoder<&mut Vec<u8>>, gap: &Gap) {
    cbor::array(encoder, 2);
    cbor::uint(encoder, GAP);
    cbor::array(encoder, 7);
    let reason = GapReason::ALL.iter().position(|reason| *reason == gap.reason).unwrap_or_default();
    for value in
        [u64::from(gap.lane.number()), gap.first, gap.last, reason as u64, gap.records, gap.start_ns, gap.end_ns]
    {
        cbor::uint(encoder, value);
    }
}

/// Puts identity and stamp in front of a body and appends the whole frame to `out`.
pub fn seal_frame<Name: AsRef<str>>(header: &FrameHeader<Name>, body: &[u8], out: &mut Vec<u8>) {
    let mut encoder = Encoder::new(&mut *out);
    cbor::array(&mut encoder, 7);
    cbor::uint(&mut encoder, u64::from(FRAME_VERSION));
    cbor::text(&mut encoder, header.device.as_ref());
    cbor::bytes(&mut encoder, &header.epoch.0.to_le_bytes());
    cbor::uint(&mut encoder, u64::from(header.lane.number()));
    cbor::uint(&mut encoder, header.seq);
    cbor::array(&mut encoder, 4);
    cbor::bytes(&mut encoder, &header.stamp.boot_id);
    cbor::uint(&mut encoder, header.stamp.uptime_ns);
    cbor::uint(&mut encoder, header.stamp.wall_ns);
    cbor::boolean(&mut encoder, header.stamp.synchronised);
    out.extend_from_slice(body);
}

/// Reads only identity and stamp.
///
/// # Errors
/// [`FrameError`] when the bytes are not a frame of this version.
pub fn decode_header(bytes: &[u8]) -> Result<FrameHeader, FrameError> {
    read_header(&mut Decoder::new(bytes))
}

fn read_header(decoder: &mut Decoder<'_>) -> Result<FrameHeader, FrameError> {
    cbor::expect_array(decoder, 7)?;
    let version = decoder.u64()?;
    if version != u64::from(FRAME_VERSION) {
        return Err(FrameError::Version(version));
    }
    let device = decoder.str()?.to_owned();
    let epoch = Epoch(u64::from_le_bytes(cbor::fixed(decoder)?));
    let lane = Lane::from_number(decoder.u64()?).ok_or(FrameError::Corrupt("no such lane"))?;
    let seq = decoder.u64()?;
    cbor::expect_array(decoder, 4)?;
    let stamp = Stamp {
        boot_id: cbor::fixed(decoder)?,
        uptime_ns: decoder.u64()?,
        wall_ns: decoder.u64()?,
        synchronised: decoder.bool()?,
    };
    Ok(FrameHeader { device, epoch, lane, seq, stamp })
}

/// What an index can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token<'b> {
    /// A trace id.
    Trace(&'b [u8; 16]),
    /// A whole string: a name, an attribute's key or value, a line's text.
    Text(&'b [u8]),
}

/// Calls `each` with every trace id and every string of a frame, each once, without reading its columns.
///
/// # Errors
/// [`FrameError`] when the bytes are not a frame of this version.
pub fn each_token<'b>(frame: &'b [u8], mut each: impl FnMut(Token<'b>)) -> Result<(), FrameError> {
    let mut decoder = Decoder::new(frame);
    read_header(&mut decoder)?;
    tokens_of_body(&mut decoder, &mut each)
}

/// As [`each_token`], for a frame body without its identity.
///
/// # Errors
/// [`FrameError`] when the bytes are not a body.
pub fn each_token_of_body<'b>(body: &'b [u8], mut each: impl FnMut(Token<'b>)) -> Result<(), FrameError> {
    tokens_of_body(&mut Decoder::new(body), &mut each)
}

fn tokens_of_body<'b>(decoder: &mut Decoder<'b>, each: &mut impl FnMut(Token<'b>)) -> Result<(), FrameError> {
    cbor::expect_array(decoder, 5)?;
    let dictionary = DictionaryReader::read(decoder)?;
    dictionary.ids().for_each(|id| each(Token::Trace(id)));
    dictionary.strings().for_each(|text| each(Token::Text(text)));
    Ok(())
}

/// Reads a whole frame.
///
/// # Errors
/// [`FrameError`] when the bytes are not a frame of this version, or more than one.
pub fn decode_frame(bytes: &[u8]) -> Result<Frame, FrameError> {
    let mut decoder = Decoder::new(bytes);
    let header = read_header(&mut decoder)?;
    let sections = read_body(&mut decoder)?;
    if decoder.position() != bytes.len() {
        return Err(FrameError::Corrupt("bytes after its end"));
    }
    Ok(Frame { header, sections })
}

/// Reads a frame body, as [`encode_body`] writes it.
///
/// # Errors
/// [`FrameError`] when the bytes are not a body.
pub fn decode_body(bytes: &[u8]) -> Result<Vec<Section>, FrameError> {
    read_body(&mut Decoder::new(bytes))
}

fn read_body(decoder: &mut Decoder<'_>) -> Result<Vec<Section>, FrameError> {
    cbor::expect_array(decoder, 5)?;
    let dictionary = DictionaryReader::read(decoder)?;
    let mut sections = Vec::new();
    let mut total = 0;
    for _ in 0..cbor::any_array(decoder)? {
        cbor::expect_array(decoder, 2)?;
        let kind = decoder.u64()?;
        let Some(schema) = root(kind) else {
            sections.push(Section::Gap(read_gap(kind, decoder)?));
            continue;
        };
        let mut node = NodeReader::read(schema, decoder)?;
        // A frame becomes about three times as long: it is not copied from one place to a larger one again and again.
        let likely = 3 * decoder.input().len();
        let mut otlp = Vec::with_capacity(likely.min(FIRST_SECTION_BYTES));
        node.put_row(&mut otlp, &dictionary)?;
        node.finish()?;
        // A few bytes can stand for a section of any size: the bound is for all of them together.
        total += otlp.len();
        if total > crate::MAX_SECTION_BYTES {
            return Err(FrameError::TooLarge);
        }
        sections.push(match kind {
            1 => Section::Traces(otlp),
            2 => Section::Logs(otlp),
            3 => Section::Metrics(otlp),
            _ => Section::Exemplars(otlp),
        });
    }
    Ok(sections)
}

fn read_gap(kind: u64, decoder: &mut Decoder<'_>) -> Result<Gap, FrameError> {
    if kind != GAP {
        return Err(FrameError::Corrupt("unknown kind of section"));
    }
    cbor::expect_array(decoder, 7)?;
    let lane = Lane::from_number(decoder.u64()?).ok_or(FrameError::Corrupt("no such lane"))?;
    let (first, last) = (decoder.u64()?, decoder.u64()?);
    let reason = usize::try_from(decoder.u64()?).ok().and_then(|index| GapReason::ALL.get(index)).copied();
    let reason = reason.ok_or(FrameError::Corrupt("no such gap reason"))?;
    Ok(Gap { lane, first, last, reason, records: decoder.u64()?, start_ns: decoder.u64()?, end_ns: decoder.u64()? })
}

/// The first 16 bytes of the SHA-256 of a frame's bytes: what tells two contents of one identity apart (P8).
pub fn digest(frame: &[u8]) -> [u8; 16] {
    let full: [u8; 32] = Sha256::digest(frame).into();
    let mut short = [0; 16];
    short.copy_from_slice(&full[..16]);
    short
}
