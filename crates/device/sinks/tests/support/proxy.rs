//! An HTTP proxy that a test plays.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it is asked, and what it answers: `None` connects, whatever the name is, to the server behind it; an empty text says nothing.
pub(crate) type Answer = Rc<RefCell<Box<dyn FnMut(&str) -> Option<String>>>>;

/// Starts one in front of a server; its address, and what it answers.
pub(crate) async fn start(server: SocketAddr) -> (SocketAddr, Answer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Answer = Rc::new(RefCell::new(Box::new(|_| None)));
    let given = Rc::clone(&answer);
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::task::spawn_local(serve(stream, server, Rc::clone(&given)));
        }
    });
    (address, answer)
}

async fn serve(mut stream: TcpStream, server: SocketAddr, answer: Answer) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let said = answer.borrow_mut()(&String::from_utf8(head).unwrap());
    match said {
        None => {
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let mut onwards = TcpStream::connect(server).await.unwrap();
            let _ended = tokio::io::copy_bidirectional(&mut stream, &mut onwards).await;
        }
        Some(text) if text.is_empty() => std::future::pending().await,
        Some(text) => {
            stream.write_all(text.as_bytes()).await.unwrap();
        }
    }
}
