//! A server that answers by a script, and keeps what it was sent.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use sinks::{Access, CredentialFiles, Credentials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Request line and headers, in lower case.
    pub(crate) head: String,
    /// Uncompressed.
    pub(crate) body: Vec<u8>,
    /// The connection's number.
    #[allow(dead_code, reason = "not every test asks for it")]
    pub(crate) connection: usize,
}

/// What the server does next.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    /// Answers with a status, further headers and a body.
    Answer(u16, &'static str, &'static str),
    /// Reads the request and closes the connection.
    Close,
}

/// Runs `test` with the access to a server that does one thing of `script` for each request, in order.
pub(crate) fn with_script(script: Vec<Next>, test: impl AsyncFnOnce(Access, Rc<RefCell<Vec<Seen>>>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&seen);
        tokio::task::spawn_local(async move {
            let mut script = VecDeque::from(script);
            for connection in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                loop {
                    let Some((head, body)) = read(&mut stream).await else { break };
                    let body = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
                    kept.borrow_mut().push(Seen { head, body, connection });
                    match script.pop_front().unwrap() {
                        Next::Close => break,
                        Next::Answer(status, headers, body) => {
                            let length = body.len();
                            let answer =
                                format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
                            stream.write_all(answer.as_bytes()).await.unwrap();
                        }
                    }
                }
            }
        });
        let directory = tempfile::tempdir().unwrap();
        let token = directory.path().join("token");
        std::fs::write(&token, "secret\n").unwrap();
        let headers = vec![("x-scope-orgid".to_owned(), "vessels".to_owned())];
        let files = CredentialFiles { token_file: Some(token), headers, ..CredentialFiles::default() };
        let credentials = Rc::new(Credentials::read(&files, false).unwrap());
        let access = Access { endpoint, credentials, route: Default::default(), timeout: Duration::from_secs(10) };
        test(access, seen).await;
    });
}

/// Reads one request; `None` where the connection ends.
async fn read(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}
