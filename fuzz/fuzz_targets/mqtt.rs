//! Anything as a server of MQTT 5 would say it: no panic, no more memory than the bound, the same in pieces of any size, and what a client
//! says has the length that it tells.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt::{Connect, Decoder, MAX_PACKET, Packet, Publish};

/// What is read, of bytes that come in pieces of this size; true at the end when they are none of MQTT.
fn read(bytes: &[u8], step: usize) -> (Vec<Packet>, bool) {
    let (mut decoder, mut packets) = (Decoder::default(), Vec::new());
    for piece in bytes.chunks(step) {
        decoder.feed(piece);
        loop {
            match decoder.packet() {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(_) => return (packets, true),
            }
        }
    }
    (packets, false)
}

/// Whether the length behind the first byte is that of the rest.
fn is_whole(packet: &[u8]) -> bool {
    let (mut length, mut place) = (0, 1);
    loop {
        let byte = packet[place];
        length |= usize::from(byte & 0x7f) << (7 * (place - 1));
        place += 1;
        if byte & 0x80 == 0 {
            return packet.len() == place + length;
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((step, bytes)) = input.split_first() else { return };
    let (packets, is_odd) = read(bytes, bytes.len().max(1));
    assert_eq!(read(bytes, usize::from(*step).max(1)), (packets.clone(), is_odd));
    for packet in packets {
        match packet {
            Packet::Connack(accepted) => {
                assert!(accepted.receive_maximum > 0 && accepted.max_packet != Some(0));
                assert!(accepted.said.len() <= 3 * MAX_PACKET);
            }
            Packet::Puback { id, said, .. } => assert!(id > 0 && said.len() <= 3 * MAX_PACKET),
            Packet::Pingresp | Packet::Disconnect { .. } => {}
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let connect = Connect {
        client_id: &text,
        user: Some(&text),
        password: Some(bytes),
        keep_alive: 0,
        session_expiry: 1,
        max_packet: 1,
    };
    assert!(is_whole(&connect.packet()));
    let publish = Publish {
        topic: &text,
        alias: Some(1),
        id: 1,
        is_repeated: false,
        content_type: &text,
        user_properties: &[(&text, &text)],
        payload: bytes,
    };
    assert!(is_whole(&publish.packet()));
});
