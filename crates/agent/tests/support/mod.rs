//! The real program, started for a test and ended with it.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]
#![allow(clippy::zombie_processes, reason = "`Agent` waits when it is dropped")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_lightship");
/// The header of OTLP over HTTP.
pub const PROTOBUF: &str = "content-type: application/x-protobuf";

pub fn configuration(data_dir: &Path, extra: &str) -> String {
    format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ grpc: '127.0.0.1:0', http: \
         '127.0.0.1:0' }}\njournal: {{ commit_delay: 100ms }}\nred: {{ enabled: false }}\ndestinations:\n  - {{ name: \
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

    /// Starts one whose configuration has these further lines.
    pub fn start_with(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let file = directory.path().join("lightship.yaml");
        std::fs::write(&file, configuration(&data_dir, extra)).unwrap();
        let child = Command::new(PROGRAM).arg("run").arg("--config").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        let addresses = data_dir.join("addresses.json");
        for _ in 0..200 {
            if let Ok(text) = std::fs::read_to_string(&addresses) {
                let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
                let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
                return Self { child, directory, http: address("otlp_http"), admin: address("admin") };
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the agent did not start");
    }

    /// Status code and body of a request; the code is 0 when the connection ended without an answer.
    pub fn post(&self, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n\r\n",
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
        write!(stream, "GET {path} HTTP/1.0\r\nhost: x\r\n\r\n").unwrap();
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
