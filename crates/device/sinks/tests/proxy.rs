//! A proxy between a sink and its server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/proxy.rs"]
mod proxy;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use drain::SendError;
use model::{Refusal, Signal};
use sinks::{Access, CredentialFiles, Credentials, HubSink, LokiSink, OtlpSink, PrometheusSink, Proxy, Route};
use sources::{Answer, Intake, Limits, Pending};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// How a server of a name that no one resolves is reached.
fn access(address: impl std::fmt::Display, credentials: Credentials) -> Access {
    Access {
        endpoint: "http://backend.invalid:4318".parse().unwrap(),
        route: Route::Proxy(Proxy::parse(&format!("http://{address}"), "proxy").unwrap()),
        credentials: Rc::new(credentials),
        timeout: Duration::from_secs(10),
    }
}

/// A server for all of HTTP/1.1: 400 to a hub's greeting, 204 to the rest.
async fn http_server(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let code = if head.windows(5).any(|part| part == b"hello") { "400 x" } else { "204 x" };
            let answer = format!("HTTP/1.1 {code}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            let _gone = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// Scenario: every protocol to a server that only the proxy can find, with user and password in the address. Guarantees: each goes through
/// by CONNECT with the server's name, the password goes to the proxy alone (D9).
#[test]
fn d9_every_protocol_goes_through_a_proxy() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::task::spawn_local(http_server(listener));
        let (address, answer) = proxy::start(server).await;
        let asked = Rc::new(RefCell::new(Vec::new()));
        let seen = Rc::clone(&asked);
        *answer.borrow_mut() = Box::new(move |head| {
            seen.borrow_mut().push(head.to_owned());
            None
        });
        let access = access(format!("user:word@{address}"), Credentials::default());
        HubSink::new(access.clone()).probe().await.unwrap();
        OtlpSink::http(access.clone(), false, Some(sinks::Compressor::new(sinks::Coding::Gzip)))
            .export(Signal::Logs, &[])
            .await
            .unwrap();
        LokiSink::new(access.clone(), Vec::new()).export(Signal::Logs, &[]).await.unwrap();
        let options = sinks::PrometheusOptions::default();
        PrometheusSink::new(access.clone(), options).export(Signal::Metrics, &[]).await.unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (grpc_proxy, _) = proxy::start(listener.local_addr().unwrap()).await;
        let intake: Intake = Rc::new(|_, _, _| Pending::settled(Answer::Accepted));
        tokio::task::spawn_local(sources::serve_grpc(listener, intake, Limits::new(1 << 20, 1 << 21, 8)));
        let route = Route::Proxy(Proxy::parse(&grpc_proxy.to_string(), "proxy").unwrap());
        OtlpSink::grpc(Access { route, ..access }, Some(sinks::Compressor::new(sinks::Coding::Gzip)))
            .export(Signal::Logs, &[])
            .await
            .unwrap();

        let asked = asked.borrow();
        // Remote write asks more than once where it has to find out what the server understands.
        assert!(asked.len() >= 4);
        for head in asked.iter().map(|head| head.to_ascii_lowercase()) {
            assert!(head.starts_with("connect backend.invalid:4318 http/1.1\r\n"), "{head}");
            assert!(head.contains("proxy-authorization: basic dxnlcjp3b3jk\r\n"), "{head}");
        }
    });
}

/// Scenario: a proxy that wants a password which stands in a file, wrong at first; that does not allow the server; cannot reach it; says
/// nothing; is no proxy; is not there. Guarantees: each is told as the proxy's, by its address and words, never with the password; a
/// person's matters block, the others are waited for; the file is read again (D9, D8, P3).
#[test]
fn d9_a_proxy_that_does_not_connect_is_told_as_that() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap();
        tokio::task::spawn_local(http_server(listener));
        let (address, answer) = proxy::start(server).await;
        let says = |text: &str| {
            let text = text.to_owned();
            *answer.borrow_mut() = Box::new(move |_| Some(text.clone()));
        };
        *answer.borrow_mut() = Box::new(|head| {
            let is_known = head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjp3b3jk\r\n");
            (!is_known).then(|| "HTTP/1.1 407 x\r\ncontent-length: 6\r\n\r\nwho?\r\n".to_owned())
        });
        let directory = tempfile::tempdir().unwrap();
        let password = directory.path().join("password");
        std::fs::write(&password, "wrong-word\n").unwrap();
        let files = CredentialFiles { proxy: Some(("user".into(), password.clone())), ..CredentialFiles::default() };
        let mut access = access(format!("user@{address}"), Credentials::read(&files, false).unwrap());
        let mut hub = HubSink::new(access.clone());
        let error = hub.probe().await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::DestinationUnauthorized, .. }), "{error}");
        let words = error.to_string();
        let wanted = format!("the proxy http://{address} (proxy) answers 407");
        assert!(
            words.contains(&wanted) && words.contains(": who?; ") && words.contains("proxy_password_file"),
            "{words}"
        );
        std::fs::write(&password, "word").unwrap();
        let mut tries = 0;
        while let Err(error) = hub.probe().await {
            tries += 1;
            assert!(tries < 100, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }

        says("HTTP/1.1 403 x\r\ncontent-length: 10\r\n\r\nnot there!");
        let error = hub.probe().await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::Unreachable, .. }), "{error}");
        assert!(error.to_string().contains("not there!; have it allow CONNECT"), "{error}");
        for code in [408, 429, 500, 502, 503, 504] {
            says(&format!("HTTP/1.1 {code} x\r\ncontent-length: 0\r\n\r\n"));
            let error = hub.probe().await.unwrap_err();
            assert!(matches!(error, SendError::Retry { reason: Refusal::FailedStatus, .. }), "{error}");
            assert!(error.to_string().contains("the proxy http://"), "{error}");
        }
        says("SSH-2.0-x\r\n");
        let error = hub.probe().await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::NotAnExportResponse, .. }), "{error}");
        access.timeout = Duration::from_millis(200);
        says("");
        let error = HubSink::new(access.clone()).probe().await.unwrap_err();
        assert!(matches!(error, SendError::Retry { reason: Refusal::TimedOut, .. }), "{error}");
        assert!(error.to_string().starts_with("the proxy http://"), "{error}");
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        access.route = Route::Proxy(Proxy::parse(&free.to_string(), "https_proxy").unwrap());
        let error = HubSink::new(access.clone()).probe().await.unwrap_err();
        assert!(matches!(error, SendError::Retry { reason: Refusal::Unreachable, .. }), "{error}");
        let wanted = format!("cannot reach the proxy http://{free} (https_proxy) on the way to backend.invalid:4318: ");
        assert!(error.to_string().starts_with(&wanted), "{error}");
        access.route = Route::Unusable("all_proxy: no".into());
        let error = HubSink::new(access).probe().await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { .. }), "{error}");
    });
}
