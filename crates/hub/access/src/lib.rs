//! Who may do what at the hub: principals with roles, their tokens, sessions of the page, and the log of what was done. No file, clock,
//! socket or source of random numbers: times and random bytes are arguments.
//!
//! | module | concept |
//! |---|---|
//! | `role` | what a principal may do |
//! | `token` | a token as it is shown once, and what is kept of it |
//! | `principals` | the file that says who is known |
//! | `sessions` | a browser that has signed in |
//! | `attempts` | how often an address may try to sign in |
//! | `audit` | entries that are chained by their digests |

mod attempts;
pub mod audit;
mod principals;
mod role;
mod sessions;
mod token;

pub use attempts::Attempts;
pub use principals::{AccessError, Identity, KeptToken, Principal, Principals};
pub use role::{Action, Role};
pub use sessions::{Session, Sessions};
pub use token::{Digest, Token};
