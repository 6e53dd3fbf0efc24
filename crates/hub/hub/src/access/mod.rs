//! Who may ask for what (docs/security.md).
//!
//! | module | concept |
//! |---|---|
//! | `doors` | who is known: tokens, sessions, the token of `--token-file` |
//! | `guard` | the one place where a request is let through: a table of all paths |
//! | `sign_in` | the page's way in and out |
//! | `file` | the file of principals: read, written, locked |
//! | `audit` | the audit log's files |

pub mod audit;
mod doors;
pub mod file;
pub mod guard;
pub(crate) mod sign_in;

pub(crate) use doors::{Caller, Doors, SignInError};
