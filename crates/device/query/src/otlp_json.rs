//! One record as an OTLP/JSON document.

use model::proto::{put_bytes, put_message};
use otlp::json::request;

use crate::view::View;

/// Appends a document with this one record, under its resource and scope.
pub(crate) fn record(out: &mut String, view: &View<'_>) {
    request(out, view.signal(), &alone(view));
}

/// An export request with this one record, under its resource and scope.
pub(crate) fn alone(view: &View<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_message(&mut bytes, 1, |group| {
        put_bytes(group, 1, view.resource);
        put_message(group, 2, |scope| {
            put_bytes(scope, 1, view.scope);
            put_bytes(scope, 2, &view.alone());
        });
    });
    bytes
}
