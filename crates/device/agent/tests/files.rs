//! Log files through rotation of every kind, and an agent that is killed again and again while it reads them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{Agent, run, wait_until};

const KILLS: u32 = 8;
/// Lines between two rotations.
const EACH: u32 = 400;

/// A program that writes numbered lines, and rotates them in another way each time.
struct Program {
    stop: Arc<AtomicBool>,
    /// Whether a rotation is allowed: while the agent is down there is one at most.
    may_rotate: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

/// What of every fourth line a trace would have to say: it follows a trace that no span comes of.
fn line(number: u32) -> String {
    match number % 4 {
        0 => format!(
            "{{\"level\":\"WARN\",\"trace_id\":\"{:032x}\",\"msg\":\"line {number}\"}}",
            u128::from(number / 8 + 1)
        ),
        1 => format!("{{\"level\":\"info\",\"msg\":\"line {number}\"}}"),
        _ => format!("line {number}"),
    }
}

fn gzip(from: &Path) {
    let to = PathBuf::from(format!("{}.gz", from.display()));
    let mut encoder = flate2::write::GzEncoder::new(File::create(to).unwrap(), flate2::Compression::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(from).unwrap();
}

fn rotate(path: &Path, number: u32) {
    let rotated = PathBuf::from(format!("{}.{number}", path.display()));
    match number % 4 {
        0 | 1 => fs::rename(path, &rotated).unwrap(),
        _ => {
            fs::copy(path, &rotated).unwrap();
            OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
        }
    }
    if number % 2 == 1 {
        gzip(&rotated);
    }
}

impl Program {
    fn start(path: PathBuf) -> Self {
        let (stop, may_rotate) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (stopped, allowed) = (Arc::clone(&stop), Arc::clone(&may_rotate));
        let thread = std::thread::spawn(move || {
            let (mut number, mut rotations, mut since) = (0, 0, 0);
            while !stopped.load(Ordering::Relaxed) {
                let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
                for _ in 0..10 {
                    writeln!(file, "{}", line(number)).unwrap();
                    number += 1;
                }
                drop(file);
                std::thread::sleep(Duration::from_millis(15));
                since += 10;
                if since >= EACH && allowed.swap(false, Ordering::Relaxed) {
                    (since, rotations) = (0, rotations + 1);
                    rotate(&path, rotations);
                }
            }
            number
        });
        Self { stop, may_rotate, thread }
    }

    fn allow(&self) {
        self.may_rotate.store(true, Ordering::Relaxed);
    }

    /// How many lines it wrote.
    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// How often each line is in the journal.
fn delivered(agent: &Agent) -> BTreeMap<u32, u32> {
    let to = agent.directory.path().join("exported");
    let output =
        run(&["journal", "export", "--config", &agent.config(), "--to", to.to_str().unwrap(), "--form", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&to).unwrap() {
        for text in fs::read_to_string(entry.unwrap().path()).unwrap().split("\"line ").skip(1) {
            let number = text.split('"').next().unwrap().parse::<u32>().unwrap();
            *found.entry(number).or_default() += 1;
        }
    }
    found
}

fn drill(recorder: &str) {
    let logs = tempfile::tempdir().unwrap();
    let extra = format!("{recorder}sampling: {{ decision_wait: 400ms }}\n");
    let mut agent = Agent::start_delivering(&["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".into()], &extra);
    agent.kill();
    let config = fs::read_to_string(agent.config()).unwrap();
    let files = format!("sources:\n  files: [{{ name: app, include: ['{}/app.log*'] }}]\n", logs.path().display());
    fs::write(agent.config(), config.replace("sources:\n", &files)).unwrap();
    // The first start of this source finds nothing: everything comes later.
    agent.restart_logged();
    let has_looked = |agent: &Agent| agent.status()["sources"][0]["lag_bytes"].is_u64();
    wait_until("the source runs", || has_looked(&agent));
    let program = Program::start(logs.path().join("app.log"));
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(700 + u64::from(kill) * 137));
        agent.kill();
        agent.restart_logged();
        // What is written, rotated and compressed while nobody looks at all is not known by its name.
        wait_until("the source runs", || has_looked(&agent));
        program.allow();
        std::thread::sleep(Duration::from_millis(700));
        program.allow();
    }
    let written = program.end();
    wait_until("everything is read and decided", || {
        let status = agent.status();
        let pending = &status["ledger"]["pending"];
        status["sources"][0]["lag_bytes"] == 0 && pending["logs"] == 0 && {
            std::thread::sleep(Duration::from_millis(1500));
            agent.status()["ledger"]["pending"]["logs"] == 0
        }
    });
    let status = agent.status();
    assert!(agent.terminate().success(), "{}", agent.log());
    let found = delivered(&agent);
    let missing: Vec<u32> = (0..written).filter(|number| !found.contains_key(number)).collect();
    let twice: Vec<u32> = found.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
    assert!(
        missing.is_empty() && twice.is_empty(),
        "{written} lines, missing {missing:?}, twice {twice:?}; {status}\n{}",
        agent.log()
    );
}

/// Scenario: a program writes thousands of numbered lines, some of them of traces, and rotates them by renaming, by copying and truncating,
/// with and without compressing; the agent is killed again and again. Guarantees: each line is in the journal once, also those that
/// waited for their trace in memory only (P1).
#[test]
fn no_line_is_lost_or_doubled_by_kills_with_the_recorder_in_memory() {
    drill("");
}

/// Scenario: the same with the recorder in files. Guarantees: the same.
#[test]
fn no_line_is_lost_or_doubled_by_kills_with_the_recorder_in_files() {
    drill("recorder: { files: 8MiB }\n");
}
