//! OTLP/JSON (OTLP 1.11, "JSON Protobuf Encoding"): the JSON mapping of protobuf with ids in hexadecimal, written as
//! protobuf bytes by the tables of [`super::schema`].
//!
//! Names are taken in lowerCamelCase and as they stand in the .proto files, numbers also as texts, enums as numbers or
//! names; unknown fields are passed over.

mod lexer;

use std::fmt;

pub use lexer::{Lexer, Scalar, integer, is_number};

use super::MAX_DEPTH;
use super::schema::{self, Field, Kind, Message, Rule, any_value, key_value};
use crate::Signal;
use crate::proto::{put_bytes, put_fixed32, put_fixed64, put_uint, put_varint, zigzag};

/// Beyond this values are passed over: what holds them is rejected for its depth already.
const DEEPEST: u32 = 2 * MAX_DEPTH;

/// Why bytes are no OTLP/JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonError {
    /// Not JSON.
    Syntax {
        /// The byte at which it shows.
        offset: usize,
    },
    /// JSON, but not of the field's type.
    Type {
        /// The byte after the value.
        offset: usize,
        /// The field, as it stands in the .proto files.
        field: &'static str,
    },
    /// Unknown fields nest too deeply.
    TooDeep,
    /// As protobuf it would be larger than allowed.
    TooLarge,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonError::Syntax { offset } => write!(f, "no JSON at byte {offset}"),
            JsonError::Type { offset, field } => {
                write!(f, "the value of {field} before byte {offset} has another type")
            }
            JsonError::TooDeep => f.write_str("values are nested too deeply"),
            JsonError::TooLarge => f.write_str("it is too large"),
        }
    }
}

impl std::error::Error for JsonError {}

/// The protobuf bytes of an export request; at most `most` of them.
///
/// # Errors
/// [`JsonError`]; nothing of it is taken then.
pub fn to_protobuf(signal: Signal, json: &[u8], most: usize) -> Result<Vec<u8>, JsonError> {
    let mut writer = Writer { lexer: Lexer::new(json)?, most };
    let root = match signal {
        Signal::Traces => &schema::TRACES_DATA,
        Signal::Logs => &schema::LOGS_DATA,
        Signal::Metrics => &schema::METRICS_DATA,
    };
    let mut out = Vec::new();
    writer.message(root, &mut out)?;
    writer.lexer.end()?;
    Ok(out)
}

struct Writer<'a> {
    lexer: Lexer<'a>,
    most: usize,
}

type Done = Result<(), JsonError>;

impl<'a> Writer<'a> {
    /// Calls `each` with the name of every member of an object that is not `null`.
    fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Done) -> Done {
        self.lexer.expect(b'{')?;
        let mut first = true;
        while self.lexer.more(first, b'}')? {
            first = false;
            let name = self.lexer.string()?;
            self.lexer.expect(b':')?;
            if !self.lexer.null() {
                each(self, &name)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, mut each: impl FnMut(&mut Self) -> Done) -> Done {
        self.lexer.expect(b'[')?;
        let mut first = true;
        while self.lexer.more(first, b']')? {
            first = false;
            if !self.lexer.null() {
                each(self)?;
            }
        }
        Ok(())
    }

    /// A field of bytes that `write` appends.
    fn nest(&mut self, number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Done) -> Done {
        put_varint(out, u64::from(number) << 3 | 2);
        let start = out.len();
        write(self, out)?;
        let mut length = Vec::with_capacity(5);
        put_varint(&mut length, (out.len() - start) as u64);
        out.splice(start..start, length);
        if out.len() > self.most { Err(JsonError::TooLarge) } else { Ok(()) }
    }

    fn message(&mut self, schema: &'static Message, out: &mut Vec<u8>) -> Done {
        self.object(|this, name| match schema.fields.iter().find(|field| is_name(field.name, name)) {
            None => this.lexer.skip(),
            Some(field) if field.rule == Rule::Repeated => this.repeated(field, out),
            Some(field) => this.single(field, out),
        })
    }

    fn repeated(&mut self, field: &'static Field, out: &mut Vec<u8>) -> Done {
        match field.kind {
            Kind::String | Kind::Message(_) | Kind::Attributes => self.array(|this| this.single(field, out)),
            _ => self.nest(field.number, out, |this, out| this.array(|this| this.packed(field, out))),
        }
    }

    /// One number of a packed list.
    fn packed(&mut self, field: &'static Field, out: &mut Vec<u8>) -> Done {
        let scalar = self.lexer.scalar()?;
        match field.kind {
            Kind::Double => out.extend_from_slice(&self.double(field.name, &scalar)?.to_le_bytes()),
            Kind::Fixed64 => out.extend_from_slice(&self.bits(field.name, &scalar)?.to_le_bytes()),
            _ => put_varint(out, self.bits(field.name, &scalar)?),
        }
        if out.len() > self.most { Err(JsonError::TooLarge) } else { Ok(()) }
    }

    fn single(&mut self, field: &'static Field, out: &mut Vec<u8>) -> Done {
        match field.kind {
            Kind::Message(child) => return self.nest(field.number, out, |this, out| this.message(child, out)),
            Kind::Attributes => return self.nest(field.number, out, |this, out| this.pair(out, 0)),
            Kind::AnyValue => return self.nest(field.number, out, |this, out| this.any(out, 0)),
            _ => {}
        }
        let scalar = self.lexer.scalar()?;
        match (field.kind, &scalar) {
            (Kind::String, Scalar::Text(text)) => put_bytes(out, field.number, text.as_bytes()),
            (Kind::Id16 | Kind::Id8, Scalar::Text(text)) => put_bytes(out, field.number, &hex(text)),
            (Kind::Double, scalar) => put_fixed64(out, field.number, self.double(field.name, scalar)?),
            (Kind::Fixed64 | Kind::TimeAfter(_), scalar) => {
                put_fixed64(out, field.number, self.bits(field.name, scalar)?);
            }
            (Kind::Fixed32, scalar) => {
                let bits = u32::try_from(self.bits(field.name, scalar)?).map_err(|_| self.wrong(field.name))?;
                put_fixed32(out, field.number, bits);
            }
            (Kind::Sint, scalar) => {
                let value = i32::try_from(self.bits(field.name, scalar)? as i64).map_err(|_| self.wrong(field.name))?;
                put_uint(out, field.number, zigzag(value.into()));
            }
            (Kind::Uint, scalar) => put_uint(out, field.number, self.bits(field.name, scalar)?),
            _ => return Err(self.wrong(field.name)),
        }
        if out.len() > self.most { Err(JsonError::TooLarge) } else { Ok(()) }
    }

    fn pair(&mut self, out: &mut Vec<u8>, depth: u32) -> Done {
        self.object(|this, name| match name {
            "key" => {
                let key = this.lexer.string()?;
                put_bytes(out, key_value::KEY, key.as_bytes());
                Ok(())
            }
            "value" => this.nest(key_value::VALUE, out, |this, out| this.any(out, depth)),
            _ => this.lexer.skip(),
        })
    }

    fn any(&mut self, out: &mut Vec<u8>, depth: u32) -> Done {
        if depth > DEEPEST {
            return self.lexer.skip();
        }
        self.object(|this, name| {
            let is = |field| is_name(field, name);
            match () {
                () if is("string_value") => {
                    let text = this.lexer.string()?;
                    put_bytes(out, any_value::STRING, text.as_bytes());
                }
                () if is("bool_value") => match this.lexer.scalar()? {
                    Scalar::Bool(value) => put_uint(out, any_value::BOOL, u64::from(value)),
                    _ => return Err(this.wrong("bool_value")),
                },
                () if is("int_value") => {
                    let scalar = this.lexer.scalar()?;
                    put_uint(out, any_value::INT, this.bits("int_value", &scalar)?);
                }
                () if is("double_value") => {
                    let scalar = this.lexer.scalar()?;
                    put_fixed64(out, any_value::DOUBLE, this.double("double_value", &scalar)?);
                }
                () if is("bytes_value") => {
                    let text = this.lexer.string()?;
                    let bytes = base64(&text).ok_or(this.wrong("bytes_value"))?;
                    put_bytes(out, any_value::BYTES, &bytes);
                }
                () if is("array_value") => {
                    return this.nest(any_value::ARRAY, out, |this, out| {
                        this.values(out, |this, out| this.any(out, depth + 1))
                    });
                }
                () if is("kvlist_value") => {
                    return this.nest(any_value::KVLIST, out, |this, out| {
                        this.values(out, |this, out| this.pair(out, depth + 1))
                    });
                }
                () => return this.lexer.skip(),
            }
            if out.len() > this.most { Err(JsonError::TooLarge) } else { Ok(()) }
        })
    }

    /// The `values` of an array or list.
    fn values(&mut self, out: &mut Vec<u8>, mut each: impl FnMut(&mut Self, &mut Vec<u8>) -> Done) -> Done {
        self.object(|this, name| match name {
            "values" => this.array(|this| this.nest(1, out, &mut each)),
            _ => this.lexer.skip(),
        })
    }

    fn wrong(&mut self, field: &'static str) -> JsonError {
        match self.lexer.fault() {
            JsonError::Syntax { offset } => JsonError::Type { offset, field },
            other => other,
        }
    }

    /// The bits of a double; JSON has names for those that are no numbers.
    fn double(&mut self, field: &'static str, scalar: &Scalar<'_>) -> Result<u64, JsonError> {
        let text = match scalar {
            Scalar::Number(text) => text,
            Scalar::Text(text) => &**text,
            Scalar::Bool(_) => return Err(self.wrong(field)),
        };
        let value = match text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            number if is_number(number) => number.parse().ok(),
            _ => None,
        };
        value.map(f64::to_bits).ok_or(self.wrong(field))
    }

    /// The bits of an integer, boolean or enum, 64 of them with its sign.
    fn bits(&mut self, field: &'static str, scalar: &Scalar<'_>) -> Result<u64, JsonError> {
        let signed = matches!(field, "int_value" | "as_int" | "scale" | "offset");
        let value = match scalar {
            Scalar::Bool(value) => Some(u64::from(*value)),
            Scalar::Number(text) => whole(text, signed),
            Scalar::Text(text) => whole(text, signed).or_else(|| enum_number(text)),
        };
        value.ok_or(self.wrong(field))
    }
}

/// An integer of 64 bits.
fn whole(text: &str, signed: bool) -> Option<u64> {
    let value = integer(text)?;
    if signed { i64::try_from(value).ok().map(|value| value as u64) } else { u64::try_from(value).ok() }
}

/// Whether a JSON member is this field: its name in the .proto file, or the same in lowerCamelCase.
fn is_name(field: &str, member: &str) -> bool {
    if field == member {
        return true;
    }
    let mut upper = false;
    let mut camel = field.bytes().filter_map(|byte| {
        let out = if upper { byte.to_ascii_uppercase() } else { byte };
        upper = byte == b'_';
        (!upper).then_some(out)
    });
    member.bytes().all(|byte| camel.next() == Some(byte)) && camel.next().is_none()
}

/// The bytes of an id; what is no hexadecimal text gives one byte, which is no id.
fn hex(text: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect(),
        _ => vec![0xff],
    }
}

/// Base64 of either alphabet, with or without padding (protobuf's JSON mapping takes all).
fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // One digit alone is no byte.
    (count < 6).then_some(out)
}

/// The number of an enum's name. Names of all of OTLP's enums differ.
fn enum_number(name: &str) -> Option<u64> {
    const SEVERITIES: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let place = |names: &[&str], name: &str| names.iter().position(|one| *one == name).map(|place| place as u64);
    if let Some(kind) = name.strip_prefix("SPAN_KIND_") {
        return place(&["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"], kind);
    }
    if let Some(code) = name.strip_prefix("STATUS_CODE_") {
        return place(&["UNSET", "OK", "ERROR"], code);
    }
    if let Some(temporality) = name.strip_prefix("AGGREGATION_TEMPORALITY_") {
        return place(&["UNSPECIFIED", "DELTA", "CUMULATIVE"], temporality);
    }
    match name.strip_prefix("SEVERITY_NUMBER_")? {
        "UNSPECIFIED" => Some(0),
        severity => {
            let (word, step) = match severity.as_bytes().last()? {
                digit @ b'2'..=b'4' => (severity.get(..severity.len() - 1)?, u64::from(digit - b'1')),
                _ => (severity, 0),
            };
            place(&SEVERITIES, word).map(|level| 1 + 4 * level + step)
        }
    }
}

#[cfg(test)]
mod tests;
