//! Records that change, and floods of kinds of them.

use model::Signal;
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};

use crate::{Drift, Finding, Kind, MAX_BYTES};

const SECOND: u64 = 1_000_000_000;

/// A value of an attribute.
#[derive(Clone, Copy)]
enum Any {
    Text(&'static str),
    Int(u64),
    Double(f64),
}

fn pair(out: &mut Vec<u8>, number: u32, key: &str, value: Any) {
    put_message(out, number, |pair| {
        put_bytes(pair, 1, key.as_bytes());
        put_message(pair, 2, |any| match value {
            Any::Text(text) => put_bytes(any, 1, text.as_bytes()),
            Any::Int(number) => put_uint(any, 3, number),
            Any::Double(number) => put_fixed64(any, 4, number.to_bits()),
        });
    });
}

fn request(service: &str, items: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |group| {
        put_message(group, 1, |resource| {
            put_message(resource, 1, |pair| {
                put_bytes(pair, 1, b"service.name");
                put_message(pair, 2, |any| put_bytes(any, 1, service.as_bytes()));
            });
        });
        put_message(group, 2, |scope| items.iter().for_each(|item| put_bytes(scope, 2, item)));
    });
    out
}

fn log_record(fields: &[(&str, Any)], body: &str) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 5, |any| put_bytes(any, 1, body.as_bytes()));
    fields.iter().for_each(|(key, value)| pair(&mut out, 6, key, *value));
    out
}

fn metric(unit: &str, kind: u32) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, b"http.server.request.duration");
    put_bytes(&mut out, 3, unit.as_bytes());
    put_message(&mut out, kind, |data| put_message(data, 1, |point| put_fixed64(point, 3, 5)));
    out
}

fn ids(found: &[Finding]) -> Vec<(&'static str, &str)> {
    found.iter().map(|one| (one.kind.id(), one.field.as_str())).collect()
}

/// Scenario: log records of a service among those of nine others, 500 a second in requests of 50; at some time it writes `took_us` as a text
/// where it had `duration_ms` as an integer, its `user` becomes a number, and in its JSON body `level` a number. Guarantees: each is told
/// once within a minute, with its id, field, types and a sample; nobody else is named, and nothing is told while nothing changes.
#[test]
fn a_field_that_changes_is_named_within_a_minute() {
    let mut drift = Drift::on();
    let mut told = Vec::new();
    for tenth in 0..1800u64 {
        let changed = tenth >= 600;
        let mine = if changed {
            log_record(&[("took_us", Any::Text("250000")), ("user", Any::Int(7))], "{\"level\": 50}")
        } else {
            log_record(&[("duration_ms", Any::Int(250)), ("user", Any::Text("bob"))], "{\"level\": \"error\"}")
        };
        let other = log_record(&[("ratio", if tenth % 2 == 0 { Any::Int(1) } else { Any::Double(0.5) })], "plain");
        let now = tenth * SECOND / 10;
        let name = if tenth % 10 == 0 { "mine".to_owned() } else { format!("other{}", tenth % 10) };
        let item = if tenth % 10 == 0 { &mine } else { &other };
        drift.look(Signal::Logs, &request(&name, &vec![item.clone(); 50]), now);
        let found = drift.take_found();
        assert!(changed && now <= 120 * SECOND || found.is_empty(), "{found:?} at {now}");
        told.extend(found);
    }
    told.sort_by_key(|one| (one.kind as u8, one.field.clone()));
    assert_eq!(
        ids(&told),
        [
            ("missing_attribute", "took_us"),
            ("recommended_attribute_not_present", "duration_ms"),
            ("type_mismatch", "level"),
            ("type_mismatch", "user")
        ]
    );
    assert!(told.iter().all(|one| one.service == "mine"));
    assert_eq!((told[0].now.as_str(), told[0].sample.as_str()), ("string", "250000"));
    assert_eq!((told[3].before.as_str(), told[3].now.as_str(), told[3].sample.as_str()), ("string", "int", "7"));
    assert!(told[1].sentence().contains("\"duration_ms\" (int) of logs"), "{}", told[1].sentence());
}

/// Scenario: a metric in seconds becomes one in milliseconds, then a histogram instead of a gauge; fields that come now and then.
/// Guarantees: unit and instrument are told once each; what was never always there is not missed.
#[test]
fn units_and_instruments_are_told() {
    let mut drift = Drift::on();
    let mut look = |item: Vec<u8>, second: u64| {
        drift.look(Signal::Metrics, &request("api", &[item]), second * SECOND);
        drift.take_found()
    };
    for second in 0..20 {
        assert!(look(metric("s", 5), second).is_empty());
    }
    let unit = look(metric("ms", 5), 20);
    assert_eq!(
        (unit.len(), unit[0].kind, unit[0].before.as_str(), unit[0].now.as_str()),
        (1, Kind::UnitMismatch, "s", "ms")
    );
    let instrument = look(metric("ms", 9), 21);
    assert_eq!(
        (instrument.len(), instrument[0].kind, instrument[0].now.as_str()),
        (1, Kind::UnexpectedInstrument, "histogram")
    );
    let mut drift = Drift::on();
    for second in 0..200u64 {
        let fields: &[(&str, Any)] = if second % 3 == 0 && second < 100 { &[("a", Any::Int(1))] } else { &[] };
        drift.look(Signal::Logs, &request("api", &[log_record(fields, "x")]), second * SECOND);
        assert!(drift.take_found().is_empty());
    }
}

/// Scenario: two versions of a service run beside each other, with a field of two types and a metric of two units and instruments, for
/// ten minutes. Guarantees: each difference is told once, not with every look.
#[test]
fn what_goes_back_and_forth_is_told_once() {
    let mut drift = Drift::on();
    let user = |value| request("api", &[log_record(&[("user", value)], "")]);
    let of_unit = |unit, kind| request("api", &[metric(unit, kind)]);
    let mut told = Vec::new();
    for second in 0..600u64 {
        let is_new = second > 60 && second % 2 == 0;
        let value = if is_new { Any::Int(7) } else { Any::Text("bob") };
        drift.look(Signal::Logs, &user(value), second * SECOND);
        let of_unit = if is_new { of_unit("ms", 7) } else { of_unit("s", 5) };
        drift.look(Signal::Metrics, &of_unit, second * SECOND);
        told.extend(drift.take_found());
    }
    let wanted = [("type_mismatch", "user"), ("unexpected_instrument", ""), ("unit_mismatch", "")];
    assert_eq!(ids(&told), wanted);
}

/// Scenario: 100,000 services, each with fields of their own, within a minute and then much later; nothing looks where nobody wants it.
/// Guarantees: what is held stays bounded, what finds no room is counted, and old ones make room (P9).
#[test]
fn what_is_known_is_bounded() {
    let mut drift = Drift::on();
    let look = |drift: &mut Drift, number: u64, now| {
        let body = format!("{{\"field{number}\": 1, \"{}\": 2}}", "long".repeat(40));
        drift.look(Signal::Logs, &request(&format!("service{number}"), &[log_record(&[], &body)]), now);
        assert!(drift.bytes <= MAX_BYTES, "{}", drift.bytes);
    };
    for number in 0..2_000u64 {
        look(&mut drift, number, number * SECOND / 4);
    }
    let (streams, unwatched) = drift.watched();
    assert!(streams > 60 && unwatched > 300, "{streams} {unwatched}");
    look(&mut drift, 5_000, 5_000 * SECOND);
    assert!(drift.watched().0 == 1);
    let mut off = Drift::default();
    look(&mut off, 1, SECOND);
    assert_eq!(off.watched(), (0, 0));
}
