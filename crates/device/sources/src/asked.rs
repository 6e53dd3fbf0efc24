//! A request over HTTP, as what is served on one port sees it.

use std::rc::Rc;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::Limits;

/// An answer.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A request, and what is known of its answer.
pub(crate) struct Asked<'l> {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Option<Incoming>,
    pub(crate) limits: &'l Rc<Limits>,
    /// Whether its body was not read to its end.
    pub(crate) unread: bool,
}

impl Asked<'_> {
    /// The value of a header.
    pub(crate) fn text(&self, name: header::HeaderName) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// All values of a header that is a list.
    pub(crate) fn list(&self, name: header::HeaderName) -> String {
        let values = self.head.headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap_or("?")).collect::<Vec<_>>().join(",")
    }
}
