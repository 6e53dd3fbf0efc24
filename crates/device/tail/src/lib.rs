//! Log files, and logs that come otherwise, as OTLP, without IO: what of a stretch of bytes is a record, and what the record says. Bytes in, OTLP
//! bytes out; it knows no file, clock or socket.
//!
//! - [`Cutter::cut`]: a stretch of a file as entries: lines, lines of containers without their envelope, partial lines joined, stack
//!   traces whole. A pure function: the same stretch gives the same entries again, so that a reader keeps nothing but its position
//! - [`Writer::write`]: entries as an OTLP export request, with the fields, level and time that their format has
//! - [`Place`], [`Print`]: how a file is known again, and how far it was read
//! - [`Framing`], [`write_sent`]: syslog from the network
//! - [`KernelRecord`]: records of the kernel's log
//! - [`read_exported`]: entries of the journal of systemd
//! - [`Batch`]: records of several resources in one request

mod batch;
mod cut;
mod envelope;
mod export;
mod fields;
mod format;
mod framing;
mod json;
mod kernel;
mod multiline;
mod place;
mod pods;
mod sent;
mod syslog;
mod time;
mod write;

pub use batch::Batch;
pub use cut::{Cutter, Encoding, End, Entry, Stretch};
pub use export::{Exported, JournalEntry, read_exported};
pub use format::Format;
pub use framing::{Framing, Message};
pub use kernel::{KernelRecord, kernel_resource};
pub use multiline::{Multiline, Preset};
pub use place::{HEAD, Place, Print, TAIL};
pub use pods::{Pod, pod};
pub use sent::write_sent;
pub use write::{Writer, Written};
