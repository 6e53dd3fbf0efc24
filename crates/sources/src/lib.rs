//! OTLP intake (OTLP 1.11): a source owns its protocol and nothing else. It caps and inflates a request, hands the bytes
//! over, and turns the [`Answer`] into its protocol's words.
//!
//! Everything runs on the caller's single-threaded runtime (`spawn_local`).

// A build without any source keeps the types that its callers name.
#![cfg_attr(not(any(feature = "otlp-grpc", feature = "otlp-http")), allow(dead_code))]

mod body;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(feature = "otlp-http")]
mod http_server;
mod server;
mod status;

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{Refusal, RefusalCounts, Signal};
use tokio::sync::Semaphore;

#[cfg(feature = "otlp-grpc")]
pub use grpc::serve as serve_grpc;
#[cfg(feature = "otlp-http")]
pub use http_server::serve as serve_http;

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, whole.
    Accepted,
    /// Not taken now: the producer is to send the same again after this time.
    Wait(Duration),
    /// Never to be taken; says why.
    Bad(String),
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

/// Takes a request and answers when it is as safe as it was asked for.
pub type Intake = Rc<dyn Fn(Request) -> Pending>;

/// The caps of all sources together, and what they refused.
#[derive(Debug)]
pub struct Limits {
    /// The most bytes of one request, as sent and when inflated.
    pub max_request: usize,
    /// The most bytes of all request bodies in memory at once.
    pub in_flight: usize,
    held: Cell<usize>,
    /// One for each connection that may still be opened.
    places: Arc<Semaphore>,
    refusals: Cell<RefusalCounts>,
}

impl Limits {
    /// Limits with nothing held yet; `connections` is the most at once.
    pub fn new(max_request: usize, in_flight: usize, connections: usize) -> Rc<Self> {
        Rc::new(Self {
            max_request,
            in_flight,
            held: Cell::new(0),
            places: Arc::new(Semaphore::new(connections.max(1))),
            refusals: Cell::default(),
        })
    }

    /// Requests refused before they reached the intake.
    pub fn refusals(&self) -> RefusalCounts {
        self.refusals.get()
    }

    pub(crate) fn count(&self, reason: Refusal) {
        let mut refusals = self.refusals.get();
        refusals.add(reason, 1);
        self.refusals.set(refusals);
    }
}
