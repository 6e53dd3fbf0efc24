//! The demonstration: a hub, an agent and a vessel, and a link between them that is cut and restored.

mod link;
mod show;
mod smoke;

pub(crate) use link::{Cut, Link};
pub(crate) use show::{ShowArgs, show};
pub(crate) use smoke::{SmokeArgs, smoke};
