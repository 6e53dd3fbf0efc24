//! The hub link over HTTPS (docs/link.md).

use bytes::Bytes;
use drain::SendError;
use link::{BLOCKS_PATH, BlocksAck, CONTENT_TYPE, HELLO_PATH, Hello, HelloAck};
use model::Refusal;

use crate::answer::{Answer, failure};
use crate::http1::Client;
use client::Access;

/// The connection to a hub.
pub struct HubSink {
    client: Client,
}

impl HubSink {
    /// A sink that connects when it is first used.
    pub fn new(access: Access) -> Self {
        Self { client: Client::new(access) }
    }

    /// Says hello, or that the device is still there.
    ///
    /// # Errors
    /// [`SendError`]; it never means that data is refused.
    pub async fn hello(&mut self, hello: &Hello) -> Result<HelloAck, SendError> {
        let answer = self.post(HELLO_PATH, Bytes::from(link::encode(hello))).await?;
        link::decode(&answer.body).map_err(|error| not_a_hub(&error))
    }

    /// Asks whether a hub is there that knows the token, without greeting it: a hello that says nothing is answered as one.
    ///
    /// # Errors
    /// [`SendError`], when there is none, or it wants other credentials.
    pub async fn probe(&mut self) -> Result<(), SendError> {
        let answer = self.client.post(HELLO_PATH, &[("content-type", CONTENT_TYPE)], Bytes::new()).await?;
        match answer.status.as_u16() {
            400 => Ok(()),
            200..=299 => Err(SendError::blocked(
                Refusal::NotAnExportResponse,
                "the server does not answer as a hub; check the address",
            )),
            _ => Err(failure(&answer, false)),
        }
    }

    /// Sends blocks back to back; the acknowledgement names each of them.
    ///
    /// # Errors
    /// [`SendError`]; it never means that data is refused.
    pub async fn deliver(&mut self, blocks: Vec<u8>) -> Result<BlocksAck, SendError> {
        let answer = self.post(BLOCKS_PATH, Bytes::from(blocks)).await?;
        link::decode(&answer.body).map_err(|error| not_a_hub(&error))
    }

    async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, SendError> {
        let answer = self.client.post(path, &[("content-type", CONTENT_TYPE)], body).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(failure(&answer, false)) }
    }
}

fn not_a_hub(error: &link::MessageError) -> SendError {
    SendError::blocked(
        Refusal::NotAnExportResponse,
        format!("the server does not answer as a hub ({error}); check the address"),
    )
}
