//! What is known of one kind of record: of a service, a signal, and a name.

use model::Signal;

use crate::finding::{Finding, Kind};
use crate::looked::{Field, Looked};

/// So many records are looked at before something is new.
const LEARNED: u32 = 12;
/// A field that comes no more was missing in so many records that were looked at.
const GONE: u32 = 12;
/// One that was there in this share of the records before, is missed.
const ALWAYS: f64 = 0.9;
/// The most fields of a kind of record; further ones are not watched.
const MAX_FIELDS: usize = 48;
/// The longest name that is kept; longer ones are cut.
const NAME: usize = 64;

/// A fingerprint.
#[derive(Debug)]
pub(crate) struct Stream {
    service: Box<str>,
    name: Box<str>,
    signal: Signal,
    unit: Latest<Box<str>>,
    instrument: Latest<&'static str>,
    fields: Vec<Known>,
    /// Records that were looked at.
    looked: u32,
    last_ns: u64,
    bytes: usize,
}

/// A field.
#[derive(Debug)]
struct Known {
    key: Box<[u8]>,
    kind: Latest<&'static str>,
    /// Records since it came first, and those that had it.
    since: u32,
    had: u32,
    /// The record that had it last.
    last: u32,
}

/// What something is, and what it was before: what goes back and forth between two, as while a service is updated, is told once.
#[derive(Debug)]
struct Latest<T> {
    now: T,
    before: Option<T>,
}

impl<T: PartialEq> Latest<T> {
    fn new(now: T) -> Self {
        Self { now, before: None }
    }

    /// It is this now: what it was, where it is something new.
    fn becomes(&mut self, now: T) -> Option<&T> {
        if self.now == now {
            return None;
        }
        let is_new = self.before.as_ref() != Some(&now);
        self.before = Some(std::mem::replace(&mut self.now, now));
        self.before.as_ref().filter(|_| is_new)
    }
}

fn cut(bytes: &[u8]) -> &[u8] {
    bytes.get(..NAME).unwrap_or(bytes)
}

fn shown(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(cut(bytes)).into()
}

impl Stream {
    /// What one takes at least.
    pub(crate) const LEAST_BYTES: usize = size_of::<Self>() + 3 * NAME;

    /// One of which nothing was looked at yet.
    pub(crate) fn new(looked: &Looked<'_>) -> Self {
        let (service, name, unit) = (shown(looked.service), shown(looked.name), shown(looked.unit));
        let bytes = size_of::<Self>() + 16 + service.len() + name.len() + unit.len();
        let (unit, instrument) = (Latest::new(unit), Latest::new(looked.instrument));
        Self {
            service,
            name,
            signal: looked.signal,
            unit,
            instrument,
            fields: Vec::new(),
            looked: 0,
            last_ns: 0,
            bytes,
        }
    }

    /// Whether nothing was looked at yet.
    pub(crate) fn is_new(&self) -> bool {
        self.looked == 0
    }

    /// About what it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When it was seen last.
    pub(crate) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Looks at a record; `room` is what it may take.
    pub(crate) fn look(&mut self, looked: &Looked<'_>, room: usize, now_ns: u64, mut tell: impl FnMut(Finding)) {
        self.looked = self.looked.saturating_add(1);
        self.last_ns = now_ns;
        if let Some(before) = self.instrument.becomes(looked.instrument).copied() {
            tell(self.finding(Kind::UnexpectedInstrument, None, before, looked.instrument));
        }
        if self.unit.now.as_bytes() != cut(looked.unit)
            && let Some(before) = self.unit.becomes(shown(looked.unit)).cloned()
        {
            tell(self.finding(Kind::UnitMismatch, None, &before, &self.unit.now));
        }
        for field in &looked.fields {
            self.field(field, room, &mut tell);
        }
        self.gone(&mut tell);
    }

    fn field(&mut self, field: &Field<'_>, room: usize, tell: &mut impl FnMut(Finding)) {
        let (key, number) = (cut(field.key), self.looked);
        if let Some(known) = self.fields.iter_mut().find(|known| *known.key == *key) {
            known.had += u32::from(known.last != number);
            known.last = number;
            let before = known.kind.becomes(field.kind).copied();
            // A number that is whole now and then is no other type.
            let is_number = |kind| matches!(kind, "int" | "double");
            if let Some(before) = before.filter(|before| !(is_number(before) && is_number(field.kind)))
                && number > LEARNED
            {
                tell(self.finding(Kind::TypeMismatch, Some(field), before, field.kind));
            }
            return;
        }
        let bytes = size_of::<Known>() + key.len();
        if self.fields.len() >= MAX_FIELDS || self.bytes + bytes > room {
            return;
        }
        self.bytes += bytes;
        self.fields.push(Known { key: key.into(), kind: Latest::new(field.kind), since: number, had: 1, last: number });
        if number > LEARNED {
            tell(self.finding(Kind::MissingAttribute, Some(field), "", field.kind));
        }
    }

    /// Fields that were always there and come no more are told once, and forgotten.
    fn gone(&mut self, tell: &mut impl FnMut(Finding)) {
        let looked = self.looked;
        let is_gone = |known: &Known| {
            let (there, missing) = (known.last + 1 - known.since, looked - known.last);
            missing >= GONE && there >= LEARNED && f64::from(known.had) >= ALWAYS * f64::from(there)
        };
        while let Some(place) = self.fields.iter().position(is_gone) {
            let known = self.fields.swap_remove(place);
            self.bytes -= (size_of::<Known>() + known.key.len()).min(self.bytes);
            let field = String::from_utf8_lossy(&known.key).into_owned();
            let finding = self.finding(Kind::RecommendedAttributeNotPresent, None, known.kind.now, "");
            tell(Finding { field, ..finding });
        }
    }

    fn finding(&self, kind: Kind, field: Option<&Field<'_>>, before: &str, now: &str) -> Finding {
        Finding {
            kind,
            service: self.service.to_string(),
            signal: self.signal,
            name: self.name.to_string(),
            field: field.map(|field| shown(field.key).into()).unwrap_or_default(),
            before: before.to_owned(),
            now: now.to_owned(),
            sample: field.map(|field| field.sample.show()).unwrap_or_default(),
        }
    }
}
