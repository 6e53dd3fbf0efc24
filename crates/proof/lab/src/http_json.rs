//! Small HTTP questions to programs on this machine, with JSON answers.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks for a path; an error unless the answer is 200 with the JSON that is expected.
pub(crate) async fn get<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T> {
    let found = find(address, path).await?;
    found.with_context(|| format!("GET http://{address}{path} answered 404"))
}

/// Asks for a path that may not be there: `None` for 404.
pub(crate) async fn find<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<Option<T>> {
    let question = || format!("GET http://{address}{path}");
    let (status, body) = timeout(PATIENCE, exchange(address, path))
        .await
        .with_context(|| format!("{} got no answer within {} s", question(), PATIENCE.as_secs()))?
        .with_context(question)?;
    match status {
        StatusCode::OK => {
            let read = serde_json::from_slice(&body);
            read.map(Some).with_context(|| format!("{}: the answer is not as documented", question()))
        }
        StatusCode::NOT_FOUND => Ok(None),
        _ => bail!("{} answered {status}: {}", question(), String::from_utf8_lossy(&body)),
    }
}

/// Whether a path answers 200 at this moment.
pub(crate) async fn is_ok(address: SocketAddr, path: &str) -> bool {
    let answer = timeout(Duration::from_secs(2), exchange(address, path)).await;
    matches!(answer, Ok(Ok((StatusCode::OK, _))))
}

async fn exchange(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    Ok((status, response.into_body().collect().await?.to_bytes()))
}

/// A query string from names and values, with what needs it escaped.
pub(crate) fn query(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut target = path.to_owned();
    for (index, (name, value)) in parameters.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.push_str(name);
        target.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => target.push(char::from(byte)),
                _ => target.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: values with letters that mean something in a query. Guarantees: they arrive as values.
    #[test]
    fn values_are_escaped() {
        assert_eq!(query("/a", &[("x", "1 b&c=/"), ("y", "z")]), "/a?x=1%20b%26c%3D%2F&y=z");
        assert_eq!(query("/a", &[]), "/a");
    }
}
