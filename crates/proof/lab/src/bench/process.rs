//! What the kernel says of a running process, and of the directory that it writes.

use crate::bench::host::{field, kibibytes};
use anyhow::{Context, Result};
use serde::Serialize;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Memory of a process at one moment, in bytes (proc_pid_status(5)).
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Memory {
    /// The most that was resident at once since the process began.
    pub(crate) high_water: u64,
    pub(crate) resident: u64,
    /// Resident and its own: heap and stacks.
    pub(crate) anonymous: u64,
    /// Resident pages of files: the program's code and its libraries.
    pub(crate) file: u64,
    pub(crate) threads: u64,
}

impl Memory {
    /// Of the process with this id.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let file = format!("/proc/{process}/status");
        let bytes = |name: &str| {
            field(&file, name).and_then(|value| kibibytes(&value)).with_context(|| format!("{file} has no {name}"))
        };
        Ok(Self {
            high_water: bytes("VmHWM")?,
            resident: bytes("VmRSS")?,
            anonymous: bytes("RssAnon")?,
            file: bytes("RssFile")?,
            threads: field(&file, "Threads").and_then(|value| value.parse().ok()).context("no thread count")?,
        })
    }
}

/// User and system time that a process has used, in seconds.
pub(crate) fn cpu_seconds(process: u32) -> Result<f64> {
    let file = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    // After the command, which may hold anything, fields 14 and 15 of proc_pid_stat(5) are the 12th and 13th.
    let (_, rest) = text.rsplit_once(')').context("no command in the process's stat")?;
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes that a process has caused to be written to disks (proc_pid_io(5)).
pub(crate) fn written_bytes(process: u32) -> Result<u64> {
    let file = format!("/proc/{process}/io");
    let written = field(&file, "write_bytes").with_context(|| format!("{file} has no write_bytes"))?;
    written.parse().with_context(|| format!("{file} tells an odd number"))
}

/// A directory's size.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct DirectorySize {
    /// Lengths of its files.
    pub(crate) apparent_bytes: u64,
    /// Blocks that they take on disk.
    pub(crate) disk_bytes: u64,
    pub(crate) files: u64,
}

impl DirectorySize {
    /// Adds up all files below a directory.
    pub(crate) fn of(directory: &Path) -> Result<Self> {
        let mut size = Self::default();
        let mut open = vec![directory.to_path_buf()];
        while let Some(directory) = open.pop() {
            let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
            for entry in entries {
                let entry = entry?;
                let metadata = entry.metadata()?;
                if metadata.is_dir() {
                    open.push(entry.path());
                } else {
                    size.apparent_bytes += metadata.len();
                    size.disk_bytes += metadata.blocks() * 512;
                    size.files += 1;
                }
            }
        }
        Ok(size)
    }

    /// The greater of both readings.
    pub(crate) fn worst(self) -> u64 {
        self.apparent_bytes.max(self.disk_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: this process takes 64 MiB and works for a while; a directory gets two files. Guarantees: both show.
    #[test]
    fn use_of_memory_time_and_disk_shows() {
        let process = std::process::id();
        let block: Vec<u64> = (0..8u64 << 20).collect();
        let sum: u64 = block.iter().map(|number| number.wrapping_mul(7).rotate_left(3)).fold(0, u64::wrapping_add);
        let memory = Memory::of(process).unwrap();
        assert!(sum > 0 && memory.anonymous >= 64 << 20 && memory.high_water >= memory.anonymous, "{memory:?}");
        assert!(memory.file > 100_000 && memory.threads >= 1, "{memory:?}");
        assert!(cpu_seconds(process).unwrap() > 0.0);

        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("deep")).unwrap();
        fs::write(directory.path().join("deep/a"), [1; 5_000]).unwrap();
        fs::write(directory.path().join("b"), [1; 7]).unwrap();
        let size = DirectorySize::of(directory.path()).unwrap();
        assert_eq!((size.apparent_bytes, size.files), (5_007, 2));
    }
}
