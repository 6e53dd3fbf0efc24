//! StatsD.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use crate::units::{self, ByteSize, Span};
use crate::{KIB, MIB};

/// StatsD over UDP, with the tags of DogStatsD. It asks nobody who they are: other addresses than this machine's own are for networks that are
/// trusted.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StatsdSource {
    /// Address for datagrams.
    #[serde(default = "default_udp", deserialize_with = "units::address")]
    pub udp: SocketAddr,
    /// How often what was gathered becomes points.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// After so long without a value a series has ended, and makes room.
    #[serde(default = "default_idle")]
    pub idle: Span,
    /// The most bytes of all series together; the values of further ones are counted as `no_room`.
    #[serde(default = "default_memory")]
    pub memory: ByteSize,
    /// Attributes of the resource; without a `service.name` it is `statsd`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
}

fn default_udp() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8125))
}
fn default_interval() -> Span {
    Span(Duration::from_secs(10))
}
fn default_idle() -> Span {
    Span(Duration::from_mins(5))
}
fn default_memory() -> ByteSize {
    ByteSize(256 * KIB)
}

/// What is wrong with it.
pub(crate) fn check(source: Option<&StatsdSource>) -> Result<(), String> {
    let Some(source) = source else { return Ok(()) };
    if source.interval.0 < Duration::from_secs(1) || source.idle < source.interval {
        return Err("sources.statsd: interval is at least 1s, and idle at least interval".into());
    }
    if !(16 * KIB..=64 * MIB).contains(&source.memory.0) {
        return Err("sources.statsd.memory: from 16KiB to 64MiB".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::tests::with_section;

    /// Scenario: a source without a key, one with each, wrong ones. Guarantees: nothing but this machine is heard unless somebody says so.
    #[test]
    fn statsd_is_read() {
        let source = with_section("sources: { statsd: {} }").unwrap().sources.statsd.unwrap();
        assert!(source.udp.ip().is_loopback() && source.udp.port() == 8125);
        let all = "{ udp: '0.0.0.0:8125', interval: 1s, idle: 1m, memory: 1MiB, resource: { service.name: x } }";
        assert!(with_section(&format!("sources: {{ statsd: {all} }}")).is_ok());
        for (bad, says) in [("interval: 10ms", "interval"), ("idle: 1s", "idle"), ("memory: 1KiB", "memory")] {
            let error = with_section(&format!("sources: {{ statsd: {{ {bad} }} }}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
