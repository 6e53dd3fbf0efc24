//! The places of OTLP's schema where a text or bytes can stand.

use model::otlp::schema::{Kind, Message, any_value, key_value};
use model::proto::{put_bytes, put_fixed64, put_message};

use crate::support::now_ns;
use crate::values::Chance;

/// How deep a value is nested: as deep as the door takes.
const DEEP: u32 = model::otlp::MAX_DEPTH;

/// What every message has besides what is planted, so that the door takes it.
fn around(schema: &'static Message, planted: u32, chance: &mut Chance) -> Vec<u8> {
    let mut out = Vec::new();
    let id =
        |chance: &mut Chance, length: usize| -> Vec<u8> { (0..length).map(|_| chance.next() as u8 | 0x80).collect() };
    match schema.name {
        "Span" => {
            put_bytes(&mut out, 1, &id(chance, 16));
            put_bytes(&mut out, 2, &id(chance, 8));
            put_fixed64(&mut out, 7, now_ns() - 1_000_000);
            put_fixed64(&mut out, 8, now_ns());
        }
        "LogRecord" => put_fixed64(&mut out, 1, now_ns()),
        "Exemplar" => {
            put_fixed64(&mut out, 2, now_ns());
            put_fixed64(&mut out, 3, 0);
        }
        name if name.ends_with("DataPoint") => put_fixed64(&mut out, 3, now_ns()),
        "Metric" if planted < 5 || planted == 12 => {
            put_bytes(&mut out, 1, if planted == 1 { b"" } else { b"canary" });
            put_message(&mut out, 5, |out| put_message(out, 1, |out| put_fixed64(out, 3, now_ns())));
        }
        name if name.starts_with("Scope") && planted != 2 => {
            let record = schema.fields.iter().find(|field| field.number == 2).unwrap();
            if let Kind::Message(child) = record.kind {
                put_bytes(&mut out, 2, &around(child, if name == "ScopeMetrics" { 1 } else { 0 }, chance));
            }
        }
        name if name.starts_with("Resource") && name != "Resource" && planted != 2 => {
            let Kind::Message(scope) = schema.fields[1].kind else { panic!("{name}") };
            put_bytes(&mut out, 2, &around(scope, 0, chance));
        }
        _ => {}
    }
    out
}

fn pair(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, key_value::KEY, key);
    put_bytes(&mut out, key_value::VALUE, value);
    out
}

fn values(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let of = |number: u32, inside: &[u8]| {
        let mut out = Vec::new();
        put_bytes(&mut out, number, inside);
        out
    };
    let string = of(any_value::STRING, text);
    let (mut deep, mut lists) = (string.clone(), string.clone());
    for level in 0..DEEP {
        deep = match level % 2 {
            0 => of(any_value::ARRAY, &of(1, &deep)),
            _ => of(any_value::KVLIST, &of(1, &pair(b"inner", &deep))),
        };
        lists = of(any_value::KVLIST, &of(1, &pair(b"inner", &lists)));
    }
    let array = of(any_value::ARRAY, &of(1, &string));
    let bytes = of(any_value::BYTES, text);
    vec![("string", string), ("bytes", bytes), ("array", array), ("deep", deep), ("deep kvlists", lists)]
}

/// Requests with a text in each place of the schema, by the name of the place.
pub fn places(schema: &'static Message, text: &[u8], chance: &mut Chance, out: &mut Vec<(String, Vec<u8>)>) {
    for field in schema.fields {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        match field.kind {
            Kind::String => all.push((String::new(), text.to_vec())),
            Kind::Attributes => {
                all.push((" key".into(), pair(text, b"")));
                all.extend(values(text).into_iter().map(|(name, value)| (format!(" {name}"), pair(b"a.key", &value))));
            }
            Kind::AnyValue => all.extend(values(text).into_iter().map(|(name, value)| (format!(" {name}"), value))),
            Kind::Message(child) => {
                places(child, text, chance, &mut all);
                all.iter_mut().for_each(|(name, _)| name.insert(0, '.'));
            }
            _ => continue,
        }
        for (name, inside) in all {
            let mut request = around(schema, field.number, chance);
            put_bytes(&mut request, field.number, &inside);
            out.push((format!("{}{name}", field.name), request));
        }
    }
}
