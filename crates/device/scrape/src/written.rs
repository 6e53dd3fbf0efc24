//! Messages of remote write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`) as an OTLP export request. Each series is
//! written as it came: those of a classic histogram stay series, since nothing says that all of them come in one message.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use model::proto::{ProtoError, Reader, Value, read_varint, unzigzag};

use crate::assemble::{Assembler, Series};
use crate::families::{counts, deltas, read_span, side};
use crate::kind::{Family, Kind, Part};
use crate::labels::{Labels, METRIC_NAME};
use crate::line::{Exemplar, Scratch};
use crate::number::{NORMAL_NAN, of_millis};
use crate::stale::Known;
use crate::writer::{Shape, Writer};

/// The NaN that says that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// The schema of native histograms with bounds of their own.
const OWN_BOUNDS: i64 = -53;
/// `ResetHint.GAUGE`
const GAUGE_HISTOGRAM: u64 = 3;
/// The most families whose type is remembered, and the longest name.
const MOST_FAMILIES: usize = 2048;
const LONGEST_NAME: usize = 128;

/// Which message of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrittenForm {
    /// Remote-Write 1.0.
    V1,
    /// Remote-Write 2.0.
    V2,
}

/// Types of families, as messages of remote write 1.0 told them, apart from series.
#[derive(Debug, Default)]
pub struct Metadata(HashMap<Box<str>, Kind, FixedState>);

impl Metadata {
    /// The memory that it takes at most, bytes.
    pub const BYTES: u64 = (MOST_FAMILIES * (LONGEST_NAME + 32)) as u64;

    /// Families beyond the bound stay without a type.
    fn set(&mut self, name: &str, kind: Kind) {
        if let Some(known) = self.0.get_mut(name) {
            *known = kind;
        } else if self.0.len() < MOST_FAMILIES && name.len() <= LONGEST_NAME {
            self.0.insert(name.into(), kind);
        }
    }

    /// The type of the family that a series is of.
    fn kind(&self, name: &str) -> Kind {
        let suffixes = ["", "_bucket", "_count", "_sum", "_total", "_info", "_created"];
        let mut bases = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
        bases.find_map(|base| self.0.get(base)).copied().unwrap_or_default()
    }
}

/// What a message came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The OTLP export request; empty when there is nothing to hand over.
    pub request: Vec<u8>,
    /// Samples, native histograms and exemplars that are in it.
    pub samples: u64,
    /// See there.
    pub histograms: u64,
    /// See there.
    pub exemplars: u64,
    /// Samples and native histograms that are left out.
    pub refused: u64,
    /// Exemplars without a sample of their series in the same message: they are left out.
    pub lone_exemplars: u64,
    /// Why the last one is left out.
    pub why: &'static str,
}

/// Why nothing of a message is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WrittenError {
    /// It is none; says where.
    Malformed(String),
    /// What it would be has no room.
    NoRoom,
}

impl From<ProtoError> for WrittenError {
    fn from(error: ProtoError) -> Self {
        Self::Malformed(error.to_string())
    }
}

fn malformed(what: &str) -> WrittenError {
    WrittenError::Malformed(what.to_owned())
}

/// Reads a message. `has_room` is asked whether so many bytes may be held, again and again as the request grows.
///
/// # Errors
/// [`WrittenError`].
pub fn read_written(
    body: &[u8],
    form: WrittenForm,
    metadata: &mut Metadata,
    mut has_room: impl FnMut(usize) -> bool,
) -> Result<Written, WrittenError> {
    let mut symbols = Vec::new();
    let (series_number, symbol_number) = if form == WrittenForm::V1 { (1, 0) } else { (5, 4) };
    // Series whose exemplars came without samples, as Prometheus sends them: by their labels, where they stand.
    let mut exemplars: HashMap<u64, Vec<&[u8]>, FixedState> = HashMap::default();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        match field {
            (number, Value::Bytes(text)) if number == symbol_number => {
                symbols.push(std::str::from_utf8(text).map_err(|_| malformed("a symbol is not UTF-8"))?);
                if symbols.len() % 1024 == 0 && !has_room(symbols.len() * size_of::<&str>()) {
                    return Err(WrittenError::NoRoom);
                }
            }
            (3, Value::Bytes(family)) if form == WrittenForm::V1 => read_family(family, metadata)?,
            (number, Value::Bytes(series)) if number == series_number => {
                let head = Head::read(series, form)?;
                if head.is_exemplars_only {
                    exemplars.entry(head.labels).or_default().push(series);
                }
            }
            _ => {}
        }
    }
    let known = Known::default();
    let assembler = Assembler::new(Writer::new(&[]), &known, false);
    let mut writing = Writing {
        form,
        symbols,
        metadata,
        assembler,
        written: Written::default(),
        scratch: Scratch::default(),
        family: Family::default(),
    };
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        if let (number, Value::Bytes(series)) = field
            && number == series_number
        {
            let head = Head::read(series, form)?;
            if !head.is_exemplars_only {
                writing.series(series, &exemplars.remove(&head.labels).unwrap_or_default())?;
            }
            if !has_room(writing.assembler.capacity() + writing.symbols.len() * size_of::<&str>()) {
                return Err(WrittenError::NoRoom);
            }
        }
    }
    let Writing { assembler, mut written, .. } = writing;
    written.lone_exemplars += exemplars.values().flatten().map(|series| count(series, form)).sum::<u64>();
    let (twice, unsupported) = (assembler.totals.duplicates, assembler.totals.unsupported);
    for (count, why) in [
        (twice, "a sample came twice with the same time"),
        (unsupported, "a native histogram is one of floats, of a gauge, or of a schema that OTLP does not have"),
    ] {
        if count > 0 {
            written.refused += count;
            written.why = why;
        }
    }
    written.request = assembler.finish().request;
    Ok(written)
}

/// How many exemplars a series has.
fn count(series: &[u8], form: WrittenForm) -> u64 {
    let number = if form == WrittenForm::V1 { 3 } else { 4 };
    model::otlp::messages(series, number).filter(Result::is_ok).count() as u64
}

/// What tells a series from others, and whether it has exemplars only.
struct Head {
    labels: u64,
    is_exemplars_only: bool,
}

impl Head {
    fn read(series: &[u8], form: WrittenForm) -> Result<Self, WrittenError> {
        let mut hasher = FixedState::default().build_hasher();
        let (mut has_samples, mut has_exemplars) = (false, false);
        let mut reader = Reader::new(series);
        while let Some(field) = reader.next_field()? {
            match (field, form) {
                ((1, Value::Bytes(labels)), _) => hasher.write(labels),
                ((1, Value::Varint(label)), _) => hasher.write_u64(label),
                ((2, Value::Bytes(_)), _)
                | ((4, Value::Bytes(_)), WrittenForm::V1)
                | ((3, Value::Bytes(_)), WrittenForm::V2) => {
                    has_samples = true;
                }
                ((3, Value::Bytes(_)), WrittenForm::V1) | ((4, Value::Bytes(_)), WrittenForm::V2) => {
                    has_exemplars = true;
                }
                _ => {}
            }
        }
        Ok(Self { labels: hasher.finish(), is_exemplars_only: has_exemplars && !has_samples })
    }
}

fn read_family(family: &[u8], metadata: &mut Metadata) -> Result<(), WrittenError> {
    let (mut kind, mut name) = (0, "");
    let mut reader = Reader::new(family);
    while let Some(field) = reader.next_field()? {
        match field {
            (1, Value::Varint(found)) => kind = found,
            (2, Value::Bytes(text)) => name = std::str::from_utf8(text).unwrap_or_default(),
            _ => {}
        }
    }
    if !name.is_empty() {
        metadata.set(name, kind_of(kind));
    }
    Ok(())
}

/// `MetricType`, the same in both messages.
fn kind_of(number: u64) -> Kind {
    match number {
        1 => Kind::Counter,
        2 => Kind::Gauge,
        3 => Kind::Histogram,
        4 => Kind::GaugeHistogram,
        5 => Kind::Summary,
        6 => Kind::Info,
        7 => Kind::StateSet,
        _ => Kind::Unknown,
    }
}

fn float(bits: u64) -> Option<f64> {
    let number = f64::from_bits(bits);
    match bits {
        STALE => None,
        _ if number.is_nan() => Some(f64::from_bits(NORMAL_NAN)),
        _ => Some(number),
    }
}

/// A point of a series of this family; times are Unix milliseconds, 0 for a start that is not told.
fn point(family: &Family, time: i64, start: i64) -> Series<'_> {
    let start = (start > 0).then(|| of_millis(start));
    Series { family, part: Part::Single, suffix: "", contiguous: false, time: (of_millis(time), true), start }
}

/// The place of a symbol.
fn symbol(symbols: &[&str], number: u64) -> Result<usize, WrittenError> {
    let at = usize::try_from(number).ok().filter(|at| *at < symbols.len());
    at.ok_or_else(|| malformed("a label names a symbol that is not there"))
}

/// Adds a symbol: the name of a label, or the value of the one whose name came before.
fn add(symbols: &[&str], labels: &mut Labels, name: &mut Option<usize>, number: u64) -> Result<(), WrittenError> {
    let at = symbol(symbols, number)?;
    match name.take() {
        None => *name = Some(at),
        Some(name) => labels.push(symbols[name], symbols[at]),
    }
    Ok(())
}

/// A message while it is read.
struct Writing<'a, 'm> {
    form: WrittenForm,
    symbols: Vec<&'a str>,
    metadata: &'m Metadata,
    assembler: Assembler<'m>,
    written: Written,
    scratch: Scratch,
    family: Family,
}

impl Writing<'_, '_> {
    /// Reads a series with its exemplars, its own and those of `others`, which are series of the same labels.
    fn series(&mut self, series: &[u8], others: &[&[u8]]) -> Result<(), WrittenError> {
        let v2 = self.form == WrittenForm::V2;
        let (histogram, exemplar) = if v2 { (3, 4) } else { (4, 3) };
        self.scratch.clear();
        self.labels(series, false)?;
        self.scratch.labels.retain(|_, value| !value.is_empty());
        self.scratch.labels.sort();
        let samples = model::otlp::messages(series, 2).count() as u64;
        let natives = model::otlp::messages(series, histogram).count() as u64;
        let name = self.scratch.labels.get(METRIC_NAME).unwrap_or_default();
        let fault = match name {
            "" => Some("a series has no name"),
            _ => self.scratch.labels.duplicate().map(|_| "a label stands twice"),
        };
        if let Some(why) = fault {
            self.written.refused += samples + natives;
            self.written.lone_exemplars += others.iter().chain([&series]).map(|one| count(one, self.form)).sum::<u64>();
            self.written.why = why;
            return Ok(());
        }
        self.family.begin(name);
        self.family.kind = self.metadata.kind(name);
        if v2 {
            self.metadata_of(series)?;
        }
        for message in others
            .iter()
            .flat_map(|other| model::otlp::messages(other, exemplar))
            .chain(model::otlp::messages(series, exemplar))
        {
            self.exemplar(message?)?;
        }
        self.written.exemplars += self.scratch.exemplars.len() as u64;
        let shape = self.shape();
        for message in model::otlp::messages(series, 2) {
            let (mut value, mut time, mut start) = (Some(0.0), 0, 0);
            let mut reader = Reader::new(message?);
            while let Some(field) = reader.next_field()? {
                match field {
                    (1, Value::Fixed64(bits)) => value = float(bits),
                    (2, Value::Varint(millis)) => time = millis.cast_signed(),
                    (3, Value::Varint(millis)) if v2 => start = millis.cast_signed(),
                    _ => {}
                }
            }
            let before = self.assembler.totals.duplicates;
            self.assembler.alone(&point(&self.family, time, start), shape, &self.scratch, value);
            self.written.samples += u64::from(self.assembler.totals.duplicates == before);
            // They go with the first.
            self.scratch.exemplars.clear();
        }
        for message in model::otlp::messages(series, histogram) {
            self.histogram(message?)?;
        }
        Ok(())
    }

    /// What a series of this family is to OTLP.
    fn shape(&self) -> Shape {
        let name = &self.family.name;
        match self.family.kind {
            Kind::Counter => Shape::Counter,
            Kind::Histogram | Kind::Summary if name.ends_with("_bucket") || name.ends_with("_count") => Shape::Counter,
            // What is summed up may be negative.
            Kind::Histogram | Kind::Summary if name.ends_with("_sum") => Shape::UpDown,
            Kind::Info | Kind::StateSet => Shape::UpDown,
            _ => Shape::Gauge,
        }
    }

    /// Reads labels of a series or an exemplar; gives from where to where they stand.
    fn labels(&mut self, message: &[u8], is_exemplar: bool) -> Result<(usize, usize), WrittenError> {
        let Self { symbols, scratch, form, .. } = self;
        let labels = if is_exemplar { &mut scratch.exemplar_labels } else { &mut scratch.labels };
        let from = labels.len();
        let mut name = None;
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match (field, *form) {
                ((1, Value::Varint(number)), WrittenForm::V2) => add(symbols, labels, &mut name, number)?,
                ((1, Value::Bytes(mut packed)), WrittenForm::V2) => {
                    while !packed.is_empty() {
                        let (number, used) = read_varint(packed).map_err(|_| malformed("a label is no number"))?;
                        add(symbols, labels, &mut name, number)?;
                        packed = packed.get(used..).unwrap_or_default();
                    }
                }
                ((1, Value::Bytes(pair)), WrittenForm::V1) => {
                    let (mut name, mut value) = ("", "");
                    let mut reader = Reader::new(pair);
                    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| malformed("a label is not UTF-8"));
                    while let Some(field) = reader.next_field()? {
                        match field {
                            (1, Value::Bytes(bytes)) => name = text(bytes)?,
                            (2, Value::Bytes(bytes)) => value = text(bytes)?,
                            _ => {}
                        }
                    }
                    labels.push(name, value);
                }
                _ => {}
            }
        }
        Ok((from, labels.len()))
    }

    /// Type, help and unit, which 2.0 has with each series.
    fn metadata_of(&mut self, series: &[u8]) -> Result<(), WrittenError> {
        let Some(bytes) = Reader::new(series).last_bytes(5)? else { return Ok(()) };
        let mut reader = Reader::new(bytes);
        while let Some(field) = reader.next_field()? {
            match field {
                (1, Value::Varint(kind)) => self.family.kind = kind_of(kind),
                (3, Value::Varint(help)) => {
                    self.symbols[symbol(&self.symbols, help)?].clone_into(&mut self.family.help);
                }
                (4, Value::Varint(unit)) => {
                    self.symbols[symbol(&self.symbols, unit)?].clone_into(&mut self.family.unit);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn exemplar(&mut self, message: &[u8]) -> Result<(), WrittenError> {
        let labels = self.labels(message, true)?;
        let (mut value, mut time) = (0.0, 0);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field {
                (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
                (3, Value::Varint(millis)) => time = millis.cast_signed(),
                _ => {}
            }
        }
        let time = (time > 0).then(|| of_millis(time));
        self.scratch.exemplars.push(Exemplar { labels, value, time });
        Ok(())
    }

    fn histogram(&mut self, message: &[u8]) -> Result<(), WrittenError> {
        let (mut time, mut start, mut hint, mut bounds) = (0, 0, 0, Vec::new());
        let (mut is_float, mut is_stale) = (false, false);
        let distribution = &mut self.scratch.distribution;
        distribution.clear();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            let native = &mut distribution.native;
            match field {
                (1, Value::Varint(count)) => distribution.count = count as f64,
                (2, Value::Fixed64(_)) => is_float = true,
                (3, Value::Fixed64(bits)) => {
                    distribution.sum = float(bits).unwrap_or_default();
                    is_stale = bits == STALE;
                }
                (4, Value::Varint(schema)) => native.schema = unzigzag(schema),
                (5, Value::Fixed64(bits)) => native.zero_threshold = f64::from_bits(bits),
                (6, Value::Varint(count)) => native.zero_count = count as f64,
                (8, Value::Bytes(span)) => {
                    native.negative.spans.push(read_span(span).map_err(WrittenError::Malformed)?);
                }
                (11, Value::Bytes(span)) => {
                    native.positive.spans.push(read_span(span).map_err(WrittenError::Malformed)?);
                }
                // As those of the exposition, one number on.
                (9 | 12, value) => deltas(value, side(native, field.0 + 1)).map_err(WrittenError::Malformed)?,
                (10 | 13, value) => counts(value, side(native, field.0)),
                (14, Value::Varint(found)) => hint = found,
                (15, Value::Varint(millis)) => time = millis.cast_signed(),
                (16, Value::Bytes(packed)) => {
                    bounds.extend(packed.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)));
                }
                (16, Value::Fixed64(bits)) => bounds.push(f64::from_bits(bits)),
                (17, Value::Varint(millis)) if self.form == WrittenForm::V2 => start = millis.cast_signed(),
                _ => {}
            }
        }
        let is_own = distribution.native.schema == OWN_BOUNDS;
        if self.family.kind == Kind::Unknown {
            self.family.kind = Kind::Histogram;
        }
        if (is_float || hint == GAUGE_HISTOGRAM) && !is_stale {
            self.assembler.totals.unsupported += 1;
            return Ok(());
        }
        let Self { scratch, assembler, family, written, .. } = self;
        let left_out = |assembler: &Assembler<'_>| assembler.totals.duplicates + assembler.totals.unsupported;
        let before = left_out(assembler);
        let series = point(family, time, start);
        match (is_stale, is_own) {
            (true, _) => assembler.native_ended(&series, scratch),
            (false, true) => assembler.bounded(&series, &bounds, scratch),
            (false, false) => assembler.native(&series, scratch),
        }
        written.histograms += u64::from(left_out(assembler) == before);
        scratch.exemplars.clear();
        Ok(())
    }
}
