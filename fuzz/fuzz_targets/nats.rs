//! Anything as a server of NATS would say it: no panic, no more memory than the bounds, the same in pieces of any size, and what a client
//! says is whole lines whatever stands in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nats::{Ack, Connect, Decoder, Event, MAX_LINE, MAX_MESSAGE};

/// What is read, of bytes that come in pieces of this size; true at the end when they are none of NATS.
fn read(bytes: &[u8], step: usize) -> (Vec<Event>, bool) {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.feed(piece);
        loop {
            match decoder.event() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(_) => return (events, true),
            }
        }
    }
    (events, false)
}

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else { return };
    let (events, is_odd) = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, usize::from(*step).max(1)), (events.clone(), is_odd));
    for event in events {
        match event {
            Event::Message(message) => {
                assert!(message.payload.len() <= MAX_MESSAGE && message.subject.len() <= MAX_LINE);
                let _ack = Ack::read(&message.payload);
                let _streams = nats::streams(&message.payload);
            }
            Event::Error(said) => assert!(said.len() <= 3 * MAX_LINE),
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let connect = Connect { name: &text, user: Some(&text), password: Some(&text), ..Connect::default() }.command();
    assert_eq!(connect.iter().filter(|byte| **byte == b'\n').count(), 1);
    let (command, counted) = nats::publish("a", "b", &[("Nats-Msg-Id", &text)], bytes);
    let line = command.iter().position(|byte| *byte == b'\n').expect("it has a line") + 1;
    assert_eq!(command.len(), line + counted + 2);
    let head = counted - bytes.len();
    assert_eq!(command[line..line + head].iter().filter(|byte| **byte == b'\n').count(), 3);
});
