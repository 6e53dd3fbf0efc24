//! NATS as a client that publishes to JetStream, sans-IO: bytes of the server in, messages out; commands as bytes.
//!
//! The protocol is lines of text with counted payloads (docs.nats.io, "Client Protocol"). Nothing here knows a socket, a clock or what an
//! answer means for the data.

mod ack;
mod commands;
mod decoder;

pub use ack::{Ack, StreamError, streams};
pub use commands::{Connect, PING, PONG, publish, subscribe};
pub use decoder::{DecodeError, Decoder, Event, Info, MAX_LINE, MAX_MESSAGE, Message};
