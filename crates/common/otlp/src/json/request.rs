//! OTLP's JSON form (OTLP 1.11, "JSON Protobuf Encoding"), driven by the schema's tables: lower camel case names, ids in
//! hex, 64-bit integers as text, enums as numbers.

use model::Signal;
use model::otlp::messages;
use model::otlp::schema::{self, Field, Kind, Message, Rule, any_value, key_value};
use model::proto::{Reader, Value, unzigzag};

use super::text::{base64, float, hex, text};

/// Messages nested deeper than this are left out; intake refuses them.
const MAX_DEPTH: usize = 64;

/// Appends an export request as a JSON document.
pub fn request(out: &mut String, signal: Signal, request: &[u8]) {
    message(out, root_of(signal), request, 0);
}

fn message(out: &mut String, table: &Message, bytes: &[u8], depth: usize) {
    out.push('{');
    let mut any = false;
    for field in table.fields.iter().filter(|_| depth < MAX_DEPTH) {
        let start = out.len();
        if any {
            out.push(',');
        }
        out.push('"');
        camel_case(out, field.name);
        out.push_str("\":");
        if write_field(out, field, bytes, depth) {
            any = true;
        } else {
            out.truncate(start);
        }
    }
    out.push('}');
}

fn camel_case(out: &mut String, name: &str) {
    let mut up = false;
    for c in name.chars() {
        match c {
            '_' => up = true,
            c => {
                out.push(if up { c.to_ascii_uppercase() } else { c });
                up = false;
            }
        }
    }
}

/// False when the message does not have it.
fn write_field(out: &mut String, field: &Field, bytes: &[u8], depth: usize) -> bool {
    if let Kind::Attributes = field.kind {
        return pairs(out, bytes, field.number, depth);
    }
    if field.rule == Rule::Repeated {
        let mut count = 0;
        out.push('[');
        let mut reader = Reader::new(bytes);
        while let Ok(Some((number, value))) = reader.next_field() {
            if number == field.number {
                each_packed(field, value, |value| {
                    out.push_str(if count > 0 { "," } else { "" });
                    count += 1;
                    scalar(out, field, value, depth);
                });
            }
        }
        out.push(']');
        return count > 0;
    }
    let mut last = None;
    let mut reader = Reader::new(bytes);
    while let Ok(Some((number, value))) = reader.next_field() {
        if number == field.number {
            last = Some(value);
        }
    }
    last.map(|value| scalar(out, field, value, depth)).is_some()
}

/// Numbers of a repeated field may be packed into one value.
fn each_packed<'a>(field: &Field, value: Value<'a>, mut each: impl FnMut(Value<'a>)) {
    match (field.kind, value) {
        (Kind::Fixed64 | Kind::Double | Kind::TimeAfter(_), Value::Bytes(packed)) => {
            for chunk in packed.chunks_exact(8) {
                let mut bits = [0; 8];
                bits.copy_from_slice(chunk);
                each(Value::Fixed64(u64::from_le_bytes(bits)));
            }
        }
        (Kind::Uint | Kind::Sint, Value::Bytes(mut packed)) => {
            while let Ok((number, len)) = model::proto::read_varint(packed) {
                each(Value::Varint(number));
                packed = packed.get(len..).unwrap_or_default();
            }
        }
        (_, value) => each(value),
    }
}

fn scalar(out: &mut String, field: &Field, value: Value<'_>, depth: usize) {
    match (field.kind, value) {
        (Kind::String, Value::Bytes(found)) => text(out, &String::from_utf8_lossy(found)),
        (Kind::Id16 | Kind::Id8, Value::Bytes(id)) => hex(out, id),
        (Kind::Message(table), Value::Bytes(bytes)) => message(out, table, bytes, depth + 1),
        (Kind::AnyValue, Value::Bytes(any)) => any_value_json(out, any, depth + 1),
        (Kind::Double, Value::Fixed64(bits)) => float(out, f64::from_bits(bits)),
        (Kind::Sint, Value::Varint(number)) => out.push_str(&unzigzag(number).to_string()),
        (Kind::Uint, Value::Varint(number)) if field.name == "is_monotonic" => {
            out.push_str(if number != 0 { "true" } else { "false" });
        }
        (Kind::Uint, Value::Varint(number)) if field.name == "bucket_counts" => out.push_str(&format!("\"{number}\"")),
        (Kind::Uint, Value::Varint(number)) => out.push_str(&number.to_string()),
        (Kind::Fixed32, Value::Fixed32(number)) => out.push_str(&number.to_string()),
        (Kind::Fixed64, Value::Fixed64(number)) if field.name == "as_int" => {
            out.push_str(&format!("\"{}\"", number.cast_signed()));
        }
        (Kind::Fixed64 | Kind::TimeAfter(_), Value::Fixed64(number)) => out.push_str(&format!("\"{number}\"")),
        // Of another wire type than the schema says: what a reader of protobuf leaves out.
        _ => out.push_str("null"),
    }
}

fn pairs(out: &mut String, bytes: &[u8], number: u32, depth: usize) -> bool {
    let mut any = false;
    out.push('[');
    for pair in messages(bytes, number).flatten() {
        let (mut key, mut value) = (&[][..], None);
        let mut reader = Reader::new(pair);
        while let Ok(Some((number, field))) = reader.next_field() {
            match (number, field) {
                (key_value::KEY, Value::Bytes(bytes)) => key = bytes,
                (key_value::VALUE, Value::Bytes(bytes)) => value = Some(bytes),
                _ => {}
            }
        }
        out.push_str(if any { "," } else { "" });
        any = true;
        out.push_str("{\"key\":");
        text(out, &String::from_utf8_lossy(key));
        if let Some(value) = value {
            out.push_str(",\"value\":");
            any_value_json(out, value, depth + 1);
        }
        out.push('}');
    }
    out.push(']');
    any
}

fn any_value_json(out: &mut String, any: &[u8], depth: usize) {
    out.push('{');
    match Reader::new(any).next_field() {
        Ok(Some((any_value::STRING, Value::Bytes(found)))) => {
            out.push_str("\"stringValue\":");
            text(out, &String::from_utf8_lossy(found));
        }
        Ok(Some((any_value::BOOL, Value::Varint(truth)))) => out.push_str(&format!("\"boolValue\":{}", truth != 0)),
        Ok(Some((any_value::INT, Value::Varint(number)))) => {
            out.push_str(&format!("\"intValue\":\"{}\"", number.cast_signed()));
        }
        Ok(Some((any_value::DOUBLE, Value::Fixed64(bits)))) => {
            out.push_str("\"doubleValue\":");
            float(out, f64::from_bits(bits));
        }
        Ok(Some((any_value::BYTES, Value::Bytes(bytes)))) => {
            out.push_str("\"bytesValue\":");
            base64(out, bytes);
        }
        Ok(Some((any_value::ARRAY, Value::Bytes(values)))) if depth < MAX_DEPTH => {
            out.push_str("\"arrayValue\":{\"values\":[");
            for (at, item) in messages(values, 1).flatten().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                any_value_json(out, item, depth + 1);
            }
            out.push_str("]}");
        }
        Ok(Some((any_value::KVLIST, Value::Bytes(list)))) if depth < MAX_DEPTH => {
            out.push_str("\"kvlistValue\":{\"values\":");
            pairs(out, list, 1, depth + 1);
            out.push('}');
        }
        _ => {}
    }
    out.push('}');
}

/// The table of the message that a section of this signal holds.
fn root_of(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &schema::TRACES_DATA,
        Signal::Logs => &schema::LOGS_DATA,
        Signal::Metrics => &schema::METRICS_DATA,
    }
}
