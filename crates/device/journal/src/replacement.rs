//! The files of a journal, and a new set of them that takes the old one's place at once (docs/journal.md, "A new epoch").

use std::io;

use disk::{Disk, Subdirectory, read_exact_at};
use segment::{FieldReader, Row};

use crate::error::JournalError;
use crate::space::RESERVE_PATH;
use crate::{commit_record, cursor_file, identity};

/// Where the new files are made, beside the old ones.
pub(crate) const DIR: &str = "renewed";
/// Says that they are whole, and names them.
const READY: &str = "renewed/ready";
const TEMPORARY: &str = "renewed/ready.tmp";
/// The most bytes that the list of files may have.
const READY_CAP: u64 = 1 << 20;

/// Says that the new files are whole, and puts them in the old ones' place.
pub(crate) fn complete<D: Disk>(disk: &D) -> Result<(), JournalError> {
    let paths = files(&Subdirectory::new(disk, DIR))?;
    let mut ready = paths.join("\n").into_bytes();
    let crc = crc32c::crc32c(&ready);
    ready.splice(0..0, crc.to_le_bytes());
    disk::replace(disk, DIR, TEMPORARY, READY, &ready)?;
    finish(disk)
}

/// Puts a new directory that is whole in the old one's place; a crash may have come before it was done. One that is not whole
/// is removed by the next one ([`clear`]).
pub(crate) fn finish<D: Disk>(disk: &D) -> Result<(), JournalError> {
    let file = match disk.open(READY) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(JournalError::io("open", READY)(error)),
    };
    let len = disk.len(&file).map_err(JournalError::io("measure", READY))?;
    let mut bytes = vec![0; len.min(READY_CAP) as usize];
    let whole = matches!(read_exact_at(disk, &file, 0, &mut bytes), Ok(true)) && bytes.len() >= 4;
    let list = bytes.get(4..).unwrap_or_default();
    if !whole || crc32c::crc32c(list) != FieldReader::at(&bytes, 0).u32() {
        let damaged = io::Error::new(io::ErrorKind::InvalidData, "the list of a new epoch's files is damaged");
        return Err(JournalError::io("read", READY)(damaged));
    }
    let list = String::from_utf8_lossy(list);
    let paths: Vec<&str> = list.split('\n').collect();
    for dir in dirs() {
        disk.create_dir(&dir).map_err(JournalError::io("create", &dir))?;
    }
    for path in &paths {
        let from = format!("{DIR}/{path}");
        match disk.rename(&from, path) {
            // It was renamed before the crash.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("rename", from)(error)),
            Ok(()) => {}
        }
    }
    // The names are durable before the list goes that could bring them about again.
    sync_dirs(disk)?;
    let old = files(disk)?;
    for path in old.iter().filter(|path| !paths.contains(&path.as_str())) {
        disk.remove(path).map_err(JournalError::io("remove", path))?;
    }
    sync_dirs(disk)?;
    disk.remove(READY).map_err(JournalError::io("remove", READY))?;
    disk.sync_dir(DIR).map_err(JournalError::io("sync directory of", READY))
}

fn sync_dirs<D: Disk>(disk: &D) -> Result<(), JournalError> {
    for dir in dirs().chain([String::new()]) {
        disk.sync_dir(&dir).map_err(JournalError::io("sync directory of", &dir))?;
    }
    Ok(())
}

/// Directories with files of a journal, those above first.
fn dirs() -> impl Iterator<Item = String> {
    ["lanes".to_owned(), cursor_file::DIR.to_owned()].into_iter().chain(Row::all().map(Row::dir))
}

/// The files of a journal.
fn files<D: Disk>(disk: &D) -> Result<Vec<String>, JournalError> {
    let mut files: Vec<String> = Vec::new();
    for path in [identity::PATH, commit_record::PATHS[0], commit_record::PATHS[1], RESERVE_PATH] {
        match disk.open(path) {
            Ok(_) => files.push(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("open", path)(error)),
        }
    }
    for dir in Row::all().map(Row::dir).chain([cursor_file::DIR.to_owned()]) {
        match disk.list(&dir) {
            Ok(names) => {
                let ours = names.iter().filter(|name| name.ends_with(".seg") || name.ends_with(".cur"));
                files.extend(ours.map(|name| format!("{dir}/{name}")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(JournalError::io("list", dir)(error)),
        }
    }
    Ok(files)
}

/// Removes what an attempt left that did not come to its end.
pub(crate) fn clear<D: Disk>(disk: &D) -> Result<(), JournalError> {
    for path in files(&Subdirectory::new(disk, DIR))? {
        let path = format!("{DIR}/{path}");
        disk.remove(&path).map_err(JournalError::io("remove", path))?;
    }
    Ok(())
}
