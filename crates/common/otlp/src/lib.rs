//! The protocol of OTLP intake (OTLP 1.11), without IO: media types, content codings, what of a request can be taken, and
//! the words of the answers. The agent and the hub take OTLP in with the same code.
//!
//! | module | concept |
//! |---|---|
//! | [`Form`] | protobuf or JSON, by `Content-Type` |
//! | [`coding`] | content codings undone, into buffers that are charged as they grow |
//! | [`intake`] | a body as protobuf, the records of it that are taken, and why others are not |
//! | [`answer`] | `partial_success` and `google.rpc.Status`, in the request's form |

pub mod answer;
pub mod coding;
pub mod intake;
mod media;

pub use media::Form;
