//! The assembled agent on a disk that stalls.
#![allow(clippy::disallowed_methods, reason = "how long an answer takes is what is measured")]

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use disk::{Disk, RealDisk};
use model::proto::{put_bytes, put_fixed64, put_message};

use crate::memory::ProgramPages;
use crate::run::{SOCKET, main};

/// How long the disk stalls.
const STALL: Duration = Duration::from_secs(5);
/// An answer that took longer waited for something. A machine that builds other things meanwhile needs some slack.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A real disk whose next sync, once it is told so, takes its time.
struct Stalling {
    disk: RealDisk,
    next: Arc<AtomicBool>,
    stalls: Arc<AtomicBool>,
}

impl Stalling {
    fn wait(&self) {
        if self.next.swap(false, Ordering::SeqCst) {
            self.stalls.store(true, Ordering::SeqCst);
            thread::sleep(STALL);
            self.stalls.store(false, Ordering::SeqCst);
        }
    }
}

impl Disk for Stalling {
    type File = <RealDisk as Disk>::File;

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn create(&self, path: &str, len: u64) -> io::Result<Self::File> {
        self.disk.create(path, len)
    }

    fn open(&self, path: &str) -> io::Result<Self::File> {
        self.disk.open(path)
    }

    fn open_settled(&self, path: &str) -> io::Result<Self::File> {
        self.disk.open_settled(path)
    }

    fn len(&self, file: &Self::File) -> io::Result<u64> {
        self.disk.len(file)
    }

    fn set_len(&self, file: &Self::File, len: u64) -> io::Result<()> {
        self.disk.set_len(file, len)
    }

    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, offset, buffer)
    }

    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.write_at(file, offset, bytes)
    }

    fn sync_data(&self, file: &Self::File) -> io::Result<()> {
        self.wait();
        self.disk.sync_data(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }

    fn is_there(&self, path: &str, file: &Self::File) -> io::Result<bool> {
        self.disk.is_there(path, file)
    }

    fn lock(&self, path: &str) -> io::Result<Self::File> {
        self.disk.lock(path)
    }
}

fn configuration(data_dir: &Path) -> config::Config {
    let text = format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ http: '127.0.0.1:0', ack: received }}\n\
         journal: {{ commit_delay: 100ms }}\nred: {{ enabled: false }}\ndestinations:\n  - {{ name: hub, type: hub, url: \
         'http://127.0.0.1:9' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n",
        data_dir.display()
    );
    config::parse(&text).unwrap()
}

/// A request with one line that has no trace: it goes on to the journal at once.
fn line() -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_fixed64(out, 1, 1_760_000_000_000_000_000);
                put_message(out, 5, |out| put_bytes(out, 1, b"a line"));
            });
        });
    });
    request
}

/// Where an agent listens: OTLP over HTTP, admin.
fn addresses(data_dir: &Path) -> (String, String) {
    for _ in 0..400 {
        if let Ok(text) = std::fs::read_to_string(data_dir.join("addresses.json")) {
            let field = |name: &str| {
                let rest = text.split_once(&format!("\"{name}\":\"")).unwrap().1;
                rest.split_once('"').unwrap().0.to_owned()
            };
            return (field("otlp_http"), field("admin"));
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("the agent did not start");
}

/// The status code and body of an answer, and how long it took.
fn ask(mut stream: impl Read + Write, head: &str, body: &[u8]) -> (u16, String, Duration) {
    let began = Instant::now();
    write!(stream, "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n", body.len())
        .unwrap();
    stream.write_all(b"content-type: application/x-protobuf\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    (code, text.split_once("\r\n\r\n").unwrap().1.to_owned(), began.elapsed())
}

/// Scenario: at acknowledgement level `received`, a sync takes five seconds while requests come and health is asked for.
/// Guarantees: no request waits for its answer, nor does `/healthz`, `/readyz` or the status on the socket; the status says
/// that the disk stalls and shows what was known before; afterwards everything that was answered is committed (P1, P2).
#[test]
fn a_disk_that_stalls_delays_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let config = configuration(&data_dir);
    let (next, stalls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (for_next, for_stalls) = (Arc::clone(&next), Arc::clone(&stalls));
    // It runs until the test's process ends.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
        let disk = |path: &Path| Ok(Stalling { disk: RealDisk::new(path)?, next: for_next, stalls: for_stalls });
        let ended = tokio::task::LocalSet::new().block_on(&runtime, main(&config, ProgramPages::find(), None, disk));
        panic!("the agent ended: {ended:?}");
    });
    let (otlp, admin) = addresses(&data_dir);
    let send = || ask(TcpStream::connect(&otlp).unwrap(), "POST /v1/logs", &line());
    let health = |path: &str| ask(TcpStream::connect(&admin).unwrap(), &format!("GET {path}"), b"");
    let status = || ask(UnixStream::connect(data_dir.join(SOCKET)).unwrap(), "GET /status", b"");
    let field = |text: &str, name: &str| {
        let rest = text.split_once(&format!("\"{name}\":\"")).unwrap().1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let epoch = field(&status().1, "epoch");

    next.store(true, Ordering::SeqCst);
    let answered = Cell::new(0u64);
    let took = |what: &str, (code, text, time): (u16, String, Duration)| {
        assert_eq!(code, 200, "{what}: {text}");
        assert!(time < AT_ONCE, "{what} took {time:?} while the disk stalled");
        text
    };
    let request = || {
        took("a request", send());
        answered.set(answered.get() + 1);
    };
    while !stalls.load(Ordering::SeqCst) {
        request();
        thread::sleep(Duration::from_millis(10));
    }
    let mut rounds = 0;
    while stalls.load(Ordering::SeqCst) {
        request();
        took("/healthz", health("/healthz"));
        took("/readyz", health("/readyz"));
        let text = took("the status", status());
        if stalls.load(Ordering::SeqCst) {
            assert!(text.contains("the disk stalls"), "{text}");
            assert_eq!(field(&text, "epoch"), epoch);
        }
        rounds += 1;
    }
    assert!(rounds >= 4, "{rounds}");

    let all = answered.get();
    let routed = format!("\"routed\":{{\"traces\":0,\"logs\":{all},");
    let committed = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(50));
        let text = status().1;
        // A destination may still wait after what it was told then.
        text.contains(&routed) && text.contains("\"difference\":0") && text.contains("\"error\":\"\"")
    });
    assert!(committed, "{}", status().1);
}
