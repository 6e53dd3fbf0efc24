//! Handing OTLP over, as an SDK does: over gRPC (by hand on hyper) or HTTP with protobuf, with retries of the same bytes.

mod client;
mod pipe;
mod receiver;
mod request;
pub(crate) mod value;

pub(crate) use client::{Answer, Client, Protocol, Target};
pub(crate) use pipe::{Pipe, Tally};
#[cfg(test)]
pub(crate) use receiver::Received;
pub(crate) use receiver::{Inbox, Receiver};
pub(crate) use request::{logs_request, metrics_request, traces_request};
