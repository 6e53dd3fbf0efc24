//! The audit log's files: `audit.jsonl`, an entry a line, and `audit.head`, where it stands (`access::audit`).

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::access::audit::{self, Entry, Head, Kind, Said};
use anyhow::Context;

use crate::clock;

/// Between two entries about refused requests of one address.
const AGAIN_NS: u64 = 60_000_000_000;
/// Most addresses that have entries of their own; what is beyond them is counted together.
const MOST_ADDRESSES: usize = 256;

/// Refused requests that wait for the next entry about them.
#[derive(Default)]
struct Refused {
    said_ns: u64,
    left_out: u64,
}

struct Files {
    log: File,
    head: Head,
    head_path: PathBuf,
    refused: HashMap<Option<IpAddr>, Refused>,
}

/// The open log.
pub(crate) struct AuditLog(Mutex<Files>);

fn paths(data_dir: &Path) -> (PathBuf, PathBuf) {
    (data_dir.join("audit.jsonl"), data_dir.join("audit.head"))
}

fn read_or_empty(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// How often a log is read again whose end does not fit: a hub may be writing it.
const READS: usize = 5;

/// The entries of a data directory's log.
///
/// # Errors
/// When it cannot be read, or was changed.
pub fn read(data_dir: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut read = read_once(data_dir);
    for _ in 1..READS {
        if read.is_ok() {
            break;
        }
        read = read_once(data_dir);
    }
    read
}

fn read_once(data_dir: &Path) -> anyhow::Result<Vec<Entry>> {
    let (log, head) = paths(data_dir);
    let kept = read_or_empty(&head)?;
    let kept = if kept.is_empty() {
        Head::default()
    } else {
        serde_json::from_str(&kept).with_context(|| format!("{}", head.display()))?
    };
    audit::verify(&read_or_empty(&log)?, kept).with_context(|| format!("{}", log.display()))
}

impl AuditLog {
    /// Opens the log, and goes on where it ended. One that was changed is moved aside and told: a hub that would not start because of it
    /// could be stopped by whoever can write one byte.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn open(data_dir: &Path) -> anyhow::Result<(Self, Option<String>)> {
        let (path, head_path) = paths(data_dir);
        let cannot = || format!("cannot write {}", path.display());
        let (mut head, mut broken) = (Head::default(), None);
        match read(data_dir) {
            Ok(entries) => {
                let text = read_or_empty(&path)?;
                if let Some(last) = text.lines().next_back() {
                    head = Head { entries: entries.len() as u64, last: ::access::Digest::of(last.as_bytes()) };
                }
            }
            Err(error) => {
                let aside = path.with_extension(format!("broken-{}", clock::now_ns()));
                std::fs::rename(&path, &aside).with_context(cannot)?;
                broken = Some(format!("{error:#}; it was moved to {}, and a new one begins", aside.display()));
            }
        }
        let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).with_context(cannot)?;
        Ok((Self(Mutex::new(Files { log, head, head_path, refused: HashMap::new() })), broken))
    }

    /// Writes an entry; it is on the disk when this returns. Blocks.
    ///
    /// # Errors
    /// When it cannot be written: the log stays as it was.
    pub(crate) fn write(
        &self,
        kind: Kind,
        principal: Option<&str>,
        address: Option<IpAddr>,
        what: &str,
    ) -> anyhow::Result<()> {
        let address = address.map(|address| address.to_canonical().to_string());
        let said = Said { at_ns: clock::now_ns(), kind, principal, address: address.as_deref(), what };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).append(&said)
    }

    /// Writes that a request was refused: each address once a minute at most, with how many there were. Blocks.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn refused(&self, principal: Option<&str>, address: IpAddr, what: &str) -> anyhow::Result<()> {
        let now_ns = clock::now_ns();
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.refused.retain(|_, one| one.left_out > 0 || now_ns.saturating_sub(one.said_ns) < AGAIN_NS);
        let has_room = files.refused.len() < MOST_ADDRESSES || files.refused.contains_key(&Some(address));
        let key = has_room.then_some(address);
        let one = files.refused.entry(key).or_default();
        if now_ns.saturating_sub(one.said_ns) < AGAIN_NS {
            one.left_out += 1;
            return Ok(());
        }
        let (before, address) =
            (std::mem::take(&mut one.left_out), key.map(|address| address.to_canonical().to_string()));
        one.said_ns = now_ns;
        let more = if before > 0 { format!(" (and {before} more since the last entry)") } else { String::new() };
        let what = format!("{what}{more}");
        files.append(&Said { at_ns: now_ns, kind: Kind::Refused, principal, address: address.as_deref(), what: &what })
    }
}

impl Files {
    fn append(&mut self, said: &Said<'_>) -> anyhow::Result<()> {
        let before = self.head;
        let line = self.head.append(said);
        let written = self.log.write_all(line.as_bytes()).and_then(|()| self.log.sync_data());
        if let Err(error) = written {
            self.head = before;
            return Err(error).context("cannot write the audit log");
        }
        let text = serde_json::to_string(&self.head).unwrap_or_default();
        let draft = self.head_path.with_extension("draft");
        std::fs::write(&draft, text)
            .and_then(|()| std::fs::rename(&draft, &self.head_path))
            .with_context(|| format!("cannot write {}", self.head_path.display()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Scenario: entries over two lives of the hub; many refusals of one address in a minute; then somebody changes a byte. Guarantees: the
    /// second life goes on with the chain, refusals cannot fill the disk, and the change is told when the hub starts, which it does (P10).
    #[test]
    fn the_log_goes_on_and_shows_what_was_done_to_it() {
        let dir = tempfile::tempdir().unwrap();
        for life in 0..2 {
            let (log, broken) = AuditLog::open(dir.path()).unwrap();
            assert_eq!(broken, None);
            log.write(Kind::Start, None, None, &format!("life {life}")).unwrap();
            for _ in 0..50 {
                log.refused(None, IpAddr::from([10, 0, 0, 1]), "no token").unwrap();
            }
        }
        let entries = read(dir.path()).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!((entries[1].kind, entries[1].address.as_deref()), (Kind::Refused, Some("10.0.0.1")));
        let path = dir.path().join("audit.jsonl");
        let changed = std::fs::read_to_string(&path).unwrap().replace("life 0", "life 9");
        std::fs::write(&path, changed).unwrap();
        assert!(read(dir.path()).is_err());
        let (log, broken) = AuditLog::open(dir.path()).unwrap();
        assert!(broken.unwrap().contains("line 2 does not follow"));
        log.write(Kind::Start, None, None, "life 2").unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 1);
    }
}
