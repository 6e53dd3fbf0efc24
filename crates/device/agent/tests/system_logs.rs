//! Logs of the system, through the real agent into its journal: syslog of programs that others wrote, the kernel's log, the journal of systemd.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use support::{Agent, now_ns, run, wait_until};

fn start(sources: &str, extra: &str) -> Agent {
    let hub = ["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".to_owned()];
    let mut agent = Agent::start_delivering(&hub, extra);
    agent.kill();
    let config = fs::read_to_string(agent.config()).unwrap();
    fs::write(agent.config(), config.replace("sources:\n", &format!("sources:\n{sources}"))).unwrap();
    agent.restart_logged();
    agent
}

fn address(agent: &Agent, name: &str) -> (String, String) {
    let text = fs::read_to_string(agent.directory.path().join("data/addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (host, port) = addresses[name].as_str().unwrap().rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

fn found(agent: &Agent, filter: &str) -> Vec<serde_json::Value> {
    let output = run(&["query", "--config", &agent.config(), "-o", "ndjson", filter]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn source(status: &serde_json::Value, name: &str) -> serde_json::Value {
    let all = status["sources"].as_array().unwrap();
    all.iter().find(|source| source["name"] == name).unwrap_or_else(|| panic!("{name} in {status}")).clone()
}

fn errors(status: &serde_json::Value, name: &str) -> BTreeMap<String, u64> {
    let source = source(status, name);
    let all = source["errors"].as_array().unwrap().iter();
    all.map(|error| (error["reason"].as_str().unwrap().to_owned(), error["count"].as_u64().unwrap())).collect()
}

/// Runs a program that others wrote; false, said loudly, where this machine has it not.
fn runs(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => true,
        other => {
            eprintln!("SKIPPED: {program} does not run here: {other:?}");
            false
        }
    }
}

/// Scenario: `logger` of util-linux in both forms over UDP and TCP, Python's `SysLogHandler`, a message that is too long, one that is none,
/// more connections than allowed. Guarantees: level, program, process and text are the sender's, and what is cut or refused is counted (P1).
#[test]
fn syslog_of_others_is_taken_in() {
    let sources = "  syslog: { udp: '127.0.0.1:0', tcp: '127.0.0.1:0', max_message: 1KiB, connections: 2 }\n";
    let agent = start(sources, "");
    let ((host, udp), (_, tcp)) = (address(&agent, "syslog_udp"), address(&agent, "syslog_tcp"));
    let mut expected = 0;
    for (form, transport, port) in [
        ("--rfc5424", "--udp", &udp),
        ("--rfc3164", "--udp", &udp),
        ("--rfc5424", "--tcp", &tcp),
        ("--rfc3164", "--tcp", &tcp),
    ] {
        let text = format!("pump {form} {transport}");
        let arguments = [
            "--server",
            &host,
            "--port",
            port,
            transport,
            form,
            "--priority",
            "daemon.err",
            "--tag",
            "pump",
            "--id=77",
            &text,
        ];
        expected += u64::from(runs("logger", &arguments));
        let counted = ["--octet-count"].iter().chain(&arguments).copied().collect::<Vec<_>>();
        expected += u64::from(transport == "--tcp" && runs("logger", &counted));
    }
    let python = format!(
        "import logging, logging.handlers, socket\n\
         for address, kind in ((('{host}', {udp}), socket.SOCK_DGRAM),):\n\
         \x20   handler = logging.handlers.SysLogHandler(address, facility='local3', socktype=kind)\n\
         \x20   handler.ident = 'engine: '\n\
         \x20   log = logging.getLogger('x'); log.addHandler(handler); log.warning('oil at %s', 91)\n"
    );
    let has_python = runs("python3", &["-c", &python]);
    let all = |agent: &Agent| {
        let status = agent.status();
        ["syslog/udp", "syslog/tcp"].map(|name| source(&status, name)["records"].as_u64().unwrap()).iter().sum::<u64>()
    };
    wait_until("all came", || all(&agent) == expected + u64::from(has_python));
    wait_until("all are in the journal", || found(&agent, "service=pump").len() as u64 == expected);
    for record in found(&agent, "service=pump") {
        let text = record.to_string();
        assert!(record["body"].as_str().unwrap().starts_with("pump --rfc"), "{text}");
        assert!(text.contains("\"77\"") && text.contains("err") && text.contains("syslog.facility.code"), "{text}");
    }
    if has_python {
        wait_until("python's", || found(&agent, "service=engine level=warn").len() == 1);
    }

    let mut stream = TcpStream::connect((host.as_str(), tcp.parse().unwrap())).unwrap();
    stream
        .write_all(
            format!("<14>1 - - long - - - {}\nno priority\n<14>1 - - last - - - x\n", "y".repeat(3000)).as_bytes(),
        )
        .unwrap();
    let _second = TcpStream::connect((host.as_str(), tcp.parse().unwrap())).unwrap();
    wait_until("the third is refused", || {
        let _third = TcpStream::connect((host.as_str(), tcp.parse().unwrap())).unwrap();
        errors(&agent.status(), "syslog/tcp").contains_key("too_many_connections")
    });
    wait_until("the last one is there", || found(&agent, "service=last").len() == 1);
    let told = errors(&agent.status(), "syslog/tcp");
    assert_eq!((told["long_message"], told["other_format"]), (1, 1), "{told:?}");
    assert_eq!(found(&agent, "service=long")[0]["body"].as_str().unwrap().len(), 1024 - "<14>1 - - long - - - ".len());
}

/// Scenario: more datagrams than the rate allows. Guarantees: the rest is dropped and counted: what came is what is taken and what is told (P1).
#[test]
fn datagrams_beyond_the_rate_are_counted() {
    let agent = start("  syslog: { udp: '127.0.0.1:0', rate: 50 }\n", "");
    let (host, port) = address(&agent, "syslog_udp");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..200 {
        socket
            .send_to(format!("<14>1 - - a - - - {number}").as_bytes(), (host.as_str(), port.parse().unwrap()))
            .unwrap();
    }
    wait_until("all are accounted for", || {
        let status = agent.status();
        let refused = errors(&status, "syslog/udp").get("over_rate").copied().unwrap_or(0);
        refused > 50 && source(&status, "syslog/udp")["records"].as_u64().unwrap() + refused == 200
    });
}

/// Scenario: records of the kernel, a kill, then more records and a gap in their numbers. Guarantees: each record comes once, and what was
/// overwritten is counted (P1).
#[test]
fn the_kernels_log_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kmsg");
    let record = |number: u64| format!("4,{number},{},-;word {number}\n SUBSYSTEM=test\n", number * 1000);
    let text: String = (10..15).map(record).collect();
    fs::write(&path, &text).unwrap();
    let mut agent = start(&format!("  kernel: {{ path: {} }}\n", path.display()), "");
    wait_until("five are in the journal", || found(&agent, "service=kernel level=warn").len() == 5);
    agent.kill();
    fs::write(&path, text + &record(15) + &record(18)).unwrap();
    agent.restart_logged();
    wait_until("two more came", || found(&agent, "service=kernel").len() == 7);
    std::thread::sleep(Duration::from_millis(500));
    let status = agent.status();
    assert_eq!((source(&status, "kernel")["records"].as_u64(), errors(&status, "kernel")["overwritten"]), (Some(2), 2));
    let mut words: Vec<String> =
        found(&agent, "service=kernel").iter().map(|record| record["body"].as_str().unwrap().to_owned()).collect();
    words.sort();
    assert_eq!(words, [10, 11, 12, 13, 14, 15, 18].map(|number| format!("word {number}")));
}

/// Scenario: this machine's own kernel, where it may be read and written. Guarantees: what is written into its log comes, with its level.
#[test]
fn this_kernels_log_is_read() {
    let mark = format!("lightship test {}", std::process::id());
    if fs::write("/dev/kmsg", format!("<3>{mark}\n")).is_err() || fs::File::open("/dev/kmsg").is_err() {
        eprintln!("SKIPPED: /dev/kmsg cannot be read and written by this user");
        return;
    }
    let agent = start("  kernel: {}\n", "");
    wait_until("it is there", || {
        found(&agent, "service=kernel level=error").iter().any(|record| record["body"] == mark)
    });
    fs::write("/dev/kmsg", format!("<6>{mark} again\n")).unwrap();
    wait_until("more comes", || {
        found(&agent, "service=kernel").iter().any(|record| record["body"] == format!("{mark} again"))
    });
}

/// What stands for `journalctl`: entries are lines of a file, `number|time|trace|message`, and cursors their numbers.
fn journalctl(directory: &Path) -> String {
    let path = directory.join("journalctl");
    let script = format!(
        "#!/bin/sh\nfrom=1; follow=\nfor word; do case $word in\n--after-cursor=*) from=$((${{word#*=n}} + 1));;\n\
         --cursor=*) from=${{word#*=n}};;\n--follow) follow=-f;;\nesac; done\n\
         tail -n +$from $follow {}/entries | while IFS='|' read -r number time trace text; do\n\
         printf '__CURSOR=n%s\\n__REALTIME_TIMESTAMP=%s\\nPRIORITY=4\\nSYSLOG_IDENTIFIER=app\\nTRACE_ID=%s\\nMESSAGE=%s\\n\\n' \
         \"$number\" \"$time\" \"$trace\" \"$text\"\ndone\n",
        directory.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Scenario: entries of the journal come all the time, every third of a trace that is not decided yet, and the agent is killed again and again.
/// Guarantees: each entry is in the journal once (P1).
#[test]
fn each_entry_of_the_journal_comes_once_over_kills() {
    let directory = tempfile::tempdir().unwrap();
    let entries = directory.path().join("entries");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(&entries).unwrap();
    let program = journalctl(directory.path());
    let sources = format!("  journald: {{ command: [{program}, --unit=app], start: beginning }}\n");
    let mut agent = start(&sources, "sampling: { decision_wait: 400ms }\n");
    let mut number = 0;
    let mut write = |count: u32| {
        for _ in 0..count {
            number += 1;
            let trace = if number % 3 == 0 { format!("{:032x}", number / 6 + 1) } else { String::new() };
            writeln!(file, "{number}|{}|{trace}|entry {number}", now_ns() / 1000).unwrap();
        }
        number
    };
    for kill in 0..5 {
        for _ in 0..8 {
            write(40);
            std::thread::sleep(Duration::from_millis(60 + kill * 13));
        }
        agent.kill();
        agent.restart_logged();
    }
    let written = write(10);
    wait_until("everything is decided", || {
        let ledger = &agent.status()["ledger"];
        ledger["pending"]["logs"] == 0 && ledger["routed"]["logs"].as_u64() >= Some(u64::from(written))
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(agent.terminate().success(), "{}", agent.log());
    let to = agent.directory.path().join("exported");
    let output =
        run(&["journal", "export", "--config", &agent.config(), "--to", to.to_str().unwrap(), "--form", "json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut times: BTreeMap<u32, u32> = BTreeMap::new();
    for file in fs::read_dir(&to).unwrap() {
        for text in fs::read_to_string(file.unwrap().path()).unwrap().split("\"entry ").skip(1) {
            *times.entry(text.split('"').next().unwrap().parse().unwrap()).or_default() += 1;
        }
    }
    let missing: Vec<u32> = (1..=written).filter(|number| !times.contains_key(number)).collect();
    let twice: Vec<u32> = times.iter().filter(|(_, count)| **count > 1).map(|(number, _)| *number).collect();
    assert!(missing.is_empty() && twice.is_empty(), "{written}: missing {missing:?}, twice {twice:?}\n{}", agent.log());
}

/// Scenario: this machine's own journal, where there is one. Guarantees: its last entries come, with programs and levels.
#[test]
fn this_machines_journal_is_read() {
    let last = Command::new("/usr/bin/journalctl").args(["--output=export", "--lines=1", "--quiet"]).output();
    if last.is_err() || last.is_ok_and(|output| output.stdout.is_empty()) {
        eprintln!("SKIPPED: this machine has no journal of systemd, or no journalctl");
        return;
    }
    let agent = start("  journald: { start: beginning }\n", "");
    wait_until("entries come", || source(&agent.status(), "journald")["records"].as_u64() > Some(0));
}
