//! What becomes of values and records.

use model::otlp::schema::any_value;
use model::proto::{put_bytes, put_message, put_uint};
use model::{Refusal, Signal, Stamp};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, LogsData, ResourceLogs, ScopeLogs};
use prost::Message;

use crate::{
    Action, Class, Exceptions, Guard, GuardError, KeyPattern, Options, PublicKey, Relaxed, Rule, TokenKey, What,
    expression, sign, usual_rules,
};

fn rule(name: &str, what: What, keys: Option<&str>, action: Action) -> Rule {
    Rule { name: name.into(), what, keys: keys.map(|glob| KeyPattern::Glob(glob.into())), action }
}

fn text(value: &str) -> Option<AnyValue> {
    Some(AnyValue { value: Some(Any::StringValue(value.into())) })
}

fn record(body: &str, attributes: &[(&str, &str)]) -> LogRecord {
    let attributes = attributes
        .iter()
        .map(|(key, value)| KeyValue { key: (*key).into(), value: text(value), ..KeyValue::default() })
        .collect();
    LogRecord { body: text(body), attributes, severity_number: 9, ..LogRecord::default() }
}

fn logs(records: Vec<LogRecord>) -> Vec<u8> {
    let scope_logs = vec![ScopeLogs { log_records: records, ..ScopeLogs::default() }];
    LogsData { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }.encode_to_vec()
}

fn admitted(guard: &mut Guard, records: Vec<LogRecord>) -> (Vec<LogRecord>, u64) {
    let passed = guard.admit(Signal::Logs, logs(records)).unwrap();
    let data = LogsData::decode(passed.request.as_slice()).unwrap();
    (data.resource_logs[0].scope_logs[0].log_records.clone(), passed.dropped.total())
}

fn shown(record: &LogRecord) -> (String, Vec<(String, String)>) {
    let say = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    let attributes = record.attributes.iter().map(|one| (one.key.clone(), say(&one.value))).collect();
    (say(&record.body), attributes)
}

/// Scenario: records with credentials, card numbers and secret-looking keys, and clean ones between them, under the usual rules.
/// Guarantees: values go and nothing else does; clean records stay byte for byte; each rule counts what it masked (P10).
#[test]
fn the_usual_rules_redact() {
    let mut guard = Guard::default();
    let clean = record("request done in 12 ms", &[("http.route", "/api/orders"), ("input_tokens", "12")]);
    let dirty = record(
        "charge 4111 1111 1111 1111 by Bearer abc123def456, password=hunter2",
        &[("db.password", "x"), ("url.full", "https://a:b@c/d"), ("k8s.secret.name", "tls")],
    );
    let (records, dropped) = admitted(&mut guard, vec![clean.clone(), dirty, clean.clone()]);
    assert_eq!((records.len(), dropped), (3, 0));
    assert!(records[0] == clean && records[2] == clean);
    let (body, attributes) = shown(&records[1]);
    assert_eq!(body, "charge [REDACTED:pan] by Bearer [REDACTED:authorization], password=[REDACTED:assignment]");
    let values: Vec<&str> = attributes.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["[REDACTED:secret_key]", "https://[REDACTED:url_user_info]@c/d", "tls"]);
    let counts: Vec<(&str, u64)> = guard.counts().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counts, [("secret_key", 1), ("pan", 1), ("authorization", 1), ("assignment", 1), ("url_user_info", 1)]);
    // What was masked passes again as it is.
    let again = logs(records);
    assert!(!guard.admit(Signal::Logs, again).unwrap().rewritten);
}

/// Scenario: a value in every clothing. Guarantees: it is masked in each of them (P10).
#[test]
fn clothings_are_looked_through() {
    let mut guard = Guard::default();
    let card = "4111111111111111";
    let hex: String = format!("id={card};").bytes().map(|byte| format!("{byte:02x}")).collect();
    let row = card.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
    let wide: String = card.bytes().flat_map(|byte| [char::from(byte), '\0']).collect();
    let percent: String = card.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for body in [
        format!("payload {hex} end"),
        format!("0x{hex}"),
        format!("dump: {row}"),
        format!("a {wide}"),
        format!("GET /pay?card={percent}&x=1"),
        "GET /pay?card=4111%201111%201111%201111".into(),
        // {"card":"4111111111111111"}
        "body=eyJjYXJkIjoiNDExMTExMTExMTExMTExMSJ9".into(),
        "/v1/NDExMTExMTExMTExMTExMQ==".into(),
        "q=NDExMTExMTExMTExMTExMQ%3D%3D".into(),
    ] {
        let (records, _) = admitted(&mut guard, vec![record(&body, &[])]);
        let (masked, _) = shown(&records[0]);
        assert!(masked.contains("[REDACTED:pan]"), "{body}: {masked}");
        assert!(!masked.contains("NDEx") && !masked.contains("34313131") && !masked.contains("31 31"), "{masked}");
    }
}

/// Scenario: each action, by class, by key and by an expression. Guarantees: what is written is what the action says; records that go
/// are counted as masked.
#[test]
fn actions_do_what_they_say() {
    let key = || TokenKey::new("k1", &[7; 32]).unwrap();
    let mut rules = vec![
        rule("card", What::Class(Class::Pan), None, Action::Keep { first: 6, last: 4 }),
        rule("mail", What::Class(Class::Email), None, Action::Token),
        rule("pin", What::All, Some("*.pin"), Action::DropField),
        rule("order", What::Pattern(expression("ORD-[0-9]+").unwrap()), None, Action::Redact(Some("<order>".into()))),
        rule("blocked", What::Pattern(expression("TOPSECRET").unwrap()), None, Action::DropRecord),
        rule("client", What::Class(Class::Ipv4), Some("client.*"), Action::Redact(None)),
    ];
    rules.extend(usual_rules().into_iter().filter(|rule| rule.name != "pan"));
    let options = Options { rules, token_keys: vec![key()], ..Options::default() };
    let mut guard = Guard::new(options.clone()).unwrap();
    let (records, dropped) = admitted(
        &mut guard,
        vec![
            record("ORD-17 paid 4111-1111-1111-1111 by Jane@Example.org", &[("card.pin", "1234"), ("a", "b")]),
            record("this is TOPSECRET", &[]),
            record("from 10.0.0.1", &[("client.address", "10.0.0.1"), ("mail", "jane@example.org")]),
        ],
    );
    assert_eq!((records.len(), dropped), (2, 1));
    let (body, attributes) = shown(&records[0]);
    let (_, second) = shown(&records[1]);
    let token = &second[1].1;
    assert_eq!(body, format!("<order> paid 4111-1*********1111 by {token}"));
    assert_eq!(attributes, [("a".to_owned(), "b".to_owned())]);
    assert!(token.starts_with("tok_v1_k1_"), "{token}");
    assert_eq!((shown(&records[1]).0.as_str(), second[0].1.as_str()), ("from 10.0.0.1", "[REDACTED:client]"));
    // In bytes that are no text it stands where it stands.
    assert_eq!(guard.mask(b"\xff\xfe\xfdORD-17\xff").0, b"\xff\xfe\xfd<order>\xff");
    // Another device with the same key, and after a rotation: tokens of the key before stay.
    let rotated = Options { token_keys: vec![TokenKey::new("k2", &[8; 32]).unwrap(), key()], ..options.clone() };
    let (mail, _) = Guard::new(options.clone()).unwrap().mask(b"jane@example.org");
    assert_eq!(mail, token.as_bytes());
    let mut rotated = Guard::new(rotated).unwrap();
    assert_eq!(rotated.mask(token.as_bytes()).0, token.as_bytes());
    assert!(rotated.mask(b"jane@example.org").0.starts_with(b"tok_v1_k2_"));
    assert_ne!(rotated.version(), Guard::new(options.clone()).unwrap().version());
    // No token without a key.
    let without = Options { token_keys: Vec::new(), ..options };
    assert_eq!(Guard::new(without).unwrap_err(), GuardError::NoKey("mail".into()));
}

/// Scenario: a rule that takes records out fires in a resource, in a scope and in one record. Guarantees: all records that it stands
/// around go and are counted; the rest stays.
#[test]
fn records_go_with_what_stands_around_them() {
    let block = rule("block", What::Pattern(expression("BLOCK").unwrap()), None, Action::DropRecord);
    let mut guard = Guard::new(Options { rules: vec![block], ..Options::default() }).unwrap();
    let scope = |name: &str, bodies: &[&str]| {
        let mut scope =
            ScopeLogs { log_records: bodies.iter().map(|body| record(body, &[])).collect(), ..ScopeLogs::default() };
        scope.schema_url = name.into();
        scope
    };
    let group =
        |url: &str, scopes| ResourceLogs { scope_logs: scopes, schema_url: url.into(), ..ResourceLogs::default() };
    let data = LogsData {
        resource_logs: vec![
            group("BLOCK", vec![scope("", &["a", "BLOCK", "b"])]),
            group("", vec![scope("BLOCK", &["c", "d"]), scope("", &["e", "BLOCK", "f"])]),
        ],
    };
    let passed = guard.admit(Signal::Logs, data.encode_to_vec()).unwrap();
    assert_eq!((passed.dropped.total(), passed.dropped.get(Refusal::Masked)), (6, 6));
    let left = LogsData::decode(passed.request.as_slice()).unwrap();
    let bodies: Vec<String> = left
        .resource_logs
        .iter()
        .flat_map(|group| &group.scope_logs)
        .flat_map(|scope| &scope.log_records)
        .map(|record| shown(record).0)
        .collect();
    assert_eq!(bodies, ["e", "f"]);
}

/// Scenario: log records of every severity, in production and not. Guarantees: TRACE and DEBUG go in production only, and are counted as
/// that.
#[test]
fn production_leaves_out_debug() {
    let all = || (0..=24).map(|severity| LogRecord { severity_number: severity, ..record("x", &[]) }).collect();
    assert_eq!(admitted(&mut Guard::default(), all()).0.len(), 25);
    let mut guard = Guard::new(Options { production: true, ..Options::usual() }).unwrap();
    let (records, dropped) = admitted(&mut guard, all());
    assert_eq!((records.len(), dropped), (17, 8));
    assert!(records.iter().all(|record| !(1..9).contains(&record.severity_number)));
    let passed = guard.admit(Signal::Logs, logs(all())).unwrap();
    assert_eq!(passed.dropped.get(Refusal::BelowInfo), 8);
}

/// Scenario: numbers, truth values and lists under secret keys and under keys of a rule. Guarantees: a secret-looking key masks texts and
/// lists only; a rule for keys masks whatever stands there.
#[test]
fn whole_values_are_masked_by_key() {
    let mut guard = Guard::new(Options {
        rules: [usual_rules(), vec![rule("all", What::All, Some("private.*"), Action::Redact(None))]].concat(),
        ..Options::default()
    })
    .unwrap();
    let value = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        AnyValue::decode(out.as_slice()).unwrap()
    };
    let number = value(&|out| put_uint(out, any_value::INT, 7));
    let list = value(&|out| {
        put_message(out, any_value::ARRAY, |out| {
            put_message(out, 1, |out| put_bytes(out, any_value::STRING, b"hidden"));
        });
    });
    for (key, value, masked) in [
        ("api_key", number.clone(), false),
        ("api_key", list.clone(), true),
        ("private.data", number, true),
        ("private.data", list.clone(), true),
        ("public", list, false),
    ] {
        let attribute = KeyValue { key: key.into(), value: Some(value), ..KeyValue::default() };
        let mut one = record("x", &[]);
        one.attributes.push(attribute);
        let (records, _) = admitted(&mut guard, vec![one]);
        let shown = shown(&records[0]).1[0].1.clone();
        assert_eq!(shown.starts_with("[REDACTED:"), masked, "{key}: {shown}");
    }
}

/// Scenario: the same log records of DEBUG with a dump in them pass a guard in production before, while and after an exception holds.
/// Guarantees: they stay while it holds only, and are remembered as clean no longer (P10).
#[test]
fn debug_passes_while_an_exception_holds() {
    let (key, device) = ("MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB", "d");
    let debug = Relaxed { debug: true, payloads: false };
    let (file, public) = sign(key, device, debug, "2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z", "").unwrap();
    let exceptions = Exceptions::new(device, vec![PublicKey::read(&public).unwrap()], 3600);
    let options = Options { production: true, ..Options::usual() };
    let mut guard = Guard::new(options).unwrap().with_exceptions(exceptions);
    let all = || vec![LogRecord { severity_number: 5, ..record("x", &[("a", "b")]) }; 3];
    for (minute, left) in [(0, 0), (1, 3), (59, 3), (61, 0), (62, 0)] {
        let wall_ns = (1_796_032_740 + 60 * minute) * 1_000_000_000;
        let stamp = Stamp { boot_id: [0; 16], uptime_ns: 60_000_000_000 * minute, wall_ns, synchronised: true };
        let _change = guard.look_for_exception(Some(file.as_bytes()), &stamp);
        for _ in 0..3 {
            assert_eq!(admitted(&mut guard, all()).0.len(), left, "{minute}");
        }
    }
}
