//! What can go wrong.

use std::io;

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that does not stay inside the image, or that ustar cannot hold.
    #[error("{path}: not a path inside an image: {why}")]
    Path {
        /// As it was given.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A part of the image format that the specification's own types refuse.
    #[error("the image format has no place for this: {0}")]
    Format(#[from] oci_spec::OciSpecError),
    /// A document that is no JSON.
    #[error("cannot write as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A time outside of the years that RFC 3339 can write.
    #[error("{0} is no time that an image can have")]
    Time(u64),
    /// The archive could not be written.
    #[error("cannot write the archive: {0}")]
    Io(#[from] io::Error),
}
