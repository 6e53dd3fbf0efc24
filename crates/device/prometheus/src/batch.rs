//! Series, samples and exemplars of one request, before they are written: samples of a series come from many places of a request, and
//! go out together, oldest first.

use model::proto::{put_varint, read_varint};

use crate::symbols::Symbols;

/// What Prometheus knows of a metric family; the texts are symbols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family {
    /// `MetricType` of remote write, the same in 1.0 and 2.0.
    pub(crate) kind: u8,
    pub(crate) name: u32,
    pub(crate) help: u32,
    pub(crate) unit: u32,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) series: u32,
    /// Unix milliseconds.
    pub(crate) time: i64,
    /// Unix milliseconds; 0 where there is none.
    pub(crate) start: i64,
    /// The number's bits, or where in `Batch::histograms` the histogram stands: its start and length.
    pub(crate) value: u64,
}

/// One exemplar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exemplar {
    pub(crate) series: u32,
    /// Unix milliseconds.
    pub(crate) time: i64,
    /// The number's bits.
    pub(crate) value: u64,
    /// Its labels in `Batch::exemplar_labels`.
    pub(crate) labels: (u32, u32),
}

/// A series as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series<'a> {
    /// Symbols of names and values, in turn, as varints.
    pub(crate) labels: &'a [u8],
    /// Its number among the families.
    pub(crate) family: u32,
    /// Whether its samples are native histograms.
    pub(crate) native: bool,
}

/// All of a request.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) symbols: Symbols,
    families: Symbols,
    series: Symbols,
    pub(crate) samples: Vec<Sample>,
    pub(crate) exemplars: Vec<Exemplar>,
    exemplar_labels: Vec<u8>,
    histograms: Vec<u8>,
    /// The key of a series while it is put together.
    key: Vec<u8>,
}

/// Of a series' key, behind its labels: the number of its family, and whether it is native.
const BEHIND_LABELS: usize = 5;

impl Batch {
    /// Begins anew, and keeps the memory. The first symbol is the empty one, as remote write 2.0 has it.
    pub(crate) fn clear(&mut self) {
        self.symbols.clear();
        self.families.clear();
        self.series.clear();
        self.samples.clear();
        self.exemplars.clear();
        self.exemplar_labels.clear();
        self.histograms.clear();
        self.symbols.add(b"");
    }

    /// The memory that it needs, roughly.
    pub(crate) fn size(&self) -> usize {
        let texts = self.symbols.size() + self.families.size() + self.series.size();
        let parts = size_of_val(self.samples.as_slice()) + size_of_val(self.exemplars.as_slice());
        texts + parts + self.exemplar_labels.len() + self.histograms.len()
    }

    /// The number of a family, which is added when new.
    pub(crate) fn family(&mut self, family: Family) -> u32 {
        let mut bytes = [family.kind; 13];
        for (place, number) in bytes[1..].chunks_exact_mut(4).zip([family.name, family.help, family.unit]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        self.families.add(&bytes)
    }

    /// All families, in order of their numbers.
    pub(crate) fn families(&self) -> impl Iterator<Item = Family> {
        self.families.iter().map(read_family)
    }

    /// A family by its number.
    pub(crate) fn family_of(&self, number: u32) -> Family {
        read_family(self.families.get(number))
    }

    /// The number of a series with these labels, by name.
    pub(crate) fn series(&mut self, labels: impl Iterator<Item = (u32, u32)>, family: u32, native: bool) -> u32 {
        self.key.clear();
        for (name, value) in labels {
            put_varint(&mut self.key, u64::from(name));
            put_varint(&mut self.key, u64::from(value));
        }
        self.key.extend_from_slice(&family.to_le_bytes());
        self.key.push(u8::from(native));
        self.series.add(&self.key)
    }

    /// A series by its number.
    pub(crate) fn series_of(&self, number: u32) -> Series<'_> {
        let key = self.series.get(number);
        let (labels, behind) = key.split_at(key.len().saturating_sub(BEHIND_LABELS));
        let family = behind.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Series { labels, family, native: behind.last() == Some(&1) }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, series: u32, (start, time): (i64, i64), value: f64) {
        self.samples.push(Sample { series, time, start, value: value.to_bits() });
    }

    /// Adds a native histogram that `write` writes as a `Histogram` message without its times.
    pub(crate) fn histogram(&mut self, series: u32, (start, time): (i64, i64), write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.histograms.len();
        write(&mut self.histograms);
        let value = (at as u64) << 32 | (self.histograms.len() - at) as u64;
        self.samples.push(Sample { series, time, start, value });
    }

    /// The bytes of a native histogram.
    pub(crate) fn histogram_of(&self, sample: &Sample) -> &[u8] {
        slice(&self.histograms, (sample.value >> 32) as u32, sample.value as u32)
    }

    /// Keeps the labels of an exemplar: names and values are symbols.
    pub(crate) fn keep_exemplar_labels(&mut self, labels: &[(u32, u32)]) -> (u32, u32) {
        let at = self.exemplar_labels.len();
        for (name, value) in labels {
            put_varint(&mut self.exemplar_labels, u64::from(*name));
            put_varint(&mut self.exemplar_labels, u64::from(*value));
        }
        (at as u32, (self.exemplar_labels.len() - at) as u32)
    }

    /// The labels of an exemplar: symbols of names and values, in turn, as varints.
    pub(crate) fn exemplar_labels_of(&self, exemplar: &Exemplar) -> &[u8] {
        slice(&self.exemplar_labels, exemplar.labels.0, exemplar.labels.1)
    }

    /// Puts samples and exemplars in the order in which they are written, each once: by series, oldest first.
    pub(crate) fn sort(&mut self) {
        // In place; what decides beyond the time only makes the order certain.
        self.samples.sort_unstable_by_key(|sample| (sample.series, sample.time, sample.start, sample.value));
        self.samples.dedup();
        self.exemplars
            .sort_unstable_by_key(|exemplar| (exemplar.series, exemplar.time, exemplar.value, exemplar.labels));
    }

    /// How many samples are numbers, and how many are native histograms.
    pub(crate) fn sample_counts(&self) -> (u64, u64) {
        let native = self.samples.iter().filter(|sample| self.series_of(sample.series).native).count();
        ((self.samples.len() - native) as u64, native as u64)
    }
}

fn slice(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    bytes.get(start as usize..).and_then(|rest| rest.get(..length as usize)).unwrap_or_default()
}

fn read_family(bytes: &[u8]) -> Family {
    let number =
        |at: usize| bytes.get(at..at + 4).and_then(<[u8]>::first_chunk).map_or(0, |four| u32::from_le_bytes(*four));
    Family { kind: bytes.first().copied().unwrap_or(0), name: number(1), help: number(5), unit: number(9) }
}

/// The symbols of labels, names and values, that stand as varints.
pub(crate) fn pairs(mut labels: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    let mut next = move || {
        let (number, used) = read_varint(labels).ok()?;
        labels = labels.get(used..).unwrap_or_default();
        u32::try_from(number).ok()
    };
    std::iter::from_fn(move || Some((next()?, next()?)))
}
