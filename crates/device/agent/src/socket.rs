//! Speaking to the running agent: over its Unix socket, or on its admin address.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::Failure;

const TIMEOUT: Duration = Duration::from_secs(5);
/// For answers that wait for a commit.
const COMMITTED: Duration = Duration::from_secs(15);
/// The longest answer that is held in memory.
const MAX_ANSWER: u64 = 1 << 20;

/// Sends a request of HTTP/1.0 (one request, one answer, end) and gives the status and the body's reader.
fn exchange<S: Read + Write>(mut stream: S, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, impl Read)> {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    write!(stream, "{method} {path} HTTP/1.0\r\nhost: localhost\r\n{length}\r\n")?;
    stream.write_all(body)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status: u16 = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 {
            return Err(io::Error::other("not an HTTP answer"));
        }
        if header.trim_end().is_empty() {
            return Ok((status, reader));
        }
    }
}

/// As [`exchange`], for answers that are read also when the agent is not well.
fn ask<S: Read + Write>(stream: S, method: &str, path: &str) -> io::Result<impl Read> {
    let (status, reader) = exchange(stream, method, path, &[])?;
    if status != 200 && status != 503 {
        return Err(refused(status, reader));
    }
    Ok(reader)
}

fn refused(status: u16, answer: impl Read) -> io::Error {
    let mut why = String::new();
    // What it says of itself is enough; a broken text is still an error.
    let _read = answer.take(MAX_ANSWER).read_to_string(&mut why);
    io::Error::other(format!("it answers {status}: {}", why.trim()))
}

/// Gives the agent a body on its Unix socket. `None` when it says that it has no room now.
///
/// # Errors
/// When no agent listens there, or it refuses.
pub(crate) fn give(data_dir: &Path, path: &str, body: &[u8]) -> io::Result<Option<String>> {
    let stream = UnixStream::connect(data_dir.join(edge::SOCKET))?;
    stream.set_read_timeout(Some(COMMITTED))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    match exchange(stream, "POST", path, body)? {
        (200, answer) => text(answer).map(Some),
        (503, _) => Ok(None),
        (status, answer) => Err(refused(status, answer)),
    }
}

/// A request on the agent's Unix socket.
///
/// # Errors
/// When no agent listens there, or it refuses.
pub(crate) fn on_socket(data_dir: &Path, method: &str, path: &str) -> io::Result<impl Read> {
    let stream = UnixStream::connect(data_dir.join(edge::SOCKET))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    ask(stream, method, path)
}

/// An order to the agent on its Unix socket, and what it says of it.
///
/// # Errors
/// When no agent listens there, or it refuses: with the socket, and what to look at.
pub(crate) fn order(data_dir: &Path, path: &str) -> Result<String, Failure> {
    on_socket(data_dir, "POST", path).and_then(text).map_err(|error| {
        let socket = data_dir.join(edge::SOCKET);
        Failure::unwell(format!("{}: {error}; is the agent running, and may you write there?", socket.display()))
    })
}

/// A request on the agent's admin address, for its text.
///
/// # Errors
/// When no agent listens there.
pub(crate) fn on_network(address: &str, path: &str) -> io::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    text(ask(stream, "GET", path)?)
}

/// A text as the value of a query parameter.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The whole answer as text.
///
/// # Errors
/// When the connection ends before.
pub(crate) fn text(body: impl Read) -> io::Result<String> {
    let mut answer = String::new();
    body.take(MAX_ANSWER).read_to_string(&mut answer)?;
    Ok(answer)
}
