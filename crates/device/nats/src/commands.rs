//! What a client says.

use serde_json::json;

/// Asks for a `PONG`.
pub const PING: &[u8] = b"PING\r\n";
/// Answers a `PING`.
pub const PONG: &[u8] = b"PONG\r\n";

/// What a client says of itself. Secrets are sent as they are.
#[derive(Default)]
pub struct Connect<'a> {
    /// Shown by the server in its lists of connections.
    pub name: &'a str,
    /// The client's version.
    pub version: &'a str,
    /// A user's name.
    pub user: Option<&'a str>,
    /// The user's password.
    pub password: Option<&'a str>,
    /// A token, where there is no user.
    pub token: Option<&'a str>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

impl Connect<'_> {
    /// The command `CONNECT`. Messages with headers and answers of status 503 are asked for, own messages and `+OK` are not.
    pub fn command(&self) -> Vec<u8> {
        let mut options = json!({
            "verbose": false,
            "pedantic": false,
            "echo": false,
            "headers": true,
            "no_responders": true,
            "protocol": 1,
            "lang": "rust",
            "name": self.name,
            "version": self.version,
            "tls_required": self.tls,
        });
        for (key, value) in [("user", self.user), ("pass", self.password), ("auth_token", self.token)] {
            if let Some(value) = value {
                options[key] = value.into();
            }
        }
        format!("CONNECT {options}\r\n").into_bytes()
    }
}

/// The command that asks for messages of a subject, under a number of the client's.
pub fn subscribe(subject: &str, number: u64) -> Vec<u8> {
    format!("SUB {subject} {number}\r\n").into_bytes()
}

/// The command that publishes a message with headers, whose answer goes to the subject `reply`. Also gives how many bytes of it the
/// server counts for its maximum: headers and payload. What would end a line is left out of headers.
pub fn publish(subject: &str, reply: &str, headers: &[(&str, &str)], payload: &[u8]) -> (Vec<u8>, usize) {
    let mut head = String::from("NATS/1.0\r\n");
    for (name, value) in headers {
        head.extend(name.chars().filter(|one| !one.is_control()));
        head.push_str(": ");
        head.extend(value.chars().filter(|one| !one.is_control()));
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    let counted = head.len() + payload.len();
    let mut command = Vec::with_capacity(counted + 128);
    command.extend_from_slice(format!("HPUB {subject} {reply} {} {counted}\r\n", head.len()).as_bytes());
    command.extend_from_slice(head.as_bytes());
    command.extend_from_slice(payload);
    command.extend_from_slice(b"\r\n");
    (command, counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a connection with a user whose password has quotes and line ends, and a message whose header would end its line.
    /// Guarantees: each is one command, and lengths are those of the bytes.
    #[test]
    fn commands_are_whole_lines() {
        let connect = Connect { name: "a\"b", user: Some("u"), password: Some("p\r\nPUB x 0"), ..Connect::default() };
        let command = String::from_utf8(connect.command()).unwrap();
        assert_eq!(command.matches("\r\n").count(), 1, "{command}");
        assert!(command.starts_with("CONNECT {") && command.contains(r#""pass":"p\r\nPUB x 0""#), "{command}");
        assert!(command.contains(r#""no_responders":true"#) && !command.contains("auth_token"), "{command}");

        let (command, counted) = publish("a.b", "_INBOX.1", &[("Nats-Msg-Id", "x\r\ny")], b"payload");
        let text = "HPUB a.b _INBOX.1 29 36\r\nNATS/1.0\r\nNats-Msg-Id: xy\r\n\r\npayload\r\n";
        assert_eq!((String::from_utf8(command).unwrap().as_str(), counted), (text, 36));
        assert_eq!(subscribe("_INBOX.1.*", 1), b"SUB _INBOX.1.* 1\r\n");
    }
}
