//! Tokens in place of values on several devices: the same value, the same token; and none without a key.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use model::proto::{put_bytes, put_fixed64, put_message};
use support::server::Server;
use support::{Agent, PROTOBUF, now_ns, request, run, wait_until};

const DEVICES: [&str; 3] = ["bow", "mast", "stern"];
const CARD: &str = "4111111111111111";

/// A log record with this body.
fn line(body: &str) -> Vec<u8> {
    request(|out| {
        put_message(out, 2, |out| {
            put_fixed64(out, 1, now_ns());
            put_message(out, 5, |out| put_bytes(out, 1, body.as_bytes()));
        });
    })
}

/// The section of a guard that makes tokens of card numbers, with these keys: (id, file).
fn section(keys: &[(&str, &Path)], active: Option<&str>) -> String {
    let keys: Vec<String> = keys.iter().map(|(id, file)| format!("{{ id: {id}, file: {} }}", file.display())).collect();
    let active = active.map_or(String::new(), |id| format!("  active_token_key: {id}\n"));
    format!(
        "guard:\n  token_keys: [{}]\n{active}  rules: [{{ name: card, class: pan, action: token }}]\n",
        keys.join(", ")
    )
}

/// A device that delivers to an endpoint of its own.
struct Device {
    agent: Agent,
    endpoint: Server,
}

impl Device {
    fn start(name: &str, guard: &str) -> Self {
        let endpoint = Server::start(|_| (200, String::new(), Vec::new()));
        let destination = format!("{{ name: backend, type: otlp, url: 'http://{}' }}", endpoint.address);
        let mut agent = Agent::start_delivering(&[destination], "");
        assert!(agent.terminate().success());
        let config = std::fs::read_to_string(agent.config()).unwrap().replace("id: test-1", &format!("id: {name}"));
        // A journal belongs to a device: this one is new.
        std::fs::remove_dir_all(agent.directory.path().join("data")).unwrap();
        std::fs::write(agent.config(), config + guard).unwrap();
        agent.restart_logged();
        Self { agent, endpoint }
    }

    /// Starts it again, with another guard.
    fn restart(&mut self, guard: &str) {
        assert!(self.agent.terminate().success());
        let config = std::fs::read_to_string(self.agent.config()).unwrap();
        let (before, _) = config.split_once("guard:\n").unwrap();
        std::fs::write(self.agent.config(), format!("{before}{guard}")).unwrap();
        self.agent.restart_logged();
    }

    /// What becomes of a text.
    fn sent(&self, text: &str) -> String {
        let (before, after) = (format!("<{}:", now_ns()), ">");
        assert_eq!(self.agent.post("/v1/logs", PROTOBUF, &line(&format!("{before}{text}{after}"))).0, 200);
        let mut found = None;
        wait_until("it is delivered", || {
            found = self.endpoint.seen().iter().find_map(|seen| {
                let mut body = Vec::new();
                if flate2::read::GzDecoder::new(&seen.body[..]).read_to_end(&mut body).is_err() {
                    body.clone_from(&seen.body);
                }
                let body = String::from_utf8_lossy(&body).into_owned();
                let (_, rest) = body.split_once(&before)?;
                rest.split_once(after).map(|(text, _)| text.to_owned())
            });
            found.is_some()
        });
        found.unwrap()
    }
}

/// What a value becomes on all of them: one token.
fn token_of(devices: &[Device], value: &str) -> String {
    let tokens: BTreeSet<String> = devices.iter().map(|device| device.sent(value)).collect();
    assert!(tokens.len() == 1, "{tokens:?}");
    tokens.into_iter().next().unwrap()
}

/// Scenario: one value, written in two ways, on three devices with the key; they start again; they get a second key one after the other, in either
/// order, and values come meanwhile; then the second key is made the active one, one after the other, and tokens of the first one come
/// in. Guarantees: the same value is the same token on all, after a restart, and while both keys are there; with the other active key it is the same other one
/// on all; tokens of either key pass as what they are; the value itself reaches nobody (P10).
#[test]
fn the_same_value_is_the_same_token_on_three_devices_after_a_restart_and_through_a_rotation() {
    let keys = tempfile::tempdir().unwrap();
    let (old, new) = (keys.path().join("old"), keys.path().join("new"));
    std::fs::write(&old, "an old key of thirty-two bytes and more\n").unwrap();
    std::fs::write(&new, "a new key of thirty-two bytes and more\n").unwrap();
    let one = section(&[("k1", &old)], None);
    let mut devices = DEVICES.map(|name| Device::start(name, &one));
    let token = token_of(&devices, CARD);
    assert!(token.starts_with("tok_v1_k1_"), "{token}");
    assert_eq!(token_of(&devices, "4111-1111 1111-1111".replace(' ', "-").as_str()), token);
    assert_ne!(token_of(&devices, "5555555555554444"), token);
    devices.iter_mut().for_each(|device| device.restart(&one));
    assert_eq!(token_of(&devices, CARD), token);

    // Both keys, in either order: the first one where nothing is said, else the one that is named.
    devices[0].restart(&section(&[("k1", &old), ("k2", &new)], None));
    assert_eq!(token_of(&devices, CARD), token);
    devices[1].restart(&section(&[("k2", &new), ("k1", &old)], Some("k1")));
    devices[2].restart(&section(&[("k1", &old), ("k2", &new)], Some("k1")));
    assert_eq!(token_of(&devices, CARD), token);

    devices[0].restart(&section(&[("k1", &old), ("k2", &new)], Some("k2")));
    let next = devices[0].sent(CARD);
    assert!(next.starts_with("tok_v1_k2_"), "{next}");
    assert_eq!(token_of(&devices[1..], CARD), token);
    for come in [&token, &next] {
        assert_eq!(token_of(&devices, come), *come);
    }
    devices[1].restart(&section(&[("k2", &new), ("k1", &old)], None));
    devices[2].restart(&section(&[("k1", &old), ("k2", &new)], Some("k2")));
    assert_eq!(token_of(&devices, CARD), next);
    for device in &devices {
        let seen = device.endpoint.seen();
        assert!(!seen.is_empty() && seen.iter().all(|seen| !seen.body.windows(16).any(|text| text == CARD.as_bytes())));
    }
}

/// Scenario: an agent whose rule makes tokens, with a key that is not there, is too short, has no place, or is not the one that is named. Guarantees:
/// it does not start: it says which key, shows nothing of it, listens nowhere and writes nothing (P10).
#[test]
fn without_a_key_the_agent_refuses_to_start() {
    let directory = tempfile::tempdir().unwrap();
    let (short, good) = (directory.path().join("short"), directory.path().join("good"));
    std::fs::write(&short, "sesame").unwrap();
    std::fs::write(&good, "a good key of thirty-two bytes and more").unwrap();
    let none = directory.path().join("none");
    for (guard, says) in [
        (section(&[], None), "a token needs a key"),
        (section(&[("k1", &none)], None), "k1: "),
        (section(&[("k1", &short)], None), "the key has 6 bytes"),
        (section(&[("k1", &good), ("k2", &none)], None), "k2: "),
        (section(&[("k1", &good)], Some("k2")), "no key of guard.token_keys is named k2"),
        (section(&[("k1", &good)], None).replace("file: ", "credential: x, file: "), "needs one of"),
    ] {
        let data = directory.path().join("data");
        let config = directory.path().join("lightship.yaml");
        std::fs::write(&config, support::configuration(&data, &guard)).unwrap();
        let output = run(&["run", "--config", config.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(says), "{guard}: {said}");
        assert!(
            !said.contains("sesame") && !said.contains("runs as") && !data.join("addresses.json").is_file(),
            "{said}"
        );
        assert!(!data.join("lanes").is_dir(), "{guard}: it wrote into its data directory");
    }
}
