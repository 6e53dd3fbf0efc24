//! MQTT 5 as a client that publishes with QoS 1, sans-IO: bytes of the server in, packets out; packets of the client as bytes (OASIS, "MQTT
//! Version 5.0"). Nothing here knows a socket, a clock or what an answer means for the data.

mod client;
mod decoder;
mod fields;

pub use client::{Connect, DISCONNECT, PINGREQ, Publish};
pub use decoder::{Accepted, DecodeError, Decoder, MAX_PACKET, Packet};
