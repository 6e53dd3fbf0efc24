//! Queries over records in memory: what is read, what is found, what is reckoned, what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test program")]

use std::cell::Cell;

use logql::{
    Error, Labels, LogQuery, LogSource, Options, Order, Query, Record, Select, Sink, SourceError, ast, evaluate_logs,
    evaluate_metric, parse,
};
use promql::Value;

const SECOND: i64 = 1_000_000_000;

/// Stream labels, structured metadata, time, line.
type Row = (Labels, Vec<(String, String)>, i64, String);

struct Rows(Vec<Row>);

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::new(pairs.iter().copied())
}

impl Rows {
    /// Streams web and db, a record each second from 1 to 10.
    fn new() -> Self {
        let mut rows = Vec::new();
        for at in 1..=10_i64 {
            let level = if at % 5 == 0 { "error" } else { "info" };
            let metadata =
                vec![("trace_id".to_owned(), format!("t{}", at % 2)), ("detected_level".into(), level.into())];
            let web = format!("level={level} path=/a{} took={at}ms size={at}KB status={}", at % 3, 200 + at);
            rows.push((labels(&[("app", "web"), ("zone", "a")]), metadata.clone(), at * SECOND, web));
            let db =
                format!(r#"{{"level":"{level}","rows":{at},"nested":{{"ok":{}}},"list":[1,{{"x":"y"}}]}}"#, at > 5);
            rows.push((labels(&[("app", "db"), ("zone", "b")]), metadata, at * SECOND, db));
        }
        Self(rows)
    }

    fn of_lines(lines: &[&str]) -> Self {
        let row = |(at, line): (usize, &&str)| (labels(&[("app", "x")]), Vec::new(), at as i64 + 1, (*line).to_owned());
        Self(lines.iter().enumerate().map(row).collect())
    }
}

impl LogSource for Rows {
    fn scan(&self, select: &Select<'_>, sink: &mut dyn Sink) -> Result<(), SourceError> {
        for (place, (stream, metadata, time, line)) in self.0.iter().enumerate() {
            let is_asked = select.from <= *time
                && *time < select.to
                && select.matchers.iter().all(|matcher| matcher.matches_labels(stream))
                && (select.passes)(line);
            let record = Record { time: *time, place: (place as u64, 0), stream, line, metadata };
            if is_asked && !sink.take(&record) {
                break;
            }
        }
        Ok(())
    }
}

fn lines_of(rows: &Rows, query: &str) -> Vec<String> {
    let ast::Expr::Logs(expr) = parse(query).unwrap_or_else(|error| panic!("{query}: {error}")) else {
        panic!("{query}")
    };
    let asked = LogQuery { from: 0, to: i64::MAX, order: Order::Forward, limit: 1000 };
    let answer = evaluate_logs(rows, &expr, asked, &Options::default()).unwrap();
    answer.entries.into_iter().map(|entry| entry.line).collect()
}

/// Labels of the one entry that there is, as text.
fn labels_of(line: &str, query: &str) -> String {
    let ast::Expr::Logs(expr) = parse(query).unwrap_or_else(|error| panic!("{query}: {error}")) else {
        panic!("{query}")
    };
    let asked = LogQuery { from: 0, to: i64::MAX, order: Order::Forward, limit: 1000 };
    let answer = evaluate_logs(&Rows::of_lines(&[line]), &expr, asked, &Options::default()).unwrap();
    let streams = answer.by_stream(false);
    streams.keys().map(|labels| labels.without(&["__error_details__".into()]).to_string()).collect()
}

fn number(query: &str, at: i64) -> Result<Vec<(String, f64)>, Error> {
    let ast::Expr::Metric(expr) = parse(query).unwrap_or_else(|error| panic!("{query}: {error}")) else {
        panic!("{query}")
    };
    let answer = evaluate_metric(&Rows::new(), &expr, Query::Instant(at * SECOND), &Options::default())?;
    Ok(match answer.value {
        Value::Vector(all) => {
            all.into_iter().map(|(labels, samples)| (labels.to_string(), samples.floats[0].1)).collect()
        }
        Value::Scalar(_, value) => vec![(String::new(), value)],
        other => panic!("{other:?}"),
    })
}

/// Scenario: queries of every kind, written and read again. Promise: what is written is the same query, and is written the same.
#[test]
fn what_is_written_is_read_again() {
    for query in [
        r#"{app="web"}"#,
        r#"{app=~"w.+", zone!="x"} |= "a" or "b" != `c` |~ "d" !~ "e" |> "<_>f<_>" !> "g" |= ip("10.0.0.0/8")"#,
        r#"{a="b"} | json | logfmt --strict --keep-empty | regexp "(?P<x>.)" | pattern "<a> <_>" | unpack | decolorize"#,
        r#"{a="b"} | json x="a.b[0]", y | logfmt x, y="z" | line_format "{{.a}}" | label_format a=b, c="{{.d}}""#,
        r#"{a="b"} | x="y" | n > 5 and m<=2.5 or (d>=1m30s, s!=5KB) | ip=ip("1.1.1.1") | drop a, b=~"c" | keep d"#,
        r#"({a="b"} |= "x")"#,
        r#"sum by (a, b) (rate({a="b"} |= "x" [5m] offset 1h)) / 2 + vector(1) > bool 0"#,
        r#"topk(3, sum without (a) (count_over_time({a="b"}[1m])))"#,
        r#"quantile_over_time(0.99, {a="b"} | json | unwrap duration(took) | __error__="" [5m]) by (host)"#,
        r#"avg(sum_over_time({a="b"} | unwrap bytes(size) [1h])) by (x) - 1"#,
        r#"rate({a="b"}[1m]) * on (x) group_left (y) rate({c="d"}[1m]) or rate({e="f"}[2m])"#,
        r#"label_replace(rate({a="b"}[1m]), "x", "$1", "y", "(.*)")"#,
        r#"sort_desc(max_over_time(({a="b"} | unwrap n)[5m])) ^ 2 ^ 3 % 4"#,
        r#"absent_over_time({a="b"}[5m]) unless 1 * vector(-1)"#,
        "count_over_time({a=\"b\"} # a comment\n [5m])",
        r#"rate({a="b"} [1d] | json | x="y")"#,
    ] {
        let read = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let written = read.to_string();
        let again = parse(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(again.to_string(), written, "{query}");
    }
}

/// Scenario: queries that are none. Promise: an error with a place each, whatever is wrong.
#[test]
fn bad_queries_are_errors() {
    let deep = format!("{}vector(1){}", "(".repeat(200), ")".repeat(200));
    let row = vec!["vector(1)"; 5000].join("+");
    let filters = format!("{{a=\"b\"}} | {}", vec!["a=\"b\""; 5000].join(" or "));
    for query in [
        "",
        "{",
        "{}",
        r#"{a=~".*"}"#,
        r#"{a!="b"}"#,
        r#"{a="b"} |"#,
        r#"{a="b"} |= 5"#,
        r#"{a="b"} | regexp "x""#,
        r#"{a="b"} | regexp "(""#,
        r#"{a="b"} | pattern "x""#,
        r#"{a="b"} | pattern "<a><b>""#,
        r#"{a="b"} | line_format "{{""#,
        r#"{a="b"} | json x="[""#,
        r#"{a="b"} |~ ip("1.1.1.1")"#,
        r#"{a="b"} |= ip("x")"#,
        r#"rate({a="b"})"#,
        r#"rate({a="b"}[0s])"#,
        r#"rate({a="b"}[5])"#,
        r#"sum_over_time({a="b"}[5m])"#,
        r#"count_over_time({a="b"} | unwrap x [5m])"#,
        r#"rate({a="b"}[5m]) by (x)"#,
        r#"topk(rate({a="b"}[5m]))"#,
        r#"topk(0, rate({a="b"}[5m]))"#,
        r#"sum(1, rate({a="b"}[5m]))"#,
        r#"quantile_over_time({a="b"} | unwrap x [5m])"#,
        r#"{a="b"} + 1"#,
        "1 or 2",
        "sum(",
        "nothing(1)",
        r#"{a="b"} x"#,
        r#"{a="b"} | label_format a=b,a=c"#,
        "\"",
        "`",
        "5x",
        "1e999",
        "{a=\"\\q\"}",
        &deep,
        &row,
        &filters,
        &"x".repeat(200_000),
    ] {
        let shown: String = query.chars().take(60).collect();
        let error = parse(query).err().unwrap_or_else(|| panic!("{shown}"));
        assert!(error.at <= query.len() && error.to_string().starts_with("parse error at line "), "{shown}: {error}");
    }
}

/// Scenario: line filters of every kind, alone and in a row. Promise: those lines and no others.
#[test]
fn lines_are_filtered() {
    let rows = Rows::of_lines(&["GET /a 200", "GET /b 500 from 10.1.2.3", "POST /a 200 x", ""]);
    for (query, wanted) in [
        (r#"{app="x"}"#, vec![0, 1, 2, 3]),
        (r#"{app="y"}"#, vec![]),
        (r#"{app="x"} |= "GET""#, vec![0, 1]),
        (r#"{app="x"} |= "GET" != "500""#, vec![0]),
        (r#"{app="x"} |= "POST" or "500""#, vec![1, 2]),
        (r#"{app="x"} != "POST" or "500""#, vec![0, 3]),
        (r#"{app="x"} |~ "/[ab] (2|5)00$""#, vec![0]),
        (r#"{app="x"} !~ "GET|POST""#, vec![3]),
        (r#"{app="x"} |> "GET <_> 200""#, vec![0]),
        (r#"{app="x"} |> "<_>200""#, vec![0]),
        (r#"{app="x"} |= ip("10.0.0.0/8")"#, vec![1]),
        (r#"{app="x"} != ip("10.0.0.0/8") |= "a""#, vec![0, 2]),
        (r#"{app="x"} | line_format "{{.app}}" |= "x""#, vec![0, 1, 2, 3]),
    ] {
        let found = lines_of(&rows, query).len();
        assert_eq!(found, wanted.len(), "{query}");
        if !query.contains("line_format") {
            let lines: Vec<String> = wanted.iter().map(|at: &usize| rows.0[*at].3.clone()).collect();
            assert_eq!(lines_of(&rows, query), lines, "{query}");
        }
    }
}

/// Scenario: each parser and format over lines that fit and lines that do not. Promise: the labels that Loki makes of them, errors as labels.
#[test]
fn labels_are_made() {
    let json = r#"{"a b":1.50,"c":{"d":"\u0041\"","e":null},"f":[1,{"g":"h"}],"t":true,"app":"own","2x":"y"}"#;
    let fmt = r#"level=info msg="it \"is\"" empty= bare app=own a.b=c"#;
    for (line, stages, wanted) in [
        (json, "| json", r#"{_2x="y", a_b="1.50", app="x", app_extracted="own", c_d="A\"", t="true"}"#),
        (
            json,
            r#"| json q="c.d", r="f[1].g", s="[\"a b\"]", n="f", z="no.thing""#,
            r#"{app="x", n="[1,{\"g\":\"h\"}]", q="A\"", r="h", s="1.50"}"#,
        ),
        ("no json", "| json", r#"{__error__="JSONParserErr", app="x"}"#),
        ("[1]", "| json", r#"{__error__="JSONParserErr", app="x"}"#),
        (fmt, "| logfmt", r#"{a_b="c", app="x", app_extracted="own", level="info", msg="it \"is\""}"#),
        (fmt, r#"| logfmt level, m="msg", gone"#, r#"{app="x", level="info", m="it \"is\""}"#),
        ("a=1 =x \"y", "| logfmt", r#"{a="1", app="x"}"#),
        ("a=1 =x", "| logfmt --strict", r#"{__error__="LogfmtParserErr", a="1", app="x"}"#),
        ("GET /a 200", r#"| regexp "(?P<method>\\w+) (?P<path>\\S+)""#, r#"{app="x", method="GET", path="/a"}"#),
        ("GET /a 200", r#"| pattern "<method> <path> <_>""#, r#"{app="x", method="GET", path="/a"}"#),
        ("GET /a", r#"| pattern "<method> <path> <code>""#, r#"{app="x", method="GET", path="/a"}"#),
        (r#"{"pod":"p","_entry":"inner"}"#, r#"| unpack |= "inner""#, r#"{app="x", pod="p"}"#),
        ("a=5 b=2", r#"| logfmt | label_format c=a, d="{{.b}}{{.c}}""#, r#"{app="x", b="2", c="5", d="25"}"#),
        ("a=5 b=2", "| logfmt | drop a, b=\"3\"", r#"{app="x", b="2"}"#),
        ("a=5 b=2", "| logfmt | keep a", r#"{a="5"}"#),
        ("a=5 b=2", "| logfmt | drop app, a, b", "{}"),
        ("a=x", "| logfmt | a > 5", r#"{__error__="LabelFilterErr", a="x", app="x"}"#),
        ("a=x", "| logfmt | a > 5 | __error__=\"\"", ""),
        ("a=x", r#"| logfmt | line_format "{{ div 1 0 }}""#, r#"{__error__="TemplateFormatErr", a="x", app="x"}"#),
    ] {
        assert_eq!(labels_of(line, &format!("{{app=\"x\"}} {stages}")), wanted, "{line} {stages}");
    }
    let rows = Rows::of_lines(&["\u{1b}[31mred\u{1b}[0m line"]);
    assert_eq!(lines_of(&rows, "{app=\"x\"} | decolorize"), ["red line"]);
}

/// Scenario: filters of labels by text, number, duration, size, address, put together. Promise: those records and no others.
#[test]
fn labels_are_filtered() {
    for (filter, count) in [
        (r#"trace_id="t1""#, 5),
        (r#"level="error""#, 2),
        (r#"level=~"err.*" or took>=9ms"#, 3),
        ("took>1ms and took<=3ms", 2),
        ("size>=8KB", 3),
        ("status=205", 1),
        ("status>203, status<206", 2),
        ("status>203 status<206", 2),
        ("(status>203 and status<206) or status==210", 3),
        ("nothing>1", 0),
        (r#"nothing="""#, 10),
        (r#"level!="error""#, 8),
    ] {
        let found = lines_of(&Rows::new(), &format!(r#"{{app="web"}} | logfmt | {filter}"#)).len();
        assert_eq!(found, count, "{filter}");
    }
}

/// Scenario: ranges, aggregations and operators at a time. Promise: exact numbers; records at the beginning of a range do not count, those
/// at its end do.
#[test]
fn numbers_are_reckoned() {
    let of = |query: &str| number(query, 10).unwrap();
    let one = |value: f64| vec![("{}".to_owned(), value)];
    assert_eq!(of("vector(1)+vector(1)"), one(2.0));
    assert_eq!(of("1 + 2 * 3"), vec![(String::new(), 7.0)]);
    assert_eq!(of(r#"sum(count_over_time({app="web"}[5s]))"#), one(5.0));
    assert_eq!(of(r#"sum(count_over_time({app="web"}[5s] offset 5s))"#), one(5.0));
    assert_eq!(of(r#"sum(rate({app=~".+"}[10s]))"#), one(2.0));
    assert_eq!(
        of(r#"sum by (app) (rate({app=~".+"} |= "error" [10s]))"#),
        [(r#"{app="db"}"#.into(), 0.2), (r#"{app="web"}"#.into(), 0.2)]
    );
    assert_eq!(
        of(r#"sum by (level) (count_over_time({app="web"} | logfmt [10s]))"#),
        [(r#"{level="error"}"#.into(), 2.0), (r#"{level="info"}"#.into(), 8.0)]
    );
    assert_eq!(of(r#"sum without (zone, trace_id) (count_over_time({app="web"}[10s]))"#).len(), 2);
    assert_eq!(of(r#"count_over_time({app="web"}[10s])"#).len(), 4, "metadata tells series apart");
    assert_eq!(of(r#"sum(bytes_over_time({app="web"} | line_format "12345" [3s]))"#), one(15.0));
    assert_eq!(of(r#"sum(sum_over_time({app="db"} | json | unwrap rows [3s]))"#), one(27.0));
    assert_eq!(of(r#"sum(rate({app="db"} | json | unwrap rows [3s]))"#), one(9.0));
    assert_eq!(of(r#"max(max_over_time({app="web"} | logfmt | unwrap duration(took) [10s]))"#), one(0.01));
    assert_eq!(
        of(r#"max_over_time({app="web"} | logfmt | unwrap bytes(size) [10s]) by (app)"#),
        [(r#"{app="web"}"#.into(), 10_000.0)]
    );
    assert_eq!(
        of(r#"quantile_over_time(0.5, {app="db"} | json | unwrap rows [10s]) by (app)"#),
        [(r#"{app="db"}"#.into(), 5.5)]
    );
    assert_eq!(of(r#"topk(1, sum by (app) (bytes_over_time({app=~".+"}[10s])))"#).len(), 1);
    assert_eq!(of(r#"sum(count_over_time({app="web"}[10s])) / sum(count_over_time({app="db"}[5s]))"#), one(2.0));
    assert_eq!(of(r#"sum(count_over_time({app="web"}[10s])) > 20"#), []);
    assert_eq!(of(r#"absent_over_time({app="none", zone="z"}[10s])"#), [(r#"{app="none", zone="z"}"#.into(), 1.0)]);
    assert_eq!(of(r#"absent_over_time({app="web"}[10s])"#), []);
    assert_eq!(
        of(r#"label_replace(sum by (app) (count_over_time({app="web"}[1s])), "x", "${1}y", "app", "(.).*")"#),
        [(r#"{app="web", x="wy"}"#.into(), 1.0)]
    );
    assert_eq!(of(r#"sum(count_over_time({app="none"}[10s])) or vector(0)"#), one(0.0));
    let failed = number(r#"sum(sum_over_time({app="web"} | logfmt | unwrap path [10s]))"#, 10).unwrap_err();
    assert!(failed.to_string().contains("pipeline error: 'SampleExtractionErr'"), "{failed}");
    assert_eq!(of(r#"sum(sum_over_time({app="web"} | logfmt | unwrap path | __error__="" [10s]))"#), []);
}

/// Scenario: a range of steps over counts and samples. Promise: each step has its own range, and the sum over all is that of the records.
#[test]
fn steps_have_their_own_ranges() {
    let range = |query: &str| {
        let ast::Expr::Metric(expr) = parse(query).unwrap() else { panic!("{query}") };
        let query = Query::Range { start: 0, end: 12 * SECOND, step: 2 * SECOND };
        match evaluate_metric(&Rows::new(), &expr, query, &Options::default()).unwrap().value {
            Value::Matrix(all) => all.into_iter().flat_map(|(_, samples)| samples.floats).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        }
    };
    let counted = range(r#"sum(count_over_time({app="web"}[2s]))"#);
    assert_eq!(counted, [(2000, 2.0), (4000, 2.0), (6000, 2.0), (8000, 2.0), (10_000, 2.0)]);
    let summed = range(r#"sum(sum_over_time({app="db"} | json | unwrap rows [2s]))"#);
    assert_eq!(summed, [(2000, 3.0), (4000, 7.0), (6000, 11.0), (8000, 15.0), (10_000, 19.0)]);
    assert_eq!(range(r#"sum(count_over_time({app="web"}[1h]))"#).last(), Some(&(12_000, 10.0)));
}

/// Scenario: the newest and the oldest few, by label sets with and without what stages made. Promise: those, in order; and more are told of.
#[test]
fn limits_and_orders() {
    let ast::Expr::Logs(expr) = parse(r#"{app="web"} | logfmt"#).unwrap() else { panic!() };
    let ask = |order, limit, from, to| {
        let query = LogQuery { from, to, order, limit };
        evaluate_logs(&Rows::new(), &expr, query, &Options::default()).unwrap()
    };
    let times = |answer: &logql::LogAnswer| answer.entries.iter().map(|entry| entry.time / SECOND).collect::<Vec<_>>();
    let newest = ask(Order::Backward, 3, 0, i64::MAX);
    assert_eq!((times(&newest), newest.is_full), (vec![10, 9, 8], true));
    let oldest = ask(Order::Forward, 3, 2 * SECOND, 4 * SECOND);
    assert_eq!((times(&oldest), oldest.is_full), (vec![2, 3], false));
    assert_eq!((oldest.stats.lines, oldest.stats.passed), (2, 2));
    let entry = &oldest.entries[0];
    assert_eq!(entry.stream, [("app".to_owned(), "web".to_owned()), ("zone".into(), "a".into())]);
    assert_eq!(entry.metadata.len(), 2);
    assert!(entry.made.contains(&("level".into(), "info".into())));
    assert_eq!(newest.clone().by_stream(true).len(), 1);
    assert_eq!(newest.by_stream(false).len(), 3);
}

/// Scenario: too many series, too many steps, more held than may be, a query that is stopped. Promise: each ends with an error that says so.
#[test]
fn bounds_hold() {
    let ast::Expr::Metric(expr) = parse(r#"count_over_time({app="web"} | logfmt [10s])"#).unwrap() else { panic!() };
    let steps = Query::Range { start: 0, end: 10 * SECOND, step: SECOND };
    let run = |options: &Options<'_>| evaluate_metric(&Rows::new(), &expr, steps, options).map(|_| ());
    assert!(
        matches!(run(&Options { max_series: 3, ..Options::default() }), Err(Error::TooMuch(what)) if what.contains("series (3)"))
    );
    assert!(matches!(run(&Options { max_steps: 5, ..Options::default() }), Err(Error::TooMuch(_))));
    assert!(matches!(run(&Options { max_cells: 5, ..Options::default() }), Err(Error::TooMuch(_))));
    let left = Cell::new(2000_usize);
    let over = Cell::new(false);
    let hold = |bytes: usize| {
        over.set(over.get() || bytes > left.get());
        left.set(left.get().saturating_sub(bytes));
        !over.get()
    };
    let stop = || over.get().then_some(Error::Canceled);
    assert_eq!(run(&Options { hold: &hold, stop: &stop, ..Options::default() }), Err(Error::Canceled));
}
