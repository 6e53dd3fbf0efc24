//! Which files there are.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

/// Device and inode.
pub(super) type Inode = (u64, u64);

/// A file that was found.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) size: u64,
}

/// Device and inode of a file.
pub(super) fn inode(metadata: &Metadata) -> Inode {
    (metadata.dev(), metadata.ino())
}

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };

/// Names of files that are compressed: they are read for the rest of what was being read only.
const COMPRESSED: [&str; 5] = ["gz", "bz2", "xz", "zst", "lz4"];

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|one| COMPRESSED.iter().any(|other| one == *other))
}

/// What is looked for.
pub(super) struct Patterns {
    include: Vec<String>,
    exclude: Vec<Pattern>,
}

impl Patterns {
    /// These; a pattern that is none is told.
    pub(super) fn new(include: &[String], exclude: &[String]) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let mut compile =
            |text: &String| Pattern::new(text).map_err(|error| faults.push(format!("'{text}': {error}"))).ok();
        let exclude = exclude.iter().filter_map(&mut compile).collect();
        let include = include.iter().filter(|text| compile(text).is_some()).cloned().collect();
        (Self { include, exclude }, faults)
    }

    /// Every file that is meant, by device and inode: links lead to what they name.
    pub(super) fn files(&self) -> BTreeMap<Inode, Found> {
        let mut files = BTreeMap::new();
        for path in self.include.iter().filter_map(|text| glob::glob_with(text, OPTIONS).ok()).flatten().flatten() {
            if is_compressed(&path) || self.exclude.iter().any(|pattern| pattern.matches_path_with(&path, OPTIONS)) {
                continue;
            }
            if let Some(metadata) = std::fs::metadata(&path).ok().filter(Metadata::is_file) {
                files.entry(inode(&metadata)).or_insert(Found { path, size: metadata.len() });
            }
        }
        files
    }

    /// Whether a path is meant.
    pub(super) fn mean(&self, path: &Path) -> bool {
        let matches = |pattern: &Pattern| pattern.matches_path_with(path, OPTIONS);
        !is_compressed(path)
            && !self.exclude.iter().any(matches)
            && self.include.iter().filter_map(|text| Pattern::new(text).ok()).any(|pattern| matches(&pattern))
    }

    /// Every directory in which something may appear.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories = BTreeSet::new();
        for text in &self.include {
            let mut above = Path::new(text).parent();
            // From the one with the files up to the first one without a wildcard.
            while let Some(directory) = above {
                let pattern = directory.to_string_lossy();
                let is_plain = !pattern.contains(['*', '?', '[']);
                let found = glob::glob_with(&pattern, OPTIONS).ok();
                directories.extend(found.into_iter().flatten().flatten().filter(|path| path.is_dir()));
                above = if is_plain { None } else { directory.parent() };
            }
        }
        directories
    }
}

/// Files beside one, whose names begin as its name does: where rotation may have put what it held.
pub(super) fn siblings(path: &Path) -> Vec<PathBuf> {
    const MOST: usize = 1024;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let stem = name.split('.').next().unwrap_or(name);
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().take(MOST);
    let beside = entries.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(stem)));
    let files = beside.map(|entry| entry.path()).filter(|path| path.is_file());
    let mut files: Vec<PathBuf> = files.collect();
    files.sort();
    files
}
