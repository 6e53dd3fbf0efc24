//! The file of principals: read, written, locked.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ::access::{KeptToken, Principals, Role, Token};
use anyhow::Context;

use crate::clock;

/// Where it is in a data directory.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("access.json")
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    inode: u64,
    changed: (i64, i64),
    bytes: u64,
}

/// That of the file as it is now; `None` when it is not there.
///
/// # Errors
/// When it cannot be looked at.
pub(crate) fn stamp(path: &Path) -> std::io::Result<Option<Stamp>> {
    match fs::metadata(path) {
        Ok(found) => {
            Ok(Some(Stamp { inode: found.ino(), changed: (found.ctime(), found.ctime_nsec()), bytes: found.len() }))
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everybody in it; nobody when it is not there.
///
/// # Errors
/// When it cannot be read, or is not what the hub writes.
pub fn read(path: &Path) -> anyhow::Result<Principals> {
    match fs::read_to_string(path) {
        Ok(content) => Principals::parse(&content).with_context(|| format!("{}", path.display())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(Principals::default())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Changes it: nobody else writes meanwhile, and a reader sees all of it or nothing.
fn change<T>(
    data_dir: &Path,
    run: impl FnOnce(&mut Principals) -> Result<T, ::access::AccessError>,
) -> anyhow::Result<T> {
    fs::create_dir_all(data_dir).with_context(|| format!("cannot create {} (--data-dir)", data_dir.display()))?;
    let (path, lock) = (path(data_dir), data_dir.join("access.lock"));
    let cannot = || format!("cannot write {}", path.display());
    let held = File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
    held.lock().with_context(|| format!("cannot lock {}", lock.display()))?;
    let mut principals = read(&path)?;
    let result = run(&mut principals)?;
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft).with_context(cannot)?;
    file.write_all(principals.to_json().as_bytes()).with_context(cannot)?;
    file.sync_all().with_context(cannot)?;
    fs::rename(&draft, &path).with_context(cannot)?;
    Ok(result)
}

/// Makes a token; it is shown to whoever asked, and kept nowhere. `life_s` is how long it is good, seconds.
///
/// # Errors
/// When the name cannot be one or has another role, or the file cannot be written.
pub fn add_token(
    data_dir: &Path,
    name: &str,
    (role, device): (Role, Option<&str>),
    life_s: Option<u64>,
) -> anyhow::Result<Token> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let token = Token::new(&random);
    let created_s = clock::now_ns() / 1_000_000_000;
    let expires_s = life_s.map(|life| created_s.saturating_add(life));
    let kept = KeptToken { sha256: token.digest(), created_s, expires_s };
    change(data_dir, |all| all.add_token(name, (role, device), kept))?;
    Ok(token)
}

/// Takes a principal out, or only tokens whose digest begins so; how many tokens are no longer good.
///
/// # Errors
/// When there is no such one, or the file cannot be written.
pub fn revoke(data_dir: &Path, name: &str, digest: Option<&str>) -> anyhow::Result<usize> {
    change(data_dir, |all| all.revoke(name, digest))
}
