//! Packs as bytes: what is written is found, late or not; what is changed is told; nothing panics.

use columns::{
    Chunk, Damaged, Directory, Entry, Histogram, MAX_POINTS, Matcher, Number, RoaringBitmap, Source, Unsorted, Values,
    Writer,
};

const SECOND: u64 = 1_000_000_000;

fn chunk(points: usize, value: impl Fn(u64) -> Number) -> Chunk {
    Chunk {
        times: (0..points as u64).map(|at| (at + 1) * 10 * SECOND + (at * at * 7919 % 1000) * 1_000_000).collect(),
        starts: vec![SECOND; points],
        flags: vec![0; points],
        orders: None,
        values: Values::Numbers((0..points as u64).map(value).collect()),
    }
}

/// 120 series of 40 devices: a counter and a gauge each, and a histogram of every fourth.
fn pack() -> (Vec<u8>, Directory) {
    let mut writer = Writer::new(0);
    let mut file = Vec::new();
    for (name, points) in [("calls", 30), ("heat", 1500), ("wide", 20)] {
        for device in 0..40u64 {
            let (device_text, room) =
                (format!("device-{device:02}"), if device % 2 == 0 { "bridge" } else { "engine" });
            let mut content = chunk(points, |at| Number::Int(((at * at + 7 * device) * 2_654_435_761 % 99_991) as i64));
            if name == "wide" {
                let row = |at: u64| Histogram { count: at, buckets: vec![at, at * 2, 1], ..Histogram::default() };
                content.values = Values::Histograms((0..points as u64).map(row).collect());
            }
            let mut labels = vec![("name", name), ("device", &device_text)];
            if device % 4 != 0 {
                labels.push(("room", room));
            }
            let labels = labels.iter().map(|(label, value)| (label.as_bytes(), value.as_bytes()));
            let key = format!("{name}/{device:02}");
            assert_eq!(writer.add(key.as_bytes(), room.as_bytes(), labels, content), Ok(()));
            file.extend(writer.take());
        }
    }
    let (rest, directory) = writer.finish();
    file.extend(rest);
    (file, directory)
}

fn keys(directory: &Directory, file: &[u8], numbers: &RoaringBitmap) -> Result<Vec<String>, Damaged> {
    let mut keys = Vec::new();
    directory.each(file, numbers, |entry| {
        keys.push(String::from_utf8_lossy(&entry.key).into_owned());
        true
    })?;
    Ok(keys)
}

fn exactly(value: &'static str) -> impl Fn(&[u8]) -> bool {
    move |found| found == value.as_bytes()
}

/// Everything that a pack says, as text.
fn everything(directory: &Directory, file: &[u8]) -> Result<String, Damaged> {
    let mut all = String::new();
    for label in directory.labels(file)? {
        directory.each_value(file, &label, |value, list| all.push_str(&format!("{label:?} {value:?} {list:?}\n")))?;
    }
    for block in 0..directory.series_blocks() {
        for Entry { key, description, chunks, .. } in directory.entries(file, block)? {
            all.push_str(&format!("{key:?} {description:?}\n"));
            for chunk in chunks {
                all.push_str(&format!("{:?}\n", chunk.read(file)?));
            }
        }
    }
    Ok(all)
}

/// Scenario: questions by one label, by two, by what a label must not be, by a label that some series lack. Guarantees:
/// the series are those that Prometheus' matchers would take.
#[test]
fn series_are_found_by_their_labels() {
    let (file, directory) = pack();
    let select = |matchers: &[Matcher<'_>]| directory.select(file.as_slice(), matchers).unwrap();
    assert_eq!(select(&[]).len(), 120);
    let calls = exactly("calls");
    let name = Matcher { labels: &[b"name"], exact: Some(b"calls"), fits: &calls };
    assert_eq!(select(&[name]).len(), 40);
    let one = select(&[
        Matcher { labels: &[b"name"], exact: Some(b"heat"), fits: &|value| value == b"heat" },
        Matcher { labels: &[b"device"], exact: Some(b"device-07"), fits: &|value| value == b"device-07" },
    ]);
    assert_eq!(keys(&directory, &file, &one).unwrap(), ["heat/07"]);
    let none = Matcher { labels: &[b"room"], exact: Some(b""), fits: &|value| value.is_empty() };
    assert_eq!(select(&[none]).len(), 30);
    let not_bridge = Matcher { labels: &[b"room"], exact: None, fits: &|value| value != b"bridge" };
    assert_eq!(select(&[not_bridge]).len(), 90);
    let both = Matcher { labels: &[b"device"], exact: None, fits: &|value| value.ends_with(b"1") };
    assert_eq!(select(&[both, Matcher { labels: &[b"name"], exact: None, fits: &|value| value == b"calls" }]).len(), 4);
    assert_eq!(select(&[Matcher { labels: &[b"none"], exact: Some(b"x"), fits: &|value| value == b"x" }]).len(), 0);
    assert_eq!(select(&[Matcher { labels: &[b"none"], exact: None, fits: &|value| value != b"x" }]).len(), 120);
}

/// A file that counts what is read of it.
struct Counting<'a>(&'a [u8], std::cell::Cell<usize>);

impl Source for Counting<'_> {
    type Error = Damaged;

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Damaged> {
        self.1.set(self.1.get() + len);
        self.0.read(offset, len)
    }
}

/// Scenario: one series of 120, and of its chunks the one of a certain time. Guarantees: a small part of the file is read.
#[test]
fn a_question_about_one_series_reads_a_part() {
    let (file, directory) = pack();
    let source = Counting(&file, std::cell::Cell::new(0));
    let device = exactly("device-09");
    let heat = exactly("heat");
    let matchers = [
        Matcher { labels: &[b"name"], exact: Some(b"heat"), fits: &heat },
        Matcher { labels: &[b"device"], exact: Some(b"device-09"), fits: &device },
    ];
    let numbers = directory.select(&source, &matchers).unwrap();
    let mut found = Vec::new();
    directory
        .each(&source, &numbers, |entry| {
            found.push(entry);
            true
        })
        .unwrap();
    let [entry] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((entry.key.as_slice(), entry.chunks.len()), (&b"heat/09"[..], 1500usize.div_ceil(MAX_POINTS)));
    let last = entry.chunks[1].read(&source).unwrap();
    assert_eq!((last.len(), last.values.len()), (750, 750));
    assert!(source.1.get() < file.len() / 5, "{} of {}", source.1.get(), file.len());
}

/// Scenario: 40 series that were collected at the same times. Guarantees: the times lie in the pack once.
#[test]
fn times_are_shared() {
    let write = |shift: u64| {
        let mut writer = Writer::new(0);
        for series in 0..40u64 {
            let mut content = chunk(1000, |_| Number::Int(1));
            content.times.iter_mut().for_each(|time| *time += shift * series * *time % 977);
            writer.add(&series.to_be_bytes(), b"", [], content).unwrap();
        }
        writer.finish().0.len()
    };
    assert!(write(0) * 5 < write(1), "{} {}", write(0), write(1));
}

/// Scenario: series whose keys do not rise. Guarantees: refused.
#[test]
fn series_come_in_order() {
    let mut writer = Writer::new(0);
    writer.add(b"b", b"", [], chunk(1, |_| Number::None)).unwrap();
    assert_eq!(writer.add(b"b", b"", [], chunk(1, |_| Number::None)), Err(Unsorted));
}

/// Scenario: each byte of a pack, and of its directory, changed in turn; each truncated. Guarantees: whatever byte it is,
/// reading everything tells it or gives what was written; nothing panics, and `verify` finds it.
#[test]
fn a_changed_byte_is_told_wherever_it_is() {
    let (file, directory) = pack();
    let whole = everything(&directory, &file).unwrap();
    directory.verify(file.as_slice()).unwrap();
    for at in (0..file.len()).step_by(509).chain(file.len() - 40..file.len()) {
        let mut changed = file.clone();
        changed[at] ^= 0x24;
        let told = everything(&directory, &changed);
        assert!(told.is_err() || told.as_ref() == Ok(&whole), "byte {at}");
        assert!(directory.verify(changed.as_slice()).is_err(), "byte {at}");
        assert!(everything(&directory, &file[..at]).is_err());
    }
    let bytes = directory.to_bytes();
    assert_eq!(Directory::from_bytes(&bytes, file.len() as u64).unwrap(), directory);
    assert!(Directory::from_bytes(&bytes, file.len() as u64 - 1).is_err());
    for at in 0..bytes.len() {
        assert!(Directory::from_bytes(&bytes[..at], file.len() as u64).is_err());
        for change in [1, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= change;
            if let Ok(read) = Directory::from_bytes(&changed, file.len() as u64) {
                let _may_be_told = everything(&read, &file);
                let _may_be_told = read.select(file.as_slice(), &[]);
            }
        }
    }
}
