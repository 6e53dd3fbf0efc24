//! The walk over an OTLP request of log records.

use std::collections::BTreeMap;

use model::otlp::{LogView, ScopeGroup, for_each_scope};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_message, put_uint};
use otlp::json::put_value_text;

use crate::pairs::Pairs;
use crate::stream::stream_of;

/// A push ends with the entry that makes it longer than this: the metadata of a resource stands in each of its entries.
const PUSH_BYTES: usize = 512 << 10;

/// A record on its way.
struct Entry<'a> {
    /// Unix nanoseconds.
    time: u64,
    record: &'a [u8],
    /// The metadata that it shares with its neighbours.
    scope: usize,
}

/// An OTLP request of log records as one or several push requests. The same request gives the same bytes.
pub struct Pushes<'a> {
    /// By their labels, so that the order is always the same.
    streams: Vec<(String, Vec<Entry<'a>>)>,
    scopes: Vec<Pairs>,
    /// The next stream, and its next entry.
    next: (usize, usize),
    own: Pairs,
}

impl<'a> Pushes<'a> {
    /// Reads the bytes of an `ExportLogsServiceRequest`. Resource attributes in `more_labels` are labels of streams beside
    /// [`crate::INDEX_LABELS`]; everything else that is not the line is structured metadata.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes are not protobuf, which a request that passed the door is.
    pub fn read(request: &'a [u8], more_labels: &[String]) -> Result<Self, ProtoError> {
        let mut streams: BTreeMap<String, Vec<Entry<'a>>> = BTreeMap::new();
        let mut scopes: Vec<Pairs> = Vec::new();
        for_each_scope::<ProtoError>(request, |scope| {
            let (labels, mut shared) = stream_of(scope.resource.resource, more_labels);
            shared.add_number("resource_dropped_attributes_count", number_of(scope.resource.resource, 2)?);
            add_scope(&scope, &mut shared)?;
            let entries = streams.entry(labels).or_default();
            for record in scope.items() {
                let record = record?;
                entries.push(Entry { time: LogView::read(record)?.time_ns, record, scope: scopes.len() });
            }
            scopes.push(shared);
            Ok(())
        })?;
        // Records of one time stay in the order in which they came.
        streams.values_mut().for_each(|entries| entries.sort_by_key(|entry| entry.time));
        Ok(Self { streams: streams.into_iter().collect(), scopes, next: (0, 0), own: Pairs::default() })
    }

    /// Writes the next `logproto.PushRequest` over `out`, with the entries of each stream oldest first; tells how many entries it
    /// has, and 0 when there are no more.
    ///
    /// # Errors
    /// As [`Pushes::read`].
    pub fn write(&mut self, out: &mut Vec<u8>) -> Result<u64, ProtoError> {
        out.clear();
        let Self { streams, scopes, next, own } = self;
        let mut count = 0;
        while let Some((labels, entries)) = streams.get(next.0).filter(|_| out.len() < PUSH_BYTES) {
            if next.1 >= entries.len() {
                *next = (next.0 + 1, 0);
                continue;
            }
            let mut failed = None;
            put_message(out, 1, |out| {
                put_bytes(out, 1, labels.as_bytes());
                while let Some(entry) = entries.get(next.1).filter(|_| out.len() < PUSH_BYTES) {
                    put_message(out, 2, |out| {
                        failed = put_entry(entry, scopes.get(entry.scope), own, out).err().or(failed);
                    });
                    next.1 += 1;
                    count += 1;
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(count)
    }
}

fn number_of(message: &[u8], wanted: u32) -> Result<u64, ProtoError> {
    let (mut reader, mut found) = (Reader::new(message), 0);
    while let Some((number, value)) = reader.next_field()? {
        if let (true, Value::Varint(value)) = (number == wanted, value) {
            found = value;
        }
    }
    Ok(found)
}

/// Adds what is told of an `InstrumentationScope`.
fn add_scope(scope: &ScopeGroup<'_>, to: &mut Pairs) -> Result<(), ProtoError> {
    let mut reader = Reader::new(scope.scope);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Value::Bytes(name)) => add_text(to, "scope_name", name),
            (2, Value::Bytes(version)) => add_text(to, "scope_version", version),
            (4, Value::Varint(dropped)) => to.add_number("scope_dropped_attributes_count", dropped),
            _ => {}
        }
    }
    to.add_attributes(scope.scope, 3, |_| false);
    Ok(())
}

fn add_text(to: &mut Pairs, name: &str, text: &[u8]) {
    to.add(name, |out| out.push_str(&String::from_utf8_lossy(text)));
}

/// Appends an `EntryAdapter`: time, line, metadata. What a record says itself goes before what its scope and resource say.
fn put_entry(entry: &Entry<'_>, shared: Option<&Pairs>, own: &mut Pairs, out: &mut Vec<u8>) -> Result<(), ProtoError> {
    let mut line = String::new();
    own.clear();
    let mut reader = Reader::new(entry.record);
    while let Some(field) = reader.next_field()? {
        match field {
            (2, Value::Varint(number)) => own.add_number("severity_number", number),
            (3, Value::Bytes(text)) => add_text(own, "severity_text", text),
            (5, Value::Bytes(body)) => {
                line.clear();
                put_value_text(&mut line, body);
            }
            (7, Value::Varint(dropped)) => own.add_number("dropped_attributes_count", dropped),
            (8, Value::Fixed32(flags)) => own.add_number("flags", u64::from(flags)),
            (9, Value::Bytes(id)) => add_id(own, "trace_id", id),
            (10, Value::Bytes(id)) => add_id(own, "span_id", id),
            (11, Value::Fixed64(observed)) if observed != entry.time => own.add_number("observed_timestamp", observed),
            (12, Value::Bytes(name)) => add_text(own, "event_name", name),
            _ => {}
        }
    }
    own.add_attributes(entry.record, 6, |_| false);
    put_message(out, 1, |out| {
        put_uint(out, 1, entry.time / 1_000_000_000);
        put_uint(out, 2, entry.time % 1_000_000_000);
    });
    put_bytes(out, 2, line.as_bytes());
    let from_above = shared.into_iter().flat_map(Pairs::iter).filter(|(name, _)| !own.has(name));
    for (name, value) in from_above.chain(own.iter()) {
        put_message(out, 3, |out| {
            put_bytes(out, 1, name.as_bytes());
            put_bytes(out, 2, value.as_bytes());
        });
    }
    Ok(())
}

/// An id in hexadecimal; one of zeros is none.
fn add_id(to: &mut Pairs, name: &str, id: &[u8]) {
    if id.iter().any(|byte| *byte != 0) {
        to.add(name, |out| id.iter().for_each(|byte| out.push_str(&format!("{byte:02x}"))));
    }
}
