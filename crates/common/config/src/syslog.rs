//! Logs of the system: syslog from the network, the kernel's log, the journal of systemd.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::units::{self, ByteSize};
use crate::{Config, FileStart, KIB};

/// Syslog from the network: RFC 5424 and RFC 3164. It asks nobody who they are: other addresses than this machine's own are for networks that
/// are trusted.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SyslogSource {
    /// Address for datagrams. Without `udp` and `tcp` both are 127.0.0.1:5514.
    #[serde(default, deserialize_with = "units::optional_address")]
    pub udp: Option<SocketAddr>,
    /// Address for connections; messages have their length in front or end with their line (RFC 6587).
    #[serde(default, deserialize_with = "units::optional_address")]
    pub tcp: Option<SocketAddr>,
    /// The most bytes of a message: what is longer is cut, and counted.
    #[serde(default = "default_max_message")]
    pub max_message: ByteSize,
    /// The most connections at once; more are closed, and counted.
    #[serde(default = "default_connections")]
    pub connections: u16,
    /// The most messages a second, for UDP and TCP each. Datagrams beyond it are dropped and counted; connections wait.
    #[serde(default = "default_rate")]
    pub rate: u32,
    /// Attributes of the resource, before what a message says: `host.name`, `service.name`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
}

impl SyslogSource {
    const USUAL: ([u8; 4], u16) = ([127, 0, 0, 1], 5514);

    /// Where datagrams and connections are taken.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        match (self.udp, self.tcp) {
            (None, None) => (Some(Self::USUAL.into()), Some(Self::USUAL.into())),
            given => given,
        }
    }
}

/// The kernel's log.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KernelSource {
    /// Where it is; reading it needs root or CAP_SYSLOG on most systems.
    #[serde(default = "default_kernel")]
    pub path: PathBuf,
    /// Attributes of the resource; without a `service.name` it is `kernel`.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
}

/// The journal of systemd, read through `journalctl`, which is kept running.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JournaldSource {
    /// `journalctl`, an absolute path, and arguments of its own, such as `--unit=ssh`, `--directory=/host/var/log/journal`.
    #[serde(default = "default_command")]
    pub command: Vec<String>,
    /// Where reading begins when this source is first started.
    #[serde(default)]
    pub start: FileStart,
    /// The most bytes of an entry; a larger one is left out, and counted.
    #[serde(default = "default_max_entry")]
    pub max_entry: ByteSize,
    /// Attributes of the resource, before what an entry says.
    #[serde(default)]
    pub resource: BTreeMap<String, String>,
}

fn default_max_message() -> ByteSize {
    ByteSize(8 * KIB)
}
fn default_connections() -> u16 {
    16
}
fn default_rate() -> u32 {
    2000
}
fn default_kernel() -> PathBuf {
    "/dev/kmsg".into()
}
fn default_command() -> Vec<String> {
    vec!["/usr/bin/journalctl".to_owned()]
}
fn default_max_entry() -> ByteSize {
    ByteSize(128 * KIB)
}

/// What is wrong with them.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    if let Some(source) = &config.sources.syslog {
        if !(512..=64 * KIB).contains(&source.max_message.0) {
            return Err("sources.syslog.max_message: from 512 to 64KiB".into());
        }
        if source.connections == 0 || source.rate == 0 {
            return Err("sources.syslog: connections and rate are at least 1".into());
        }
    }
    if let Some(source) = &config.sources.journald {
        if source.command.first().is_none_or(|program| !program.starts_with('/')) {
            return Err("sources.journald.command: begin with the absolute path of journalctl".into());
        }
        if !(8 * KIB..=192 * KIB).contains(&source.max_entry.0) {
            return Err("sources.journald.max_entry: from 8KiB to 192KiB".into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sources: &str) -> Result<Config, String> {
        let text = format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\nsources: {{ {sources} }}\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n"
        );
        crate::parse(&text).map_err(|error| error.to_string())
    }

    /// Scenario: the three sources with no key, with each, with wrong ones. Guarantees: nothing but this machine is heard unless somebody says
    /// so, and what is wrong is told with its key.
    #[test]
    fn logs_of_the_system_are_read() {
        let sources = read("syslog: {}, kernel: {}, journald: {}").unwrap().sources;
        let (udp, tcp) = sources.syslog.unwrap().addresses();
        assert!(udp == tcp && udp.unwrap().ip().is_loopback());
        assert_eq!(sources.kernel.unwrap().path, PathBuf::from("/dev/kmsg"));
        assert_eq!(sources.journald.unwrap().start, FileStart::End);
        let syslog =
            read("syslog: { udp: '0.0.0.0:514', rate: 5, resource: { service.name: x } }").unwrap().sources.syslog;
        assert!(syslog.unwrap().addresses().1.is_none());
        for (bad, says) in [
            ("syslog: { max_message: 1MiB }", "max_message"),
            ("syslog: { rate: 0 }", "rate"),
            ("journald: { command: [journalctl] }", "absolute path"),
            ("journald: { max_entry: 1KiB }", "max_entry"),
        ] {
            assert!(read(bad).unwrap_err().contains(says), "{bad}");
        }
    }
}
