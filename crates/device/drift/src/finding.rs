//! What is told of a change.

use model::Signal;

/// What changed, with the ids of OpenTelemetry Weaver's live check. What a stream had before stands for the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A field comes that was not there before.
    MissingAttribute,
    /// A field that was always there comes no more.
    RecommendedAttributeNotPresent,
    /// A field has another type.
    TypeMismatch,
    /// A metric has another unit.
    UnitMismatch,
    /// A metric is of another kind.
    UnexpectedInstrument,
}

/// All of them, in their order.
pub const KINDS: [Kind; 5] = [
    Kind::MissingAttribute,
    Kind::RecommendedAttributeNotPresent,
    Kind::TypeMismatch,
    Kind::UnitMismatch,
    Kind::UnexpectedInstrument,
];

impl Kind {
    /// Its id.
    pub fn id(self) -> &'static str {
        match self {
            Kind::MissingAttribute => "missing_attribute",
            Kind::RecommendedAttributeNotPresent => "recommended_attribute_not_present",
            Kind::TypeMismatch => "type_mismatch",
            Kind::UnitMismatch => "unit_mismatch",
            Kind::UnexpectedInstrument => "unexpected_instrument",
        }
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What changed.
    pub kind: Kind,
    /// Of which service.
    pub service: String,
    /// Of which signal.
    pub signal: Signal,
    /// Name of the span, metric or event; of other log records that of their scope.
    pub name: String,
    /// The field; empty for metrics as such.
    pub field: String,
    /// What it was: a type, a unit, a kind of metric.
    pub before: String,
    /// What it is.
    pub now: String,
    /// A value of it, masked, cut; empty where it has none to show.
    pub sample: String,
}

impl Finding {
    /// One sentence for people.
    pub fn sentence(&self) -> String {
        let Self { service, name, field, before, now, .. } = self;
        let of = format!("of {} {name:?} of service {service:?}", self.signal.name());
        match self.kind {
            Kind::MissingAttribute => format!("field {field:?} ({now}) {of} is new"),
            Kind::RecommendedAttributeNotPresent => format!("field {field:?} ({before}) {of} comes no more"),
            Kind::TypeMismatch => format!("field {field:?} {of} is {now}, it was {before}"),
            Kind::UnitMismatch => format!("the unit {of} is {now:?}, it was {before:?}"),
            Kind::UnexpectedInstrument => format!("the instrument {of} is {now}, it was {before}"),
        }
    }
}
