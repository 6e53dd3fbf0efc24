//! Series and origins that many points share: each is in memory once, however many frames name it, and is found by its
//! content without being built first.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message;

use crate::origin::Origin;
use crate::series::{Kind, Series};

/// What is not used for this many runs of the compactor goes.
const IDLE_RUNS: u32 = 8;
/// What the allocator and the table take beside each thing.
const ENTRY: usize = 96;

/// Things by the hash of their content, with the run in which each was used last.
type Shelf<T> = HashMap<u64, Vec<(Arc<T>, u32)>, RandomState>;

#[derive(Debug, Default)]
struct Tables {
    series: Shelf<Series>,
    origins: Shelf<Origin>,
    run: u32,
}

/// The series and origins that a store shares.
#[derive(Debug, Default)]
pub struct SharedSeries {
    tables: Mutex<Tables>,
    hasher: RandomState,
    most_bytes: usize,
    bytes: AtomicUsize,
}

/// What a series is made of, before there is one.
pub(crate) struct Parts<'a> {
    pub(crate) origin: &'a Arc<Origin>,
    pub(crate) name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) metadata: &'a [KeyValue],
    pub(crate) kind: Kind,
    pub(crate) attributes: &'a [KeyValue],
}

impl Parts<'_> {
    fn is(&self, series: &Series) -> bool {
        Arc::ptr_eq(&series.origin, self.origin)
            && series.kind == self.kind
            && series.attributes == self.attributes
            && series.name == self.name
            && series.unit == self.unit
            && series.description == self.description
            && series.metadata == self.metadata
    }
}

fn hash_value(value: Option<&AnyValue>, hasher: &mut impl Hasher) {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.hash(hasher),
        Some(Value::IntValue(number)) => number.hash(hasher),
        Some(Value::BoolValue(flag)) => flag.hash(hasher),
        Some(Value::DoubleValue(number)) => number.to_bits().hash(hasher),
        Some(_) => value.map(Message::encode_to_vec).hash(hasher),
        None => {}
    }
}

fn hash_attributes(attributes: &[KeyValue], hasher: &mut impl Hasher) {
    for attribute in attributes {
        attribute.key.hash(hasher);
        hash_value(attribute.value.as_ref(), hasher);
    }
}

fn attribute_bytes(attributes: &[KeyValue]) -> usize {
    attributes.iter().map(|attribute| attribute.encoded_len() + size_of::<KeyValue>() + 32).sum()
}

fn series_bytes(series: &Series) -> usize {
    let texts = series.name.len() + series.description.len() + series.unit.len() + series.key.len();
    size_of::<Series>() + ENTRY + texts + attribute_bytes(&series.metadata) + attribute_bytes(&series.attributes)
}

fn origin_bytes(origin: &Origin) -> usize {
    let texts = origin.service.len() + origin.scope.name.len() + origin.device.len();
    let attributes = attribute_bytes(&origin.resource.attributes) + attribute_bytes(&origin.scope.attributes);
    size_of::<Origin>() + ENTRY + texts + attributes
}

impl SharedSeries {
    /// One that holds at most about this many bytes; what does not fit is not shared.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether there is room for so many bytes; if there is, they are taken.
    fn take(&self, bytes: usize) -> bool {
        let fits = self.bytes() + bytes <= self.most_bytes;
        if fits {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        fits
    }

    /// The origin that is the same as this one, if it is known; else this one.
    pub(crate) fn origin(&self, origin: Arc<Origin>) -> Arc<Origin> {
        if self.most_bytes == 0 {
            return origin;
        }
        let mut hasher = self.hasher.build_hasher();
        (&origin.device, origin.epoch, &origin.scope.name).hash(&mut hasher);
        hash_attributes(&origin.resource.attributes, &mut hasher);
        let hash = hasher.finish();
        let mut tables = self.lock();
        let run = tables.run;
        if let Some(same) = tables.origins.get_mut(&hash)
            && let Some((known, used)) = same.iter_mut().find(|(known, _)| *known == origin)
        {
            *used = run;
            return Arc::clone(known);
        }
        if self.take(origin_bytes(&origin)) {
            tables.origins.entry(hash).or_default().push((Arc::clone(&origin), run));
        }
        origin
    }

    /// The series of these parts, made by `make` if it is not known; and the bytes that whoever holds it is charged: none if
    /// it is shared.
    pub(crate) fn series(&self, parts: &Parts<'_>, make: impl FnOnce() -> Series) -> (Arc<Series>, usize) {
        if self.most_bytes == 0 {
            let series = Arc::new(make());
            let bytes = series_bytes(&series);
            return (series, bytes);
        }
        let mut hasher = self.hasher.build_hasher();
        (Arc::as_ptr(parts.origin).addr(), parts.name).hash(&mut hasher);
        hash_attributes(parts.attributes, &mut hasher);
        let hash = hasher.finish();
        let mut tables = self.lock();
        let run = tables.run;
        if let Some(same) = tables.series.get_mut(&hash)
            && let Some((known, used)) = same.iter_mut().find(|(known, _)| parts.is(known))
        {
            *used = run;
            return (Arc::clone(known), 0);
        }
        drop(tables);
        let series = Arc::new(make());
        let bytes = series_bytes(&series);
        if !self.take(bytes) {
            return (series, bytes);
        }
        self.lock().series.entry(hash).or_default().push((Arc::clone(&series), run));
        (series, 0)
    }

    /// Drops what nobody holds and nobody has asked for in a while.
    pub(crate) fn sweep(&self) {
        let mut tables = self.lock();
        tables.run += 1;
        let run = tables.run;
        let mut freed = 0;
        fn sweep<T>(shelf: &mut Shelf<T>, run: u32, mut free: impl FnMut(&T)) {
            shelf.retain(|_, same| {
                same.retain(|(thing, used)| {
                    let stays = Arc::strong_count(thing) > 1 || run - *used <= IDLE_RUNS;
                    if !stays {
                        free(thing);
                    }
                    stays
                });
                !same.is_empty()
            });
        }
        sweep(&mut tables.series, run, |series| freed += series_bytes(series));
        sweep(&mut tables.origins, run, |origin| freed += origin_bytes(origin));
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{resource, text};

    fn origin(table: &SharedSeries, service: &str) -> Arc<Origin> {
        table.origin(Origin::new((&Arc::from("vessel"), 7), resource(service).as_ref(), "", None, ""))
    }

    fn series(table: &SharedSeries, origin: &Arc<Origin>, room: &str) -> (Arc<Series>, usize) {
        let attributes = vec![text("room", room)];
        let parts = Parts {
            origin,
            name: "heat",
            description: "",
            unit: "Cel",
            metadata: &[],
            kind: Kind::Gauge,
            attributes: &attributes,
        };
        let make = || {
            let (name, unit) = ("heat".to_owned(), "Cel".to_owned());
            Series::new(Arc::clone(origin), name, String::new(), unit, Vec::new(), Kind::Gauge, attributes.clone())
        };
        table.series(&parts, make)
    }

    /// Scenario: series of two origins come again and again, then stay away; a table without room. Guarantees: each is held
    /// once and charged to the table; it goes when it is idle and nobody holds it; without room each is charged to its holder.
    #[test]
    fn a_series_is_held_once_and_goes_when_it_is_idle() {
        let table = SharedSeries::new(1 << 20);
        let (a, b) = (origin(&table, "a"), origin(&table, "b"));
        assert!(Arc::ptr_eq(&a, &origin(&table, "a")) && !Arc::ptr_eq(&a, &b));
        let (first, charged) = series(&table, &a, "engine");
        let (again, _) = series(&table, &a, "engine");
        assert!(Arc::ptr_eq(&first, &again) && charged == 0);
        assert!(!Arc::ptr_eq(&first, &series(&table, &b, "engine").0));
        assert!(!Arc::ptr_eq(&first, &series(&table, &a, "mess").0));
        let held = table.bytes();
        assert!(held > 4 * ENTRY);
        (0..=IDLE_RUNS).for_each(|_| table.sweep());
        // `first` holds its origin too; `b` is held here.
        assert!(table.bytes() < held && Arc::ptr_eq(&first, &series(&table, &a, "engine").0));
        drop((first, again, a, b));
        (0..2 * (IDLE_RUNS + 1)).for_each(|_| table.sweep());
        assert_eq!(table.bytes(), 0);
        let none = SharedSeries::default();
        let a = origin(&none, "a");
        let (one, charged) = series(&none, &a, "engine");
        assert!(charged > 0 && none.bytes() == 0 && !Arc::ptr_eq(&one, &series(&none, &a, "engine").0));
    }
}
