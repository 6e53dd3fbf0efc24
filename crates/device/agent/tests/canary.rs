//! Values that must not get anywhere, planted into every text and all bytes of every signal, through the real program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use model::otlp::schema::{self, Kind, Message, any_value, key_value};
use model::proto::{put_bytes, put_fixed64, put_message};
use support::server::Server;
use support::{Agent, PROGRAM, PROTOBUF, now_ns, run, wait_until};

/// Values planted into each place.
const EACH: u64 = 30;
/// Records in a request.
const TOGETHER: usize = 200;

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn text(&mut self, length: usize, of: &str) -> String {
        let all: Vec<char> = of.chars().collect();
        (0..length).map(|_| all[self.next() as usize % all.len()]).collect()
    }

    /// The number of a card that nobody has.
    fn card(&mut self) -> String {
        let (start, length) = [
            ("4", 16),
            ("51", 16),
            ("2221", 16),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("62", 19),
            ("4", 13),
        ][self.next() as usize % 9];
        let body = self.text(length - 1 - start.len(), "0123456789");
        let digits = format!("{start}{body}");
        let sum: u32 = (digits.bytes().rev().enumerate())
            .map(|(place, digit)| match u32::from(digit - b'0') {
                digit if place % 2 == 0 => digit * 2 / 10 + digit * 2 % 10,
                digit => digit,
            })
            .sum();
        format!("{digits}{}", (10 - sum % 10) % 10)
    }

    /// An account that nobody has.
    fn account(&mut self) -> String {
        let body = self.text(18, "0123456789");
        // DE00 behind the number, letters as 13 and 14.
        let rest = format!("{body}131400").bytes().fold(0u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        format!("DE{:02}{body}", 98 - rest)
    }
}

const LETTERS: &str = "abcdefghijkmnopqrstuvwxyz";
const TOKEN: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _written = write!(out, "{byte:02x}");
        out
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let shown = place <= three.len();
            out.push(if shown { char::from(ALL[(bits >> (18 - 6 * place) & 63) as usize]) } else { '=' });
        }
    }
    out
}

/// A text with a value in it, and what must not be found of it.
fn planted(kind: u64, chance: &mut Chance) -> (String, Vec<String>) {
    let card = chance.card();
    let groups = |separator: &str| match card.len() {
        16 => [&card[..4], &card[4..8], &card[8..12], &card[12..]].join(separator),
        15 => [&card[..4], &card[4..10], &card[10..]].join(separator),
        _ => card.clone(),
    };
    let with_card = |text: String| (text, vec![card.clone()]);
    match kind {
        0 => with_card(card.clone()),
        1 => (groups(" "), vec![groups(" "), card.clone()]),
        2 => (groups("-"), vec![groups("-"), card.clone()]),
        3 => (groups("."), vec![groups("."), card.clone()]),
        4 => with_card(format!("paid {card} twice")),
        5 => with_card(format!("{{\"card\":\"{card}\",\"n\":1}}")),
        6 => with_card(format!("card={card}&x=1")),
        7 => with_card(format!(";{card}=25121010000012300001?")),
        8 => with_card(format!("%B{card}^DOE/J^25121010000000123?")),
        9 => with_card(format!("({card})")),
        10 => with_card(format!("pan:{card},")),
        11 => with_card(format!("/pay/{card}/done")),
        12 => (format!("x {} y", hex(card.as_bytes())), vec![hex(card.as_bytes()), card.clone()]),
        13 => {
            let row = card.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
            (format!("dump {row}"), vec![row, card.clone()])
        }
        14 => {
            let percent: String = card.bytes().map(|byte| format!("%{byte:02X}")).collect();
            (format!("/p?c={percent}"), vec![percent, card.clone()])
        }
        15 => {
            let text = base64(format!("{{\"pan\":\"{card}\"}}").as_bytes());
            (format!("body {text} end"), vec![text, card.clone()])
        }
        16 => {
            let wide: String = card.chars().flat_map(|digit| [digit, '\0']).collect();
            (wide.clone(), vec![wide, card.clone()])
        }
        17 => (format!("/p?c={}", groups("%20")), vec![groups("%20"), groups(" ")]),
        18 => with_card(format!("\u{201e}{card}\u{201c}")),
        19 => with_card(format!("line one\n{card}\nline two")),
        20 => {
            let name = chance.text(14, LETTERS);
            (format!("to {name}@example.org now"), vec![format!("{name}@")])
        }
        21 => {
            let name = chance.text(14, LETTERS);
            (format!("/u?mail={name}%40example.org"), vec![format!("{name}%40")])
        }
        22 => {
            let body = chance.text(30, TOKEN);
            let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{body}.{}", chance.text(20, TOKEN));
            (format!("token {jwt}"), vec![body])
        }
        23 => {
            let key = format!("AKIA{}", chance.text(16, TOKEN));
            (format!("key {key};"), vec![key])
        }
        24 => {
            let word = chance.text(20, TOKEN);
            (format!("password={word} ok"), vec![word])
        }
        25 => {
            let word = chance.text(20, TOKEN);
            (format!("Authorization: Bearer {word}"), vec![word])
        }
        26 => {
            let word = base64(format!("user:{}", chance.text(15, LETTERS)).as_bytes());
            (format!("Basic {word}"), vec![word])
        }
        27 => {
            let word = chance.text(16, LETTERS);
            (format!("postgres://app:{word}@db:5432/x"), vec![word])
        }
        28 => {
            let account = chance.account();
            (format!("iban {account}."), vec![account])
        }
        _ => {
            let body = chance.text(40, TOKEN);
            (format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"), vec![body])
        }
    }
}

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
    let mut deep = string.clone();
    for level in 0..60 {
        deep = match level % 2 {
            0 => of(any_value::ARRAY, &of(1, &deep)),
            _ => of(any_value::KVLIST, &of(1, &pair(b"inner", &deep))),
        };
    }
    let array = of(any_value::ARRAY, &of(1, &string));
    vec![("string", string), ("bytes", of(any_value::BYTES, text)), ("array", array), ("deep", deep)]
}

/// Requests with a text in each place of the schema, by the name of the place.
fn places(schema: &'static Message, text: &[u8], chance: &mut Chance, out: &mut Vec<(String, Vec<u8>)>) {
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

/// What must not be found, with where it was planted, by its first eight bytes.
#[derive(Default)]
struct Wanted(HashMap<[u8; 8], Vec<(Vec<u8>, String)>>);

impl Wanted {
    fn add(&mut self, text: &[u8], place: &str) {
        if let Some(first) = text.first_chunk::<8>() {
            self.0.entry(*first).or_default().push((text.to_vec(), place.to_owned()));
        }
    }

    /// Counts what is found in bytes, by where it was planted.
    fn search(&self, bytes: &[u8], file: &str, found: &mut BTreeMap<String, u64>) {
        for (at, window) in bytes.windows(8).enumerate() {
            let Some(all) = self.0.get(window) else { continue };
            for (text, place) in all {
                if bytes[at..].starts_with(text) {
                    *found.entry(format!("{place} in {file}")).or_default() += 1;
                }
            }
        }
    }
}

fn files(directory: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, out);
        } else if path.is_file() {
            out.push((path.to_string_lossy().into_owned(), std::fs::read(path).unwrap()));
        }
    }
}

/// Every frame of zstd in bytes, inflated.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
    let mut out = Vec::new();
    for at in bytes.windows(4).enumerate().filter(|(_, window)| *window == MAGIC).map(|(at, _)| at) {
        if let Ok(decoder) = zstd::stream::read::Decoder::new(&bytes[at..]) {
            // What stands behind the frame is not its.
            let _rest = decoder.single_frame().read_to_end(&mut out);
        }
    }
    out
}

const RULES: &str = "guard:\n  token_keys: [{ id: k1, env: LIGHTSHIP_CANARY_KEY }]\n  rules:\n\
                     \x20   - { name: mail, class: email, action: token }\n    - { name: iban, class: iban }\n";

/// Runs an agent with these rules, plants into all places, and gives what was found, what was planted, and how many places there are.
fn plant_and_search(rules: &str, mutant: Option<&str>) -> (BTreeMap<String, u64>, u64, usize) {
    let server = Server::start(|_| (200, String::new(), Vec::new()));
    let directory = tempfile::tempdir().unwrap();
    let (data, sink) = (directory.path().join("data"), directory.path().join("sink"));
    std::fs::create_dir(&sink).unwrap();
    let text = format!(
        "version: 0\ndevice: {{ id: canary-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ http: '127.0.0.1:0' }}\n\
         sampling:\n  decision_wait: 1s\n  policies: [{{ name: all, type: always_sample }}]\nrecorder: {{ files: 32MiB }}\n\
         red: {{ interval: 1s }}\njournal: {{ commit_delay: 100ms }}\ntelemetry: {{ interval: 1s }}\ndestinations:\n\
         \x20 - {{ name: hub, type: hub, url: 'http://127.0.0.1:9' }}\n\
         \x20 - {{ name: backend, type: otlp, url: 'http://{}' }}\n\
         \x20 - {{ name: lines, type: file, url: 'file:{}' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n{rules}",
        data.display(),
        server.address,
        sink.display()
    );
    std::fs::write(directory.path().join("lightship.yaml"), text).unwrap();
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("run").arg("--config").arg(directory.path().join("lightship.yaml")).stderr(Stdio::from(log));
    command.env("LIGHTSHIP_CANARY_KEY", "a key of at least thirty-two bytes");
    if let Some(mutant) = mutant {
        command.env("LIGHTSHIP_MUTANT", mutant);
    }
    let mut agent = Agent::of(command.spawn().unwrap(), directory);

    let (mut chance, mut wanted, mut count, mut names) = (Chance(7), Wanted::default(), 0, 0);
    let mut sent = 0;
    for (signal, root) in
        [("traces", &schema::TRACES_DATA), ("logs", &schema::LOGS_DATA), ("metrics", &schema::METRICS_DATA)]
    {
        let mut request = Vec::new();
        let mut together = 0;
        let path = format!("/v1/{signal}");
        let post = |request: &mut Vec<u8>| {
            let (code, answer) = agent.post(&path, PROTOBUF, request);
            assert_eq!(code, 200, "{signal}: {answer}");
            assert!(!answer.contains("rejected"), "{signal}: {answer}");
            request.clear();
        };
        for round in 0..EACH {
            let mut all = Vec::new();
            // The texts differ from place to place: each is told by what is found.
            places(root, b"#", &mut Chance(round), &mut all);
            names = names.max(all.len());
            for index in 0..all.len() {
                let (text, secrets) = planted((round + index as u64) % 30, &mut chance);
                let mut one = Vec::new();
                places(root, text.as_bytes(), &mut chance, &mut one);
                let (name, bytes) = &one[index];
                request.extend_from_slice(bytes);
                for secret in secrets {
                    wanted.add(secret.as_bytes(), &format!("{signal} {name}: {text:?}"));
                }
                count += 1;
                together += 1;
                if together == TOGETHER {
                    post(&mut request);
                    together = 0;
                }
            }
        }
        post(&mut request);
        sent += all_records(&agent, signal);
    }
    assert!(sent > 0);
    // What cannot be read must not be told either.
    for (bad, headers) in [
        ("{\"resourceSpans\":[{\"x\":4111111111111111", "content-type: application/json"),
        ("4111111111111111", PROTOBUF),
    ] {
        wanted.add(b"4111111111111111", "a bad request");
        assert_eq!(agent.post("/v1/traces", headers, bad.as_bytes()).0, 400);
    }
    wait_until("it is delivered", || {
        let status = agent.status();
        status["ledger"]["pending"]["traces"] == 0 && status["ledger"]["pending"]["logs"] == 0
    });
    std::thread::sleep(std::time::Duration::from_secs(2));
    let mut all: Vec<(String, Vec<u8>)> = ["/status", "/metrics", "/status?format=text"]
        .into_iter()
        .map(|path| (path.to_owned(), agent.get(path).into_bytes()))
        .collect();
    for seen in server.seen() {
        let mut body = Vec::new();
        let read = flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body);
        all.push((seen.path.clone(), if read.is_ok() { body } else { seen.body.clone() }));
        all.push(("head".to_owned(), seen.head.into_bytes()));
    }
    assert!(all.iter().any(|(path, body)| path == "/v1/traces" && body.len() > 10_000), "nothing was delivered");
    let config = agent.config();
    for signal in ["span", "log", "metric"] {
        let words = ["query", &format!("signal={signal}"), "--output", "ndjson", "--config", &config];
        let output = run(&words);
        all.push((format!("query {signal}"), output.stdout));
    }
    let exported = agent.directory.path().join("exported");
    let output = run(&["journal", "export", "--config", &config, "--to", exported.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    agent.kill();
    files(agent.directory.path(), &mut all);
    let mut found = BTreeMap::new();
    let mut bytes = 0;
    for (file, content) in &all {
        bytes += content.len();
        wanted.search(content, file, &mut found);
        wanted.search(&inflated(content), &format!("{file}, inflated"), &mut found);
    }
    assert!(all.len() > 20 && bytes > 2_000_000, "{} files, {bytes} bytes", all.len());
    (found, count, names)
}

/// How many records of a signal the agent took in.
fn all_records(agent: &Agent, signal: &str) -> u64 {
    agent.status()["ledger"]["received"][signal].as_u64().unwrap()
}

/// Scenario: more than 4,000 values that nobody has (card numbers in 20 clothings, addresses, tokens, keys, passwords, accounts) in every
/// text and all bytes of every signal's schema, through an agent with its recorder in files, a dead hub, an OTLP endpoint and a file;
/// requests that cannot be read; then it is killed. Guarantees: none is found in any file, in what was sent, in what the agent says of
/// itself, in what it shows of what it holds, as it is or inflated (P10).
#[test]
fn nothing_that_is_masked_gets_anywhere() {
    let (found, planted, places) = plant_and_search(RULES, None);
    let first: Vec<_> = found.iter().take(20).collect();
    assert!(found.is_empty(), "{} are found: {first:#?}", found.len());
    assert!(planted > 4_000 && places > 60, "{planted} in {places}");
}

/// Scenario: the same without any rule. Guarantees: the search finds what is there, in every kind of place: it would tell.
#[test]
fn the_search_finds_what_is_there() {
    let (found, ..) = plant_and_search("guard: { defaults: false }\n", None);
    for part in [
        "/v1/traces",
        "/v1/logs",
        "/v1/metrics",
        "query span",
        "query log",
        "query metric",
        "sink/traces.jsonl",
        "exported/logs.jsonl",
        "data/recorder/",
        "data/lanes/traces/",
    ] {
        assert!(
            found.keys().any(|place| place.contains(part)),
            "nothing is found in {part}: {:?}",
            found.keys().next()
        );
    }
}

/// Scenario: a guard that passes over one field, the message of a span's status. Guarantees: the search tells (P10).
#[cfg(feature = "mutants")]
#[test]
fn a_field_that_is_passed_over_is_noticed() {
    let (found, ..) = plant_and_search(RULES, Some("unmasked-field"));
    assert!(!found.is_empty() && found.keys().all(|place| place.contains("status.message")), "{found:#?}");
}

/// Scenario: a text and a request as JSON through `mask test`, the text through `mask explain`. Guarantees: what would be written is
/// printed, the request still reads as one; `explain` says where, and nothing of what is there.
#[test]
fn a_file_can_be_tried() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lines");
    let line =
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"card 4111111111111111"}}]}]}]}"#;
    std::fs::write(&file, format!("a 4111111111111111 b\nclean\n{line}\n")).unwrap();
    let config = directory.path().join("lightship.yaml");
    std::fs::write(&config, support::configuration(&directory.path().join("data"), "")).unwrap();
    let said = |word: &str| {
        let mut command = Command::new(PROGRAM);
        command.args(["mask", word, "--config", config.to_str().unwrap()]);
        let output = command.stdin(std::fs::File::open(&file).unwrap()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (masked, counts) = said("test");
    let lines: Vec<&str> = masked.lines().collect();
    assert_eq!(lines[..2], ["a [REDACTED:pan] b", "clean"]);
    assert!(lines[2].contains("card [REDACTED:pan]") && lines[2].starts_with("{\"resourceLogs\""), "{masked}");
    assert_eq!(counts, "pan: 2\n");
    let (explained, _) = said("explain");
    assert!(explained.contains("line 1, bytes 2..18: pan") && !explained.contains("4111"), "{explained}");
}
