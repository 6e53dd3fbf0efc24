//! The protocol of OTLP (OTLP 1.11), without IO: media types, content codings, what of a request can be taken, the words of
//! the answers, and requests as JSON. The agent and the hub take OTLP in with the same code.
//!
//! | module | concept |
//! |---|---|
//! | [`Form`] | protobuf or JSON, by `Content-Type` |
//! | [`coding`] | content codings undone, into buffers that are charged as they grow |
//! | [`intake`] | a body as protobuf, the records of it that are taken, and why others are not |
//! | [`answer`] | `partial_success` and `google.rpc.Status`, in the request's form |
//! | [`json`] | requests and values written as JSON |

pub mod answer;
pub mod coding;
pub mod intake;
pub mod json;
mod media;

pub use media::Form;
