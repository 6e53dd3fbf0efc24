//! What is made of the records that pass: counted, ordered, cut. Memory is bounded by rows and groups, whatever comes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write;

use crate::aggregate::State;
use crate::field::Field;
use crate::query::{Aggregate, Pipe, Query};
use crate::record::{Record, Value};

/// The most rows that an answer has; `limit`, `top` and `sort` hold no more.
pub const MAX_ROWS: usize = 10_000;
/// The most groups of `stats`; records of further groups are counted together under `(more)`.
pub const MAX_GROUPS: usize = 5000;
/// Rows of an answer whose query says no number.
const DEFAULT_ROWS: usize = 1000;

/// An answer.
#[derive(Debug)]
pub enum Output<R> {
    /// Records, as ordered by the query, else by time.
    Records {
        /// The records.
        records: Vec<R>,
        /// What to show of them; empty: everything.
        fields: Vec<Field>,
        /// How many more passed the filter and were left out by the limit.
        left_out: u64,
    },
    /// Rows of figures.
    Table(Table),
}

/// Rows of figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// One value for each column.
    pub rows: Vec<Vec<Value<'static>>>,
}

/// A group: the values of the `by` fields, and its figures.
struct Group {
    key: Vec<Value<'static>>,
    figures: Vec<State>,
}

struct Stats {
    aggregates: Vec<Aggregate>,
    by: Vec<Field>,
    index: HashMap<String, usize>,
    groups: Vec<Group>,
    /// About what the groups take.
    bytes: usize,
}

/// Takes records that passed the filter, and ends with the answer.
pub struct Engine<R> {
    /// Of the query's own range; of what was seen, where it is open.
    since_ns: Option<u64>,
    until_ns: Option<u64>,
    first_ns: u64,
    last_ns: u64,
    stats: Option<Stats>,
    /// Pipes behind `stats`, or all of them.
    pipes: Vec<Pipe>,
    sort: Option<(Field, bool)>,
    keep: usize,
    newest: bool,
    records: Vec<R>,
    passed: u64,
}

impl<R: Record> Engine<R> {
    /// An engine for a query. Without an order of its own the answer has the newest records, oldest first.
    pub fn new(query: &Query) -> Self {
        let mut pipes = query.pipes.clone();
        let mut stats = None;
        if let Some(at) = pipes.iter().position(|pipe| matches!(pipe, Pipe::Stats { .. })) {
            let rest = pipes.split_off(at + 1);
            if let Some(Pipe::Stats { aggregates, by }) = pipes.pop() {
                stats = Some(Stats { aggregates, by, index: HashMap::new(), groups: Vec::new(), bytes: 0 });
            }
            pipes = rest;
        }
        let mut sort = None;
        let mut keep = None;
        if stats.is_none() {
            for pipe in &pipes {
                match pipe {
                    Pipe::Sort { by, descending } => sort = Some((Field::named(by), *descending)),
                    Pipe::Top { count, by } => {
                        sort = Some((by.as_deref().map_or(Field::Duration, Field::named), true));
                        keep = Some(keep.map_or(*count, |kept: usize| kept.min(*count)));
                    }
                    Pipe::Limit(count) => keep = Some(keep.map_or(*count, |kept: usize| kept.min(*count))),
                    Pipe::Stats { .. } | Pipe::Fields(_) => {}
                }
            }
        }
        Self {
            since_ns: query.range.since_ns,
            until_ns: query.range.until_ns,
            first_ns: u64::MAX,
            last_ns: 0,
            stats,
            pipes,
            newest: sort.is_none(),
            sort,
            keep: keep.unwrap_or(DEFAULT_ROWS),
            records: Vec::new(),
            passed: 0,
        }
    }

    /// Takes a record that passed the filter and lies in the range.
    pub fn push(&mut self, record: R) {
        self.passed += 1;
        self.first_ns = self.first_ns.min(record.time_ns());
        self.last_ns = self.last_ns.max(record.time_ns());
        if let Some(stats) = &mut self.stats {
            stats.add(&record);
            return;
        }
        self.records.push(record);
        // Cut now and then, so that sorting is paid once for as many records as are kept.
        if self.records.len() >= self.keep.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    /// About how many bytes the groups of `stats` take. What the records take that are held is the caller's to count.
    pub fn group_bytes(&self) -> usize {
        self.stats.as_ref().map_or(0, |stats| stats.bytes)
    }

    fn cut(&mut self) {
        match &self.sort {
            Some((field, descending)) => self.records.sort_by(|a, b| {
                let (a_value, b_value) = (a.field(field), b.field(field));
                let absent = (a_value == Value::Absent).cmp(&(b_value == Value::Absent));
                let order = a_value.order(&b_value);
                absent.then(if *descending { order.reverse() } else { order }).then(a.time_ns().cmp(&b.time_ns()))
            }),
            None => self.records.sort_by_key(Record::time_ns),
        }
        let surplus = self.records.len().saturating_sub(self.keep);
        if self.newest {
            self.records.drain(..surplus);
        } else {
            self.records.truncate(self.keep);
        }
    }

    /// The answer.
    pub fn finish(mut self) -> Output<R> {
        let Some(stats) = self.stats.take() else {
            self.cut();
            let fields = self.pipes.iter().rev().find_map(|pipe| match pipe {
                Pipe::Fields(fields) => Some(fields.clone()),
                _ => None,
            });
            let left_out = self.passed - self.records.len() as u64;
            return Output::Records { records: self.records, fields: fields.unwrap_or_default(), left_out };
        };
        let since = self.since_ns.unwrap_or(self.first_ns);
        let until = self.until_ns.unwrap_or(self.last_ns.saturating_add(1));
        let seconds = (until > since && since != u64::MAX).then(|| (until - since) as f64 / 1e9);
        let mut table = stats.table(seconds);
        for pipe in &self.pipes {
            table.apply(pipe);
        }
        table.rows.truncate(MAX_ROWS);
        Output::Table(table)
    }
}

impl Stats {
    fn add(&mut self, record: &impl Record) {
        let values: Vec<Value<'_>> = self.by.iter().map(|field| record.field(field)).collect();
        // Each text with its length before it, so that different values never make the same name.
        let mut name = String::new();
        for value in &values {
            let text = value.to_string();
            // Writing into a String cannot fail.
            let _written = write!(name, "{}:{text}", text.len());
        }
        let full = self.groups.len() >= MAX_GROUPS && !self.index.contains_key(&name);
        let name = if full { "(more)".to_owned() } else { name };
        // The name, and the key, which is as long.
        let new_bytes = 2 * name.len() + values.len() * size_of::<Value<'_>>() + size_of::<Group>();
        let at = match self.index.entry(name) {
            Entry::Occupied(at) => *at.get(),
            Entry::Vacant(place) => {
                let key = match full {
                    true => self.by.iter().map(|_| Value::from("(more)")).collect(),
                    false => values.into_iter().map(Value::into_owned).collect(),
                };
                let figures = self.aggregates.iter().map(|one| State::new(one.function)).collect();
                self.groups.push(Group { key, figures });
                self.bytes += new_bytes;
                *place.insert(self.groups.len() - 1)
            }
        };
        let Some(group) = self.groups.get_mut(at) else { return };
        for (figure, aggregate) in group.figures.iter_mut().zip(&self.aggregates) {
            let before = figure.bytes();
            figure.add(aggregate.field.as_ref().map_or(Value::Absent, |field| record.field(field)));
            self.bytes = (self.bytes + figure.bytes()).saturating_sub(before);
        }
    }

    fn table(mut self, seconds: Option<f64>) -> Table {
        if self.groups.is_empty() && self.by.is_empty() {
            let figures = self.aggregates.iter().map(|one| State::new(one.function)).collect();
            self.groups.push(Group { key: Vec::new(), figures });
        }
        let columns = self.by.iter().map(|field| field.name().to_owned());
        let columns = columns.chain(self.aggregates.iter().map(Aggregate::to_string)).collect();
        let mut rows: Vec<Vec<Value<'static>>> = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let figures = group.figures.iter().zip(&self.aggregates).map(|(state, one)| state.value(one, seconds));
            rows.push(group.key.into_iter().chain(figures).collect());
        }
        rows.sort_by(|a, b| {
            a.iter().zip(b).map(|(a, b)| a.order(b)).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        });
        Table { columns, rows }
    }
}

impl Table {
    fn apply(&mut self, pipe: &Pipe) {
        match pipe {
            Pipe::Top { count, by } => {
                self.sort(by.as_deref().and_then(|name| self.column(name)).unwrap_or(self.columns.len() - 1), true);
                self.rows.truncate(*count);
            }
            Pipe::Sort { by, descending } => {
                if let Some(column) = self.column(by) {
                    self.sort(column, *descending);
                }
            }
            Pipe::Limit(count) => self.rows.truncate(*count),
            Pipe::Fields(fields) => {
                let kept: Vec<usize> = fields.iter().filter_map(|field| self.column(field.name())).collect();
                self.columns = kept.iter().filter_map(|at| self.columns.get(*at).cloned()).collect();
                for row in &mut self.rows {
                    *row = kept.iter().filter_map(|at| row.get(*at).cloned()).collect();
                }
            }
            // Figures of figures are not in the language.
            Pipe::Stats { .. } => {}
        }
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Absent values stand last in either order.
    fn sort(&mut self, column: usize, descending: bool) {
        self.rows.sort_by(|a, b| {
            let (Some(a), Some(b)) = (a.get(column), b.get(column)) else { return std::cmp::Ordering::Equal };
            let absent = (*a == Value::Absent).cmp(&(*b == Value::Absent));
            absent.then(if descending { b.order(a) } else { a.order(b) })
        });
    }
}
