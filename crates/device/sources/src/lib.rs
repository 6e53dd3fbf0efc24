//! OTLP intake (OTLP 1.11): a source owns its protocol and nothing else. It caps and inflates a request, hands the bytes
//! over, and turns the [`Answer`] into its protocol's words.
//!
//! Everything runs on the caller's single-threaded runtime (`spawn_local`).

// A build without some source keeps what only the other ones need, and the types that its callers name.
#![cfg_attr(not(all(feature = "otlp-grpc", feature = "otlp-http")), allow(dead_code))]

mod body;
#[cfg(feature = "otlp-http")]
mod cors;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(feature = "otlp-http")]
mod http_server;
mod limits;
mod places;
#[cfg(all(test, feature = "otlp-grpc", feature = "otlp-http"))]
mod tests;
mod watch;

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use model::Signal;

pub use body::Share;
#[cfg(feature = "otlp-http")]
pub use cors::Cors;
#[cfg(feature = "otlp-grpc")]
pub use grpc::serve as serve_grpc;
#[cfg(feature = "otlp-http")]
pub use http_server::serve as serve_http;
pub use limits::{Limits, Settings};
pub use places::{Entry, Place, Places, Working};
pub use watch::{Begin, Clock, Watched, linger, watch};

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, whole.
    Accepted,
    /// Taken but for records that never will be: how many, and why.
    Partial {
        /// How many are not taken.
        rejected: u64,
        /// Why, for the producer.
        why: String,
    },
    /// Not taken now: the producer is to send the same again after this time.
    Wait(Duration),
    /// Never to be taken; says why.
    Bad(String),
    /// Its key came before with another request; says so.
    Conflict(String),
}

/// A request, as it is handed over.
#[derive(Debug)]
pub struct Request {
    /// What it carries.
    pub signal: Signal,
    /// The inflated protobuf bytes of the export request.
    pub body: Vec<u8>,
    /// The producer's `idempotency-key` header: the same key means the same request again, whose answer was lost.
    pub key: Option<Box<[u8]>>,
}

/// The longest key that is heeded, bytes.
const MAX_KEY: usize = 128;

/// The key of a request, where it has one.
fn idempotency_key(headers: &http::HeaderMap) -> Option<Box<[u8]>> {
    let key = headers.get("idempotency-key")?.as_bytes();
    (1..=MAX_KEY).contains(&key.len()).then(|| key.into())
}

/// An answer to come.
pub type Pending = Pin<Box<dyn Future<Output = Answer>>>;

/// Takes a request and answers when it is as safe as it was asked for. The body's share of `in_flight` comes with it, and
/// is given back when it is dropped.
pub type Intake = Rc<dyn Fn(Request, Share) -> Pending>;
