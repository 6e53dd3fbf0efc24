//! The machine: its clock, disk, files, and what the system lets the program have.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use config::Config;
use model::Stamp;

use super::finding::Diagnosis;
use super::kernel_clock::discipline;
use crate::build::{connections, may_write};
use crate::consumers::consumers;
use crate::dead_letters::{MOST_BYTES, PART_OF_BUDGET};
use crate::descriptors::{self, Shares};

/// Errors of the clock from here on are told, microseconds.
const LARGE_ERROR_US: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

/// Looks at all of it.
pub(super) fn look(config: &Config, now: &Stamp, all: &mut Diagnosis) {
    clock(now, all);
    disk(config, all);
    permissions(config, all);
    let wanted = Shares { producers: connections(config), admin: usize::from(config.admin.connections) };
    let limit = descriptors::limit();
    match descriptors::share(limit, descriptors::open(), consumers(config).len() as u64, wanted) {
        Ok(shares) if shares == wanted => {
            all.good("file descriptors", format!("at most {limit} here, which is enough"));
        }
        Ok(shares) => all.warning(
            "file descriptors",
            format!(
                "at most {limit} here: room for {} connections of producers, not {}",
                shares.producers, wanted.producers
            ),
            "raise ulimit -n, or LimitNOFILE of the unit",
        ),
        Err(needed) => all.bad(
            "file descriptors",
            format!("at most {limit} here, and the agent needs {needed}"),
            "raise ulimit -n, or LimitNOFILE of the unit",
        ),
    }
}

fn clock(now: &Stamp, all: &mut Diagnosis) {
    let service = "have a time service keep it (chrony, systemd-timesyncd, ntpd), or set it from GPS; certificates, sampling and what \
                   servers take depend on it";
    let program = std::fs::metadata("/proc/self/exe").and_then(|found| found.modified());
    let made_s = program.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |since| since.as_secs());
    let now_s = now.wall_ns / 1_000_000_000;
    let shown = query::time::rfc3339(now.wall_ns, 0);
    if now_s < made_s {
        let made = query::time::rfc3339(made_s * 1_000_000_000, 0);
        all.bad("clock", format!("it says {shown}, and the program is of {made}"), service);
    }
    match discipline() {
        Some(known) if known.synchronised && known.max_error_us < LARGE_ERROR_US => {
            all.good("clock", format!("{shown}, synchronised, wrong by at most {} ms", known.max_error_us / 1000));
        }
        Some(known) if known.synchronised => all.warning(
            "clock",
            format!("{shown}, synchronised, and it may be wrong by {} s", known.max_error_us / 1_000_000),
            service,
        ),
        Some(_) => all.warning("clock", format!("{shown}, and the kernel says that nothing synchronises it"), service),
        None if now.synchronised => all.good("clock", format!("{shown}; the kernel does not say what keeps it")),
        None => all.warning("clock", format!("{shown}, and nothing says that it is synchronised"), service),
    }
}

fn disk(config: &Config, all: &mut Diagnosis) {
    let directory = &config.data_dir;
    let about = format!("disk of {}", directory.display());
    let there = directory.ancestors().find(|one| one.is_dir()).unwrap_or(Path::new("/"));
    let free = match rustix::fs::statvfs(there) {
        Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
        Err(error) => {
            return all.bad(&about, format!("it cannot be looked at: {error}"), "mount it, or choose another data_dir");
        }
    };
    let floor = config.journal.keep_free.0;
    let letters = MOST_BYTES.min(config.journal.budget.0 / PART_OF_BUDGET);
    let most = config.journal.budget.0 + config.recorder.files.map_or(0, |files| files.0) + letters;
    let growth = most.saturating_sub(used(directory, 0));
    let says = format!(
        "{} MiB free; the agent may take {} MiB more and leaves {} MiB free (journal.keep_free)",
        free / MIB,
        growth / MIB,
        floor / MIB
    );
    let lower = "make room, or lower journal.budget, recorder.files or journal.keep_free";
    if free <= floor {
        all.bad(&about, format!("{says}: the journal does not grow at all"), lower);
    } else if free < floor.saturating_add(growth) {
        all.warning(&about, format!("{says}: it cannot keep as much as it is meant to"), lower);
    } else {
        all.good(&about, says);
    }
}

/// Bytes of all files in a directory.
fn used(directory: &Path, depth: u32) -> u64 {
    // Nothing of the agent's lies deeper.
    let entries = if depth < 4 { std::fs::read_dir(directory).ok() } else { None };
    entries.into_iter().flatten().flatten().fold(0, |sum, entry| match entry.metadata() {
        Ok(found) if found.is_dir() => sum + used(&entry.path(), depth + 1),
        Ok(found) => sum + found.len(),
        Err(_) => sum,
    })
}

fn permissions(config: &Config, all: &mut Diagnosis) {
    let directory = &config.data_dir;
    let about = format!("data_dir {}", directory.display());
    match may_write(directory) {
        Ok(true) => all.good(&about, "this user may write there"),
        Ok(false) => all.good(&about, "it is not there yet: the agent makes it"),
        Err(error) => {
            all.bad(&about, error.to_string(), "run this as the agent's user; chown the directory to that user");
        }
    }
    open_to_others(&about, directory, "chmod 700", all);
    for one in &config.destinations {
        let header = |value: &String| value.strip_prefix("file:").map(|path| Path::new(path).to_owned());
        let secrets = [&one.key_file, &one.token_file, &one.proxy_password_file].into_iter().flatten().cloned();
        for path in secrets.chain(one.headers.values().filter_map(header)) {
            open_to_others(&format!("destination {}: {}", one.name, path.display()), &path, "chmod o-rwx", all);
        }
    }
}

/// Tells of a secret that every user of the machine may read.
fn open_to_others(about: &str, path: &Path, remedy: &str, all: &mut Diagnosis) {
    let mode = std::fs::metadata(path).map_or(0, |found| found.permissions().mode());
    if mode & 0o007 != 0 {
        all.warning(
            about,
            format!("every user may get at it (mode {:o})", mode & 0o777),
            format!("{remedy} {}", path.display()),
        );
    }
}
