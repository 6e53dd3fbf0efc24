//! Handing OTLP over, as an SDK does: over gRPC (by hand on hyper) or HTTP with protobuf, with retries of the same bytes.

mod client;
mod pipe;
mod receiver;
mod request;
pub(crate) mod value;

pub(crate) use client::{Protocol, Target};
pub(crate) use pipe::{Pipe, Tally};
pub(crate) use receiver::{Inbox, Received, Receiver};
pub(crate) use request::{logs_request, metrics_request, traces_request};
