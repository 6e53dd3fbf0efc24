//! The OTLP source: addresses, limits, and what its producers may do.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::units::{self, ByteSize};
use crate::{Config, KIB, MIB, OwnLane, is_name};

/// OTLP intake (OTLP 1.11, sections "OTLP/gRPC" and "OTLP/HTTP").
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct OtlpSource {
    /// Address for gRPC, for example `127.0.0.1:4317`; port 0 takes a free one; absent: no gRPC.
    #[serde(default, deserialize_with = "units::optional_address")]
    pub grpc: Option<SocketAddr>,
    /// Address for HTTP, for example `127.0.0.1:4318`; port 0 takes a free one; absent: no HTTP.
    #[serde(default, deserialize_with = "units::optional_address")]
    pub http: Option<SocketAddr>,
    /// The most bytes that one request may have, as sent and when inflated. It is worked on in pieces: only its bytes are
    /// held whole.
    #[serde(default = "default_max_request")]
    pub max_request: ByteSize,
    /// The most bytes of all request bodies that may be in memory at once, as sent and inflated together; beyond it
    /// producers are told to wait.
    #[serde(default = "default_in_flight")]
    pub in_flight: ByteSize,
    /// When a request is answered: `received` once it is in memory, `written` once it survives the death of the program,
    /// `durable` once it survives a power cut. The last two need `recorder.files`. Absent: `written` where there is
    /// `recorder.files`, else `received`.
    pub ack: Option<AckLevel>,
    /// The lane of everything from this source that no attribute and no rule puts elsewhere; absent: the usual ones.
    pub lane: Option<OwnLane>,
    /// Which of `mission` and `audit` producers may choose themselves, with the attribute `lightship.lane`; absent: none.
    /// What names another one stays in its usual lane. Each that is named here has a budget of its own: that of
    /// `lanes.budgets`, else an eighth of `journal.budget`.
    #[serde(default)]
    pub lanes: Vec<OwnLane>,
    /// What the records of one service may put into these lanes by that attribute in a minute; beyond it the producer is
    /// told to wait; 0 for no bound.
    #[serde(default = "default_lane_bytes")]
    pub lane_bytes_per_minute: ByteSize,
    /// The most connections at once, gRPC and HTTP together. When they run out, the one that has been idle for longest is
    /// closed. Fewer where the system gives the program fewer file descriptors.
    #[serde(default = "default_connections")]
    pub connections: u16,
    /// Which web pages may send over HTTP; absent: none.
    pub cors: Option<Cors>,
}

/// Which web pages may send (Fetch Standard, "CORS protocol").
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Their origins, for example `https://shop.example`; one `*` in each stands for any text.
    pub origins: Vec<String>,
    /// Request headers that they may send beyond those of an exporter.
    #[serde(default)]
    pub headers: Vec<String>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AckLevel {
    /// In memory.
    Received,
    /// In the operating system's hands: survives the death of the program.
    Written,
    /// Synced: survives a power cut.
    Durable,
}

fn default_max_request() -> ByteSize {
    ByteSize(4 * MIB)
}

fn default_in_flight() -> ByteSize {
    ByteSize(4608 * KIB)
}

fn default_connections() -> u16 {
    256
}

fn default_lane_bytes() -> ByteSize {
    ByteSize(256 * KIB)
}

/// Lanes that producers may choose, and which nothing bounds, get a bound: they never yield to others.
pub(crate) fn bound_lanes(config: &mut Config) {
    let lanes = config.sources.otlp.as_ref().map(|otlp| otlp.lanes.clone()).unwrap_or_default();
    config.lanes.budgets.bound(&lanes, ByteSize(config.journal.budget.0 / 8));
}

/// What is wrong with it.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    if let Some(cors) = config.sources.otlp.as_ref().and_then(|otlp| otlp.cors.as_ref()) {
        let scheme = |origin: &String| origin == "*" || origin.starts_with("http://") || origin.starts_with("https://");
        if cors.origins.is_empty() || !cors.origins.iter().all(|one| scheme(one) && one.matches('*').count() <= 1) {
            return Err("sources.otlp.cors.origins: name origins as https://shop.example, with one '*' at most".into());
        }
        if !cors.headers.iter().all(|name| is_name(name, "-_")) {
            return Err("sources.otlp.cors.headers: use letters, digits, '_' or '-'".into());
        }
    }
    if let Some(otlp) = &config.sources.otlp {
        if otlp.in_flight.0 < otlp.max_request.0 {
            return Err("sources.otlp.in_flight: must be at least max_request".into());
        }
        if otlp.connections == 0 || config.admin.connections == 0 {
            return Err("connections: at least 1, for sources.otlp and for admin".into());
        }
        if config.recorder.memory.0 < 256 * KIB {
            return Err("recorder.memory: must be at least 256KiB, so that the largest record has room".into());
        }
        if otlp.ack.is_some_and(|ack| ack != AckLevel::Received) && config.recorder.files.is_none() {
            return Err("sources.otlp.ack: 'written' and 'durable' need recorder.files".into());
        }
    }
    Ok(())
}
