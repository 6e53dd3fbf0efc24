//! What a crash leaves.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use crate::run::{KEY, RULES};
use crate::search::{Wanted, files};
use crate::support::{Agent, PROGRAM, PROTOBUF, configuration, now_ns, request};
use crate::values::{Chance, SHAPES, planted};
use model::proto::{put_bytes, put_fixed64, put_message};

/// An agent that may leave core dumps as far as its system is asked; it gets a log line with a value of each shape, and crashes at once. How it
/// ended, all files that it left, and the values.
fn crash(signal: &str, extra: &str) -> (ExitStatus, Vec<(String, Vec<u8>)>, Wanted) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    std::fs::write(&file, configuration(&directory.path().join("data"), &format!("{RULES}{extra}"))).unwrap();
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -c unlimited; exec \"$0\" run --config \"$1\"", PROGRAM]).arg(&file);
    // Where the system's pattern has no directory, a dump is written here.
    command.current_dir(directory.path()).env(KEY.0, KEY.1).stderr(Stdio::from(log));
    let mut agent = Agent::of(command.spawn().unwrap(), directory);
    let (mut chance, mut wanted) = (Chance(11), Wanted::default());
    for round in 0..20 {
        let lines = request(|out| {
            for shape in 0..SHAPES {
                let (text, secrets) = planted(shape, &mut chance);
                secrets.iter().for_each(|secret| {
                    wanted.add(secret.as_bytes(), &format!("round {round}, shape {shape}: {text:?}"));
                });
                put_message(out, 2, |out| {
                    put_fixed64(out, 1, now_ns());
                    put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes()));
                });
            }
        });
        assert_eq!(agent.post("/v1/logs", PROTOBUF, &lines).0, 200);
    }
    let status = agent.crash(signal);
    let mut all = Vec::new();
    files(agent.directory.path(), &mut all);
    (status, all, wanted)
}

/// Scenario: an agent whose system writes core dumps of any size takes in a thousand values, and crashes at once: by an abort, as a panic ends
/// it, and by a bad access. Guarantees: the kernel makes no dump, whatever its pattern says, and no file has a value (P10).
#[test]
fn a_crash_leaves_no_dump() {
    for (signal, number) in [("-ABRT", 6), ("-SEGV", 11)] {
        let (status, all, wanted) = crash(signal, "");
        assert_eq!(status.signal(), Some(number));
        assert!(!status.core_dumped(), "the kernel made a dump");
        assert!(!all.iter().any(|(file, _)| file.rsplit('/').next().unwrap().starts_with("core")));
        let found = wanted.search_all(&all);
        assert!(all.len() > 5 && found.is_empty(), "{found:#?}");
    }
}

/// Scenario: the same where the configuration allows dumps. Guarantees: there is one and the search finds values in it, so that the proof
/// above would tell; the log warns of it.
#[test]
fn a_dump_that_is_allowed_has_values() {
    let (status, all, wanted) = crash("-SEGV", "core_dumps: true\n");
    let log = all.iter().find(|(file, _)| file.ends_with("/log")).map(|(_, content)| String::from_utf8_lossy(content));
    assert!(log.is_some_and(|log| log.contains("core_dumps is true: ")), "no warning");
    if !status.core_dumped() {
        eprintln!("SKIPPED: what is in a core dump: the system makes none (/proc/sys/kernel/core_pattern)");
        return;
    }
    // A pattern may lead elsewhere.
    let dumps = all.into_iter().filter(|(file, _)| file.rsplit('/').next().unwrap().starts_with("core"));
    let dumps: Vec<_> = dumps.collect();
    assert!(dumps.is_empty() || !wanted.search_all(&dumps).is_empty(), "the search is blind");
}
