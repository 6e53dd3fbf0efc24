//! Any bytes as a chunk of points, and as the blocks of a metric pack with their checksums made right so that the rest is
//! reached: reading neither panics nor takes much memory, and a chunk that can be read is written and read again as it is.
#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use columns::{Chunk, Directory, Matcher, Writer};
use libfuzzer_sys::fuzz_target;

/// No single piece of memory may be larger: the largest nested column of few bytes, and some more.
const LARGEST: usize = 8 << 20;
/// The largest piece that was asked for.
static ASKED: AtomicUsize = AtomicUsize::new(0);

struct Watching;

// Passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_max(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fuzz_target!(|input: &[u8]| {
    ASKED.store(0, Ordering::Relaxed);
    let Some((choice, rest)) = input.split_first() else { return };
    let Some((length, rest)) = rest.split_first_chunk::<2>() else { return };
    let (first, second) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes(*length))));
    if choice % 2 == 0 {
        chunk(first, second);
    } else {
        pack(choice / 2, first, second);
    }
    asked();
});

/// Asserts that no piece was too large.
fn asked() {
    let asked = ASKED.load(Ordering::Relaxed);
    assert!(asked <= LARGEST, "{asked} bytes at once");
}

fn chunk(times: &[u8], values: &[u8]) {
    let Ok(chunk) = Chunk::read(times, values) else { return };
    asked();
    assert_eq!(chunk.times.len(), chunk.values.len());
    if chunk.times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return;
    }
    let mut writer = Writer::new(0);
    writer.add(b"key", b"", [], chunk.clone()).expect("one series is in order");
    let (file, directory) = writer.finish();
    let entries = directory.entries(file.as_slice(), 0).expect("what was written can be read");
    let pieces: Vec<Chunk> =
        entries[0].chunks.iter().map(|place| place.read(file.as_slice()).expect("and its chunks")).collect();
    let times: Vec<u64> = pieces.iter().flat_map(|piece| piece.times.clone()).collect();
    assert_eq!(times, chunk.times);
    if let [piece] = pieces.as_slice() {
        assert_eq!(format!("{piece:?}"), format!("{chunk:?}"));
    }
    // The texts above are this target's own.
    ASKED.store(0, Ordering::Relaxed);
}

/// Appends numbers as varints.
fn put(bytes: &mut Vec<u8>, numbers: &[usize]) {
    for number in numbers {
        let mut number = *number;
        while number >= 0x80 {
            bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
    }
}

/// A pack of one block of series and one of labels, as they are.
fn pack(series: u8, entries: &[u8], labels: &[u8]) {
    let file = [entries, labels].concat();
    let mut bytes = Vec::new();
    put(&mut bytes, &[file.len(), usize::from(series) + 1, 1, 1, 1, 0, 0, entries.len(), entries.len()]);
    bytes.extend_from_slice(&crc32c::crc32c(entries).to_le_bytes());
    put(&mut bytes, &[1, 0, 0, entries.len(), labels.len(), labels.len()]);
    bytes.extend_from_slice(&crc32c::crc32c(labels).to_le_bytes());
    let directory = Directory::from_bytes(&bytes, file.len() as u64).expect("it fits its file");
    if let Ok(found) = directory.entries(file.as_slice(), 0) {
        for chunk in found.iter().flat_map(|entry| &entry.chunks) {
            let _its_checksum_is_seldom_right = chunk.read(file.as_slice());
        }
    }
    let names = directory.labels(file.as_slice()).unwrap_or_default();
    for name in names.iter().take(4) {
        let matcher = Matcher { labels: &[name], exact: None, fits: &|value| value.len() % 2 == 0 };
        if let Ok(numbers) = directory.select(file.as_slice(), &[matcher]) {
            let _may_be_told = directory.each(file.as_slice(), &numbers, |_| true);
        }
    }
}
