//! What a client says.

use crate::fields::{packet, put_binary, put_variable};

/// Asks whether the server is there.
pub const PINGREQ: &[u8] = &[0xc0, 0];
/// Ends the connection as one says good-bye: no will is published.
pub const DISCONNECT: &[u8] = &[0xe0, 0];

/// How a client presents itself. The session goes on where it was.
pub struct Connect<'a> {
    /// Names the session.
    pub client_id: &'a str,
    /// A user's name.
    pub user: Option<&'a str>,
    /// A password, or a token.
    pub password: Option<&'a [u8]>,
    /// The server ends the connection when it hears nothing for one and a half times so many seconds; 0: never.
    pub keep_alive: u16,
    /// So many seconds the server keeps the session without a connection.
    pub session_expiry: u32,
    /// The most bytes of a packet that is read here.
    pub max_packet: u32,
}

impl Connect<'_> {
    /// The packet CONNECT.
    pub fn packet(&self) -> Vec<u8> {
        let mut properties = vec![0x11];
        properties.extend_from_slice(&self.session_expiry.to_be_bytes());
        properties.push(0x27);
        properties.extend_from_slice(&self.max_packet.to_be_bytes());
        let flags = u8::from(self.user.is_some()) << 7 | u8::from(self.password.is_some()) << 6;
        let mut head = vec![0, 4, b'M', b'Q', b'T', b'T', 5, flags];
        head.extend_from_slice(&self.keep_alive.to_be_bytes());
        put_variable(&mut head, properties.len());
        head.extend_from_slice(&properties);
        put_binary(&mut head, self.client_id.as_bytes());
        if let Some(user) = self.user {
            put_binary(&mut head, user.as_bytes());
        }
        if let Some(password) = self.password {
            put_binary(&mut head, password);
        }
        packet(0x10, &[&head])
    }
}

/// A message with QoS 1.
pub struct Publish<'a> {
    /// Empty where the server knows it by `alias`.
    pub topic: &'a str,
    /// A number for the topic, on this connection.
    pub alias: Option<u16>,
    /// Its answer has this number; not 0.
    pub id: u16,
    /// It may have been sent before.
    pub is_repeated: bool,
    /// The media type of the payload.
    pub content_type: &'a str,
    /// Further properties that are the user's own.
    pub user_properties: &'a [(&'a str, &'a str)],
    /// The payload.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// The packet PUBLISH.
    pub fn packet(&self) -> Vec<u8> {
        let mut properties = Vec::new();
        if let Some(alias) = self.alias {
            properties.push(0x23);
            properties.extend_from_slice(&alias.to_be_bytes());
        }
        properties.push(0x03);
        put_binary(&mut properties, self.content_type.as_bytes());
        for (name, value) in self.user_properties {
            properties.push(0x26);
            put_binary(&mut properties, name.as_bytes());
            put_binary(&mut properties, value.as_bytes());
        }
        let mut head = Vec::new();
        put_binary(&mut head, self.topic.as_bytes());
        head.extend_from_slice(&self.id.to_be_bytes());
        put_variable(&mut head, properties.len());
        head.extend_from_slice(&properties);
        packet(0x32 | u8::from(self.is_repeated) << 3, &[&head, self.payload])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: packets of a client, with and without a user and an alias, of short and long payloads. Guarantees: the bytes are those of
    /// the specification.
    #[test]
    fn packets_are_those_of_the_specification() {
        let mut connect =
            Connect { client_id: "d", user: None, password: None, keep_alive: 0, session_expiry: 60, max_packet: 1024 };
        let properties = [10, 0x11, 0, 0, 0, 60, 0x27, 0, 0, 4, 0];
        let head = |flags| [&[0, 4, b'M', b'Q', b'T', b'T', 5, flags, 0, 0], &properties[..], &[0, 1, b'd']].concat();
        assert_eq!(connect.packet(), [&[0x10, 24], &head(0)[..]].concat());
        (connect.user, connect.password) = (Some("u"), Some(&b"p"[..]));
        assert_eq!(connect.packet(), [&[0x10, 30], &head(0xc0)[..], &[0, 1, b'u', 0, 1, b'p']].concat());

        let mut publish = Publish {
            topic: "a/b",
            alias: None,
            id: 7,
            is_repeated: false,
            content_type: "t",
            user_properties: &[],
            payload: b"x",
        };
        assert_eq!(publish.packet(), [0x32, 13, 0, 3, b'a', b'/', b'b', 0, 7, 4, 3, 0, 1, b't', b'x']);
        (publish.topic, publish.alias, publish.is_repeated) = ("", Some(1), true);
        publish.user_properties = &[("k", "v")];
        let expected = [0x3a, 20, 0, 0, 0, 7, 14, 0x23, 0, 1, 3, 0, 1, b't', 0x26, 0, 1, b'k', 0, 1, b'v', b'x'];
        assert_eq!(publish.packet(), expected);
        let long = vec![0; 20_000];
        publish.payload = &long;
        assert_eq!((publish.packet().len(), &publish.packet()[1..4]), (20_000 + 19 + 4, &[0xb3, 0x9c, 0x01][..]));
    }
}
