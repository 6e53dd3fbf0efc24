//! A real program on loopback, for as long as a test runs.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sinks::Access;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The running program; it ends with this.
pub(crate) struct Backend {
    name: String,
    child: Child,
    directory: TempDir,
    ready: &'static str,
    port: u16,
}

/// Runs a test on one thread.
pub(crate) fn local(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Where the build script left a program.
pub(crate) fn program(name: &str) -> PathBuf {
    let script = format!("{}/../../../tests/backends/build-{name}.sh", env!("CARGO_MANIFEST_DIR"));
    let found = Command::new(script).arg("--cached").output().unwrap();
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    PathBuf::from(String::from_utf8(found.stdout).unwrap().trim())
}

impl Backend {
    /// Starts a program with the arguments that `arguments` makes of its directory and port.
    pub(crate) fn start(
        name: &str,
        program_name: &str,
        directory: TempDir,
        ready: &'static str,
        arguments: impl FnOnce(&str, u16) -> Vec<String>,
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program(program_name))
            .args(arguments(directory.path().to_str().unwrap(), port))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { name: name.to_owned(), child, directory, ready, port }
    }

    /// Waits until it answers.
    pub(crate) async fn ready(&self) {
        for _ in 0..600 {
            if self.get(self.ready).await.is_some_and(|(status, _)| status == 200) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
        panic!("{} does not start: {log}", self.name);
    }

    /// How a sink reaches it, under a path.
    #[allow(dead_code, reason = "brokers are not reached over HTTP")]
    pub(crate) fn access(&self, path: &str) -> Access {
        let endpoint = format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap();
        Access {
            endpoint,
            credentials: Default::default(),
            route: Default::default(),
            timeout: Duration::from_secs(20),
        }
    }

    /// What it answers as JSON.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Status and body of a GET; `None` where nobody answers.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        // In version 1.0 the body ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

/// Bytes of base64.
pub(crate) fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}
