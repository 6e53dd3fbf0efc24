//! What has to be known about where and of what a figure was measured.

use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The machine.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Host {
    pub(crate) os: String,
    pub(crate) kernel: String,
    pub(crate) architecture: String,
    pub(crate) cpu: Option<String>,
    pub(crate) cpus: usize,
    pub(crate) memory_bytes: Option<u64>,
    pub(crate) page_bytes: usize,
}

impl Host {
    /// This one.
    pub(crate) fn this() -> Self {
        let system = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        Self {
            os: text(system.sysname()),
            kernel: text(system.release()),
            architecture: text(system.machine()),
            cpu: field("/proc/cpuinfo", "model name"),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: field("/proc/meminfo", "MemTotal").and_then(|value| kibibytes(&value)),
            page_bytes: rustix::param::page_size(),
        }
    }
}

/// The value behind `name:` in a file of /proc.
pub(crate) fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(value.trim().to_owned())
}

/// Bytes of a value like `1234 kB`, where the kernel means 1,024 bytes.
pub(crate) fn kibibytes(value: &str) -> Option<u64> {
    value.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|count| count * 1024)
}

/// The commit that is checked out here, with `-dirty` where files were changed since; `None` outside a repository.
pub(crate) fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// A program file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Binary {
    pub(crate) bytes: u64,
    /// It has no symbol table.
    pub(crate) stripped: bool,
    /// It asks for no dynamic linker.
    pub(crate) statically_linked: bool,
}

impl Binary {
    /// Reads what can be read from a 64-bit little-endian ELF file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        const PROGRAM_INTERPRETER: u32 = 3;
        const SYMBOL_TABLE: u32 = 2;
        let file = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if !file.starts_with(b"\x7fELF\x02\x01") {
            bail!("{} is not a 64-bit little-endian ELF file", path.display());
        }
        let broken = || format!("{} is a broken ELF file", path.display());
        // Program headers: offset at 32, size of one at 54, count at 56; sections: at 40, 58, 60.
        let programs = kinds(&file, 32, 54, 0).with_context(broken)?;
        let sections = kinds(&file, 40, 58, 4).with_context(broken)?;
        Ok(Self {
            bytes: file.len() as u64,
            stripped: !sections.contains(&SYMBOL_TABLE),
            statically_linked: !programs.contains(&PROGRAM_INTERPRETER),
        })
    }
}

/// The 32-bit kind at `inside` of each header of one of the two tables.
fn kinds(file: &[u8], table: usize, shape: usize, inside: usize) -> Option<Vec<u32>> {
    let bytes = |at: usize, count: usize| file.get(at..at.checked_add(count)?);
    let short = |at: usize| Some(usize::from(u16::from_le_bytes(bytes(at, 2)?.try_into().ok()?)));
    let start = usize::try_from(u64::from_le_bytes(bytes(table, 8)?.try_into().ok()?)).ok()?;
    let (size, count) = (short(shape)?, short(shape + 2)?);
    let kind = |index: usize| {
        let at = start.checked_add(index * size)?.checked_add(inside)?;
        Some(u32::from_le_bytes(bytes(at, 4)?.try_into().ok()?))
    };
    (0..count).map(kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the test program itself, which is linked dynamically and has symbols, and a text file. Guarantees: the
    /// first is read as that, the second refused.
    #[test]
    fn a_program_file_is_told_from_others() {
        let this = Binary::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(!this.stripped && !this.statically_linked && this.bytes > 100_000, "{this:?}");
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(text.path(), "no program at all").unwrap();
        assert!(Binary::read(text.path()).is_err());
        fs::write(text.path(), b"\x7fELF\x02\x01 cut short").unwrap();
        assert!(Binary::read(text.path()).is_err());
    }

    /// Scenario: a size as the kernel prints it. Guarantees: it is read in units of 1,024 bytes.
    #[test]
    fn the_kernels_kilobytes_are_kibibytes() {
        assert_eq!(kibibytes("  12 kB".trim()), Some(12_288));
        assert_eq!(kibibytes("12 MB"), None);
        assert!(Host::this().memory_bytes.unwrap() > 1 << 20);
    }
}
