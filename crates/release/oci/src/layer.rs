//! A layer: a tar archive of what it adds (ustar), compressed with gzip.

use crate::Error;
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};
use std::io::Write;
use tar::{Builder, EntryType, Header};

/// One file or directory of a layer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// From the root of the image, without a slash before it; directories end with one.
    path: String,
    mode: u32,
    owner: u64,
    content: Vec<u8>,
}

impl Entry {
    /// A file of root's.
    #[must_use]
    pub fn file(path: &str, mode: u32, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode, owner: 0, content }
    }

    /// A directory; `owner` is user and group.
    #[must_use]
    pub fn directory(path: &str, mode: u32, owner: u64) -> Self {
        Self { path: format!("{}/", path.trim_end_matches('/')), mode, owner, content: Vec::new() }
    }

    fn check(&self) -> Result<(), Error> {
        let fault = |why| Err(Error::Path { path: self.path.clone(), why });
        let inner = self.path.trim_end_matches('/');
        if inner.is_empty() || inner.starts_with('/') {
            return fault("it has to be relative and to name something");
        }
        if inner.split('/').any(|part| ["", ".", ".."].contains(&part)) {
            return fault("it has an empty part, or one of dots");
        }
        if self.path.len() > 100 {
            return fault("it has more than 100 bytes");
        }
        Ok(())
    }
}

/// A layer, ready to be put into images.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The compressed archive.
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the archive before it was compressed, in hexadecimal.
    pub(crate) diff_id: String,
}

impl Layer {
    /// Puts entries into a layer: sorted by path, with the parents that they need, and all with one time of change.
    ///
    /// # Errors
    /// For a path that leaves the image or that comes twice.
    pub fn new(mut entries: Vec<Entry>, epoch: u64) -> Result<Self, Error> {
        for entry in &entries {
            entry.check()?;
        }
        let parents: Vec<Entry> = entries
            .iter()
            .flat_map(|entry| {
                let inner = entry.path.trim_end_matches('/');
                inner.match_indices('/').map(|(at, _)| Entry::directory(&inner[..at], 0o755, 0)).collect::<Vec<_>>()
            })
            .collect();
        for parent in parents {
            if !entries.iter().any(|entry| entry.path == parent.path) {
                entries.push(parent);
            }
        }
        entries.sort();
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(Error::Path { path: pair[0].path.clone(), why: "it comes twice" });
        }
        let archive = archive(&entries, epoch)?;
        let diff_id = digest(&archive);
        let mut compressed = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
        compressed.write_all(&archive)?;
        Ok(Self { bytes: compressed.finish()?, diff_id })
    }
}

fn archive(entries: &[Entry], epoch: u64) -> Result<Vec<u8>, Error> {
    let mut archive = Builder::new(Vec::new());
    for entry in entries {
        append(&mut archive, &entry.path, entry.mode, entry.owner, epoch, &entry.content)?;
    }
    Ok(archive.into_inner()?)
}

/// Appends one entry; a path that ends with a slash is a directory.
pub(crate) fn append<W: Write>(
    archive: &mut Builder<W>,
    path: &str,
    mode: u32,
    owner: u64,
    epoch: u64,
    content: &[u8],
) -> Result<(), Error> {
    let mut header = Header::new_ustar();
    header.set_entry_type(if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular });
    header.set_path(path)?;
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(epoch);
    header.set_size(content.len() as u64);
    header.set_cksum();
    Ok(archive.append(&header, content)?)
}

/// SHA-256 in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    /// Scenario: one layer from entries in two orders. Guarantees: the same bytes; parents are there, before what is in
    /// them; owner, mode and time are those that were asked for (P12).
    #[test]
    fn the_order_of_entries_does_not_matter() {
        let entries = || {
            vec![
                Entry::file("usr/bin/program", 0o755, b"bits".to_vec()),
                Entry::directory("var/lib/data", 0o700, 10001),
                Entry::file("etc/program.yaml", 0o644, b"text".to_vec()),
            ]
        };
        let one = Layer::new(entries(), 1_700_000_000).unwrap();
        let other = Layer::new(entries().into_iter().rev().collect(), 1_700_000_000).unwrap();
        assert_eq!(one.bytes, other.bytes);
        assert_eq!(one.bytes[4..8], [0; 4], "the time in the head of gzip");

        let mut archive = Vec::new();
        GzDecoder::new(one.bytes.as_slice()).read_to_end(&mut archive).unwrap();
        assert_eq!(digest(&archive), one.diff_id);
        let mut read = tar::Archive::new(archive.as_slice());
        let found: Vec<_> = read
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 1_700_000_000);
                (entry.path().unwrap().display().to_string(), header.mode().unwrap(), header.uid().unwrap())
            })
            .collect();
        let expected = [
            ("etc/", 0o755, 0),
            ("etc/program.yaml", 0o644, 0),
            ("usr/", 0o755, 0),
            ("usr/bin/", 0o755, 0),
            ("usr/bin/program", 0o755, 0),
            ("var/", 0o755, 0),
            ("var/lib/", 0o755, 0),
            ("var/lib/data/", 0o700, 10001),
        ];
        let expected = expected.map(|(path, mode, owner)| (path.to_owned(), mode, owner));
        assert_eq!(found, expected);
    }

    /// Scenario: paths that leave the image, that are empty, too long, or come twice. Guarantees: each is refused by name.
    #[test]
    fn paths_stay_inside() {
        let long = "x".repeat(101);
        for path in ["/etc/passwd", "../etc", "etc//x", "", "a/./b", long.as_str()] {
            let refusal = Layer::new(vec![Entry::file(path, 0o644, Vec::new())], 0).unwrap_err().to_string();
            assert!(refusal.starts_with(path), "{path}: {refusal}");
        }
        let twice = vec![Entry::file("a", 0o644, b"1".to_vec()), Entry::file("a", 0o644, b"2".to_vec())];
        assert_eq!(Layer::new(twice, 0).unwrap_err().to_string(), "a: not a path inside an image: it comes twice");
    }
}
