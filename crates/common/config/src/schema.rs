//! The configuration as a JSON schema: what the types cannot derive themselves.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::policy::{KINDS, PolicyKind};
use crate::units::SPAN;
use crate::{ByteSize, Config, DayWindow, FileStart, LaneBudget, Percent, Share, Span};

/// The schema of the whole file (JSON Schema 2020-12).
pub fn schema() -> Schema {
    schemars::schema_for!(Config)
}

/// A text with a form that people know.
macro_rules! text {
    ($type:ty, $name:literal, $about:expr) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $name, "description": $about })
            }
        }
    };
}

text!(ByteSize, "size", "A size: 512, 64KiB, 10MB.");
text!(Span, "duration", format!("It is {SPAN}."));
text!(DayWindow, "part of the day", "A part of the day, UTC: 22:00-06:00.");
text!(Percent, "share", "A share from 1% to 99%.");
text!(FileStart, "start", "Where reading begins: end, beginning, or a time (RFC 3339).");
text!(Share, "share", "A share such as 1% or 0.5%.");

impl JsonSchema for PolicyKind {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "policy type".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": KINDS.map(|(name, _)| name) })
    }
}

impl JsonSchema for LaneBudget {
    fn schema_name() -> Cow<'static, str> {
        "LaneBudget".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (size, bounds) = (generator.subschema_for::<ByteSize>(), generator.subschema_for::<crate::lanes::Bounds>());
        json_schema!({ "anyOf": [size, bounds], "description": "A size, or { bytes: 10MB, age: 6h }." })
    }
}

impl Serialize for ByteSize {
    /// In the largest unit that leaves no rest.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        let unit = units.into_iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(("", 1));
        serializer.serialize_str(&format!("{}{name}", self.0 / unit))
    }
}

impl Serialize for Span {
    /// In the largest unit that leaves no rest.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let millis = self.0.as_millis();
        let units = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
        let unit = units.into_iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
        let (name, unit) = unit.unwrap_or(("ms", 1));
        serializer.serialize_str(&if millis == 0 { "0".to_owned() } else { format!("{}{name}", millis / unit) })
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}%", self.0))
    }
}
