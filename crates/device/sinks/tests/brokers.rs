//! Message brokers, the real programs: `cargo xtask backends`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/backend.rs"]
mod backend;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use backend::{Backend, base64, local};
use drain::{Delivery, SendError};
use model::proto::{put_bytes, put_message};
use model::{Lane, Refusal, Signal};
use serde_json::{Value, json};
use sinks::{Access, BrokerAddress, BrokerKind, CredentialFiles, Credentials, Exporter, MqttSink, NatsSink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::SectionRef;

/// A request of one log record.
fn log_record(text: &str) -> Vec<u8> {
    let mut request = Vec::new();
    put_message(&mut request, 1, |out| {
        put_message(out, 2, |out| {
            put_message(out, 2, |out| put_message(out, 5, |out| put_bytes(out, 1, text.as_bytes())));
        });
    });
    request
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A running NATS server with JetStream.
struct Nats {
    backend: Backend,
    port: u16,
}

impl Nats {
    /// With a user who may do everything, and one who may publish telemetry and no more; `more` stands in its configuration.
    async fn start(more: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        let backend = Backend::start("nats", "nats", directory, "/healthz", |directory, monitor| {
            let config = format!(
                "listen: '127.0.0.1:{port}'\nhttp: '127.0.0.1:{monitor}'\njetstream {{ store_dir: '{directory}/store' }}\n\
                 max_payload: 32768\nauthorization {{ users: [ {{ user: all, password: secret }},\n\
                 {{ user: device, password: secret, permissions: {{ publish: 'lightship.>', subscribe: '_INBOX.>' }} }},\n\
                 {{ user: other, password: secret, permissions: {{ publish: 'other', subscribe: '_INBOX.>' }} }} ] }}\n{more}"
            );
            std::fs::write(Path::new(directory).join("nats.conf"), config).unwrap();
            vec!["-c".into(), format!("{directory}/nats.conf")]
        });
        backend.ready().await;
        Self { backend, port }
    }

    fn access(&self, url: &str) -> (Access, sinks::Login) {
        let url = format!("{url}127.0.0.1:{}", self.port);
        let BrokerAddress { endpoint, login } = BrokerAddress::parse(BrokerKind::Nats, &url).ok().unwrap();
        let timeout = Duration::from_secs(20);
        (Access { endpoint, credentials: Default::default(), route: Default::default(), timeout }, login)
    }

    fn sink(&self, url: &str) -> NatsSink {
        let (access, login) = self.access(url);
        NatsSink::new(access, login, "lightship.{signal}", "mv.test")
    }

    /// What JetStream answers to a request of its API.
    async fn api(&self, name: &str, request: &Value) -> Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let mut said =
            nats::Connect { user: Some("all"), password: Some("secret"), ..nats::Connect::default() }.command();
        said.extend(nats::subscribe("_INBOX.test", 1));
        said.extend(nats::publish(&format!("$JS.API.{name}"), "_INBOX.test", &[], request.to_string().as_bytes()).0);
        stream.write_all(&said).await.unwrap();
        let (mut decoder, mut chunk) = (nats::Decoder::default(), [0; 4096]);
        loop {
            while let Some(event) = decoder.event().unwrap() {
                if let nats::Event::Message(message) = event {
                    return serde_json::from_slice(&message.payload).unwrap();
                }
            }
            let count = stream.read(&mut chunk).await.unwrap();
            assert_ne!(count, 0);
            decoder.feed(&chunk[..count]);
        }
    }

    async fn create_stream(&self, mut with: Value) {
        with["name"] = "TELEMETRY".into();
        with["subjects"] = json!(["lightship.>"]);
        let answer = self.api("STREAM.CREATE.TELEMETRY", &with).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    /// Every message of the stream.
    async fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let state = self.api("STREAM.INFO.TELEMETRY", &json!({})).await;
        let mut all = Vec::new();
        for sequence in 1..=state["state"]["last_seq"].as_u64().unwrap() {
            let answer = self.api("STREAM.MSG.GET.TELEMETRY", &json!({ "seq": sequence })).await;
            let message = &answer["message"];
            all.push((message["subject"].as_str().unwrap().to_owned(), base64(message["data"].as_str().unwrap())));
        }
        all
    }
}

fn reason(outcome: Result<drain::PartialSuccess, SendError>) -> Refusal {
    outcome.unwrap_err().reason()
}

/// Scenario: log records go to a server that has no stream for them, then to one that has, every request twice and by a second connection,
/// as bytes and as blocks of the journal. Guarantees: the missing stream is an operator's matter; afterwards everything is found in the
/// stream exactly once, byte for byte (P1).
#[test]
#[ignore = "needs a NATS server from tests/backends/build-nats.sh"]
fn nats_stores_everything_once() {
    local(async {
        let server = Nats::start("").await;
        let mut sink = server.sink("nats://device:secret@");
        assert_eq!(reason(sink.export(Signal::Logs, &log_record("x"), None).await), Refusal::SignalNotTaken);
        let mut asks = server.sink("nats://all:secret@");
        assert_eq!(reason(asks.export(Signal::Logs, &[], None).await), Refusal::SignalNotTaken);
        server.create_stream(json!({})).await;
        asks.export(Signal::Logs, &[], None).await.unwrap();
        // One who may not ask is not refused.
        sink.export(Signal::Logs, &[], None).await.unwrap();

        let requests: BTreeSet<Vec<u8>> = (0..50).map(|number| log_record(&format!("record {number}"))).collect();
        let mut again = server.sink("nats://device:secret@");
        for request in &requests {
            for sink in [&mut sink, &mut again] {
                sink.export(Signal::Logs, request, None).await.unwrap();
            }
        }
        let stored = server.stored().await;
        assert!(stored.iter().all(|(subject, _)| subject == "lightship.logs"));
        assert_eq!(stored.len(), 50);
        assert_eq!(stored.into_iter().map(|(_, data)| data).collect::<BTreeSet<_>>(), requests);

        let texts = ["a", "b", "c"].map(log_record);
        let frames: Vec<Vec<SectionRef<'_>>> = texts.iter().map(|text| vec![SectionRef::Logs(text)]).collect();
        let frames: Vec<&[SectionRef<'_>]> = frames.iter().map(Vec::as_slice).collect();
        let block = support::block(Lane::Logs, &frames);
        for _ in 0..2 {
            let mut exporter = Exporter::Nats(Box::new(server.sink("nats://device:secret@")));
            let mut delivery = Delivery::new(Signal::Logs, None);
            delivery.begin(&block).unwrap();
            assert_eq!(exporter.deliver(&mut delivery).await.unwrap().delivered, 3);
        }
        let stored = server.stored().await;
        assert_eq!((stored.len(), &stored[50].1), (51, &texts.concat()));
        let monitored = server.backend.json("/jsz?streams=1").await;
        assert_eq!(monitored["messages"], 51);
    });
}

/// Scenario: a block of more bytes than the server takes at once, then a stream that is full, users with a wrong password and without the
/// right to the subject, and a server that is started again. Guarantees: the block arrives in parts, whole; a full stream is waited for; the others
/// are an operator's matter (P1, P3).
#[test]
#[ignore = "needs a NATS server from tests/backends/build-nats.sh"]
fn nats_refuses_what_it_must() {
    local(async {
        let server = Nats::start("").await;
        server.create_stream(json!({ "max_bytes": 300_000, "discard": "new" })).await;
        let texts: Vec<Vec<u8>> = (0..40).map(|number| log_record(&format!("{number:05}").repeat(1000))).collect();
        let frames: Vec<Vec<SectionRef<'_>>> = texts.iter().map(|text| vec![SectionRef::Logs(text)]).collect();
        let frames: Vec<&[SectionRef<'_>]> = frames.iter().map(Vec::as_slice).collect();
        let mut exporter = Exporter::Nats(Box::new(server.sink("nats://device:secret@")));
        let mut delivery = Delivery::new(Signal::Logs, None);
        let block = support::block(Lane::Logs, &frames);
        delivery.begin(&block).unwrap();
        let delivered = exporter.deliver(&mut delivery).await.unwrap();
        assert_eq!((delivered.delivered, delivered.rejected), (40, 0));
        let stored: Vec<u8> = server.stored().await.into_iter().flat_map(|(_, data)| data).collect();
        assert_eq!(stored, texts.concat());

        let mut sink = server.sink("nats://device:secret@");
        let mut outcome = Ok(drain::PartialSuccess::default());
        for number in 0..40 {
            outcome = sink.export(Signal::Logs, &log_record(&format!("{number:05}").repeat(1000)), None).await;
            if outcome.is_err() {
                break;
            }
        }
        assert!(matches!(&outcome, Err(SendError::Retry { why, .. }) if why.contains("10077")), "{outcome:?}");
        for url in ["nats://device:wrong@", "nats://", "nats://other:secret@"] {
            let outcome = server.sink(url).export(Signal::Logs, &log_record("x"), None).await;
            assert_eq!(reason(outcome), Refusal::DestinationUnauthorized, "{url}");
        }
    });
}

/// Scenario: a server with a certificate of an own authority. Guarantees: `tls://` goes through with that authority, and does not without;
/// `nats://` is told what to change.
#[test]
#[ignore = "needs a NATS server from tests/backends/build-nats.sh"]
fn nats_speaks_tls() {
    local(async {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let server =
            Nats::start(&format!("tls {{ cert_file: '{}', key_file: '{}' }}\n", cert.display(), key.display())).await;
        let error = server.sink("nats://device:secret@").export(Signal::Logs, &[], None).await.unwrap_err();
        assert!(error.to_string().contains("needs tls://"), "{error}");
        let (access, login) = server.access("tls://device:secret@");
        for (ca_file, is_good) in [(Some(cert), true), (None, false)] {
            let files = CredentialFiles { ca_file, ..CredentialFiles::default() };
            let access = Access { credentials: Rc::new(Credentials::read(&files, true).unwrap()), ..access.clone() };
            let outcome =
                NatsSink::new(access, login.clone(), "lightship.x", "d").export(Signal::Logs, &[], None).await;
            assert_eq!(outcome.is_ok(), is_good, "{outcome:?}");
        }
    });
}

/// A running Mosquitto.
struct Mosquitto {
    child: Child,
    port: u16,
    directory: tempfile::TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Mosquitto {
    /// With a user `device` who may write below `lightship/`, and one, `all`, who may read; `more` stands in its configuration.
    async fn start(more: &str) -> Self {
        let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
        let path = |name: &str| directory.path().join(name);
        let (users, rights, config) = (path("users"), path("rights"), path("mosquitto.conf"));
        std::fs::write(&users, "").unwrap();
        for user in ["all", "device"] {
            let made = Command::new("mosquitto_passwd").arg("-b").arg(&users).args([user, "secret"]).status().unwrap();
            assert!(made.success());
        }
        std::fs::write(&rights, "user all\ntopic readwrite #\nuser device\ntopic write lightship/#\n").unwrap();
        let text = format!(
            // As root it would become another user, who may not read that.
            "user root\nlistener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\nacl_file {}\n{more}",
            users.display(),
            rights.display()
        );
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let mut program = Command::new(backend::program("mosquitto"));
        program.arg("-c").arg(&config).stdout(Stdio::null()).stderr(log);
        let started = Self { child: program.spawn().unwrap(), port, directory };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return started;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = std::fs::read_to_string(started.directory.path().join("log")).unwrap();
        panic!("Mosquitto does not start: {log}");
    }

    fn sink(&self, url: &str, credentials: Credentials) -> MqttSink {
        let url = format!("{url}127.0.0.1:{}", self.port);
        let BrokerAddress { endpoint, login } = BrokerAddress::parse(BrokerKind::Mqtt, &url).ok().unwrap();
        let (timeout, credentials) = (Duration::from_secs(20), Rc::new(credentials));
        let access = Access { endpoint, credentials, route: Default::default(), timeout };
        MqttSink::new(access, login, "lightship/{device}/{signal}", "mv.test", "client".into())
    }

    /// A subscriber that ends after so many messages, each of which it writes as a line of hexadecimal digits.
    fn subscriber(&self, count: usize) -> Child {
        Command::new("mosquitto_sub")
            .args([
                "-V",
                "5",
                "-h",
                "127.0.0.1",
                "-u",
                "all",
                "-P",
                "secret",
                "-q",
                "1",
                "-t",
                "lightship/#",
                "-F",
                "%t %x",
            ])
            .args(["-p", &self.port.to_string(), "-C", &count.to_string(), "-W", "30"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Scenario: fifty log records, one by one and as a block of the journal, to a subscriber, over a server that takes packets of 20 kB.
/// Guarantees: whoever subscribes gets everything, byte for byte, and the block in parts (P1).
#[test]
#[ignore = "needs a Mosquitto, see tests/backends/build-mosquitto.sh"]
fn mosquitto_gives_everything_to_subscribers() {
    local(async {
        let server = Mosquitto::start("max_packet_size 20000\n").await;
        let mut sink = server.sink("mqtt://device:secret@", Credentials::default());
        sink.export(Signal::Logs, &[]).await.unwrap();
        let alone = sink.export(Signal::Logs, &log_record("x")).await.unwrap();
        assert!(alone.message.contains("nobody subscribes"), "{alone:?}");

        let requests: Vec<Vec<u8>> = (0..50).map(|number| log_record(&format!("record {number}"))).collect();
        let texts: Vec<Vec<u8>> = (0..16).map(|number| log_record(&format!("{number:05}").repeat(1000))).collect();
        // One tells that the subscriber is there; 16 records of 5 kB are halved until two go in a packet.
        let subscriber = server.subscriber(1 + requests.len() + texts.len() / 2);
        loop {
            // A sink tells it once.
            sink = server.sink("mqtt://device:secret@", Credentials::default());
            if sink.export(Signal::Metrics, &log_record("is somebody there?")).await.unwrap().message.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for request in &requests {
            assert_eq!(sink.export(Signal::Logs, request).await.unwrap().message, "");
        }
        let frames: Vec<Vec<SectionRef<'_>>> = texts.iter().map(|text| vec![SectionRef::Logs(text)]).collect();
        let frames: Vec<&[SectionRef<'_>]> = frames.iter().map(Vec::as_slice).collect();
        let mut delivery = Delivery::new(Signal::Logs, None);
        let block = support::block(Lane::Logs, &frames);
        delivery.begin(&block).unwrap();
        let mut exporter = Exporter::Mqtt(Box::new(sink));
        let delivered = exporter.deliver(&mut delivery).await.unwrap();
        assert_eq!((delivered.delivered, delivered.rejected), (16, 0));
        let output = tokio::task::spawn_blocking(|| subscriber.wait_with_output().unwrap()).await.unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        let got: String = lines.lines().filter_map(|line| line.strip_prefix("lightship/mv.test/logs ")).collect();
        let sent: Vec<u8> = requests.concat().into_iter().chain(texts.concat()).collect();
        assert_eq!(got, sent.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(lines.lines().count(), 59);
    });
}

/// Scenario: a wrong password, a topic that the user may not write to, and a certificate of an own authority. Guarantees: the
/// first two are an operator's matter; `mqtts://` goes through with that authority only (P3).
#[test]
#[ignore = "needs a Mosquitto, see tests/backends/build-mosquitto.sh"]
fn mosquitto_refuses_what_it_must() {
    local(async {
        let server = Mosquitto::start("").await;
        for url in ["mqtt://device:wrong@", "mqtt://"] {
            let outcome = server.sink(url, Credentials::default()).export(Signal::Logs, &[]).await;
            assert_eq!(reason(outcome), Refusal::DestinationUnauthorized, "{url}");
        }
        let url = format!("mqtt://device:secret@127.0.0.1:{}", server.port);
        let BrokerAddress { endpoint, login } = BrokerAddress::parse(BrokerKind::Mqtt, &url).ok().unwrap();
        let timeout = Duration::from_secs(20);
        let access = Access { endpoint, credentials: Default::default(), route: Default::default(), timeout };
        let mut elsewhere = MqttSink::new(access, login, "elsewhere", "d", "other".into());
        let outcome = elsewhere.export(Signal::Logs, &log_record("x")).await;
        assert_eq!(reason(outcome), Refusal::DestinationUnauthorized);
        drop(server);

        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(path("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let server = Mosquitto::start(&format!("certfile {}\nkeyfile {}\n", cert.display(), key.display())).await;
        for (ca_file, is_good) in [(Some(cert), true), (None, false)] {
            let files = CredentialFiles { ca_file, ..CredentialFiles::default() };
            let mut sink = server.sink("mqtts://device:secret@", Credentials::read(&files, true).unwrap());
            assert_eq!(sink.export(Signal::Logs, &log_record("x")).await.is_ok(), is_good);
        }
    });
}
