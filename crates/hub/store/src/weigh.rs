//! What a section will take in memory once it is decoded, before it is: a few bytes can stand for millions of rows.
//!
//! One walk by the tables of the OTLP schema. It counts what prost and the rows allocate: structs, vectors as they grow,
//! texts, and what is copied for each row or series of a resource, scope or metric. It also bounds the depth, so that the
//! decoder needs no limit of its own.

use model::otlp::MAX_DEPTH;
use model::otlp::schema::{self, Field, Kind, Message, Rule, any_value, key_value};
use model::proto::{ProtoError, Reader, Value};
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::{metrics::v1 as metrics, resource::v1 as resource, trace::v1 as trace};

use crate::rows::{ExemplarRow, LogRow, Origin, Point, Series, SeriesRow, SpanRow};

/// Most memory that the records of one frame, or of one OTLP request, may take.
pub const MAX_COST: usize = 64 << 20;

/// What the allocator takes beside each piece, and what indexes keep of a row.
const PIECE: usize = 16;
const ROW_INDEX: usize = 96;
/// A series' key: its metric's name comes on top.
const SERIES_KEY: usize = 64;

/// Why a section is not decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooHeavy {
    /// Not protobuf.
    #[error("{0}")]
    Malformed(ProtoError),
    /// Values nest too deeply.
    #[error("values are nested deeper than {MAX_DEPTH}")]
    Deep,
    /// It would take too much memory.
    #[error("its records would take more than {} MiB of memory", MAX_COST >> 20)]
    Memory,
}

impl From<ProtoError> for TooHeavy {
    fn from(error: ProtoError) -> Self {
        Self::Malformed(error)
    }
}

/// Bytes that the records of a section take in memory.
///
/// # Errors
/// [`TooHeavy`] when it must not be decoded.
pub(crate) fn weigh(schema: &Message, section: &[u8]) -> Result<usize, TooHeavy> {
    let mut scales = Scales { cost: 0 };
    scales.message(schema, section)?;
    Ok(scales.cost)
}

struct Scales {
    cost: usize,
}

/// Bytes of a message's struct, with that of the row that is made of it.
fn size_of_message(name: &str) -> usize {
    match name {
        "Span" => size_of::<trace::Span>() + size_of::<SpanRow>() + ROW_INDEX,
        "LogRecord" => size_of::<LogRow>() * 2 + ROW_INDEX,
        "Exemplar" => size_of::<metrics::Exemplar>() + size_of::<ExemplarRow>() + ROW_INDEX,
        "NumberDataPoint" | "HistogramDataPoint" | "ExponentialHistogramDataPoint" | "SummaryDataPoint" => {
            size_of::<metrics::ExponentialHistogramDataPoint>()
                + size_of::<Point>() * 4
                + size_of::<SeriesRow>()
                + size_of::<Series>()
                + SERIES_KEY
                + ROW_INDEX
        }
        "Event" => size_of::<trace::span::Event>(),
        "Link" => size_of::<trace::span::Link>(),
        "Metric" => size_of::<metrics::Metric>(),
        "Resource" => size_of::<resource::Resource>(),
        "InstrumentationScope" => size_of::<InstrumentationScope>(),
        "EntityRef" => size_of::<opentelemetry_proto::tonic::common::v1::EntityRef>(),
        // The wrappers around them, and small messages.
        _ => size_of::<metrics::Metric>(),
    }
}

impl Scales {
    fn add(&mut self, bytes: usize) -> Result<(), TooHeavy> {
        self.cost = self.cost.saturating_add(bytes);
        if self.cost > MAX_COST { Err(TooHeavy::Memory) } else { Ok(()) }
    }

    /// One more element of a vector that holds `count` of them.
    fn grow(&mut self, count: usize, size: usize) -> Result<(), TooHeavy> {
        match count {
            0 => self.add(4 * size),
            count if count >= 4 && count.is_power_of_two() => self.add(count * size),
            _ => Ok(()),
        }
    }

    fn message(&mut self, schema: &Message, bytes: &[u8]) -> Result<(), TooHeavy> {
        let mut counts = [0usize; 32];
        let (mut shared, mut copies) = (0usize, 0usize);
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            let Some(field) = schema.index_of(number).and_then(|index| schema.fields.get(index)) else { continue };
            let before = self.cost;
            let count = counts.get(number as usize).copied().unwrap_or(0);
            self.field(field, value, count)?;
            if let Some(count) = counts.get_mut(number as usize) {
                *count += 1;
            }
            if is_shared(schema, field) {
                shared += self.cost - before;
            }
            copies += copies_of(schema, field, value)?;
        }
        // What stands around rows is copied for each scope, series or exemplar.
        self.add(shared.saturating_mul(copies))
    }

    fn field(&mut self, field: &Field, value: Value<'_>, count: usize) -> Result<(), TooHeavy> {
        match (field.kind, value) {
            (Kind::Message(child), Value::Bytes(inside)) => {
                let size = size_of_message(child.name);
                match field.rule {
                    Rule::Repeated => self.grow(count, size)?,
                    _ => self.add(size + PIECE)?,
                }
                self.message(child, inside)
            }
            (Kind::Attributes, Value::Bytes(pair)) => {
                self.grow(count, size_of::<KeyValue>())?;
                self.pair(pair, MAX_DEPTH)
            }
            (Kind::AnyValue, Value::Bytes(any)) => self.any(any, MAX_DEPTH),
            (Kind::Fixed64 | Kind::Double | Kind::Uint, Value::Bytes(packed)) => {
                // A varint of one byte becomes a u64; vectors grow by doubling.
                let each = if matches!(field.kind, Kind::Uint) { 8 } else { 1 };
                self.add(packed.len().saturating_mul(2 * each) + PIECE)
            }
            (_, Value::Bytes(text)) => {
                if field.rule == Rule::Repeated {
                    self.grow(count, size_of::<String>())?;
                }
                self.add(text.len() + PIECE)
            }
            (_, _) if field.rule == Rule::Repeated => self.add(16),
            _ => Ok(()),
        }
    }

    fn pair(&mut self, bytes: &[u8], depth: u32) -> Result<(), TooHeavy> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => self.add(key.len() + PIECE)?,
                (key_value::VALUE, Value::Bytes(any)) => self.any(any, depth)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn any(&mut self, bytes: &[u8], depth: u32) -> Result<(), TooHeavy> {
        let mut reader = Reader::new(bytes);
        while let Some((number, value)) = reader.next_field()? {
            let Value::Bytes(inside) = value else { continue };
            match number {
                any_value::STRING | any_value::BYTES => self.add(inside.len() + PIECE)?,
                any_value::ARRAY | any_value::KVLIST => {
                    let depth = depth.checked_sub(1).ok_or(TooHeavy::Deep)?;
                    let is_list = number == any_value::KVLIST;
                    let size = if is_list { size_of::<KeyValue>() } else { size_of::<AnyValue>() };
                    let (mut count, mut items) = (0, Reader::new(inside));
                    while let Some((number, item)) = items.next_field()? {
                        let Value::Bytes(item) = item else { continue };
                        if number != 1 {
                            continue;
                        }
                        self.grow(count, size)?;
                        count += 1;
                        if is_list { self.pair(item, depth)? } else { self.any(item, depth)? }
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a field is copied for everything beside it.
fn is_shared(schema: &Message, field: &Field) -> bool {
    match schema.name {
        "ResourceSpans" | "ResourceLogs" | "ResourceMetrics" | "ScopeSpans" | "ScopeLogs" | "ScopeMetrics" => {
            field.name != "scope_spans"
                && field.name != "scope_logs"
                && field.name != "scope_metrics"
                && field.name != "spans"
                && field.name != "log_records"
                && field.name != "metrics"
        }
        "Metric" => !matches!(field.kind, Kind::Message(_)),
        "ExemplarSeries" => field.name != "exemplars",
        _ => false,
    }
}

/// How many copies of what is shared a field asks for.
fn copies_of(schema: &Message, field: &Field, value: Value<'_>) -> Result<usize, TooHeavy> {
    Ok(match (schema.name, field.kind, value) {
        ("ResourceSpans" | "ResourceLogs" | "ResourceMetrics", Kind::Message(_), _) if field.rule == Rule::Repeated => {
            1
        }
        // The scope goes into one origin, with the struct of that.
        ("ScopeSpans" | "ScopeLogs" | "ScopeMetrics", Kind::Message(_), _) if field.rule == Rule::Optional => {
            1 + size_of::<Origin>() / 512
        }
        ("ExemplarSeries", Kind::Message(_), _) if field.name == "exemplars" => 1,
        // Each point of a metric may be a series of its own, and so may each exemplar in it.
        ("Metric", Kind::Message(data), Value::Bytes(inside)) => points(data, inside)?,
        _ => 0,
    })
}

fn points(data: &Message, bytes: &[u8]) -> Result<usize, TooHeavy> {
    let mut count = 0;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field()? {
        let field = data.index_of(number).and_then(|index| data.fields.get(index));
        if let (Some(Field { kind: Kind::Message(point), .. }), Value::Bytes(inside)) = (field, value) {
            count += 1;
            let exemplars = point.fields.iter().find(|field| field.name == "exemplars").map(|field| field.number);
            let mut fields = Reader::new(inside);
            while let Some((number, _)) = fields.next_field()? {
                count += usize::from(Some(number) == exemplars);
            }
        }
    }
    Ok(count)
}

/// The table of a section's message.
pub(crate) fn schema_of(section: &wire::SectionRef<'_>) -> Option<&'static Message> {
    match section {
        wire::SectionRef::Traces(_) => Some(&schema::TRACES_DATA),
        wire::SectionRef::Logs(_) => Some(&schema::LOGS_DATA),
        wire::SectionRef::Metrics(_) => Some(&schema::METRICS_DATA),
        wire::SectionRef::Exemplars(_) => Some(&schema::EXEMPLARS_DATA),
        wire::SectionRef::Gap(_) => None,
    }
}
