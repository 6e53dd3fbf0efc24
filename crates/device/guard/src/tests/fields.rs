//! Every text and all bytes of the schema, one after the other.

use std::collections::BTreeSet;

use model::Signal;
use model::otlp::schema::{self, Kind, Message, any_value, key_value};
use model::proto::{Reader, Value, put_bytes, put_fixed64, put_message, put_uint};

use crate::{Guard, root};

const CARD: &[u8] = b"4111111111111111";

/// The way to a text: messages and fields, and the request that has it.
pub(super) struct Planted {
    message: &'static str,
    field: &'static str,
    pub(super) request: Vec<u8>,
}

/// What is planted in the place of a value, by the name of the place.
fn values(text: &[u8]) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let built = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let string = built(&|out| put_bytes(out, any_value::STRING, text));
    let mut deep = string.clone();
    for level in 0..63 {
        deep = built(&|out| match level % 2 {
            0 => put_message(out, any_value::ARRAY, |out| put_bytes(out, 1, &deep)),
            _ => put_message(out, any_value::KVLIST, |out| put_bytes(out, 1, &pair(b"inner", &deep))),
        });
    }
    vec![
        ("AnyValue", "string_value", string.clone()),
        ("AnyValue", "bytes_value", built(&|out| put_bytes(out, any_value::BYTES, text))),
        ("ArrayValue", "values", built(&|out| put_message(out, any_value::ARRAY, |out| put_bytes(out, 1, &string)))),
        ("KeyValueList", "values", deep),
    ]
}

fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, key_value::KEY, key);
    put_bytes(&mut out, key_value::VALUE, value);
    out
}

/// Requests with a text in each place where the tables have one.
pub(super) fn plant(schema: &'static Message, text: &[u8], out: &mut Vec<Planted>) {
    for field in schema.fields {
        let mut push = |message, name, bytes: &[u8]| {
            let mut request = Vec::new();
            put_bytes(&mut request, field.number, bytes);
            out.push(Planted { message, field: name, request });
        };
        match field.kind {
            Kind::String | Kind::Id16 => push(schema.name, field.name, text),
            Kind::Attributes => {
                push("KeyValue", "key", &pair(text, b""));
                values(text).iter().for_each(|(message, name, value)| push(message, name, &pair(b"a.key", value)));
            }
            Kind::AnyValue => values(text).iter().for_each(|(message, name, value)| push(message, name, value)),
            Kind::Message(child) => {
                let mut inside = Vec::new();
                plant(child, text, &mut inside);
                inside.iter().for_each(|one| push(one.message, one.field, &one.request));
            }
            _ => {}
        }
    }
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The texts and bytes of the published schema: message and field.
fn published() -> BTreeSet<(String, String)> {
    let mut out = BTreeSet::new();
    let mut files = Reader::new(opentelemetry_proto::DESCRIPTORS);
    while let Some((_, Value::Bytes(file))) = files.next_field().unwrap() {
        let package = field_text(file, 2);
        let wanted = ["common", "resource", "trace", "logs", "metrics"];
        if wanted.iter().any(|part| package == format!("opentelemetry.proto.{part}.v1")) {
            texts_of(file, 4, &mut out);
        }
    }
    out
}

fn field_text(message: &[u8], number: u32) -> String {
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field().unwrap() {
        match field {
            (other, Value::Bytes(text)) if other == number => return String::from_utf8(text.to_vec()).unwrap(),
            _ => {}
        }
    }
    String::new()
}

fn texts_of(bytes: &[u8], messages: u32, out: &mut BTreeSet<(String, String)>) {
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field().unwrap() {
        let Value::Bytes(message) = value else { continue };
        if number != messages {
            continue;
        }
        let name = field_text(message, 1);
        texts_of(message, 3, out);
        let mut fields = Reader::new(message);
        while let Some((number, value)) = fields.next_field().unwrap() {
            let (2, Value::Bytes(field)) = (number, value) else { continue };
            let mut inside = Reader::new(field);
            while let Some(entry) = inside.next_field().unwrap() {
                // TYPE_STRING and TYPE_BYTES (descriptor.proto).
                if matches!(entry, (5, Value::Varint(9 | 12))) {
                    out.insert((name.clone(), field_text(field, 1)));
                }
            }
        }
    }
}

/// Scenario: the number of a card in every text and all bytes of every signal's published schema, one request each: names, keys, values
/// 63 deep, states, messages, ids. Guarantees: nothing of the published schema is without a place here, and the number is in no
/// request that passes (P10).
#[test]
fn every_field_is_visited() {
    let mut guard = Guard::default();
    let mut seen = BTreeSet::new();
    let mut count = 0;
    for signal in Signal::ALL {
        let mut planted = Vec::new();
        plant(root(signal), CARD, &mut planted);
        for Planted { message, field, request } in planted {
            assert!(contains(&request, CARD));
            let passed = guard.admit(signal, request).unwrap();
            assert!(passed.rewritten, "{signal:?} {message}.{field} is not looked at");
            assert!(!contains(&passed.request, CARD), "{signal:?} {message}.{field} passes");
            seen.insert((message.to_owned(), field.to_owned()));
            count += 1;
        }
    }
    assert!(count > 140, "{count} places");
    let mut missing: Vec<_> = published().difference(&seen).cloned().collect();
    // Ids of 8 bytes hold no number of 13 digits.
    missing.retain(|(_, field)| !field.ends_with("span_id"));
    assert!(published().len() > 30 && missing.is_empty(), "no test plants into {missing:?}");
}

/// Scenario: every place with a text that no rule masks. Guarantees: the request passes as it is, and is not written anew.
#[test]
fn what_is_clean_passes_as_it_is() {
    let mut guard = Guard::default();
    for signal in Signal::ALL {
        let mut planted = Vec::new();
        plant(root(signal), b"GET /api/orders/7", &mut planted);
        for Planted { request, .. } in planted {
            let (before, place) = (request.clone(), request.as_ptr());
            let passed = guard.admit(signal, request).unwrap();
            assert!(!passed.rewritten && passed.request == before && passed.request.as_ptr() == place);
        }
    }
}

/// Scenario: a card number in a field that the tables do not know, in a group, in an integer and a double, beside fields of numbers.
/// Guarantees: it passes in none of them; numbers stay as they are (P10).
#[test]
fn odd_places_are_visited() {
    let mut guard = Guard::default();
    let mut pass = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut request = Vec::new();
        put_message(&mut request, 1, |out| put_message(out, 2, |out| put_message(out, 2, |out| write(out))));
        guard.admit(Signal::Traces, request).unwrap()
    };
    let unknown = pass(&|out| {
        put_bytes(out, 99, CARD);
        put_fixed64(out, 7, 5);
    });
    assert!(unknown.rewritten && !contains(&unknown.request, CARD) && unknown.request.len() > 9);
    let group = pass(&|out| {
        out.push(1 << 3 | 3);
        put_bytes(out, 2, CARD);
        out.push(1 << 3 | 4);
        put_bytes(out, 5, b"name");
    });
    assert!(group.rewritten && !contains(&group.request, CARD) && contains(&group.request, b"name"));
    for number in
        [&(|out: &mut Vec<u8>| put_uint(out, any_value::INT, 4_111_111_111_111_111)) as &dyn Fn(&mut Vec<u8>), &|out| {
            put_fixed64(out, any_value::DOUBLE, 4_111_111_111_111_111f64.to_bits());
        }]
    {
        let mut value = Vec::new();
        number(&mut value);
        let passed = pass(&|out| put_bytes(out, 9, &pair(b"order", &value)));
        assert!(passed.rewritten && contains(&passed.request, b"[REDACTED:pan]"));
    }
    // A time, and a large number that has the form of a card number by chance.
    for number in [1_764_441_600_000_000_000, 4_611_686_018_427_387_918] {
        let passed = pass(&|out| {
            put_message(out, 9, |out| {
                put_bytes(out, key_value::KEY, b"at");
                put_message(out, key_value::VALUE, |out| put_uint(out, any_value::INT, number));
            });
        });
        assert!(!passed.rewritten, "{number}");
    }
    assert_eq!(schema::SPAN.fields[8].name, "attributes");
}
