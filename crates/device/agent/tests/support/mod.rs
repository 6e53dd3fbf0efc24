//! The real program, started for a test and ended with it.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::zombie_processes, reason = "`Agent` waits when it is dropped")]

pub mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::proto::{put_bytes, put_message};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lightship");
/// The header of OTLP over HTTP.
pub const PROTOBUF: &str = "content-type: application/x-protobuf";

pub fn configuration(data_dir: &Path, extra: &str) -> String {
    format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ grpc: '127.0.0.1:0', http: \
         '127.0.0.1:0', lanes: [mission, audit] }}\njournal: {{ commit_delay: 100ms }}\nred: {{ enabled: false }}\ndestinations:\n  - {{ name: \
         hub, type: hub, url: 'http://127.0.0.1:9' }}\nadmin: {{ listen: '127.0.0.1:0' }}\n{extra}",
        data_dir.display()
    )
}

pub struct Agent {
    child: Child,
    pub directory: tempfile::TempDir,
    http: String,
    admin: String,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Agent {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts one whose OTLP source has these further members, and lets producers choose no lane by itself.
    pub fn start_plain(otlp: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("lightship.yaml");
        let text = configuration(&directory.path().join("data"), "");
        std::fs::write(&file, text.replace(", lanes: [mission, audit]", otlp)).unwrap();
        let (child, http, admin) = launch(directory.path());
        Self { child, directory, http, admin }
    }

    /// One that was started already, with its configuration in this directory.
    pub fn of(child: Child, directory: tempfile::TempDir) -> Self {
        let (http, admin) = addresses(directory.path());
        Self { child, directory, http, admin }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn admin(&self) -> &str {
        &self.admin
    }

    pub fn http(&self) -> &str {
        &self.http
    }

    /// Starts one whose configuration has these further lines.
    pub fn start_with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let file = directory.path().join("lightship.yaml");
        std::fs::write(&file, configuration(&data_dir, extra)).unwrap();
        let (child, http, admin) = launch(directory.path());
        Self { child, directory, http, admin }
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self) {
        std::fs::remove_file(self.directory.path().join("data/addresses.json")).unwrap();
        (self.child, self.http, self.admin) = launch(self.directory.path());
    }

    /// Status code and body of a request; the code is 0 when the connection ended without an answer.
    pub fn post(&self, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        // A server that has answered already need not read on.
        let _refused = stream.write_all(body);
        let mut answer = Vec::new();
        let _cut = stream.read_to_end(&mut answer);
        let text = String::from_utf8_lossy(&answer).into_owned();
        let code = text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        (code, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status")).unwrap()
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        let line = text.lines().find(|line| line.starts_with(&format!("lightship_{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Path of its configuration.
    pub fn config(&self) -> String {
        self.directory.path().join("lightship.yaml").to_str().unwrap().to_owned()
    }
}

/// Runs the program with these arguments to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

#[allow(clippy::disallowed_methods, reason = "records of now")]
pub fn now_ns() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

pub fn text_attribute(out: &mut Vec<u8>, number: u32, key: &str, value: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
    });
}

/// A request with these records under `service.name: api`.
pub fn request(records: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 1, |out| text_attribute(out, 1, "service.name", "api"));
        put_message(out, 2, records);
    });
    request
}

fn launch(directory: &Path) -> (Child, String, String) {
    let file = directory.join("lightship.yaml");
    let child = Command::new(PROGRAM).arg("run").arg("--config").arg(file).stderr(Stdio::null()).spawn().unwrap();
    let (http, admin) = addresses(directory);
    (child, http, admin)
}

/// The addresses of HTTP intake and administration, once it listens.
fn addresses(directory: &Path) -> (String, String) {
    for _ in 0..200 {
        if let Ok(text) = std::fs::read_to_string(directory.join("data/addresses.json")) {
            let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
            let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
            return (address("otlp_http"), address("admin"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the agent did not start");
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("not in 10 s: {what}");
}
