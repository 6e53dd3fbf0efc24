//! The hub: intake of frames over the link and of OTLP, the query API, and the web UI, around one store.
//!
//! | module | concept |
//! |---|---|
//! | `link_api` | hello and blocks from devices (docs/link.md) |
//! | `otlp_api` | OTLP/HTTP straight to the hub |
//! | `api` | the query API (docs/hub-api.md) |
//! | `ui` | the embedded web page |
//! | `health` | `/healthz` and `/metrics` |
//! | `app` | what requests share: store, token, limits |
//! | `log` | one line each, not again and again |
//! | `server` | listening, TLS, caps, graceful stop |
//! | [`tls`] | the link port's certificate |
//! | [`run`] | a whole hub, started and stopped |

mod api;
mod app;
pub mod clock;
pub mod duration;
mod health;
mod incidents;
mod link_api;
mod log;
mod otlp_api;
pub mod run;
mod server;
pub mod tls;
mod ui;
