//! The search: every value as it is and in other clothings, in bytes as they are and inflated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::path::Path;

use crate::values::{base64, hex};

/// What must not be found, with where it was planted, by its first eight bytes.
pub struct Wanted {
    by_start: HashMap<[u8; 8], Vec<(Vec<u8>, usize)>>,
    /// Whether any begins with eight bytes that fall here: nearly all bytes end there.
    may_start: Vec<bool>,
    places: Vec<String>,
}

/// Where eight bytes fall.
fn fall(start: [u8; 8]) -> usize {
    (u64::from_le_bytes(start).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

impl Default for Wanted {
    fn default() -> Self {
        Self { by_start: HashMap::new(), may_start: vec![false; 1 << 24], places: Vec::new() }
    }
}

impl Wanted {
    /// A value, as it is, in hexadecimal, in base64 whatever stands before it, and in UTF-16.
    pub fn add(&mut self, text: &[u8], place: &str) {
        self.places.push(place.to_owned());
        let mut forms = BTreeSet::from([text.to_vec(), hex(text).into_bytes(), hex(text).to_uppercase().into_bytes()]);
        for before in 0..3 {
            // Of the first and the last three bytes others may be in the same characters.
            let whole = text.get((3 - before) % 3..).unwrap_or_default();
            forms.insert(base64(&whole[..whole.len() / 3 * 3]).into_bytes());
        }
        forms.insert(text.iter().flat_map(|byte| [*byte, 0]).collect());
        for form in forms {
            if let Some(start) = form.first_chunk::<8>() {
                self.may_start[fall(*start)] = true;
                self.by_start.entry(*start).or_default().push((form, self.places.len() - 1));
            }
        }
    }

    /// Counts what is found in bytes, by where it was planted.
    fn search(&self, bytes: &[u8], file: &str, found: &mut BTreeMap<String, u64>) {
        for at in 0..bytes.len() {
            let Some(start) = bytes[at..].first_chunk::<8>() else { return };
            if !self.may_start[fall(*start)] {
                continue;
            }
            let Some(all) = self.by_start.get(start) else { continue };
            for (form, place) in all {
                if bytes[at..].starts_with(form) {
                    *found.entry(format!("{} in {file}", self.places[*place])).or_default() += 1;
                }
            }
        }
    }

    /// What is found in these files and answers, as they are and inflated.
    pub fn search_all(&self, all: &[(String, Vec<u8>)]) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for (file, content) in all {
            self.search(content, file, &mut found);
            self.search(&inflated(content), &format!("{file}, inflated"), &mut found);
            if file.contains("/recorder") {
                self.search(&pieces(content), &format!("{file}, LZ4"), &mut found);
            }
        }
        found
    }
}

/// All files below a directory, with their content.
pub fn files(directory: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, out);
        } else if path.is_file() {
            out.push((path.to_string_lossy().into_owned(), std::fs::read(path).unwrap()));
        }
    }
}

/// Every frame of zstd and gzip in bytes, inflated; frames inside of frames too.
fn inflated(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..bytes.len() {
        let rest = &bytes[at..];
        let mut content = Vec::new();
        // What stands behind a frame is not its, and what only looks like one ends early.
        if rest.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::stream::read::Decoder::new(rest).map(zstd::stream::read::Decoder::single_frame);
            let _rest = decoder.and_then(|mut decoder| decoder.read_to_end(&mut content));
        } else if rest.starts_with(&[0x1f, 0x8b, 8]) {
            let _rest = flate2::read::GzDecoder::new(rest).read_to_end(&mut content);
        }
        if !content.is_empty() {
            let inside = inflated(&content);
            out.extend(content);
            out.extend(inside);
        }
    }
    out
}

/// Every piece of LZ4 as the recorder's files have them: length, length of the data, data.
fn pieces(bytes: &[u8]) -> Vec<u8> {
    const MOST: usize = 32 << 10;
    let (mut out, mut piece, mut at) = (Vec::new(), vec![0; MOST], 0);
    while let Some([first, second, third, fourth, rest @ ..]) = bytes.get(at..) {
        let length = usize::from(u16::from_le_bytes([*first, *second]));
        let compressed = usize::from(u16::from_le_bytes([*third, *fourth]));
        at += 1;
        if compressed == 0 || compressed >= length || length > MOST {
            continue;
        }
        let Some(data) = rest.get(..compressed) else { continue };
        if lz4_flex::block::decompress_into(data, &mut piece[..length]).is_ok_and(|found| found == length) {
            out.extend_from_slice(&piece[..length]);
            at += compressed;
        }
    }
    out
}
