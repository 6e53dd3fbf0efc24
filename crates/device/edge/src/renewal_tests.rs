//! The assembled agent and a hub that has more of its epoch than it ever gave out.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use link::{BlockAck, BlocksAck, Hello, HelloAck, Outcome, Verdict};
use model::proto::{put_bytes, put_fixed64, put_message};
use wire::{Inflater, RawBlock, Token};

use crate::run::run;

/// What a hub got: texts of lines by epoch, and the epochs that said hello, in order.
#[derive(Default)]
struct Got {
    lines: BTreeMap<u64, BTreeSet<String>>,
    epochs: Vec<u64>,
}

/// Answers one request of a device: the first epoch that it sees is refused.
fn answer(path: &str, body: &[u8], got: &mut Got) -> Vec<u8> {
    if path == link::HELLO_PATH {
        let hello: Hello = link::decode(body).unwrap();
        if got.epochs.last() != Some(&hello.epoch) {
            got.epochs.push(hello.epoch);
        }
        let verdict = if got.epochs.first() == Some(&hello.epoch) { Verdict::NewEpoch } else { Verdict::Ok };
        return link::encode(&HelloAck { verdict, lanes: Vec::new(), hub_wall_ns: 1, incident_s: None });
    }
    let (mut rest, mut blocks, mut inflater) = (body, Vec::new(), Inflater::new());
    while !rest.is_empty() {
        let (block, behind) = RawBlock::parse(rest).unwrap();
        rest = behind;
        let header = block.header();
        for (_, frame) in block.frames(&mut inflater).unwrap() {
            wire::each_token(frame, |token| {
                if let Token::Text(text) = token
                    && text.starts_with(b"line ")
                {
                    let new =
                        got.lines.entry(header.epoch.0).or_default().insert(String::from_utf8(text.to_vec()).unwrap());
                    assert!(new, "a line comes twice");
                }
            })
            .unwrap();
        }
        let (lane, first, last) = (header.lane.number(), header.first, header.last());
        blocks.push(BlockAck { epoch: header.epoch.0, lane, first, last, outcome: Outcome::Stored });
    }
    link::encode(&BlocksAck { blocks })
}

/// Serves requests of one connection until it ends.
fn serve(stream: TcpStream, got: &Mutex<Got>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            } else if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if path.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let answer = answer(&path, &body, &mut got.lock().unwrap());
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/cbor\r\ncontent-length: {}\r\n\r\n", answer.len());
        let _gone = writer.write_all(&[head.as_bytes(), &answer].concat());
    }
}

fn configuration(data_dir: &Path, hub: &str) -> config::Config {
    let text = format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ http: '127.0.0.1:0' }}\njournal: {{ \
         commit_delay: 100ms }}\nred: {{ enabled: false }}\ndestinations:\n  - {{ name: hub, type: hub, url: 'http://{hub}', \
         max_backoff: 1s }}\nadmin: {{ listen: '127.0.0.1:0' }}\n",
        data_dir.display()
    );
    config::parse(&text).unwrap()
}

fn line(number: u32) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, 1_760_000_000_000_000_000);
                put_message(out, 5, |out| put_bytes(out, 1, format!("line {number}").as_bytes()));
            });
        });
    });
    request
}

/// An address of the running agent; it changes with each of its lives.
fn address(data_dir: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(data_dir.join("addresses.json")).ok()?;
    let rest = text.split_once(&format!("\"{name}\":\""))?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

/// The body of an answer with status 200; `None` when the agent is between two lives.
fn ask(address: Option<String>, head: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address?).ok()?;
    let head = format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), b"content-type: application/x-protobuf\r\n\r\n", body].concat()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// Scenario: lines come in while no hub answers; then a hub says that it has more of this epoch than the directory ever gave
/// out, and more lines come. Guarantees: a new epoch begins without a hand; all lines come under it, once; nothing is
/// sent under the old one; the books balance (P1, P3, P8).
#[test]
fn a_new_epoch_begins_in_place() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    // The port is known, and nobody listens yet.
    let hub = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = configuration(&data_dir, &hub.to_string());
    // It runs until the test's process ends.
    thread::spawn(move || run(&config));
    let send = |number: u32| {
        let sent = (0..400).any(|_| {
            let answer = ask(address(&data_dir, "otlp_http"), "POST /v1/logs", &line(number));
            if answer.is_none() {
                thread::sleep(Duration::from_millis(25));
            }
            answer.is_some()
        });
        assert!(sent, "line {number} is not answered");
    };
    (0..20).for_each(send);
    let got = Arc::new(Mutex::new(Got::default()));
    let listener = TcpListener::bind(hub).unwrap();
    let for_hub = Arc::clone(&got);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let got = Arc::clone(&for_hub);
            thread::spawn(move || serve(stream, &got));
        }
    });
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let came = (0..800).any(|_| {
            thread::sleep(Duration::from_millis(25));
            done()
        });
        assert!(came, "{what}");
    };
    wait("a second epoch", &|| got.lock().unwrap().epochs.len() == 2);
    (20..30).for_each(send);
    wait("all lines", &|| got.lock().unwrap().lines.values().map(BTreeSet::len).sum::<usize>() == 30);
    let status = || ask(address(&data_dir, "admin"), "GET /status", b"").unwrap_or_default();
    wait("balanced books", &|| status().contains("\"difference\":0") && status().contains("\"delivered\":30"));
    let got = got.lock().unwrap();
    assert_eq!(got.lines.keys().collect::<Vec<_>>(), [&got.epochs[1]]);
}
