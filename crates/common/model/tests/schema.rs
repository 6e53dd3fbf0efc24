//! The tables against the descriptors of the pinned opentelemetry-proto.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use model::otlp::schema::{self, Kind, Rule};
use model::proto::{Reader, Value};

/// `google.protobuf.FieldDescriptorProto` as far as the tables speak of it.
#[derive(Default)]
struct Descriptor<'a> {
    name: &'a str,
    number: u32,
    repeated: bool,
    kind: u64,
    type_name: &'a str,
    in_oneof: bool,
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn field(bytes: &[u8]) -> Descriptor<'_> {
    let mut out = Descriptor::default();
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field().unwrap() {
        match (number, value) {
            (1, Value::Bytes(name)) => out.name = text(name),
            (3, Value::Varint(number)) => out.number = number as u32,
            (4, Value::Varint(label)) => out.repeated = label == 3,
            (5, Value::Varint(kind)) => out.kind = kind,
            (6, Value::Bytes(name)) => out.type_name = text(name),
            (9, Value::Varint(_)) => out.in_oneof = true,
            _ => {}
        }
    }
    out
}

fn each_message<'a>(bytes: &'a [u8], field_number: u32, prefix: &str, out: &mut Vec<(String, Vec<Descriptor<'a>>)>) {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field().unwrap() {
        let Value::Bytes(message) = value else { continue };
        if number != field_number {
            continue;
        }
        let (mut name, mut fields) = ("", Vec::new());
        let mut inner = Reader::new(message);
        while let Some((number, value)) = inner.next_field().unwrap() {
            match (number, value) {
                (1, Value::Bytes(bytes)) => name = text(bytes),
                (2, Value::Bytes(bytes)) => fields.push(field(bytes)),
                _ => {}
            }
        }
        let name = format!("{prefix}.{name}");
        each_message(message, 3, &name, out);
        out.push((name, fields));
    }
}

/// Scenario: every message and field of the pinned traces, logs and metrics schema is looked up in the tables.
/// Guarantees: nothing of OTLP 1.11 is without a place, and each place has the right type and presence (P7, P10).
#[test]
fn the_tables_hold_the_whole_schema() {
    let mut messages = Vec::new();
    let mut files = Reader::new(opentelemetry_proto::DESCRIPTORS);
    while let Some((_, Value::Bytes(file))) = files.next_field().unwrap() {
        let mut package = "";
        let mut reader = Reader::new(file);
        while let Some((number, value)) = reader.next_field().unwrap() {
            if let (2, Value::Bytes(name)) = (number, value) {
                package = text(name);
            }
        }
        let wanted = ["common", "resource", "trace", "logs", "metrics"];
        if wanted.iter().any(|part| package == format!("opentelemetry.proto.{part}.v1")) {
            each_message(file, 4, "", &mut messages);
        }
    }
    assert!(messages.len() > 25, "only {} messages in the descriptors", messages.len());
    for (name, fields) in messages {
        let short = name.rsplit('.').next().unwrap();
        if ["AnyValue", "ArrayValue", "KeyValueList", "KeyValue"].contains(&short) {
            continue;
        }
        let table =
            schema::ALL.iter().find(|table| table.name == short).unwrap_or_else(|| panic!("no table for {name}"));
        assert_eq!(table.fields.len(), fields.len(), "{name} has another number of fields");
        for wanted in fields {
            let index = table.index_of(wanted.number).unwrap_or_else(|| panic!("{name}.{} has no place", wanted.name));
            let found = &table.fields[index];
            assert_eq!(found.name, wanted.name, "{name}");
            let repeated = found.rule == Rule::Repeated;
            assert_eq!(repeated, wanted.repeated, "{name}.{}", wanted.name);
            let kinds: &[u64] = match found.kind {
                Kind::Double => &[1],
                Kind::Uint => &[3, 4, 5, 13, 8, 14],
                Kind::Fixed64 | Kind::TimeAfter(_) => &[6, 16],
                Kind::Fixed32 => &[7],
                Kind::String => &[9],
                Kind::Id16 | Kind::Id8 => &[12],
                Kind::Sint => &[17],
                Kind::Message(_) | Kind::Attributes | Kind::AnyValue => &[11],
            };
            assert!(kinds.contains(&wanted.kind), "{name}.{} has type {}", wanted.name, wanted.kind);
            let has_presence = wanted.in_oneof || (wanted.kind == 11 && !wanted.repeated);
            assert_eq!(found.rule == Rule::Optional, has_presence, "presence of {name}.{}", wanted.name);
            match found.kind {
                Kind::Message(child) => assert!(wanted.type_name.ends_with(child.name), "{name}.{}", wanted.name),
                Kind::Attributes => assert!(wanted.type_name.ends_with(".KeyValue")),
                Kind::AnyValue => assert!(wanted.type_name.ends_with(".AnyValue")),
                _ => {}
            }
        }
    }
}

/// Scenario: the tables' own order. Guarantees: fields ascend, so that canonical protobuf comes out in order (P7).
#[test]
fn fields_ascend() {
    for table in schema::ALL {
        assert!(table.fields.windows(2).all(|pair| pair[0].number < pair[1].number), "{}", table.name);
    }
}
