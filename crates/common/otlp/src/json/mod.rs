//! OTLP as JSON.

mod request;
mod text;
mod value;

pub use request::request;
pub use text::{base64, float, hex, text};
pub use value::{put_value, put_value_text};
