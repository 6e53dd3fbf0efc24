//! Host metrics.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::Span;

/// What the host tells of itself in `/proc` and `/sys`.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HostSource {
    /// How often it is looked at.
    #[serde(default = "default_interval")]
    pub interval: Span,
    /// Where the host's file system is; in a container, where it is mounted, as `/hostfs`.
    #[serde(default = "default_root")]
    pub root: PathBuf,
    /// What is looked at; absent: all of it.
    pub include: Option<Vec<HostPart>>,
    /// What is left out of that.
    #[serde(default)]
    pub exclude: Vec<HostPart>,
    /// Disks that are left out; `*` stands for any text.
    #[serde(default = "default_disks")]
    pub exclude_disks: Vec<String>,
    /// Interfaces that are left out.
    #[serde(default = "default_interfaces")]
    pub exclude_interfaces: Vec<String>,
    /// Types of file systems that are left out: what is no disk, and what is on the network, where a look may wait for ever.
    #[serde(default = "default_filesystem_types")]
    pub exclude_filesystem_types: Vec<String>,
    /// Mount points that are left out.
    #[serde(default = "default_mount_points")]
    pub exclude_mount_points: Vec<String>,
    /// Names of programs whose processes are summed up, as `/proc/PID/comm` has them; at most 32.
    #[serde(default)]
    pub processes: Vec<String>,
}

/// A part of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HostPart {
    /// Processor times.
    Cpu,
    /// Load averages.
    Load,
    /// Memory.
    Memory,
    /// Page faults and swap.
    Paging,
    /// Disks.
    Disk,
    /// File systems.
    Filesystem,
    /// Interfaces.
    Network,
    /// Counts of processes.
    Processes,
    /// Time since the start.
    Uptime,
    /// Pressure stall information.
    Pressure,
    /// Temperatures and fans.
    Temperature,
    /// Power supplies and batteries.
    Power,
    /// How much of a flash device is used up.
    Flash,
}

impl HostSource {
    /// Whether a part is looked at.
    pub fn has(&self, part: HostPart) -> bool {
        self.include.as_ref().is_none_or(|parts| parts.contains(&part)) && !self.exclude.contains(&part)
    }
}

fn default_interval() -> Span {
    Span(Duration::from_secs(10))
}
fn default_root() -> PathBuf {
    "/".into()
}
fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}
fn default_disks() -> Vec<String> {
    texts(&["loop*", "ram*", "zram*"])
}
fn default_interfaces() -> Vec<String> {
    texts(&["lo", "veth*"])
}
fn default_filesystem_types() -> Vec<String> {
    texts(&[
        "autofs",
        "binfmt_misc",
        "bpf",
        "ceph",
        "cgroup*",
        "cifs",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fuse*",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nfs*",
        "nsfs",
        "overlay",
        "proc",
        "pstore",
        "ramfs",
        "rpc_pipefs",
        "securityfs",
        "smb*",
        "squashfs",
        "sysfs",
        "tmpfs",
        "tracefs",
        "9p",
        "afs",
        "glusterfs",
    ])
}
fn default_mount_points() -> Vec<String> {
    texts(&[
        "/dev/*",
        "/proc/*",
        "/sys/*",
        "/run/*",
        "/var/lib/docker/*",
        "/var/lib/kubelet/*",
        "/var/lib/containers/*",
    ])
}

/// What is wrong, where more than one key tells.
pub(crate) fn check(source: Option<&HostSource>) -> Result<(), String> {
    let Some(source) = source else { return Ok(()) };
    if source.interval.0 < Duration::from_secs(1) {
        return Err("sources.host.interval: at least 1s".into());
    }
    if source.processes.len() > 32 {
        return Err("sources.host.processes: at most 32 names".into());
    }
    Ok(())
}
