//! StatsD into the real agent, from clients that others wrote where this machine has them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::process::Command;

use support::{Agent, run, wait_until};

fn start() -> (Agent, String) {
    let hub = ["{ name: hub, type: hub, url: 'http://127.0.0.1:9' }".to_owned()];
    let mut agent = Agent::start_delivering(&hub, "");
    agent.kill();
    let config = fs::read_to_string(agent.config()).unwrap();
    let source = "sources:\n  statsd: { udp: '127.0.0.1:0', interval: 1s, memory: 16KiB }\n";
    fs::write(agent.config(), config.replace("sources:\n", source)).unwrap();
    agent.restart_logged();
    let text = fs::read_to_string(agent.directory.path().join("data/addresses.json")).unwrap();
    let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
    let address = addresses["statsd"].as_str().unwrap().to_owned();
    (agent, address)
}

/// The last value of a metric with these attributes.
fn value(agent: &Agent, filter: &str) -> Option<f64> {
    let output =
        run(&["query", "--config", &agent.config(), "-o", "ndjson", &format!("signal=metric service=statsd {filter}")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let values = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    values.max_by_key(|one| one["time"].as_str().unwrap().to_owned()).and_then(|one| one["value"].as_f64())
}

/// Scenario: lines of both dialects, several in a datagram, some that are none, more series than have room. Guarantees: values are what was sent,
/// and what is not taken is counted by its reason (P1).
#[test]
fn values_are_gathered() {
    let (agent, address) = start();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let send = |text: &str| socket.send_to(text.as_bytes(), &address).unwrap();
    send("pump.starts:3|c|#deck:main\npump.starts:2|c|@0.5|#deck:main\nfuel:80|g\nfuel:-5|g\n");
    send("crew:anna|s\ncrew:bo|s\ncrew:anna|s\nnonsense\n_e{1,1}:a|b\nfuel:x|g");
    wait_until("counters", || value(&agent, "name=pump.starts deck=main") == Some(7.0));
    wait_until("gauges", || value(&agent, "name=fuel") == Some(75.0));
    send("pump.starts:1|c|#deck:main");
    wait_until("counters grow on", || value(&agent, "name=pump.starts deck=main") == Some(8.0));
    (0..200).for_each(|number| _ = send(&format!("many.{number}:1|c")));
    let told = |reason: &str| {
        let status = agent.status();
        let errors = status["sources"][0]["errors"].as_array().unwrap().clone();
        errors.iter().find(|error| error["reason"] == reason).map_or(0, |error| error["count"].as_u64().unwrap())
    };
    wait_until("all are told", || told("bad_line") == 2 && told("unsupported") == 1 && told("no_room") > 50);
}

/// Scenario: the `statsd` client of Python, and a shell of the system. Guarantees: what they send is read.
#[test]
fn clients_of_others_are_read() {
    let (agent, address) = start();
    let (host, port) = address.rsplit_once(':').unwrap();
    let shell = format!("printf 'shell.jobs:4|c' > /dev/udp/{host}/{port}");
    assert!(Command::new("bash").args(["-c", &shell]).status().unwrap().success());
    wait_until("the shell's", || value(&agent, "name=shell.jobs") == Some(4.0));
    let python = format!(
        "import statsd\nc = statsd.StatsClient('{host}', {port}, prefix='py')\n\
         c.incr('hits', 5); c.decr('hits', 1); c.gauge('depth', 12); c.gauge('depth', -2, delta=True); c.timing('step', 320); c.set('who', 'a')\n\
         p = c.pipeline(); p.incr('hits'); p.incr('hits', rate=1); p.send()\n"
    );
    let interpreter = std::env::var("LIGHTSHIP_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    match Command::new(&interpreter).args(["-c", &python]).output() {
        Ok(output) if output.status.success() => {
            wait_until("hits", || value(&agent, "name=py.hits") == Some(6.0));
            wait_until("depth", || value(&agent, "name=py.depth") == Some(10.0));
            wait_until("who", || value(&agent, "name=py.who").is_some());
        }
        other => eprintln!("SKIPPED: {interpreter} has no package statsd here: {other:?}"),
    }
}
