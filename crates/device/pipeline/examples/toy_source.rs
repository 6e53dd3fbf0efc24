//! A source of one's own: every line that comes over TCP is a log record. `cargo run -p pipeline --example toy_source`
#![allow(clippy::unwrap_used, reason = "an example ends with a panic when it is wrong")]

use std::cell::RefCell;
use std::rc::Rc;

use ledger::Ledger;
use model::proto::{put_bytes, put_message};
use model::{Answer, Request, Signal};
use pipeline::Pipeline;
use sampling::Sampler;
use sources::{Intake, Limits, Pending, Share};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Knows its protocol and nothing else: lines in, `ok` or `again` out.
async fn serve(stream: TcpStream, intake: Intake, limits: Rc<Limits>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut body = Vec::new();
        put_message(&mut body, 1, |out| {
            put_message(out, 2, |out| {
                put_message(out, 2, |out| put_message(out, 5, |out| put_bytes(out, 1, line.as_bytes())));
            });
        });
        // The body counts against what all sources may hold, until its share is dropped.
        let mut share = Share::new(&limits);
        let answer = match share.resize(body.capacity()) {
            true => intake(Request { signal: Signal::Logs, body, key: None }, None, share).await,
            false => Answer::Wait(pipeline::WAIT),
        };
        let word: &[u8] = if answer.is_taken() { b"ok\n" } else { b"again\n" };
        if writer.write_all(word).await.is_err() {
            return;
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let sampler = Sampler::new(sampling::Options { memory: 1 << 20, ..sampling::Options::default() });
    let pipeline = Rc::new(RefCell::new(Pipeline::new(1 << 20, sampler, None, Ledger::default())));
    let taker = Rc::clone(&pipeline);
    let intake: Intake =
        Rc::new(move |request, _position, _share| Pending::settled(taker.borrow_mut().accept(request, 0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut producer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    producer.write_all(b"engine started\nvalve 7 open\n").await.unwrap();
    producer.shutdown().await.unwrap();
    serve(listener.accept().await.unwrap().0, intake, Limits::new(64 << 10, 1 << 20, 8)).await;
    let mut answers = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut producer, &mut answers).await.unwrap();
    assert_eq!(answers, "ok\nok\n");
    assert_eq!(pipeline.borrow().ledger().received.get(Signal::Logs), 2);
    println!("{} frames for the journal", pipeline.borrow_mut().take_batches().len());
}
