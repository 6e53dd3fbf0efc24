//! MQTT 5 against a server that answers by a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use drain::{PartialSuccess, SendError};
use model::{Refusal, Signal};
use sinks::{Access, BrokerAddress, BrokerKind, CredentialFiles, Credentials, MqttSink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Lets everybody in, with at most 200 bytes of a packet and one number for topics.
const CONNACK: &[u8] = &[0x20, 11, 1, 0, 8, 0x27, 0, 0, 0, 200, 0x22, 0, 1];

/// What the server does with the next message.
#[derive(Debug, Clone)]
enum Next {
    /// Answers with this reason.
    Puback(u8),
    /// Answers, and closes the connection afterwards.
    PubackAndClose,
    /// Says this instead of an answer.
    Says(&'static [u8]),
    /// Closes the connection.
    Close,
    /// Says nothing.
    Silent,
}

/// Packets that came: first byte, and what is behind the length.
type Seen = Rc<RefCell<Vec<(u8, Vec<u8>)>>>;

/// Runs `test` with a sink, for this address without its port, whose server answers a CONNECT with `connack` and does one thing of `script`
/// for each message.
fn with_server(url: &str, connack: &'static [u8], script: &[Next], test: impl AsyncFnOnce(MqttSink, Seen)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{url}127.0.0.1:{}", listener.local_addr().unwrap().port());
        let BrokerAddress { endpoint, login } = BrokerAddress::parse(BrokerKind::Mqtt, &url).ok().unwrap();
        let (seen, mut script) = (Seen::default(), script.iter().cloned().collect());
        let kept = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // An end of the connection is one of the things that are tried.
                let _ended = serve(stream, connack, &mut script, &kept).await;
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "token\n").unwrap();
        let headers = vec![("x-fleet".to_owned(), "north".to_owned())];
        let files = CredentialFiles { token_file: Some(token), headers, ..CredentialFiles::default() };
        let credentials = Rc::new(Credentials::read(&files, false).unwrap());
        let access = Access { endpoint, credentials, route: Default::default(), timeout: Duration::from_millis(500) };
        test(MqttSink::new(access, login, "ships/{device}/{signal}", "mv.test", "client".into()), seen).await;
    });
}

async fn serve(mut stream: TcpStream, connack: &[u8], script: &mut VecDeque<Next>, seen: &Seen) -> std::io::Result<()> {
    loop {
        let first = stream.read_u8().await?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = stream.read_u8().await?;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        seen.borrow_mut().push((first, body.clone()));
        match first & 0xf0 {
            0x10 => stream.write_all(connack).await?,
            0xc0 => stream.write_all(&[0xd0, 0]).await?,
            0x30 => {
                let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
                let id = [body[2 + topic], body[3 + topic]];
                match script.pop_front().unwrap() {
                    Next::Puback(reason) => stream.write_all(&[0x40, 3, id[0], id[1], reason]).await?,
                    Next::PubackAndClose => return stream.write_all(&[0x40, 2, id[0], id[1]]).await,
                    Next::Says(bytes) => stream.write_all(bytes).await?,
                    Next::Close => return Ok(()),
                    Next::Silent => {}
                }
            }
            _ => {}
        }
    }
}

/// What an outcome is, in a word.
fn word(outcome: &Result<PartialSuccess, SendError>) -> (&'static str, Option<Refusal>) {
    match outcome {
        Ok(partial) => {
            assert_eq!(partial.rejected, 0);
            ("taken", None)
        }
        Err(SendError::Retry { doubtful: true, reason, .. }) => ("doubtful", Some(*reason)),
        Err(SendError::Retry { reason, .. }) => ("retry", Some(*reason)),
        Err(SendError::Blocked { reason, .. }) => ("blocked", Some(*reason)),
        Err(SendError::Rejected { reason, .. }) => ("rejected", Some(*reason)),
    }
}

/// Scenario: each answer that a server or something else gives to a message, and the next message. Guarantees: only a PUBACK confirms; an
/// operator's matters are blocked, everything that passes is waited for; and the next message goes through (P3).
#[test]
fn d2_what_each_answer_means() {
    use Refusal::{
        CutOff, DestinationUnauthorized, FailedStatus, NotAnExportResponse, Redirected, RejectedStatus, SignalNotTaken,
        Throttled, TimedOut, TooLargeForDestination,
    };
    let cases = [
        (Next::Puback(0), "taken", None),
        (Next::Puback(0x10), "taken", None),
        (Next::Puback(0x80), "doubtful", Some(FailedStatus)),
        (Next::Puback(0x83), "doubtful", Some(FailedStatus)),
        (Next::Puback(0x87), "blocked", Some(DestinationUnauthorized)),
        (Next::Puback(0x90), "blocked", Some(SignalNotTaken)),
        (Next::Puback(0x91), "retry", Some(FailedStatus)),
        (Next::Puback(0x95), "rejected", Some(TooLargeForDestination)),
        (Next::Puback(0x97), "retry", Some(Throttled)),
        (Next::Puback(0x99), "rejected", Some(RejectedStatus)),
        (Next::Says(&[0xe0, 1, 0x87]), "blocked", Some(DestinationUnauthorized)),
        (Next::Says(&[0xe0, 1, 0x8b]), "retry", Some(FailedStatus)),
        (Next::Says(&[0xe0, 1, 0x8e]), "retry", Some(FailedStatus)),
        (Next::Says(&[0xe0, 1, 0x95]), "rejected", Some(TooLargeForDestination)),
        (Next::Says(&[0xe0, 1, 0x97]), "retry", Some(Throttled)),
        (Next::Says(&[0xe0, 1, 0x9b]), "blocked", Some(SignalNotTaken)),
        (Next::Says(&[0xe0, 1, 0x9d]), "blocked", Some(Redirected)),
        (Next::Says(&[0x40, 2, 0x77, 0x77]), "retry", Some(TimedOut)),
        (Next::Says(b"HTTP/1.1 400 Bad Request\r\n"), "blocked", Some(NotAnExportResponse)),
        (Next::Says(&[0x40, 0xff, 0xff, 0xff, 0x7f]), "blocked", Some(NotAnExportResponse)),
        (Next::Close, "retry", Some(CutOff)),
        (Next::Silent, "retry", Some(TimedOut)),
    ];
    for (next, expected, reason) in cases {
        with_server("mqtt://", CONNACK, &[next.clone(), Next::Puback(0)], async |mut sink, seen| {
            let outcome = sink.export(Signal::Logs, b"one").await;
            assert_eq!(word(&outcome), (expected, reason), "{next:?}: {outcome:?}");
            assert_eq!(word(&sink.export(Signal::Logs, b"two").await).0, "taken", "{next:?}");
            assert!(seen.borrow().last().unwrap().1.ends_with(b"two"));
        });
    }
}

/// Scenario: what a server says to a device that connects. Guarantees: credentials, versions and addresses are an operator's matter and
/// say what to do; anything else is waited for, and nothing is published (P3).
#[test]
fn d2_what_each_greeting_means() {
    use Refusal::{
        DestinationUnauthorized, FailedStatus, NotAnExportResponse, Redirected, SignalNotTaken, Throttled, TimedOut,
    };
    let cases: [(&'static [u8], _, _, _); 14] = [
        (&[0x20, 2, 0, 1], "blocked", SignalNotTaken, "MQTT 5"),
        (&[0x20, 2, 0, 5], "blocked", DestinationUnauthorized, "token_file"),
        (&[0x20, 3, 0, 0x84, 0], "blocked", SignalNotTaken, "MQTT 5"),
        (&[0x20, 3, 0, 0x85, 0], "blocked", SignalNotTaken, "client's id"),
        (&[0x20, 3, 0, 0x86, 0], "blocked", DestinationUnauthorized, "token_file"),
        (&[0x20, 9, 0, 0x87, 6, 0x1f, 0, 3, b'w', b'h', b'y'], "blocked", DestinationUnauthorized, "why"),
        (&[0x20, 3, 0, 0x80, 0], "retry", FailedStatus, "0x80"),
        (&[0x20, 3, 0, 0x88, 0], "retry", FailedStatus, "0x88"),
        (&[0x20, 3, 0, 0x89, 0], "retry", Throttled, "0x89"),
        (&[0x20, 3, 0, 0x9c, 0], "blocked", Redirected, "elsewhere"),
        (&[0x20, 5, 0, 0, 2, 0x24, 0], "blocked", SignalNotTaken, "QoS 1"),
        (&[0xd0, 0], "blocked", NotAnExportResponse, "right server"),
        (b"HTTP/1.1 400 Bad Request\r\n", "blocked", NotAnExportResponse, "check the address"),
        (b"", "retry", TimedOut, "no answer"),
    ];
    for (connack, expected, reason, says) in cases {
        with_server("mqtt://", connack, &[], async |mut sink, seen| {
            let outcome = sink.export(Signal::Logs, b"one").await;
            assert_eq!(word(&outcome), (expected, Some(reason)), "{connack:?}: {outcome:?}");
            assert!(outcome.unwrap_err().to_string().contains(says), "{connack:?}");
            assert!(seen.borrow().iter().all(|(first, _)| *first == 0x10));
        });
    }
}

/// Scenario: a request that is not answered, the same one again, others, over a connection that the server closes in between; then the
/// question whether the server is there. Guarantees: topic, media type and configured headers are on each message; the repetition has its number and
/// says so; the topic goes once a connection; the closed connection costs no failure.
#[test]
fn a_message_says_what_it_is() {
    let script = [Next::Close, Next::Puback(0), Next::PubackAndClose, Next::Puback(0)];
    with_server("mqtt://", CONNACK, &script, async |mut sink, seen| {
        assert!(sink.export(Signal::Traces, b"one").await.is_err());
        for request in [&b"one"[..], b"two", b"three"] {
            sink.export(Signal::Traces, request).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sink.export(Signal::Traces, &[]).await.unwrap();
        let seen = seen.borrow();
        assert_eq!(
            seen.iter().map(|(first, _)| *first).collect::<Vec<_>>(),
            [0x10, 0x32, 0x10, 0x3a, 0x32, 0x10, 0x32, 0xc0]
        );
        // Version 5, no clean start, a password without a user.
        assert_eq!(seen[0].1[..8], [0, 4, b'M', b'Q', b'T', b'T', 5, 0x40]);
        assert!(seen[0].1.ends_with(b"\0\x06client\0\x05token"));
        let topic = b"\0\x14ships/mv.test/traces";
        let properties = b"\x23\0\x01\x03\0\x16application/x-protobuf\x26\0\x07x-fleet\0\x05north";
        let message =
            |topic: &[u8], id, payload: &[u8]| [topic, &[0, id, properties.len() as u8], properties, payload].concat();
        assert_eq!(seen[1].1, message(topic, 1, b"one"));
        assert_eq!(seen[3].1, message(topic, 1, b"one"));
        assert_eq!(seen[4].1, message(b"\0\0", 2, b"two"));
        assert_eq!(seen[6].1, message(topic, 3, b"three"));
    });
}

/// Scenario: a message of more bytes than the server takes, and one of fewer. Guarantees: the first is not sent, and its refusal lets the
/// drain halve it; the connection goes on.
#[test]
fn what_is_too_large_is_not_sent() {
    with_server("mqtt://", CONNACK, &[Next::Puback(0)], async |mut sink, seen| {
        let outcome = sink.export(Signal::Logs, &[b'x'; 150]).await;
        assert_eq!(word(&outcome), ("rejected", Some(Refusal::TooLargeForDestination)), "{outcome:?}");
        sink.export(Signal::Logs, &[b'x'; 50]).await.unwrap();
        assert_eq!(seen.borrow().len(), 2);
    });
}

/// Scenario: nobody subscribes, for three messages; then somebody does; then nobody again. Guarantees: it is told once each time, and
/// costs nothing.
#[test]
fn that_nobody_subscribes_is_told_once() {
    let script = [0x10, 0x10, 0x10, 0, 0x10].map(Next::Puback);
    with_server("mqtt://", CONNACK, &script, async |mut sink, _| {
        let mut told = Vec::new();
        for _ in 0..5 {
            told.push(!sink.export(Signal::Logs, b"one").await.unwrap().message.is_empty());
        }
        assert_eq!(told, [true, false, false, false, true]);
    });
}

/// Scenario: the password of a user in the address is in a file, or in the address. Guarantees: it goes as that.
#[test]
fn a_user_has_a_password() {
    for (url, password) in [("mqtt://engine@", "token"), ("mqtt://engine:a%40b@", "a@b")] {
        with_server(url, CONNACK, &[], async |mut sink, seen| {
            sink.export(Signal::Logs, &[]).await.unwrap();
            let end = [b"\0\x06engine\0", &[password.len() as u8][..], password.as_bytes()].concat();
            let connect = &seen.borrow()[0].1;
            assert!(connect[7] == 0xc0 && connect.ends_with(&end), "{connect:?}");
        });
    }
}
