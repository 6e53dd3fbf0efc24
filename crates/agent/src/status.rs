//! `lightship status`: asks the running agent on its admin endpoint.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use config::Config;

use crate::{Failure, print};

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: u64 = 1 << 20;

/// Prints the agent's status, for people or as JSON.
pub(crate) fn show(config: &Config, json: bool) -> Result<(), Failure> {
    let address = admin_address(config);
    let path = if json { "/status" } else { "/status?format=text" };
    let unwell = |why: String| Failure { code: 1, text: why };
    let body = get(&address, path).map_err(|error| {
        unwell(format!("no agent answers on {address}: {error}; is `lightship run` up with this configuration?"))
    })?;
    print(&body);
    let health = get(&address, "/healthz").map_err(|error| unwell(format!("{address}: {error}")))?;
    if health.contains("\"ok\"") { Ok(()) } else { Err(unwell(format!("the agent is not well: {}", health.trim()))) }
}

/// Where the agent says that it listens; where it was told to, when it says nothing.
fn admin_address(config: &Config) -> String {
    let written = std::fs::read_to_string(config.data_dir.join("addresses.json")).unwrap_or_default();
    let stated = written.split("\"admin\":\"").nth(1).and_then(|rest| rest.split('"').next());
    stated.map_or_else(|| config.admin.listen.to_string(), str::to_owned)
}

/// A GET of HTTP/1.0: one request, one answer, end.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(std::io::Error::other("not an HTTP answer")),
    }
}
