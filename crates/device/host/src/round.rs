//! One round over the host.

use model::proto::{put_bytes, put_message};

use crate::devices::{self, FileSystem};
use crate::filter::Filter;
use crate::hardware::{self, Power, Sensor};
use crate::kernel;
use crate::programs::{self, Programs};
use crate::writer::Writer;

/// One round after the other. Each text is that of the file in its name; what is not understood of one is left out.
#[derive(Debug, Default)]
pub struct Round {
    writer: Writer,
    resource: Vec<u8>,
    /// Unix nanoseconds; 0 while it is not known.
    booted: u64,
}

impl Round {
    /// Nothing told yet. `resource` are the attributes of the host.
    pub fn new(resource: &[(&str, &str)]) -> Self {
        let mut bytes = Vec::new();
        for (key, value) in resource {
            put_message(&mut bytes, 1, |out| {
                put_bytes(out, 1, key.as_bytes());
                put_message(out, 2, |out| put_bytes(out, 1, value.as_bytes()));
            });
        }
        Self { writer: Writer::default(), resource: bytes, booted: 0 }
    }

    /// Begins a round at this wall time, Unix nanoseconds. `stat` is `/proc/stat`, in which the time of the start stands.
    pub fn begin(&mut self, time: u64, stat: &str) {
        let booted = kernel::boot_seconds(stat).map_or(0, |seconds| seconds.saturating_mul(1_000_000_000));
        self.booted = booted;
        self.writer.begin(&self.resource, time, booted);
    }

    /// Processor times, counts of processes: `/proc/stat`.
    pub fn stat(&mut self, stat: &str, cpus: bool, processes: bool) {
        if cpus {
            kernel::cpu(&mut self.writer, stat);
        }
        if processes {
            kernel::processes(&mut self.writer, stat);
        }
    }

    /// `/proc/loadavg`
    pub fn load(&mut self, loadavg: &str) {
        kernel::load(&mut self.writer, loadavg);
    }

    /// `/proc/meminfo`
    pub fn memory(&mut self, meminfo: &str) {
        kernel::memory(&mut self.writer, meminfo);
    }

    /// `/proc/vmstat` and `/proc/swaps`
    pub fn paging(&mut self, vmstat: &str, swaps: &str) {
        kernel::paging(&mut self.writer, vmstat, swaps);
    }

    /// `/proc/uptime`
    pub fn uptime(&mut self, uptime: &str) {
        kernel::uptime(&mut self.writer, uptime);
    }

    /// `/proc/pressure/cpu`, `memory` and `io`, each with its name.
    pub fn pressure(&mut self, files: &[(&str, &str)]) {
        kernel::pressure(&mut self.writer, files);
    }

    /// `/proc/diskstats`; `but` are names of devices.
    pub fn disks(&mut self, diskstats: &str, but: &Filter) {
        devices::disks(&mut self.writer, diskstats, but);
    }

    /// `/proc/net/dev`; `but` are names of interfaces.
    pub fn network(&mut self, net_dev: &str, but: &Filter) {
        devices::network(&mut self.writer, net_dev, but);
    }

    /// Mounted file systems.
    pub fn file_systems(&mut self, all: &[FileSystem]) {
        devices::file_systems(&mut self.writer, all);
    }

    /// Temperatures and fans.
    pub fn sensors(&mut self, all: &[Sensor]) {
        hardware::sensors(&mut self.writer, all);
    }

    /// Power supplies and batteries.
    pub fn power(&mut self, all: &[Power]) {
        hardware::power(&mut self.writer, all);
    }

    /// How much of a flash device is used up: its name and the text of `life_time`.
    pub fn flash(&mut self, name: &str, life_time: &str) {
        hardware::flash(&mut self.writer, name, life_time);
    }

    /// Processes that were chosen by name.
    pub fn programs(&mut self, programs: &Programs) {
        programs::put(&mut self.writer, programs);
    }

    /// The export request, and how many points it has.
    pub fn finish(&mut self) -> (&[u8], u64) {
        self.writer.finish()
    }
}
