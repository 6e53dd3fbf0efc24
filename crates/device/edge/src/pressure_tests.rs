//! The assembled agent with a lane that has watermarks, while its destination is away and when it comes back.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use model::proto::{put_bytes, put_fixed64, put_message};

use crate::run::run;

const TIME_NS: u64 = 1_760_000_000_000_000_000;
/// Bytes of a line.
const LINE: usize = 4000;

fn configuration(data_dir: &Path, destination: SocketAddr) -> config::Config {
    let text = format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ http: '127.0.0.1:0' }}\n\
         journal: {{ budget: 4MiB, commit_delay: 100ms }}\nred: {{ enabled: false }}\n\
         lanes: {{ budgets: {{ logs: 512KiB }}, watermarks: {{ logs: {{ high: 50%, low: 25% }} }} }}\n\
         destinations:\n  - {{ name: far, type: otlp, url: 'http://{destination}', max_backoff: 1s }}\n\
         admin: {{ listen: '127.0.0.1:0' }}\n",
        data_dir.display()
    );
    config::parse(&text).unwrap()
}

/// Letters that hardly compress.
fn letters(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b'!' + (state >> 40) as u8 % 90
    };
    (0..LINE).map(|_| next()).collect()
}

fn line(seed: u64) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, TIME_NS);
                put_message(out, 5, |out| put_bytes(out, 1, &letters(seed)));
            });
        });
    });
    request
}

fn point() -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, b"level");
                put_message(out, 5, |out| {
                    put_message(out, 1, |out| {
                        put_fixed64(out, 3, TIME_NS);
                        put_fixed64(out, 4, 1.5f64.to_bits());
                    });
                });
            });
        });
    });
    request
}

/// Where the agent listens; it says so when it is up.
fn address(data_dir: &Path, name: &str) -> String {
    for _ in 0..800 {
        if let Ok(text) = std::fs::read_to_string(data_dir.join("addresses.json")) {
            let rest = text.split_once(&format!("\"{name}\":\"")).unwrap().1;
            return rest.split_once('"').unwrap().0.to_owned();
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("the agent did not start");
}

/// Status code, head and body of an answer.
fn ask(address: &str, head: &str, body: &[u8]) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    stream.write_all(&[head.as_bytes(), b"content-type: application/x-protobuf\r\n\r\n", body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (code, head.to_ascii_lowercase(), body.to_owned())
}

/// An OTLP endpoint that takes everything.
fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut writer = stream;
            loop {
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some((name, value)) = line.split_once(':')
                        && name.eq_ignore_ascii_case("content-length")
                    {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                if length == 0 || reader.read_exact(&mut body).is_err() {
                    return;
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
                let _gone = writer.write_all(answer);
            }
        });
    }
}

/// Scenario: lines come in while their destination is away, until the lane is above its high watermark; points go on; then the
/// destination comes back. Guarantees: lines are told to wait before the lane is full, with when to come again, and none of
/// them is taken; other lanes are not held up; status says which lane refuses; once the lane is below its low watermark lines
/// are taken again; everything that was answered is delivered, nothing is lost, and the books balance (P1, P3, P11).
#[test]
fn a_lane_refuses_before_it_is_full_and_takes_again() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    // The port is known, and nobody listens yet.
    let destination = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = configuration(&data_dir, destination);
    // It runs until the test's process ends.
    thread::spawn(move || run(&config));
    let (otlp, admin) = (address(&data_dir, "otlp_http"), address(&data_dir, "admin"));
    let status = || ask(&admin, "GET /status", b"").2;
    let (mut taken, mut refused) = (0, 0);
    while refused < 3 {
        let (code, head, body) = ask(&otlp, "POST /v1/logs", &line(taken + refused));
        match code {
            200 => taken += 1,
            503 => {
                assert!(head.contains("retry-after: 1"), "{head}");
                refused += 1;
            }
            code => panic!("{code}: {body}"),
        }
        assert!(taken * (LINE as u64) < 480 << 10, "{taken} lines taken: the lane is full");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(taken * (LINE as u64) > 200 << 10, "only {taken} lines were taken");
    assert_eq!(ask(&otlp, "POST /v1/metrics", &point()).0, 200);
    let text = status();
    assert!(text.contains("\"watermarks\":[{\"lane\":\"logs\",\"refuses\":true,"), "{text}");
    assert!(text.contains("\"high_bytes\":262144,\"low_bytes\":131072,\"refused_requests\":3}"), "{text}");
    assert!(text.contains("\"refused\":{\"traces\":0,\"logs\":3,\"metrics\":0}"), "{text}");
    let shown = ask(&admin, "GET /status?format=text", b"").2;
    assert!(shown.contains("lane         logs refuses: "), "{shown}");
    let metrics = ask(&admin, "GET /metrics", b"").2;
    assert!(metrics.contains("lightship_lane_refused_requests_total{lane=\"logs\"} 3"), "{metrics}");

    let listener = TcpListener::bind(destination).unwrap();
    thread::spawn(move || serve(&listener));
    let wait = |what: &str, done: &dyn Fn(&str) -> bool| {
        let came = (0..800).any(|_| {
            thread::sleep(Duration::from_millis(25));
            done(&status())
        });
        assert!(came, "{what}: {}", status());
    };
    wait("taken again", &|text| text.contains("\"refuses\":false"));
    assert_eq!(ask(&otlp, "POST /v1/logs", &line(7)).0, 200);
    let delivered = |records: u64| format!("\"queued\":0,\"delivered\":{records},\"rejected\":0,\"lost\":0,");
    let all = [delivered(taken + 1), delivered(1), "\"difference\":0".to_owned()];
    wait("everything is delivered", &|text| all.iter().all(|wanted| text.contains(wanted)));
}
