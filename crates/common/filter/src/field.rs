//! What can be asked of a record, by name.

/// A field of a record. The short names are the language's own; anything else is an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Field {
    /// `signal`: `span`, `log` or `metric`.
    Signal,
    /// `service`: `service.name` of the resource.
    Service,
    /// `level`: a log record's `SeverityNumber`, 1 to 24.
    Level,
    /// `dur`: a span's length, nanoseconds.
    Duration,
    /// `trace`: the trace id, lower-case hex.
    Trace,
    /// `span`: the span id, lower-case hex.
    Span,
    /// `parent`: the parent's span id, lower-case hex.
    Parent,
    /// `host`: `host.name` of the resource.
    Host,
    /// `device`: the device that it came from.
    Device,
    /// `status`: a span's status, `unset`, `ok` or `error`.
    Status,
    /// `body`: a log record's body.
    Body,
    /// `name`: of a span, a metric or an event.
    Name,
    /// `kind`: a span's kind (`server`, `client`, ...) or a metric's (`gauge`, `sum`, ...).
    Kind,
    /// `value`: a point's number.
    Value,
    /// Any attribute, by its key.
    Attribute(String),
}

impl Field {
    /// The short names, with their fields.
    pub(crate) const SHORT: [(&'static str, Field); 14] = [
        ("signal", Field::Signal),
        ("service", Field::Service),
        ("level", Field::Level),
        ("dur", Field::Duration),
        ("trace", Field::Trace),
        ("span", Field::Span),
        ("parent", Field::Parent),
        ("host", Field::Host),
        ("device", Field::Device),
        ("status", Field::Status),
        ("body", Field::Body),
        ("name", Field::Name),
        ("kind", Field::Kind),
        ("value", Field::Value),
    ];

    /// Other names of some.
    const ALSO: [(&'static str, &'static str); 6] = [
        ("duration", "dur"),
        ("severity", "level"),
        ("trace_id", "trace"),
        ("span_id", "span"),
        ("message", "body"),
        ("msg", "body"),
    ];

    /// The field of this name.
    pub fn named(name: &str) -> Self {
        let also = Self::ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, short)| short);
        let short = Self::SHORT.into_iter().find(|(short, _)| *short == also).map(|(_, field)| field);
        short.unwrap_or_else(|| Field::Attribute(name.to_owned()))
    }

    /// The name of the language's own that this one is most like, when two letters or fewer differ.
    pub fn like(name: &str) -> Option<&'static str> {
        let names = Self::SHORT.iter().map(|(short, _)| *short).chain(Self::ALSO.iter().map(|(also, _)| *also));
        let near = names.map(|known| (distance(name, known), known)).min_by_key(|(distance, _)| *distance);
        near.filter(|(distance, known)| *distance <= 2 && *distance < known.len().min(name.len()) / 2 + 1)
            .map(|(_, known)| known)
    }

    /// Its name in the language.
    pub fn name(&self) -> &str {
        match self {
            Field::Attribute(key) => key,
            field => Self::SHORT.iter().find(|(_, short)| short == field).map_or("", |(name, _)| name),
        }
    }
}

/// How many letters to add, to leave out or to change make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (place, right) in b.iter().enumerate() {
            let changed = before + usize::from(left != *right);
            before = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(before + 1);
        }
    }
    row[b.len()]
}
