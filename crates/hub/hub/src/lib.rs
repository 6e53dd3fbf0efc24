//! The hub: intake of frames over the link and of OTLP, the query API, and the web UI, around one store.
//!
//! | module | concept |
//! |---|---|
//! | `link_api` | hello and blocks from devices (docs/link.md) |
//! | `otlp_api`, `otlp_codec` | OTLP/HTTP straight to the hub |
//! | `api` | the query API (docs/hub-api.md) |
//! | `prometheus_api` | PromQL and what Grafana asks beside it (docs/promql.md) |
//! | `jaeger_api` | Jaeger's query API (docs/hub-api.md) |
//! | `loki_api` | LogQL and what Grafana asks beside it (docs/logql.md) |
//! | `tempo_api` | a trace by its id as Tempo answers it (docs/hub-api.md) |
//! | `form`, `told` | parameters of other tools' APIs; how complete an answer is, where they have no field for it |
//! | `ui` | the embedded web page |
//! | `health` | `/healthz` and `/metrics` |
//! | `app` | what requests share: store, token, limits |
//! | `log` | one line each, not again and again |
//! | `server`, `places`, `linger` | listening, TLS, bounds on connections and their time, graceful stop |
//! | `names`, `turned_away` | what a device may be called, who was refused |
//! | [`tls`] | the link port's certificate |
//! | [`run`] | a whole hub, started and stopped |

pub mod access;
mod api;
mod api_error;
mod app;
pub mod clock;
pub mod duration;
mod form;
mod health;
mod incidents;
mod jaeger_api;
mod json;
mod linger;
mod link_api;
mod log;
mod loki_api;
mod memory;
mod names;
mod otlp_api;
mod otlp_codec;
mod places;
mod prometheus_api;
mod refusal;
pub mod run;
mod server;
mod tempo_api;
pub mod tls;
mod told;
mod turned_away;
mod ui;
