//! What the look does with a field, told by the byte that it begins with.

use model::otlp::schema::{self, Kind, Message, Rule};

#[cfg(feature = "mutants")]
use crate::mutants::Mutant;
use crate::unit::field_of;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its first byte does not tell, or the tables do not know it.
    Other,
    /// A number that is passed over: a varint.
    Varint,
    /// Eight bytes that are passed over.
    Fixed64,
    /// Packed numbers.
    Packed,
    /// `severity_number`, where records below INFO are taken out.
    Severity,
    /// A text.
    Text,
    /// A `KeyValue`.
    Pair,
    /// An `AnyValue`.
    Value,
    /// An id.
    Id,
    /// Another message.
    Message,
}

/// The fields of a message.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// By the first byte of a field.
    parts: [Part; 256],
    /// The tables of messages in it, by the number of the field.
    children: [u8; 16],
}

/// The tables of all messages.
#[derive(Debug)]
pub(crate) struct Parts {
    tables: Box<[Table]>,
}

/// Wire types.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

impl Parts {
    /// Where records below INFO are taken out, or are not.
    pub(crate) fn new(production: bool) -> Self {
        #[cfg(feature = "mutants")]
        let mutant = Mutant::from_environment();
        let tables = schema::ALL.iter().map(|message| {
            let mut table = Table { parts: [Part::Other; 256], children: [0; 16] };
            for number in 1..16u8 {
                let key = usize::from(number << 3);
                let field = field_of(message, number.into());
                let part = field.map_or(Part::Other, |field| match field.kind {
                    #[cfg(feature = "mutants")]
                    _ if mutant.skips(message, field) => Part::Packed,
                    Kind::String => Part::Text,
                    Kind::Attributes => Part::Pair,
                    Kind::AnyValue => Part::Value,
                    Kind::Id16 | Kind::Id8 => Part::Id,
                    Kind::Message(_) => Part::Message,
                    _ if field.rule == Rule::Repeated => Part::Packed,
                    _ => Part::Other,
                });
                let is_severity = production && number == 2 && std::ptr::eq(*message, &schema::LOG_RECORD);
                table.parts[key | usize::from(VARINT)] = if is_severity { Part::Severity } else { Part::Varint };
                table.parts[key | usize::from(FIXED64)] = Part::Fixed64;
                table.parts[key | usize::from(BYTES)] = part;
                if let Some(Kind::Message(child)) = field.map(|field| field.kind) {
                    table.children[usize::from(number)] = place_of(child);
                }
            }
            table
        });
        Self { tables: tables.collect() }
    }

    /// The table of a message.
    pub(crate) fn of(&self, message: &'static Message) -> Option<&Table> {
        self.tables.get(usize::from(place_of(message)))
    }

    /// The table of the message in field `number` of another.
    #[inline]
    pub(crate) fn child(&self, table: &Table, number: u8) -> Option<&Table> {
        self.tables.get(usize::from(table.children[usize::from(number & 15)]))
    }
}

impl Table {
    /// What a field holds that begins with this byte.
    #[inline]
    pub(crate) fn part(&self, first: u8) -> Part {
        self.parts[usize::from(first)]
    }

    /// What a field holds that has this number and is bytes.
    pub(crate) fn part_of_bytes(&self, number: u32) -> Part {
        let number = u8::try_from(number).ok().filter(|number| *number < 16);
        number.map_or(Part::Other, |number| self.part(number << 3 | BYTES))
    }

    /// What a field holds that has this number and is a varint.
    pub(crate) fn part_of_varint(&self, number: u32) -> Part {
        let number = u8::try_from(number).ok().filter(|number| *number < 16);
        number.map_or(Part::Varint, |number| self.part(number << 3 | VARINT))
    }
}

/// Where a message stands among all: each of the tables does, and there are fewer than 256.
fn place_of(message: &'static Message) -> u8 {
    schema::ALL.iter().position(|other| std::ptr::eq(*other, message)).map_or(u8::MAX, |place| place as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: all fields of the schema. Guarantees: each has a number that one byte tells, but for the flags of spans and links, which
    /// are numbers; each that holds a message finds its table.
    #[test]
    fn one_byte_tells_every_field() {
        let parts = Parts::new(true);
        for message in schema::ALL {
            let table = parts.of(message).unwrap();
            for field in message.fields {
                if field.number >= 16 {
                    assert!(matches!(field.kind, Kind::Fixed32), "{} {}", message.name, field.name);
                    continue;
                }
                let part = table.part_of_bytes(field.number);
                assert_eq!(part == Part::Message, matches!(field.kind, Kind::Message(_)), "{}", field.name);
                if let Kind::Message(child) = field.kind {
                    let found = parts.child(table, field.number as u8).unwrap();
                    assert!(std::ptr::eq(found, parts.of(child).unwrap()), "{} {}", message.name, field.name);
                }
            }
        }
    }
}
