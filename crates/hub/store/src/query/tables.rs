//! Tables: what the pipes of the filter language (docs/filter.md) make of stored lines and spans, by the device's own engine, in
//! bounded memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

use filter::{Engine, Field, Filter, Output, Pipe, Query, Range, Record, Value};

use super::Scoped;
use super::{LogQuery, QueryError, TimeRange, budget};
use crate::pack::Kind;
use crate::rows::SpanRow;

/// The most bytes of rows and groups that a table is made from.
const MAX_BYTES: usize = 64 << 20;
/// Columns of lines, and of spans, whose query names none.
static LINE_COLUMNS: [Field; 6] = [Field::Level, Field::Service, Field::Device, Field::Body, Field::Trace, Field::Span];
static SPAN_COLUMNS: [Field; 7] =
    [Field::Duration, Field::Service, Field::Device, Field::Name, Field::Status, Field::Trace, Field::Span];

/// Which spans a table is made from.
#[derive(Debug, Clone)]
pub struct SpanQuery {
    /// When they start.
    pub range: TimeRange,
    /// Of this service.
    pub service: Option<String>,
    /// Of this name.
    pub operation: Option<String>,
    /// Passing this filter.
    pub filter: Option<Filter>,
}

impl SpanQuery {
    fn matches(&self, row: &SpanRow) -> bool {
        self.range.contains(row.span.start_time_unix_nano)
            && budget::goes_on()
            && self.service.as_ref().is_none_or(|service| *service == row.origin.service)
            && self.operation.as_ref().is_none_or(|operation| *operation == row.span.name)
            && self.filter.as_ref().is_none_or(|filter| filter.matches(row))
    }
}

/// An answer in rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// One value for each column. Of records the first one is the time, nanoseconds as text.
    pub rows: Vec<Vec<Value<'static>>>,
    /// Records that passed the filter and have no row, because of a limit; 0 where records were counted.
    pub left_out: u64,
    /// From the earliest to the latest of the records that passed; empty without any.
    pub seen: TimeRange,
}

/// A record with nothing but the fields that its query looks at.
struct Row {
    time_ns: u64,
    fields: Rc<[Field]>,
    values: Vec<Value<'static>>,
    bytes: usize,
    /// Bytes of all rows that are held.
    held: Rc<Cell<usize>>,
}

impl Drop for Row {
    fn drop(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.bytes));
    }
}

impl Record for Row {
    fn time_ns(&self) -> u64 {
        self.time_ns
    }

    fn field(&self, field: &Field) -> Value<'_> {
        let place = self.fields.iter().position(|one| one == field);
        match place.and_then(|place| self.values.get(place)) {
            Some(Value::Text(text)) => Value::Text(Cow::Borrowed(text)),
            Some(value) => value.clone(),
            None => Value::Absent,
        }
    }
}

/// Makes a table of records.
struct Maker {
    engine: Engine<Row>,
    fields: Rc<[Field]>,
    usual: &'static [Field],
    held: Rc<Cell<usize>>,
    seen: TimeRange,
    is_full: bool,
}

/// The fields that pipes look at; `usual` are shown where none are named.
fn fields_of(pipes: &[Pipe], usual: &[Field]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |field: &Field| {
        if !fields.contains(field) {
            fields.push(field.clone());
        }
    };
    let mut is_told = false;
    for pipe in pipes {
        match pipe {
            Pipe::Stats { aggregates, by } => {
                is_told = true;
                by.iter().chain(aggregates.iter().filter_map(|one| one.field.as_ref())).for_each(&mut add);
            }
            Pipe::Fields(shown) => {
                is_told = true;
                shown.iter().for_each(&mut add);
            }
            Pipe::Sort { by, .. } => add(&Field::named(by)),
            Pipe::Top { by, .. } => add(&by.as_deref().map_or(Field::Duration, Field::named)),
            Pipe::Limit(_) => {}
        }
    }
    if !is_told {
        usual.iter().for_each(&mut add);
    }
    fields
}

impl Maker {
    fn new(range: TimeRange, pipes: &[Pipe], usual: &'static [Field]) -> Self {
        // Rates are over the time that was asked for.
        let bounds = match range {
            TimeRange::ALL => Range::default(),
            TimeRange { from, to } => Range { since_ns: Some(from), until_ns: Some(to) },
        };
        Self {
            fields: fields_of(pipes, usual).into(),
            engine: Engine::new(&Query { filter: Filter::And(Vec::new()), range: bounds, pipes: pipes.to_vec() }),
            usual,
            held: Rc::default(),
            seen: TimeRange { from: u64::MAX, to: 0 },
            is_full: false,
        }
    }

    /// Takes a record that is meant; `false` when there is no room for more.
    fn push(&mut self, record: &impl Record) -> bool {
        let values: Vec<Value<'static>> = self.fields.iter().map(|field| record.field(field).into_owned()).collect();
        let texts = values.iter().map(|value| if let Value::Text(text) = value { text.len() } else { 0 });
        let bytes = size_of::<Row>() + size_of_val(values.as_slice()) + texts.sum::<usize>();
        let time_ns = record.time_ns();
        self.seen.from = self.seen.from.min(time_ns);
        self.seen.to = self.seen.to.max(time_ns.saturating_add(1));
        self.held.set(self.held.get() + bytes);
        let (fields, held) = (Rc::clone(&self.fields), Rc::clone(&self.held));
        self.engine.push(Row { time_ns, fields, values, bytes, held });
        self.is_full |= self.held.get() + self.engine.group_bytes() > MAX_BYTES;
        !self.is_full
    }

    fn finish(self) -> Result<Table, QueryError> {
        if self.is_full {
            return Err(QueryError::new(
                format!("the rows of this table take more than {} MiB", MAX_BYTES >> 20),
                "ask for fewer of them (| limit 100), fewer fields (| fields a, b), fewer groups, or a shorter time",
            ));
        }
        let seen = if self.seen.from < self.seen.to { self.seen } else { TimeRange { from: 0, to: 0 } };
        match self.engine.finish() {
            Output::Table(table) => Ok(Table { columns: table.columns, rows: table.rows, left_out: 0, seen }),
            Output::Records { records, fields, left_out } => {
                let shown: &[Field] = if fields.is_empty() { self.usual } else { &fields };
                let names = shown.iter().map(|field| field.name().to_owned());
                let row = |record: &Row| {
                    let time = Value::Text(Cow::Owned(record.time_ns.to_string()));
                    let values = shown.iter().map(|field| record.field(field).into_owned());
                    std::iter::once(time).chain(values).collect()
                };
                Ok(Table {
                    columns: std::iter::once("time".to_owned()).chain(names).collect(),
                    rows: records.iter().map(row).collect(),
                    left_out,
                    seen,
                })
            }
        }
    }
}

impl Scoped<'_> {
    /// What pipes make of log records; order, limit and place of the query say nothing here. Rows count as stored.
    ///
    /// # Errors
    /// [`QueryError`] when the table would take too much memory.
    pub fn log_table(&self, query: &LogQuery, pipes: &[Pipe]) -> Result<Table, QueryError> {
        let mut maker = Maker::new(query.range, pipes, &LINE_COLUMNS);
        self.each_log(query, |row| maker.push(row));
        maker.finish()
    }

    /// What pipes make of spans. Rows count as stored.
    ///
    /// # Errors
    /// [`QueryError`] when the table would take too much memory.
    pub fn span_table(&self, query: &SpanQuery, pipes: &[Pipe]) -> Result<Table, QueryError> {
        let mut maker = Maker::new(query.range, pipes, &SPAN_COLUMNS);
        let mut push = |row: &SpanRow| !query.matches(row) || maker.push(row);
        let snapshot = self.inner.snapshot();
        let mut goes_on = snapshot.frames.iter().flat_map(|frame| &frame.records.spans).all(&mut push);
        for pack in snapshot.packs.iter().filter(|pack| pack.kind == Kind::Traces) {
            for (number, block) in pack.index.blocks.iter().enumerate() {
                if goes_on && block.min_time < query.range.to && block.max_time >= query.range.from {
                    goes_on = self.span_block(pack, number).rows().iter().all(&mut push);
                }
            }
        }
        maker.finish()
    }
}
