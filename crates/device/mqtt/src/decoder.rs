//! What a server says.

use crate::fields::{Fields, Property, properties, variable};

/// The longest packet that is read, bytes: servers are told so, and what they have to say to a client that only publishes is short.
pub const MAX_PACKET: usize = 16 << 10;

/// What a server says when it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// 0, or why it lets nobody in.
    pub reason: u8,
    /// The session of before goes on.
    pub session_present: bool,
    /// So many messages may wait for their answer.
    pub receive_maximum: u16,
    /// The most bytes of a packet; `None`: any.
    pub max_packet: Option<u32>,
    /// Topics may have numbers up to this one.
    pub topic_alias_maximum: u16,
    /// The server's own keep alive, seconds.
    pub keep_alive: Option<u16>,
    /// The highest quality of service.
    pub maximum_qos: u8,
    /// Its words.
    pub said: String,
}

/// A packet of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// The answer to CONNECT.
    Connack(Accepted),
    /// The answer to a PUBLISH.
    Puback {
        /// The number of the message.
        id: u16,
        /// Below 0x80 it is taken.
        reason: u8,
        /// The server's words.
        said: String,
    },
    /// The answer to a PINGREQ.
    Pingresp,
    /// The server ends the connection.
    Disconnect {
        /// Why.
        reason: u8,
        /// The server's words.
        said: String,
    },
}

/// Bytes that are none of MQTT 5, or not for a client that only publishes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More than was asked for.
    #[error("a packet has {0} bytes, more than {MAX_PACKET}")]
    TooLong(usize),
    /// Its length is no number.
    #[error("the length of a packet is no number")]
    Length,
    /// A packet that cannot be read, or is not for this client; its first byte.
    #[error("a packet that begins with {0:#04x} cannot be read")]
    Malformed(u8),
}

/// Bytes of a server, as they come, to its packets.
#[derive(Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Bytes that came. Take every [`Decoder::packet`] before the next ones.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`DecodeError`]: the connection is of no use any more.
    pub fn packet(&mut self) -> Result<Option<Packet>, DecodeError> {
        let Some((first, rest)) = self.buffer.split_first() else { return Ok(None) };
        let first = *first;
        // Something else than a server of MQTT is told before its length is believed.
        if !matches!(first, 0x20 | 0x40 | 0xd0 | 0xe0) {
            return Err(DecodeError::Malformed(first));
        }
        let Some((length, used)) = variable(rest).ok_or(DecodeError::Length)? else { return Ok(None) };
        if length > MAX_PACKET {
            return Err(DecodeError::TooLong(length));
        }
        let Some(body) = rest.get(used..used + length) else { return Ok(None) };
        let packet = read(first, body).ok_or(DecodeError::Malformed(first))?;
        self.buffer.drain(..1 + used + length);
        Ok(Some(packet))
    }
}

fn read(first: u8, body: &[u8]) -> Option<Packet> {
    let mut fields = Fields(body);
    let packet = match first {
        0x20 => Packet::Connack(accepted(&mut fields)?),
        0x40 => {
            let id = fields.two().filter(|id| *id > 0)?;
            let (reason, said) = reason(&mut fields)?;
            Packet::Puback { id, reason, said }
        }
        0xd0 => Packet::Pingresp,
        _ => {
            let (reason, said) = reason(&mut fields)?;
            Packet::Disconnect { reason, said }
        }
    };
    fields.is_empty().then_some(packet)
}

/// A reason and words, each of which may be left out at the end of a packet.
fn reason(fields: &mut Fields<'_>) -> Option<(u8, String)> {
    if fields.is_empty() {
        return Some((0, String::new()));
    }
    let reason = fields.byte()?;
    let all = if fields.is_empty() { Vec::new() } else { properties(fields)? };
    Some((reason, all.iter().find_map(said).unwrap_or_default()))
}

fn said(property: &Property<'_>) -> Option<String> {
    match property {
        Property::ReasonString(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn accepted(fields: &mut Fields<'_>) -> Option<Accepted> {
    let flags = fields.byte().filter(|flags| *flags <= 1)?;
    let mut accepted = Accepted {
        reason: fields.byte()?,
        session_present: flags == 1,
        receive_maximum: u16::MAX,
        max_packet: None,
        topic_alias_maximum: 0,
        keep_alive: None,
        maximum_qos: 2,
        said: String::new(),
    };
    // A server of version 3 has no properties: its answer tells that it is one.
    let all = if fields.is_empty() { Vec::new() } else { properties(fields)? };
    for property in &all {
        match property {
            Property::ReceiveMaximum(most) => accepted.receive_maximum = *most,
            Property::MaximumPacketSize(most) => accepted.max_packet = Some(*most),
            Property::TopicAliasMaximum(most) => accepted.topic_alias_maximum = *most,
            Property::ServerKeepAlive(seconds) => accepted.keep_alive = Some(*seconds),
            Property::MaximumQos(most) => accepted.maximum_qos = *most,
            Property::ReasonString(_) => accepted.said = said(property)?,
            Property::Other => {}
        }
    }
    Some(accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8], step: usize) -> (Vec<Packet>, Option<DecodeError>) {
        let (mut decoder, mut packets) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(step) {
            decoder.feed(piece);
            loop {
                match decoder.packet() {
                    Ok(Some(packet)) => packets.push(packet),
                    Ok(None) => break,
                    Err(error) => return (packets, Some(error)),
                }
            }
        }
        (packets, None)
    }

    /// Scenario: everything that a server says to a client that publishes, with every property, in pieces of each size. Guarantees: it is
    /// read the same.
    #[test]
    fn everything_is_read_in_pieces_of_any_size() {
        let properties: &[&[u8]] = &[
            &[0x11, 0, 0, 0, 60],
            &[0x21, 0, 20],
            &[0x24, 1],
            &[0x25, 1],
            &[0x27, 0, 1, 0, 0],
            &[0x12, 0, 1, b'i'],
            &[0x22, 0, 10],
            &[0x1f, 0, 2, b'o', b'k'],
            &[0x26, 0, 1, b'k', 0, 1, b'v'],
            &[0x28, 1, 0x29, 1, 0x2a, 1],
            &[0x13, 0, 30],
            &[0x1a, 0, 0, 0x1c, 0, 1, b's', 0x15, 0, 0, 0x16, 0, 1, 1],
        ];
        let properties = properties.concat();
        let connack = [&[0x20, properties.len() as u8 + 3, 1, 0, properties.len() as u8], &properties[..]].concat();
        let said = [
            &connack[..],
            &[0x40, 2, 0, 1],
            &[0x40, 3, 0, 2, 0x10],
            &[0x40, 9, 0, 3, 0x97, 5, 0x1f, 0, 2, b'n', b'o'],
            &[0xd0, 0],
            &[0xe0, 0],
            &[0xe0, 1, 0x8b],
            &[0xe0, 2, 0x8d, 0],
        ]
        .concat();
        let puback = |id, reason, said: &str| Packet::Puback { id, reason, said: said.into() };
        let disconnect = |reason| Packet::Disconnect { reason, said: String::new() };
        let accepted = Accepted {
            reason: 0,
            session_present: true,
            receive_maximum: 20,
            max_packet: Some(1 << 16),
            topic_alias_maximum: 10,
            keep_alive: Some(30),
            maximum_qos: 1,
            said: "ok".into(),
        };
        let expected = vec![
            Packet::Connack(accepted),
            puback(1, 0, ""),
            puback(2, 0x10, ""),
            puback(3, 0x97, "no"),
            Packet::Pingresp,
            disconnect(0),
            disconnect(0x8b),
            disconnect(0x8d),
        ];
        for step in 1..said.len() {
            assert_eq!(all(&said, step), (expected.clone(), None), "{step}");
        }
    }

    /// Scenario: packets that are too long, cut short, longer than their fields, for others, and other protocols. Guarantees: an error, and
    /// no more memory than the bound.
    #[test]
    fn what_is_none_of_mqtt_is_an_error() {
        assert_eq!(all(&[0x20, 0xff, 0xff, 0xff, 0x7f], 1).1, Some(DecodeError::TooLong(268_435_455)));
        assert_eq!(all(&[0x20, 0xff, 0xff, 0xff, 0xff], 1).1, Some(DecodeError::Length));
        for odd in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            &[0x30, 3, 0, 1, b'a'],
            &[0x42, 2, 0, 1],
            &[0x40, 2, 0, 0],
            &[0x40, 1, 0],
            &[0x40, 5, 0, 1, 0, 0, 0],
            &[0x40, 6, 0, 1, 0, 2, 0x1f, 0],
            &[0x20, 1, 0],
            &[0x20, 2, 2, 0],
            &[0x20, 5, 0, 0, 2, 0xff, 0],
            &[0x20, 6, 0, 0, 3, 0x21, 0, 0],
            &[0xd0, 1, 0],
        ] {
            assert!(matches!(all(odd, 3).1, Some(DecodeError::Malformed(_))), "{odd:?}");
        }
        // Version 3 has no properties.
        assert!(matches!(&all(&[0x20, 2, 0, 5], 1).0[..], [Packet::Connack(Accepted { reason: 5, .. })]));
    }
}
