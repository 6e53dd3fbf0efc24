use std::collections::BTreeMap;

use super::*;

const NOW: u64 = 1_800_000_000_000_000_000;

#[derive(Debug, Clone, Default)]
struct Line {
    time_ns: u64,
    fields: BTreeMap<&'static str, Value<'static>>,
}

impl Record for Line {
    fn time_ns(&self) -> u64 {
        self.time_ns
    }
    fn field(&self, field: &Field) -> Value<'_> {
        self.fields.get(field.name()).cloned().unwrap_or(Value::Absent)
    }
}

fn line(fields: &[(&'static str, Value<'static>)]) -> Line {
    Line { time_ns: NOW, fields: fields.iter().cloned().collect() }
}

fn sample() -> Line {
    line(&[
        ("service", "api".into()),
        ("level", Value::Int(18)),
        ("dur", Value::Int(250_000_000)),
        ("body", "Connection REFUSED by peer".into()),
        ("http.route", "/cart/items".into()),
        ("http.response.status_code", Value::Int(503)),
        ("ratio", Value::Float(0.25)),
        ("cached", Value::Bool(true)),
        ("device", "gw-17".into()),
    ])
}

fn matches(query: &str) -> bool {
    parse(query, NOW).unwrap_or_else(|error| panic!("{query}: {}", error.pointed())).filter.matches(&sample())
}

/// Scenario: every operator and kind of value on one record. Guarantees: each means what docs/filter.md says.
#[test]
fn terms_mean_what_they_say() {
    for query in [
        "",
        "refused",
        "\"connection refused\"",
        "service=api level>=error dur>200ms \"connection refused\" -path=/healthz device=gw-*",
        "service:api",
        "level=error",
        "level:18",
        "level>warn",
        "level<fatal",
        "dur>=250ms dur<=0.25s dur<1m30s",
        "http.route=/cart/*",
        "http.route~^/cart",
        "http.route !~ items$ or cached=true",
        "http.response.status_code>=500",
        "http.response.status_code=503",
        "http.response.status_code=\"503\"",
        "http.response.status_code=5?3",
        "ratio=0.25 ratio<1KB",
        "not service=web",
        "-(service=web or service=db)",
        "!service=web !missing=1",
        "missing!=1",
        "http.route exists and not missing exists",
        "cached=*",
        "service = 'api'",
        "(service=web or (service=api and level>=17))",
    ] {
        assert!(matches(query), "{query}");
    }
    for query in [
        "nowhere",
        "level=warn",
        "level>error",
        "service=ap",
        "service=API",
        "service=\"a*\"",
        "http.route~^cart",
        "missing=1",
        "missing<5",
        "dur>1s",
        "cached=false",
        "service=api service=web",
        "--service=web",
    ] {
        assert!(!matches(query), "{query}");
    }
}

/// Scenario: queries with a mistake. Guarantees: the error points at its first character and says what would fit.
#[test]
fn errors_point_at_the_character() {
    for (query, column, says) in [
        ("level=loud", 7, "not a level"),
        ("dur>200", 5, "give it a unit"),
        ("a (b", 5, "expected ')'"),
        ("service=", 9, "a value"),
        ("a | count", 5, "stats, top, sort, limit or fields"),
        ("a | stats sum", 11, "sum needs a field"),
        ("a | stats count(dur)", 17, "takes no field"),
        ("a | top 0", 9, "from 1 to"),
        ("x~(", 3, "a value"),
        ("x~\"(\"", 3, "not a regular expression"),
        ("a or since=2h", 12, "whole query"),
        ("since=2h since=3h", 16, "given twice"),
        ("since=tomorrow", 7, "not a time"),
        ("since=1h until=2h", 16, "the time range is empty"),
        ("\"open", 6, "closing quote"),
        ("a )", 3, "'|'"),
        ("\u{e9}\u{e9} level=loud", 10, "not a level"),
    ] {
        let error = parse(query, NOW).unwrap_err();
        assert_eq!((error.column(), true), (column, error.to_string().contains(says)), "{query}: {error}");
    }
    let pointed = parse("service=api level=loud", NOW).unwrap_err().pointed().to_string();
    assert!(pointed.ends_with("\n  service=api level=loud\n                    ^^^^"), "{pointed}");
    assert!(parse(&"(".repeat(5000), NOW).is_err() && parse(&"(".repeat(4000), NOW).is_err());
    assert!(parse(&"-".repeat(4000), NOW).is_err());
}

/// Scenario: times relative and absolute. Guarantees: they end in the range, not in the filter.
#[test]
fn times_bound_the_query() {
    let range = |query: &str| parse(query, NOW).unwrap().range;
    assert_eq!(range("since=2h").since_ns, Some(NOW - 7_200_000_000_000));
    assert_eq!(range("last 90s error").since_ns, Some(NOW - 90_000_000_000));
    assert_eq!(range("until=2027-01-15T08:00:00Z").until_ns, Some(NOW));
    assert_eq!(range("until=2027-01-15T10:00:00.5+02:00").until_ns, Some(NOW + 500_000_000));
    assert_eq!(range("since=2024-02-29 until=1800000000").since_ns, Some(1_709_164_800_000_000_000));
    assert!(parse("since=2023-02-29", NOW).is_err());
    let range = range("since=2h until=1h");
    assert!(range.contains(NOW - 5_400_000_000_000) && !range.contains(NOW) && !range.touches(NOW, NOW + 5));
}

/// Scenario: moments as people write them: of today, with a blank, with a minus, by a word; and what is none (U18).
/// Guarantees: each is one time in UTC, and nothing is read as another one's beginning.
#[test]
fn u18_moments_are_read_whole() {
    const HOUR: u64 = 3_600_000_000_000;
    let today = NOW - NOW % (24 * HOUR);
    for (text, expected) in [
        ("07:50", today + 7 * HOUR + HOUR / 6 * 5),
        ("00:00:00.5", today + 500_000_000),
        ("today", today),
        ("yesterday", today - 24 * HOUR),
        ("-10m", NOW - HOUR / 6),
        ("10m", NOW - HOUR / 6),
        (" now ", NOW),
        ("2027-01-15 07:00", 1_799_996_400_000_000_000),
        ("2027-01-15 07:00:00+01:00", 1_799_992_800_000_000_000),
        ("1800000000", NOW),
    ] {
        assert_eq!(moment(text, NOW), Some(expected), "{text}");
    }
    for text in ["24:00", "7:50", "07:60", "2027-01-15 07", "-", "--10m", "tomorrow", "07:50+26:00", ""] {
        assert_eq!(moment(text, NOW), None, "{text}");
    }
}

/// Scenario: a query is shown and read again. Guarantees: what is shown means the same.
#[test]
fn what_is_shown_reads_the_same() {
    for query in [
        "service=api level>=error dur>200ms \"connection \\\"x\\\" refused\" -path=/healthz (a or b=c*)",
        "x~\"a|b\" v>\"1.2\" | stats count, p95(dur) by service, http.route | sort p95(dur) desc | top 3 | limit 2",
        "k exists | fields time, body | sort -dur",
    ] {
        let shown = parse(query, NOW).unwrap().to_string();
        assert_eq!(parse(&shown, NOW).unwrap().to_string(), shown);
    }
}

fn answer(query: &str, records: impl IntoIterator<Item = Line>) -> Output<Line> {
    let query = parse(query, NOW).unwrap();
    let mut engine = Engine::new(&query);
    for record in records {
        if query.filter.matches(&record) && query.range.contains(record.time_ns) {
            engine.push(record);
        }
    }
    engine.finish()
}

fn requests() -> impl Iterator<Item = Line> {
    (0..1000_u64).map(|i| {
        let mut line = line(&[
            ("service", if i % 4 == 0 { "web".into() } else { "api".into() }),
            ("dur", Value::Int((i as i64 + 1) * 1_000_000)),
        ]);
        line.time_ns = NOW - 10_000_000_000 + i * 10_000_000;
        line
    })
}

fn table(output: Output<Line>) -> Table {
    match output {
        Output::Table(table) => table,
        Output::Records { .. } => panic!("a table was expected"),
    }
}

/// Scenario: 1,000 requests are counted and measured by service. Guarantees: counts, rates and extremes are exact, a
/// percentile is within 1 %.
#[test]
fn stats_are_right() {
    let query =
        "since=10s until=now | stats count, rate, min(dur), max(dur), avg(dur), p95(dur) by service | sort count";
    let table = table(answer(query, requests()));
    assert_eq!(
        table.columns,
        ["service", "count", "rate", "min(dur)", "max(dur)", "avg(dur)", "p95(dur)"].map(str::to_owned)
    );
    let web = &table.rows[0];
    assert_eq!(
        &web[..6],
        &[
            "web".into(),
            Value::Int(250),
            Value::Float(25.0),
            Value::Int(1_000_000),
            Value::Int(997_000_000),
            Value::Float(499_000_000.0)
        ]
    );
    let p95 = web[6].number().unwrap();
    assert!((p95 / 949_000_000.0 - 1.0).abs() < 0.011, "{p95}");
    assert_eq!(table.rows[1][1], Value::Int(750));
    let none = answer("nowhere | stats count, max(dur)", requests());
    let Output::Table(none) = none else { panic!() };
    assert_eq!(none.rows, [vec![Value::Int(0), Value::Absent]]);
}

/// Scenario: more groups than are held. Guarantees: memory stays bounded and every record is counted (P9).
#[test]
fn groups_are_bounded() {
    let many = (0..MAX_GROUPS as i64 + 500).map(|i| line(&[("id", Value::Int(i))]));
    let Output::Table(table) = answer("| stats count by id", many) else { panic!() };
    let more = table.rows.iter().find(|row| row[0] == "(more)".into()).unwrap();
    assert_eq!(more[1], Value::Int(500));
}

/// Scenario: limits and orders over records. Guarantees: the newest come without an order, the greatest with one, and
/// what is left out is counted.
#[test]
fn records_are_ordered_and_cut() {
    let Output::Records { records, left_out, .. } = answer("| limit 3", requests()) else { panic!() };
    assert_eq!(
        records.iter().map(|one| one.time_ns).collect::<Vec<_>>(),
        [97, 98, 99].map(|i: u64| NOW - 10_000_000_000 + (900 + i) * 10_000_000)
    );
    assert_eq!(left_out, 997);
    let Output::Records { records, .. } = answer("service=web | top 2 by dur", requests()) else { panic!() };
    let longest: Vec<_> = records.iter().map(|one| one.field(&Field::Duration)).collect();
    assert_eq!(longest, [Value::Int(997_000_000), Value::Int(993_000_000)]);
    let Output::Records { fields, .. } = answer("| sort dur | fields service, dur", requests()) else { panic!() };
    assert_eq!(fields, [Field::Service, Field::Duration]);
}

/// Scenario: filters that an index can help with, and some that it cannot. Guarantees: only what every match must have is
/// demanded.
#[test]
fn an_index_is_asked_only_for_what_is_demanded() {
    let demanded = |query: &str| parse(query, NOW).unwrap().filter.demanded(&Field::Trace).map(str::to_owned);
    assert_eq!(demanded("level=error trace=ABCD"), Some("abcd".into()));
    assert_eq!(demanded("trace=abcd or level=error"), None);
    assert_eq!(demanded("-trace=abcd"), None);
    assert_eq!(demanded("trace=ab*"), None);
}

/// Scenario: a transaction named by attributes, a header, baggage of two forms; others whose ids begin or end alike; ids with signs of
/// patterns. Guarantees: `tx` finds each, and no other; what it cannot mean is told.
#[test]
fn a_transaction_is_found_wherever_it_is_named() {
    let passes = |query: &str, key: &'static str, value: &'static str| {
        parse(query, NOW).unwrap().filter.matches(&line(&[(key, value.into())]))
    };
    for (key, value) in [
        ("flux_id", "f-1.2"),
        ("transaction.id", "f-1.2"),
        ("http.request.header.x-flux-id", "[\"f-1.2\"]"),
        ("http.request.header.x-transaction-id", "f-1.2"),
        ("baggage", "user=7, flux_id = f-1.2;ttl=3,other=1"),
        ("baggage", "transaction.id=f-1.2"),
        ("http.request.header.baggage", "[\"flux_id=f-1.2\"]"),
    ] {
        assert!(passes("tx=f-1.2", key, value), "{key} {value}");
        assert!(!passes("tx!=f-1.2", key, value), "{key} {value}");
        assert!(!passes("tx=f-1", key, value) && !passes("tx=-1.2", key, value), "{key} {value}");
        assert!(passes("tx exists", key, value) != key.ends_with("baggage"), "{key} {value}");
    }
    assert!(
        !passes("tx=f-1.2", "flux_id", "f-1x2") && !passes("tx=f-1.2", "baggage", "my_flux_id=f-1.2,flux_id=f-1x2")
    );
    assert!(parse("tx=7", NOW).unwrap().filter.matches(&line(&[("flux_id", Value::Int(7))])));
    assert!(transaction("o7", &["order.id"]).matches(&line(&[("order.id", "o7".into())])));
    assert!(!transaction("o7", &["order.id"]).matches(&line(&[("flux_id", "o7".into())])));
    for bad in ["tx>3", "tx~x", "tx=''"] {
        assert!(parse(bad, NOW).is_err(), "{bad}");
    }
}
