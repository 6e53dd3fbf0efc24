//! Answers as JSON, written row by row while their query has its turn: a tree of a whole answer takes many times its text, and so does
//! an answer for each connection that is slow to take it.

use std::cell::Cell;
use std::io;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use store::query::{Kept, hold, keep};

/// A whole answer; what it takes counts as held by queries until it is sent.
pub(crate) struct Json {
    text: Vec<u8>,
    kept: Kept,
}

impl Json {
    /// Writes an answer. Where it takes more than its query may hold, or whoever asked has gone, the rest is left out: the query was ended
    /// then, and tells why in its place.
    pub(crate) fn of(answer: &impl Serialize) -> Self {
        let mut text = Held(Vec::new());
        // What is written are structs, maps with texts as keys and finite numbers: only memory can run out.
        let _ended = serde_json::to_writer(&mut text, answer);
        let Held(mut text) = text;
        text.shrink_to_fit();
        let kept = keep(text.capacity());
        Self { text, kept }
    }
}

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        /// The text and its place among what queries hold, which end together.
        struct Sending(Vec<u8>, #[expect(dead_code, reason = "it is dropped with the text")] Kept);
        impl AsRef<[u8]> for Sending {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        let body = Body::from(Bytes::from_owner(Sending(self.text, self.kept)));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

/// Text that grows as far as its query may hold.
struct Held(Vec<u8>);

impl io::Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let before = self.0.capacity();
        self.0.extend_from_slice(bytes);
        let grown = self.0.capacity() - before;
        if grown > 0 && !hold(grown) {
            return Err(io::Error::other("the query was ended"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A list that is made while it is written.
pub(crate) struct Rows<I>(Cell<Option<I>>);

/// What the iterator gives, one after the other; it is written once.
pub(crate) fn rows<I: IntoIterator<Item: Serialize>>(items: I) -> Rows<I::IntoIter> {
    Rows(Cell::new(Some(items.into_iter())))
}

impl<I: Iterator<Item: Serialize>> Serialize for Rows<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use store::query::{Memory, Switch, within};

    use super::*;

    /// Scenario: an answer of two rows; it is sent late. Guarantees: it is the JSON of its rows, and counts as held until it is gone (P4).
    #[tokio::test]
    async fn an_answer_is_held_until_it_is_sent() {
        #[derive(Serialize)]
        struct Answer<I> {
            rows: I,
        }
        let memory = Arc::new(Memory::new(1 << 20));
        let made = within(&Switch::default(), &memory, || Json::of(&Answer { rows: rows([1, 2]) })).unwrap();
        assert!(memory.held() > 0);
        let body = made.into_response().into_body();
        assert!(memory.held() > 0);
        let text = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(&*text, br#"{"rows":[1,2]}"#);
        drop(text);
        assert_eq!(memory.held(), 0);
    }

    /// Scenario: an answer that has no end, in a mebibyte. Guarantees: it is given up as crowded, and nothing stays held (P4).
    #[test]
    fn an_answer_beyond_the_memory_of_queries_is_given_up() {
        let memory = Arc::new(Memory::new(1 << 20));
        let endless = within(&Switch::default(), &memory, || Json::of(&rows(std::iter::repeat("row"))));
        assert!(endless.is_err_and(|error| error.what.contains("hold more than 1 MiB together")));
        assert_eq!(memory.held(), 0);
    }
}
