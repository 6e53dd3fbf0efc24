//! Delivery, sans-IO: what one destination's drain knows and decides. Bytes, answers and times in; requests, ranges and waits out. No
//! runtime, no socket, no clock, no disk.
//!
//! - [`Destination`]: what is to be done next, how long to wait after a failure, and what is known of it
//! - [`Delivery`]: one signal of a block on its way to a server: size of requests, halving of what is refused
//! - [`ExemplarHold`]: exemplars that follow their trace
//! - [`sort_ack`]: what a hub said of each block
//! - [`hello`], [`wishes`]: what a hub is told at connect, and what it asks for
//! - [`SendError`]: what a failure means for the data
//! - [`outage()`]: how much disk an outage needs

mod age;
mod backoff;
mod delivery;
mod destination;
mod error;
mod exemplars;
mod greeting;
mod hub_ack;
mod only;
mod outage;
mod pace;
mod range;
mod windows;

pub use backoff::Backoff;
pub use delivery::{Delivered, Delivery, PartialSuccess, Refused, RequestId};
pub use destination::{Destination, Failure, LinkState, Status, Step, consumer_name};
pub use error::{RetryAfter, SendError};
pub use exemplars::{EXEMPLAR_BYTES, ExemplarCounts, ExemplarHold};
pub use greeting::{Device, Incidents, Wish, hello, wants_new_epoch, wishes};
pub use hub_ack::{Acknowledged, quarantined, sort_ack, unconfirmed};
pub use model::words;
pub use only::Only;
pub use outage::{Rates, outage};
pub use pace::Pace;
pub use range::Range;
pub use windows::Windows;
