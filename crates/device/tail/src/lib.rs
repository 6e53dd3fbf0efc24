//! Log files as OTLP, without IO: what of a stretch of a file is a record, and what the record says. Bytes in, OTLP bytes out; it knows no
//! file, clock or socket.
//!
//! - [`Cutter::cut`]: a stretch of a file as entries: lines, lines of containers without their envelope, partial lines joined, stack
//!   traces whole. A pure function: the same stretch gives the same entries again, so that a reader keeps nothing but its position
//! - [`Writer::write`]: entries as an OTLP export request, with the fields, level and time that their format has
//! - [`Place`], [`Print`]: how a file is known again, and how far it was read

mod cut;
mod envelope;
mod fields;
mod format;
mod json;
mod multiline;
mod place;
mod pods;
mod syslog;
mod time;
mod write;

pub use cut::{Cutter, Encoding, End, Entry, Stretch};
pub use format::Format;
pub use multiline::{Multiline, Preset};
pub use place::{HEAD, Place, Print, TAIL};
pub use pods::{Pod, pod};
pub use write::{Writer, Written};
