//! An agent into which values are planted, and everything of it in which they are looked for.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use link::{BlockAck, BlocksAck, HelloAck, Outcome, Verdict};
use model::otlp::schema;
use wire::RawBlock;

use crate::places::places;
use crate::search::{Wanted, files};
use crate::sources::Reading;
use crate::support::server::{Reply, Seen, Server};
use crate::support::{Agent, PROGRAM, PROTOBUF, now_ns, run};
use crate::values::{Chance, SHAPES, planted};

/// Values planted into each place: one of each shape.
const EACH: u64 = SHAPES;
/// Records in a request.
const TOGETHER: usize = 200;
/// The variable that names the hub's program: another crate builds it.
const HUB: &str = "LIGHTSHIP_HUB";

/// The key of tokens, and rules that look for everything that is planted.
pub const KEY: (&str, &str) = ("LIGHTSHIP_CANARY_KEY", "a key of at least thirty-two bytes");
pub const RULES: &str = "guard:\n  token_keys: [{ id: k1, env: LIGHTSHIP_CANARY_KEY }]\n  rules:\n\
                         \x20   - { name: mail, class: email, action: token }\n    - { name: iban, class: iban }\n";

/// What was found, and of how much.
pub struct Searched {
    /// How often something was found, by where it was planted and where it was found.
    pub found: BTreeMap<String, u64>,
    /// Values that were planted.
    pub planted: u64,
    /// Places of the schema with a text in them.
    pub places: usize,
    /// Whether a hub stored it all.
    pub stored: bool,
}

/// A hub that is ended with the test.
struct Hub {
    child: Child,
    data: PathBuf,
    http: String,
    link: String,
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Hub {
    /// Starts one with its data below a directory; `None` where nobody said where its program is.
    fn start(directory: &Path) -> Option<Self> {
        let program = std::env::var_os(HUB)?;
        let data = directory.join("hub");
        let log = std::fs::File::create(directory.join("hub.log")).unwrap();
        let mut command = Command::new(program);
        command.args(["run", "--http", "127.0.0.1:0", "--link", "127.0.0.1:0", "--data-dir"]).arg(&data);
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let mut hub = Self { child, data, http: String::new(), link: String::new() };
        wait_long("the hub starts", || {
            let text = std::fs::read(hub.data.join("addresses.json")).unwrap_or_default();
            let addresses: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            let address = |name: &str| addresses[name].as_str().map(str::to_owned).unwrap_or_default();
            (hub.http, hub.link) = (address("http"), address("link"));
            !hub.link.is_empty()
        });
        Some(hub)
    }

    /// What it answers.
    fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.0 200"), "{path}: {}", String::from_utf8_lossy(&answer));
        answer
    }
}

/// Questions to a hub whose answers have everything.
const QUESTIONS: [&str; 9] = [
    "/api/v0/logs?limit=10000",
    "/api/v0/traces?limit=10000",
    "/api/v0/services",
    "/api/v0/metrics",
    "/api/v0/devices",
    "/api/v0/ledger",
    "/prometheus/api/v1/labels",
    "/prometheus/api/v1/series?match[]=%7B__name__%3D~%22.%2B%22%7D",
    "/metrics",
];

/// A hub that a test plays: it takes everything, and what it is sent is seen.
fn played(seen: &Seen) -> Reply {
    let body = if seen.path == link::HELLO_PATH {
        link::encode(&HelloAck { verdict: Verdict::Ok, lanes: Vec::new(), hub_wall_ns: now_ns(), incident_s: None })
    } else {
        let (mut rest, mut blocks) = (&seen.body[..], Vec::new());
        while !rest.is_empty() {
            let (block, behind) = RawBlock::parse(rest).unwrap();
            rest = behind;
            let header = block.header();
            let (lane, first, last) = (header.lane.number(), header.first, header.last());
            blocks.push(BlockAck { epoch: header.epoch.0, lane, first, last, outcome: Outcome::Stored });
        }
        link::encode(&BlocksAck { blocks })
    };
    (200, "content-type: application/cbor\r\n".into(), body)
}

fn wait_long(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("not in a minute: {what}");
}

/// Sends a value of each shape in each place of the schema, and gives how many there are, and how many places.
fn plant(agent: &Agent, chance: &mut Chance, wanted: &mut Wanted) -> (u64, usize) {
    let (mut count, mut names) = (0, 0);
    for (signal, root) in
        [("traces", &schema::TRACES_DATA), ("logs", &schema::LOGS_DATA), ("metrics", &schema::METRICS_DATA)]
    {
        let path = format!("/v1/{signal}");
        let post = |request: &mut Vec<u8>| {
            let (code, answer) = agent.post(&path, PROTOBUF, request);
            assert_eq!(code, 200, "{signal}: {answer}");
            assert!(!answer.contains("rejected"), "{signal}: {answer}");
            request.clear();
        };
        let mut all = Vec::new();
        places(root, b"#", &mut Chance(1), &mut all);
        names = names.max(all.len());
        let (mut request, mut together) = (Vec::new(), 0);
        for round in 0..EACH {
            // The texts differ from place to place: each is told by what is found.
            for index in 0..all.len() {
                let shape = (round + index as u64) % SHAPES;
                let (text, secrets) = planted(shape, chance);
                let mut one = Vec::new();
                places(root, text.as_bytes(), chance, &mut one);
                let (name, bytes) = &one[index];
                request.extend_from_slice(bytes);
                for secret in secrets {
                    wanted.add(secret.as_bytes(), &format!("{signal} {name}, shape {shape}: {text:?}"));
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
        assert!(agent.status()["ledger"]["received"][signal].as_u64().unwrap() > 0);
    }
    // What cannot be read must not be told either.
    for (bad, headers) in [
        ("{\"resourceSpans\":[{\"x\":4111111111111111", "content-type: application/json"),
        ("4111111111111111", PROTOBUF),
    ] {
        wanted.add(b"4111111111111111", "a bad request");
        assert_eq!(agent.post("/v1/traces", headers, bad.as_bytes()).0, 400);
    }
    (count, names)
}

/// Everything that the agent says of itself, and shows of what it holds.
fn answers(agent: &Agent, all: &mut Vec<(String, Vec<u8>)>) {
    for path in ["/status", "/metrics", "/status?format=text"] {
        all.push((path.to_owned(), agent.get(path).into_bytes()));
    }
    let config = agent.config();
    for signal in ["span", "log", "metric"] {
        let words = ["query", &format!("signal={signal}"), "--output", "ndjson", "--config", &config];
        all.push((format!("query {signal}"), run(&words).stdout));
    }
    for command in ["status", "gaps", "doctor"] {
        let output = run(&[command, "--config", &config]);
        all.push((command.to_owned(), [output.stdout, output.stderr].concat()));
    }
    let exported = agent.directory.path().join("exported");
    let output = run(&["journal", "export", "--config", &config, "--to", exported.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs an agent with these rules, plants into all places, and searches everything that is written, sent and answered.
pub fn plant_and_search(rules: &str, mutant: Option<&str>) -> Searched {
    let (server, peer) = (Server::start(|_| (200, String::new(), Vec::new())), Server::start(played));
    let directory = tempfile::tempdir().unwrap();
    let (data, sink) = (directory.path().join("data"), directory.path().join("sink"));
    std::fs::create_dir(&sink).unwrap();
    let hub = Hub::start(directory.path());
    let (mut chance, mut wanted) = (Chance(7), Wanted::default());
    let (reading, read) = Reading::plant(&mut chance, &mut wanted);
    let to_hub = hub.as_ref().map_or("url: 'http://127.0.0.1:9'".to_owned(), |hub| {
        format!("url: 'https://{}', ca_file: {}", hub.link, hub.data.join("tls/ca.pem").display())
    });
    let text = format!(
        "version: 0\ndevice: {{ id: canary-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ http: '127.0.0.1:0' }}\n{}\
         sampling:\n  decision_wait: 1s\n  policies: [{{ name: all, type: always_sample }}]\nrecorder: {{ files: 32MiB }}\n\
         red: {{ interval: 1s }}\njournal: {{ commit_delay: 100ms }}\ntelemetry: {{ interval: 1s }}\ndestinations:\n\
         \x20 - {{ name: hub, type: hub, {to_hub} }}\n\
         \x20 - {{ name: peer, type: hub, url: 'http://{}' }}\n\
         \x20 - {{ name: backend, type: otlp, url: 'http://{}' }}\n\
         \x20 - {{ name: lines, type: file, url: 'file:{}' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n{rules}",
        data.display(),
        reading.configuration(),
        peer.address,
        server.address,
        sink.display()
    );
    std::fs::write(directory.path().join("lightship.yaml"), text).unwrap();
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let mut command = Command::new(PROGRAM);
    command.arg("run").arg("--config").arg(directory.path().join("lightship.yaml")).stderr(Stdio::from(log));
    command.env(KEY.0, KEY.1);
    if let Some(mutant) = mutant {
        command.env("LIGHTSHIP_MUTANT", mutant);
    }
    let mut agent = Agent::of(command.spawn().unwrap(), directory);

    let (count, places) = plant(&agent, &mut chance, &mut wanted);
    wait_long("everything is read", || reading.is_read(&agent.status()));
    let mut all = Vec::new();
    // Metrics come without end: what was there is delivered when nothing waits that is older than it.
    wait_long("it is decided", || {
        let pending = &agent.status()["ledger"]["pending"];
        pending["traces"] == 0 && pending["logs"] == 0
    });
    let planted_ns = now_ns();
    if let Some(hub) = &hub {
        wait_long("the hub has it", || is_confirmed(&agent.status(), "hub"));
        for question in QUESTIONS {
            all.push((format!("hub {question}"), hub.get(question)));
        }
    }
    wait_long("others have it", || is_confirmed(&agent.status(), "peer") && now_ns() > planted_ns + 2_000_000_000);
    answers(&agent, &mut all);
    for (name, server) in [("backend", &server), ("peer", &peer)] {
        for seen in server.seen() {
            let mut body = Vec::new();
            let read = flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body);
            all.push((format!("{name} {}", seen.path), if read.is_ok() { body } else { seen.body.clone() }));
            all.push((format!("{name} head"), seen.head.into_bytes()));
        }
    }
    assert!(
        all.iter().any(|(path, body)| path == "backend /v1/traces" && body.len() > 10_000),
        "nothing was delivered"
    );
    agent.kill();
    let stored = hub.is_some();
    drop(hub);
    files(agent.directory.path(), &mut all);
    let bytes: usize = all.iter().map(|(_, content)| content.len()).sum();
    assert!(all.len() > 20 && bytes > 2_000_000, "{} files, {bytes} bytes", all.len());
    Searched { found: wanted.search_all(&all), planted: count + read, places, stored }
}

/// Whether a destination has nearly all: the agent's own metrics come again and again.
fn is_confirmed(status: &serde_json::Value, name: &str) -> bool {
    let rows = status["destinations"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["name"] == name)
        .all(|row| row["queued_records"].as_u64().is_some_and(|records| records < 300))
}
