//! Sources: each owns its protocol and nothing else. OTLP intake (OTLP 1.11) caps and inflates a request, hands the bytes over, and turns
//! the [`Answer`] into its protocol's words. Sources that read share [`Feed`] and [`SourceState`].
//!
//! Everything runs on the caller's single-threaded runtime (`spawn_local`).

// A build without some source keeps what only the other ones need, and the types that its callers name.
#![cfg_attr(not(all(feature = "otlp-grpc", feature = "otlp-http")), allow(dead_code))]

#[cfg(feature = "otlp-http")]
mod asked;
mod body;
#[cfg(feature = "children")]
mod children;
#[cfg(feature = "otlp-http")]
mod cors;
#[cfg(feature = "datagrams")]
mod datagrams;
#[cfg(feature = "exec")]
pub mod exec;
#[cfg(feature = "files")]
pub mod files;
#[cfg(feature = "otlp-grpc")]
mod grpc;
#[cfg(feature = "host")]
pub mod host;
#[cfg(feature = "otlp-http")]
mod http_server;
#[cfg(feature = "journald")]
pub mod journald;
#[cfg(feature = "kernel")]
pub mod kernel;
mod limits;
#[cfg(feature = "lines")]
mod lines;
mod places;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod reading;
#[cfg(feature = "remote-write")]
mod remote_write;
#[cfg(feature = "statsd")]
pub mod statsd;
#[cfg(feature = "stdin")]
pub mod stdin;
#[cfg(feature = "syslog")]
pub mod syslog;
#[cfg(all(test, feature = "otlp-grpc", feature = "otlp-http"))]
mod tests;
#[cfg(feature = "waiting")]
mod waiting;
mod watch;

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use body::Share;
#[cfg(feature = "otlp-http")]
pub use cors::Cors;
#[cfg(feature = "otlp-grpc")]
pub use grpc::serve as serve_grpc;
#[cfg(feature = "otlp-http")]
pub use http_server::{Beside, serve as serve_http};
pub use limits::{Limits, Settings};
#[cfg(feature = "lines")]
pub use lines::LineSettings;
pub use model::{Answer, Position, ReadTo, Request};
pub use places::{Entry, Place, Places, Working};
pub use reading::{Feed, Lag, SourceError, SourceState};
#[cfg(feature = "remote-write")]
pub use remote_write::RemoteWrite;
pub use watch::{Begin, Clock, Watched, linger, watch};

/// The longest key that is heeded, bytes.
const MAX_KEY: usize = 128;

/// The key of a request, where it has one.
fn idempotency_key(headers: &http::HeaderMap) -> Option<Box<[u8]>> {
    let key = headers.get("idempotency-key")?.as_bytes();
    (1..=MAX_KEY).contains(&key.len()).then(|| key.into())
}

/// An answer that comes when it is true at its acknowledgement level. A source whose producers wait awaits it. One that reads ahead,
/// as of a file, keeps it beside its checkpoint: what is refused is told at once, and the checkpoint moves when the answer is there.
pub struct Pending(Settles);

enum Settles {
    Now(Option<Answer>),
    Later(Pin<Box<dyn Future<Output = Answer>>>),
}

impl Pending {
    /// An answer that is true now.
    pub fn settled(answer: Answer) -> Self {
        Self(Settles::Now(Some(answer)))
    }

    /// An answer that is true when this comes to its end.
    pub fn later(answer: impl Future<Output = Answer> + 'static) -> Self {
        Self(Settles::Later(Box::pin(answer)))
    }

    /// The answer, where it is true already.
    pub fn answer(&self) -> Option<&Answer> {
        match &self.0 {
            Settles::Now(answer) => answer.as_ref(),
            Settles::Later(_) => None,
        }
    }
}

impl Future for Pending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        match &mut self.0 {
            Settles::Now(answer) => answer.take().map_or(Poll::Pending, Poll::Ready),
            Settles::Later(answer) => answer.as_mut().poll(context),
        }
    }
}

/// Takes a request and answers when it is as safe as it was asked for. The body's share of `in_flight` comes with it, and
/// is given back when it is dropped. A source that reads says with it where it stands, which rides in the commit that has the request.
pub type Intake = Rc<dyn Fn(Request, Option<Position>, Share) -> Pending>;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod pending_tests {
    use super::*;

    /// Scenario: a source that reads ahead gets a refusal, and an answer that comes with a commit. Guarantees: the refusal is told at once,
    /// the answer when it is true and not before (P2).
    #[test]
    fn a_refusal_is_told_at_once_and_an_answer_when_it_is_true() {
        let refused = Pending::settled(Answer::Bad("no".into()));
        assert_eq!(refused.answer(), Some(&Answer::Bad("no".into())));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (commit, committed) = tokio::sync::oneshot::channel();
            let mut pending =
                Pending::later(async { committed.await.map_or(Answer::Bad("gone".into()), |()| Answer::Accepted) });
            assert!(pending.answer().is_none());
            let poll = std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut pending).poll(context).is_ready()));
            assert!(!poll.await, "it is not committed");
            commit.send(()).unwrap();
            assert_eq!(pending.await, Answer::Accepted);
        });
    }
}
