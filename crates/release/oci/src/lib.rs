//! Container images, the same bits from the same files: layers, images for several architectures, and the archive that
//! holds them (OCI image format specification 1.1). Nothing here reads a clock, an owner or a umask.

mod error;
mod image;
mod layer;
mod layout;

pub use error::Error;
pub use image::{Image, Platform};
pub use layer::{Entry, Layer};
pub use layout::Layout;
