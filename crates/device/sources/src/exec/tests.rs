//! Programs as they come: shells that write, complain, fail, hang and leave others behind.

use std::cell::RefCell;
use std::time::Duration;

use tail::{Cutter, Encoding, Format};

use super::*;
use crate::{Answer, Intake, Limits, Pending, SourceError, SourceState};

/// What a program came to.
struct Ran {
    state: Rc<SourceState>,
    bodies: Vec<u8>,
}

impl Ran {
    fn has(&self, text: &str) -> bool {
        self.bodies.windows(text.len()).any(|part| part == text.as_bytes())
    }

    fn error(&self, reason: &str) -> Option<SourceError> {
        self.state.errors().into_iter().find(|error| error.reason == reason)
    }
}

fn lines() -> ExecOutput {
    ExecOutput::Lines(Box::new(LineSettings {
        cutter: Cutter::new(Format::Plain, None, Encoding::Utf8, 1000),
        format: Format::Plain,
        flush_after: Duration::from_secs(1),
        resource: Vec::new(),
        attributes: Vec::new(),
    }))
}

fn settings(script: &str, output: ExecOutput, interval: Option<u64>) -> ExecSettings {
    ExecSettings {
        name: "test".into(),
        command: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        interval: interval.map(Duration::from_secs),
        timeout: Duration::from_millis(500),
        output,
        max_output: 4096,
        environment: vec![("WHO".into(), "me".into())],
        directory: "/".into(),
    }
}

/// Runs a program until this holds.
fn run_until(settings: ExecSettings, mut holds: impl FnMut(&Ran) -> bool) -> Ran {
    let state = SourceState::new(settings.shown());
    let taken: Rc<RefCell<Vec<u8>>> = Rc::default();
    let bodies = Rc::clone(&taken);
    let intake: Intake = Rc::new(move |request, _, _| {
        bodies.borrow_mut().extend_from_slice(&request.body);
        Pending::settled(Answer::Accepted)
    });
    let feed = Feed::new(intake, Limits::new(1, 1, 1), Rc::clone(&state));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let task = tokio::task::spawn_local(run(settings, feed, Rc::new(|| 1_700_000_000_000_000_000)));
        for _ in 0..1000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let ran = Ran { state: Rc::clone(&state), bodies: taken.borrow().clone() };
            if holds(&ran) {
                task.abort();
                // What it held is let go.
                let _ended = task.await;
                return ran;
            }
        }
        panic!("not in 10 s: {:?}", state.errors());
    })
}

/// Scenario: a program that writes lines, complains and fails. Guarantees: its lines come, its last words and its exit status are told, and of
/// the agent's environment it sees nothing (P1).
#[test]
fn lines_words_and_exit_status_are_told() {
    let script = "echo \"who=$WHO cargo=[$CARGO_MANIFEST_DIR]\"; echo first >&2; echo 'disk is on fire' >&2; exit 3";
    let ran = run_until(settings(script, lines(), Some(60)), |ran| ran.error("exit_other").is_some());
    assert!(ran.has("who=me cargo=[]"));
    assert_eq!(ran.state.records(), 1);
    assert_eq!(ran.error("exit_other").unwrap().last, "it ended with exit status 3: disk is on fire");
    assert_eq!(ran.error("stderr").unwrap().count, 2);
}

/// Scenario: a program that hangs, one that is not there, one that is killed. Guarantees: each is counted by its reason, and what hangs is ended
/// with what it started.
#[test]
fn what_hangs_is_ended_with_what_it_started() {
    let ran =
        run_until(settings("sleep 1000 & echo $!; wait", lines(), Some(60)), |ran| ran.error("timeout").is_some());
    let body = String::from_utf8_lossy(&ran.bodies).into_owned();
    let pid: u32 = body.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).max().unwrap();
    let is_gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(
        (0..100).any(|_| is_gone() || {
            std::thread::sleep(Duration::from_millis(20));
            false
        }),
        "{pid} runs on"
    );
    let mut nothing = settings("", lines(), None);
    nothing.command = vec!["/not/there".into()];
    let ran = run_until(nothing, |ran| ran.error("start").is_some());
    assert!(ran.error("start").unwrap().last.contains("/not/there cannot be run"));
    let ran = run_until(settings("kill -9 $$", lines(), Some(60)), |ran| ran.error("killed").is_some());
    assert!(ran.error("killed").unwrap().last.contains("signal 9"));
}

/// Scenario: a program that is kept running and ends, and one that runs when its source ends. Guarantees: the first is started again and
/// that is told; the second ends with its source.
#[test]
fn what_is_kept_running_is_started_again() {
    let ran = run_until(settings("echo once", lines(), None), |ran| ran.state.records() >= 2);
    assert!(ran.error("ended").unwrap().count >= 1);
    let ran = run_until(settings("echo $$; exec sleep 1000", lines(), None), |ran| ran.state.records() == 1);
    let body = String::from_utf8_lossy(&ran.bodies).into_owned();
    let pid: u32 = body.split(|c: char| !c.is_ascii_digit()).filter_map(|text| text.parse().ok()).max().unwrap();
    let is_gone = || std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "));
    assert!(
        (0..100).any(|_| is_gone() || {
            std::thread::sleep(Duration::from_millis(20));
            false
        }),
        "{pid} runs on"
    );
}

/// Scenario: expositions of a program that is kept running, one that is none, one that is too large; then it ends. Guarantees: samples come
/// with the program as job, what cannot be taken is told, and its series end with it.
#[test]
fn expositions_are_taken() {
    let script = "printf '# TYPE fuel gauge\\nfuel{tank=\"a\"} 7\\n# EOF\\n'; printf 'fuel{ 1\\n# EOF\\n'; \
                  head -c 9000 /dev/zero | tr '\\0' '#' | fold -w 100; printf '\\n# EOF\\nlast 1\\n'";
    let output = ExecOutput::Prometheus { instance: "device-1".into() };
    let ran = run_until(settings(script, output, None), |ran| ran.error("ended").is_some() && ran.has("last"));
    for text in ["fuel", "tank", "service.name", "test", "device-1"] {
        assert!(ran.has(text), "{text}");
    }
    assert!(ran.error("bad_output").is_some() && ran.error("too_large").is_some());
}

/// Scenario: OTLP of every signal in JSON lines, an empty line, one that is none, one that is too long. Guarantees: records are taken and
/// counted, and the rest is told line by line (P1).
#[test]
fn otlp_lines_are_taken() {
    let script = r#"
        echo '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}},{"body":{"stringValue":"again"}}]}]}]}'
        echo '{ "resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"n","gauge":{"dataPoints":[{"timeUnixNano":"1","asInt":"3"}]}}]}]}]}'
        echo
        echo 'not json'
        echo '{"resourceLogs":[{"scopeLogs":7}]}'
        head -c 9000 /dev/zero | tr '\0' 'x'
        echo"#;
    let output = || ExecOutput::OtlpJson;
    let ran = run_until(settings(script, output(), Some(60)), |ran| ran.error("too_large").is_some());
    assert_eq!(ran.state.records(), 3);
    assert!(ran.has("hello") && ran.has("again"));
    assert_eq!((ran.error("bad_output").unwrap().count, ran.error("too_large").unwrap().count), (2, 1));
}
