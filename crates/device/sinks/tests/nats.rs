//! NATS JetStream against a server that answers by a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use drain::{PartialSuccess, SendError};
use model::{Refusal, Signal};
use sinks::{Access, BrokerAddress, BrokerKind, CredentialFiles, Credentials, NatsSink};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

const INFO: &str = r#"{"server_id":"x","version":"2.15.3","headers":true,"max_payload":1000}"#;

/// What the server does with the next message.
#[derive(Debug, Clone)]
enum Next {
    /// Answers with these bytes.
    Ack(&'static str),
    /// Nobody listens to the subject.
    NoResponders,
    /// Says this instead of an answer.
    Says(&'static str),
    /// Answers, and closes the connection afterwards.
    AckAndClose(&'static str),
    /// Closes the connection.
    Close,
    /// Says nothing.
    Silent,
}

/// What came, in order: `CONNECT ...`, and of each message subject, headers and payload.
type Seen = Rc<RefCell<Vec<(String, String, Vec<u8>)>>>;

/// Runs `test` with a sink, for this address without its port, whose server greets with `greeting` and does one thing of `script` for each
/// message.
fn with_server(url: &str, greeting: &str, script: &[Next], test: impl AsyncFnOnce(NatsSink, Seen)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{url}127.0.0.1:{}", listener.local_addr().unwrap().port());
        let BrokerAddress { endpoint, login } = BrokerAddress::parse(BrokerKind::Nats, &url).ok().unwrap();
        let seen = Seen::default();
        tokio::task::spawn_local(serve(
            listener,
            greeting.to_owned(),
            script.iter().cloned().collect(),
            Rc::clone(&seen),
        ));
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "token\n").unwrap();
        let headers = vec![("x-fleet".to_owned(), "north".to_owned())];
        let files = CredentialFiles { token_file: Some(token), headers, ..CredentialFiles::default() };
        let credentials = Rc::new(Credentials::read(&files, false).unwrap());
        let access = Access { endpoint, credentials, route: Default::default(), timeout: Duration::from_millis(500) };
        test(NatsSink::new(access, login, "ships.{device}.{signal}", "mv.test"), seen).await;
    });
}

async fn serve(listener: TcpListener, greeting: String, mut script: VecDeque<Next>, seen: Seen) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        if stream.write_all(greeting.as_bytes()).await.is_err() {
            continue;
        }
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|count| count > 0) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let said = match parts[..] {
                ["PING"] => "PONG\r\n".to_owned(),
                ["CONNECT", ..] => {
                    seen.borrow_mut().push((line.trim().to_owned(), String::new(), Vec::new()));
                    String::new()
                }
                ["HPUB", subject, reply, head, total] => {
                    let (head, total): (usize, usize) = (head.parse().unwrap(), total.parse().unwrap());
                    let mut body = vec![0; total + 2];
                    stream.read_exact(&mut body).await.unwrap();
                    let headers = String::from_utf8(body[..head].to_vec()).unwrap();
                    seen.borrow_mut().push((subject.to_owned(), headers, body[head..total].to_vec()));
                    let message = |json: &str| format!("MSG {reply} 1 {}\r\n{json}\r\n", json.len());
                    match script.pop_front().unwrap() {
                        Next::Ack(json) => message(json),
                        Next::AckAndClose(json) => {
                            stream.write_all(message(json).as_bytes()).await.unwrap();
                            break;
                        }
                        Next::NoResponders => format!("HMSG {reply} 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"),
                        Next::Says(text) => text.to_owned(),
                        Next::Close => break,
                        Next::Silent => String::new(),
                    }
                }
                _ => String::new(),
            };
            if stream.write_all(said.as_bytes()).await.is_err() {
                break;
            }
            line.clear();
        }
    }
}

fn greeting(info: &str) -> String {
    format!("INFO {info}\r\n")
}

const STORED: &str = r#"{"stream":"S","seq":1}"#;

/// What an outcome is, in a word.
fn word(outcome: &Result<PartialSuccess, SendError>) -> (&'static str, Option<Refusal>) {
    match outcome {
        Ok(partial) => {
            assert_eq!(*partial, PartialSuccess::default());
            ("taken", None)
        }
        Err(SendError::Retry { doubtful: true, reason, .. }) => ("doubtful", Some(*reason)),
        Err(SendError::Retry { reason, .. }) => ("retry", Some(*reason)),
        Err(SendError::Blocked { reason, .. }) => ("blocked", Some(*reason)),
        Err(SendError::Rejected { reason, .. }) => ("rejected", Some(*reason)),
    }
}

/// Scenario: each answer that a stream, a server or something else gives to a message, and the next message. Guarantees: only an answer of
/// a stream confirms; an operator's matters are blocked, everything that passes is waited for; and the next message goes through (P3).
#[test]
fn d2_what_each_answer_means() {
    use Refusal::{
        CutOff, DestinationUnauthorized, FailedStatus, NotAnExportResponse, RejectedStatus, SignalNotTaken, Throttled,
        TimedOut, TooLargeForDestination, Unreachable,
    };
    let cases = [
        (Next::Ack(STORED), "taken", None),
        (Next::Ack(r#"{"stream":"S","seq":1,"duplicate":true}"#), "taken", None),
        (Next::NoResponders, "blocked", Some(SignalNotTaken)),
        (
            Next::Ack(r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}"#),
            "retry",
            Some(FailedStatus),
        ),
        (
            Next::Ack(r#"{"error":{"code":500,"err_code":10047,"description":"no storage"}}"#),
            "retry",
            Some(FailedStatus),
        ),
        (
            Next::Ack(r#"{"error":{"code":503,"err_code":10008,"description":"no leader"}}"#),
            "retry",
            Some(FailedStatus),
        ),
        (Next::Ack(r#"{"error":{"code":409,"err_code":10158,"description":"in process"}}"#), "retry", Some(Throttled)),
        (
            Next::Ack(r#"{"error":{"code":400,"err_code":10054,"description":"size"}}"#),
            "rejected",
            Some(TooLargeForDestination),
        ),
        (
            Next::Ack(r#"{"error":{"code":400,"err_code":10109,"description":"sealed"}}"#),
            "blocked",
            Some(SignalNotTaken),
        ),
        (
            Next::Ack(r#"{"error":{"code":503,"err_code":10039,"description":"not for account"}}"#),
            "blocked",
            Some(SignalNotTaken),
        ),
        (Next::Ack(r#"{"error":{"code":400,"err_code":10999,"description":"new"}}"#), "doubtful", Some(RejectedStatus)),
        (Next::Ack("thanks"), "blocked", Some(NotAnExportResponse)),
        (Next::Ack("{}"), "blocked", Some(NotAnExportResponse)),
        (Next::Ack(""), "blocked", Some(NotAnExportResponse)),
        (
            Next::Says("-ERR 'Permissions Violation for Publish to \"ships\"'\r\n"),
            "blocked",
            Some(DestinationUnauthorized),
        ),
        (Next::Says("-ERR 'User Authentication Expired'\r\n"), "blocked", Some(DestinationUnauthorized)),
        (Next::Says("-ERR 'Maximum Payload Violation'\r\n"), "rejected", Some(TooLargeForDestination)),
        (Next::Says("-ERR 'Secure Connection - TLS Required'\r\n"), "blocked", Some(Unreachable)),
        (Next::Says("-ERR 'Stale Connection'\r\n"), "retry", Some(FailedStatus)),
        (Next::Says("HTTP/1.1 400 Bad Request\r\n"), "blocked", Some(NotAnExportResponse)),
        (Next::Says("MSG x 1 99999999999\r\n"), "blocked", Some(NotAnExportResponse)),
        (Next::Close, "retry", Some(CutOff)),
        (Next::Silent, "retry", Some(TimedOut)),
    ];
    for (next, expected, reason) in cases {
        let script = [next.clone(), Next::Ack(STORED)];
        with_server("nats://", &greeting(INFO), &script, async |mut sink, seen| {
            let outcome = sink.export(Signal::Logs, b"one", None).await;
            assert_eq!(word(&outcome), (expected, reason), "{next:?}: {outcome:?}");
            // The server of the test does not end a connection by what it says.
            assert_eq!(word(&sink.export(Signal::Logs, b"two", None).await).0, "taken", "{next:?}");
            let seen = seen.borrow();
            assert_eq!(seen.last().unwrap().2, b"two");
        });
    }
}

/// Scenario: what a server says before it lets a device in. Guarantees: credentials, versions and TLS are an operator's matter and say
/// what to do; anything else is waited for, and nothing is published (P3).
#[test]
fn d2_what_each_greeting_means() {
    use Refusal::{
        CutOff, DestinationUnauthorized, FailedStatus, NotAnExportResponse, SignalNotTaken, TimedOut, Unreachable,
    };
    let refused = "INFO {\"headers\":true,\"max_payload\":1000}\r\n-ERR 'Authorization Violation'\r\n";
    let cases = [
        (greeting(r#"{"headers":false,"max_payload":1000}"#), "blocked", SignalNotTaken, "2.2 or later"),
        (greeting(r#"{"headers":true,"max_payload":1,"tls_required":true}"#), "blocked", Unreachable, "needs tls://"),
        (refused.to_owned(), "blocked", DestinationUnauthorized, "token_file"),
        ("-ERR 'Maximum Connections Exceeded'\r\n".to_owned(), "retry", FailedStatus, "Maximum"),
        ("HTTP/1.0 200 OK\r\n".to_owned(), "blocked", NotAnExportResponse, "check the address"),
        ("INFO {}\r\n".to_owned(), "blocked", NotAnExportResponse, "check the address"),
        (String::new(), "retry", TimedOut, "no answer"),
    ];
    for (greeting, expected, reason, says) in cases {
        with_server("nats://", &greeting, &[], async |mut sink, seen| {
            let outcome = sink.export(Signal::Logs, b"one", None).await;
            assert_eq!(word(&outcome), (expected, Some(reason)), "{greeting}: {outcome:?}");
            assert!(outcome.unwrap_err().to_string().contains(says), "{greeting}");
            assert!(seen.borrow().iter().all(|(what, ..)| what.starts_with("CONNECT")));
        });
    }
    with_server("tls://", &greeting(INFO), &[], async |mut sink, _| {
        let error = sink.export(Signal::Logs, b"one", None).await.unwrap_err();
        assert!(error.to_string().contains("needs nats://"), "{error}");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = BrokerAddress::parse(BrokerKind::Nats, "nats://127.0.0.1:1").ok().unwrap();
        let timeout = Duration::from_secs(5);
        let endpoint = address.endpoint;
        let access = Access { endpoint, credentials: Default::default(), route: Default::default(), timeout };
        let outcome = NatsSink::new(access, address.login, "a", "d").export(Signal::Logs, b"one", None).await;
        assert!(matches!(word(&outcome), ("retry", Some(Unreachable | CutOff))), "{outcome:?}");
    });
}

/// Scenario: three requests, two of them the same, over a connection that the server closes after the first. Guarantees: subject, name,
/// media type and configured headers are on each; the same bytes have the same name; the closed connection costs no failure.
#[test]
fn a_message_says_what_it_is() {
    let script = [Next::AckAndClose(STORED), Next::Ack(STORED), Next::Ack(STORED)];
    with_server("nats://", &greeting(INFO), &script, async |mut sink, seen| {
        for request in [&b"one"[..], b"two", b"one"] {
            sink.export(Signal::Traces, request, None).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let seen = seen.borrow();
        let connects: Vec<_> = seen.iter().filter(|(what, ..)| what.starts_with("CONNECT")).collect();
        assert_eq!(connects.len(), 2);
        assert!(connects[0].0.contains(r#""auth_token":"token""#) && connects[0].0.contains("lightship mv.test"));
        let messages: Vec<_> = seen.iter().filter(|(what, ..)| !what.starts_with("CONNECT")).collect();
        let id =
            |headers: &str| headers.split("Nats-Msg-Id: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
        for (subject, headers, _) in &messages {
            assert_eq!(subject, "ships.mv_test.traces");
            assert!(
                headers.contains("\r\nContent-Type: application/x-protobuf\r\n")
                    && headers.contains("\r\nx-fleet: north\r\n")
            );
        }
        assert_eq!(id(&messages[0].1), id(&messages[2].1));
        assert_ne!(id(&messages[0].1), id(&messages[1].1));
        assert_eq!((messages[0].2.as_slice(), messages[1].2.as_slice()), (&b"one"[..], &b"two"[..]));
    });
}

/// Scenario: a message of more bytes than the server says that it takes, and one of fewer. Guarantees: the first is not sent, and its
/// refusal lets the drain halve it; the connection goes on.
#[test]
fn what_is_too_large_is_not_sent() {
    with_server("nats://", &greeting(INFO), &[Next::Ack(STORED)], async |mut sink, seen| {
        let outcome = sink.export(Signal::Logs, &[b'x'; 1000], None).await;
        assert_eq!(word(&outcome), ("rejected", Some(Refusal::TooLargeForDestination)), "{outcome:?}");
        sink.export(Signal::Logs, &[b'x'; 500], None).await.unwrap();
        assert_eq!(seen.borrow().len(), 2);
    });
}

/// Scenario: the password of a user in the address is in a file, or in the address. Guarantees: it goes as that, and not as a token.
#[test]
fn a_user_has_a_password() {
    for (url, password) in [("nats://engine@", "token"), ("nats://engine:a%40b@", "a@b")] {
        with_server(url, &greeting(INFO), &[Next::Ack(STORED)], async |mut sink, seen| {
            sink.export(Signal::Logs, b"one", None).await.unwrap();
            let connect = &seen.borrow()[0].0;
            assert!(connect.contains(r#""user":"engine""#), "{connect}");
            assert!(
                connect.contains(&format!(r#""pass":"{password}""#)) && !connect.contains("auth_token"),
                "{connect}"
            );
        });
    }
}

/// Scenario: the sink asks whether there is a stream, of servers with one, without one, without JetStream, and of one that lets it only
/// publish. Guarantees: the missing stream is told with what to do, and nothing is published to the subject.
#[test]
fn a_missing_stream_is_told_before_anything_is_sent() {
    let denied = "-ERR 'Permissions Violation for Publish to \"$JS.API.STREAM.NAMES\"'\r\n";
    for (next, expected) in [
        (Next::Ack(r#"{"type":"x","total":1,"offset":0,"limit":1024,"streams":["S"]}"#), "taken"),
        (Next::Ack(r#"{"type":"x","total":0,"offset":0,"limit":1024,"streams":null}"#), "blocked"),
        (Next::Ack(r#"{"error":{"code":503,"err_code":10039,"description":"not enabled"}}"#), "blocked"),
        (Next::NoResponders, "blocked"),
        (Next::Says(denied), "taken"),
    ] {
        with_server("nats://", &greeting(INFO), &[next], async |mut sink, seen| {
            let outcome = sink.export(Signal::Logs, &[], None).await;
            assert_eq!(word(&outcome).0, expected, "{outcome:?}");
            let seen = seen.borrow();
            assert_eq!((seen[1].0.as_str(), seen.len()), ("$JS.API.STREAM.NAMES", 2));
            assert_eq!(seen[1].2, br#"{"subject":"ships.mv_test.logs"}"#);
        });
    }
}
