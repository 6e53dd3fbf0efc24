//! A server that records what the agent sends to it and answers as a test says, and agents that deliver to one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Agent, PROGRAM, wait_until};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    /// The request's first line and its headers.
    pub head: String,
    pub body: Vec<u8>,
}

/// What a request is answered: status, further header lines (each ended), body. Without a status the connection ends.
pub type Reply = (u16, String, Vec<u8>);

type Answer = Arc<Mutex<Box<dyn FnMut(&Seen) -> Reply + Send>>>;

pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Answer,
}

impl Server {
    pub fn start(answer: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, seen: Arc::default(), answer: Arc::new(Mutex::new(Box::new(answer))) };
        let (seen, answer) = (Arc::clone(&server.seen), Arc::clone(&server.answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &answer));
            }
        });
        server
    }

    /// Answers otherwise from now on.
    pub fn answer(&self, answer: impl FnMut(&Seen) -> Reply + Send + 'static) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    /// What came so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Seen>>, answer: &Answer) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    loop {
        let (mut line, mut path, mut head, mut length) = (String::new(), String::new(), String::new(), 0);
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            } else if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            head.push_str(&line);
            line.clear();
        }
        let mut body = vec![0; length];
        if path.is_empty() || reader.read_exact(&mut body).is_err() {
            return;
        }
        let request = Seen { path, head, body };
        let (status, headers, body) = (answer.lock().unwrap())(&request);
        seen.lock().unwrap().push(request);
        if status == 0 {
            return;
        }
        let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let _gone = writer.write_all(&[head.as_bytes(), &body].concat());
    }
}

impl Agent {
    /// Starts one that delivers to these destinations (one flow mapping each), with these further lines. What it logs goes to a
    /// file.
    pub fn start_delivering(destinations: &[String], extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\nsources:\n  otlp: {{ grpc: '127.0.0.1:0', http: \
             '127.0.0.1:0' }}\njournal: {{ commit_delay: 100ms }}\nred: {{ enabled: false }}\ndestinations:\n  - {}\nadmin: \
             {{ listen: '127.0.0.1:0' }}\n{extra}",
            directory.path().join("data").display(),
            destinations.join("\n  - ")
        );
        std::fs::write(directory.path().join("lightship.yaml"), text).unwrap();
        let (child, http, admin) = Self::launch_logged(directory.path());
        Self { child, directory, http, admin }
    }

    fn launch_logged(directory: &std::path::Path) -> (std::process::Child, String, String) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(directory.join("lightship.yaml")).stderr(Stdio::from(log));
        let child = command.spawn().unwrap();
        let mut addresses = serde_json::Value::Null;
        wait_until("the agent starts", || {
            let text = std::fs::read_to_string(directory.join("data/addresses.json")).unwrap_or_default();
            addresses = serde_json::from_str(&text).unwrap_or_default();
            !addresses.is_null()
        });
        let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
        (child, address("otlp_http"), address("admin"))
    }

    /// Starts it again on the same data, and goes on with its log.
    pub fn restart_logged(&mut self) {
        // After a kill it is still there.
        let _gone = std::fs::remove_file(self.directory.path().join("data/addresses.json"));
        (self.child, self.http, self.admin) = Self::launch_logged(self.directory.path());
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Ends it by this signal, as a fault in it would. What watches the stack in the program takes the first SIGSEGV for one of its own, and
    /// waits for the instruction to fail again: then it comes again.
    pub fn crash(&mut self, signal: &str) -> ExitStatus {
        for _ in 0..10 {
            let told = Command::new("kill").arg(signal).arg(self.child.id().to_string()).status().unwrap();
            assert!(told.success());
            for _ in 0..40 {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("{signal} does not end it");
    }

    /// Ends it in good order.
    pub fn terminate(&mut self) -> ExitStatus {
        let told = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(told.success());
        for _ in 0..400 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not end");
    }
}
