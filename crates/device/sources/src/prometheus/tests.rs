//! Scrapes of servers that answer as they are told, on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use model::Answer;
use scrape::Job;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::{Intake, Limits, Pending, SourceState};

/// A server that gives the same answer to every request, and keeps what it was asked.
async fn server(answer: Vec<u8>) -> (String, Rc<RefCell<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Rc::new(RefCell::new(String::new()));
    let keep = Rc::clone(&asked);
    tokio::task::spawn_local(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let read = stream.read(&mut head).await.unwrap();
            keep.borrow_mut().push_str(&String::from_utf8_lossy(&head[..read]));
            stream.write_all(&answer).await.unwrap();
        }
    });
    (address, asked)
}

fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn job(address: &str, change: impl FnOnce(&mut ScrapeJob)) -> ScrapeJob {
    let mut job = Job::new("node");
    (job.interval, job.timeout) = (Duration::from_secs(1), Duration::from_secs(1));
    let group = TargetGroup { targets: vec![address.to_owned()], labels: vec![("site".into(), "hull".into())] };
    let mut job = ScrapeJob {
        job,
        groups: vec![group],
        files: Vec::new(),
        read_groups: |text| {
            let targets = text.lines().map(str::to_owned).collect();
            if text == "bad" { Err("it is bad".into()) } else { Ok(vec![TargetGroup { targets, labels: Vec::new() }]) }
        },
        external_labels: Vec::new(),
        target_limit: 0,
        credentials: client::CredentialFiles::default(),
        proxy: None,
        gzip: true,
        follow_redirects: true,
        read: Default::default(),
    };
    change(&mut job);
    job
}

/// A job that runs: what was handed over, and what the source tells of itself.
struct Scraping {
    task: JoinHandle<()>,
    taken: Rc<RefCell<Vec<Vec<u8>>>>,
    state: Rc<SourceState>,
}

impl Scraping {
    fn start(job: ScrapeJob, memory: usize, answer: Answer) -> Self {
        Self::of(memory, answer, |feed, shared| tokio::task::spawn_local(run(job, feed, shared)))
    }

    fn of(memory: usize, answer: Answer, start: impl FnOnce(Feed, ScrapeShared) -> JoinHandle<()>) -> Self {
        let taken = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&taken);
        let intake: Intake = Rc::new(move |request, _, _| {
            keep.borrow_mut().push(request.body);
            Pending::settled(answer.clone())
        });
        let state = SourceState::new("prometheus/node");
        let feed = Feed::new(intake, Limits::new(1, 1, 1), Rc::clone(&state));
        let shared = ScrapeShared {
            memory: ScrapeMemory::new(memory),
            places: Rc::new(tokio::sync::Semaphore::new(1)),
            wall_ns: Rc::new(|| 1_700_000_000_000_000_000),
        };
        Self { task: start(feed, shared), taken, state }
    }

    /// Waits until this is so.
    async fn until(&self, is: impl Fn(&[Vec<u8>], &SourceState) -> bool) {
        let wait = async {
            while !is(&self.taken.borrow(), &self.state) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    }

    fn taken(&self) -> Vec<Vec<u8>> {
        self.taken.borrow().clone()
    }
}

impl Drop for Scraping {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn local<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test)
}

/// The first scrape of a target that answers so.
async fn once(
    answer: Vec<u8>,
    memory: usize,
    change: impl FnOnce(&mut ScrapeJob),
) -> (Vec<Vec<u8>>, Rc<SourceState>, String) {
    let (address, asked) = server(answer).await;
    let scraping = Scraping::start(job(&address, change), memory, Answer::Accepted);
    scraping.until(|taken, _| !taken.is_empty()).await;
    let asked = asked.borrow().clone();
    (scraping.taken(), Rc::clone(&scraping.state), asked)
}

fn has(request: &[u8], text: &str) -> bool {
    request.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Scenario: a target that answers plainly, and one that answers in gzip, with a token from a file. Guarantees: its samples are handed over with
/// its labels; what is asked is what Prometheus asks, with the token.
#[test]
fn targets_are_scraped() {
    local(async {
        let token = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(token.path(), "secret\n").unwrap();
        let file = token.path().to_owned();
        let answer = http("200 OK\r\ncontent-type: text/plain; version=0.0.4", b"a_metric{x=\"y\"} 1\n");
        let (taken, state, asked) = once(answer, 1 << 20, |job| {
            job.credentials.authorization = Some(("Bearer".into(), file));
        })
        .await;
        assert!(has(&taken[0], "a_metric") && has(&taken[0], "hull") && has(&taken[0], "up"), "{:?}", state.errors());
        assert!(state.records() >= 6);
        for header in [
            "GET /metrics HTTP/1.1\r\n",
            "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,",
            "accept-encoding: gzip\r\n",
            "x-prometheus-scrape-timeout-seconds: 1\r\n",
            "authorization: Bearer secret\r\n",
        ] {
            assert!(asked.contains(header), "{asked}");
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all("# TYPE big gauge\n".as_bytes()).unwrap();
        (0..5000).for_each(|number| writeln!(gzip, "big{{n=\"{number}\"}} {number}").unwrap());
        let answer = http("200 OK\r\ncontent-type: text/plain\r\ncontent-encoding: gzip", &gzip.finish().unwrap());
        let (taken, state, _) = once(answer.clone(), 4 << 20, |_| ()).await;
        assert!(has(&taken[0], "4999"), "{:?}", state.errors());
        let (taken, state, _) = once(answer, 64 << 10, |_| ()).await;
        assert!(!has(&taken[0], "4999") && state.errors()[0].reason == "no_room", "{:?}", state.errors());
    });
}

/// Scenario: a target that is not there, says 404, answers a page, sends on to itself, is cut off, does not answer in time, has a bad line.
/// Guarantees: `up` is handed over each time, and status tells the reason and the target's own words.
#[test]
fn what_fails_is_told() {
    local(async {
        let text = "200 OK\r\ncontent-type: text/plain";
        for (answer, reason, says) in [
            (http("404 Not Found", b"no"), "http_status", "server returned HTTP status 404 Not Found"),
            (http("200 OK\r\ncontent-type: text/html", b"<html>"), "content_type", "'text/html'"),
            (http("302 Found\r\nlocation: /metrics", b""), "http_status", "from one path to the next"),
            (http("302 Found\r\nlocation: http://other.example/", b""), "http_status", "302"),
            (http(text, b"a 1\nb c\n"), "bad_exposition", "line 2: 'c' is no number"),
            (http(&format!("{text}\r\ncontent-encoding: br"), b"x"), "content_encoding", "'br'"),
            (http(&format!("{text}\r\ncontent-encoding: gzip"), b"a 1\n"), "undecodable", ""),
            (
                b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100\r\n\r\na 1\n".to_vec(),
                "cut_off",
                "",
            ),
        ] {
            let (taken, state, _) = once(answer, 1 << 20, |_| ()).await;
            let errors = state.errors();
            assert_eq!((errors[0].reason, errors.len()), (reason, 1), "{errors:?}");
            assert!(errors[0].last.contains(says) && errors[0].last.starts_with("http://127.0.0.1:"), "{errors:?}");
            assert!(has(&taken[0], "up") && has(&taken[0], "service.instance.id"));
        }
        let nobody = Scraping::start(job("127.0.0.1:1", |_| ()), 1 << 20, Answer::Accepted);
        nobody.until(|taken, _| !taken.is_empty()).await;
        assert_eq!(nobody.state.errors()[0].reason, "unreachable");
    });
}

/// Scenario: the agent is full. Guarantees: what was scraped is left out and counted, nothing piles up (P9).
#[test]
fn pressure_leaves_rounds_out() {
    local(async {
        let (address, _) = server(http("200 OK\r\ncontent-type: text/plain", b"a 1\n")).await;
        let full = Answer::Wait(Duration::from_secs(1));
        let scraping = Scraping::start(job(&address, |_| ()), 1 << 20, full);
        scraping.until(|_, state| state.kinds() > 0).await;
        assert_eq!((scraping.state.records(), scraping.state.errors()[0].reason), (0, "refused"));
    });
}

/// Scenario: targets in files that appear, cannot be read, and go. Guarantees: what is there is scraped; a file that is bad keeps its targets; one
/// that is gone ends them, and their series are marked.
#[test]
fn files_of_targets_are_followed() {
    local(async {
        let (address, _) = server(http("200 OK\r\ncontent-type: text/plain", b"a 1\n")).await;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("one.targets");
        std::fs::write(&file, &address).unwrap();
        let job = job("", |job| {
            job.groups.clear();
            let files = vec![directory.path().join("*.targets")];
            job.files = vec![FileGroups { files, refresh: Duration::from_secs(1) }];
        });
        let scraping = Scraping::start(job, 1 << 20, Answer::Accepted);
        scraping.until(|taken, _| !taken.is_empty()).await;
        std::fs::write(&file, "bad").unwrap();
        scraping.until(|_, state| state.kinds() > 0).await;
        assert_eq!(scraping.state.errors()[0].reason, "target_file");
        let before = scraping.taken().len();
        scraping.until(|taken, _| taken.len() > before).await;
        std::fs::remove_file(&file).unwrap();
        // The flag of points that have no value.
        scraping.until(|taken, _| taken.last().is_some_and(|last| has(last, "\x40\x01"))).await;
    });
}

/// Scenario: a directory with a good file, a bad one and one of another kind; the good one becomes bad. Guarantees: good files are taken with
/// the time of their change, bad ones are told by name and line and end their series, `node_textfile_scrape_error` says so.
#[test]
fn text_files_are_read() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let good = directory.path().join("good.prom");
        std::fs::write(&good, "backup_age_seconds 5\n").unwrap();
        std::fs::write(directory.path().join("other.txt"), "foreign 1\n").unwrap();
        let files = TextFiles {
            directory: directory.path().to_owned(),
            interval: Duration::from_millis(100),
            instance: "gw".into(),
            max_file: 1 << 20,
        };
        let start = |feed, shared| tokio::task::spawn_local(run_text_files(files, feed, shared));
        let reading = Scraping::of(1 << 20, Answer::Accepted, start);
        reading.until(|taken, _| taken.len() >= 2).await;
        let taken = reading.taken();
        assert!(has(&taken[0], "backup_age_seconds") && !has(&taken[0], "scrape_duration"));
        assert!(has(&taken[1], "node_textfile_mtime_seconds") && has(&taken[1], "good.prom"));
        std::fs::write(&good, "backup_age_seconds five\n").unwrap();
        reading.until(|taken, _| taken.iter().any(|one| has(one, "backup_age") && has(one, "\x40\x01"))).await;
        let errors = reading.state.errors();
        assert!(errors[0].last.ends_with("good.prom: line 1: 'five' is no number"), "{errors:?}");
        assert!(!reading.taken().iter().any(|one| has(one, "foreign")));
    });
}
