//! Real files under rotation of every kind, and restarts in between: every line comes, and none twice.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use model::otlp::for_each_scope;
use model::proto::{ProtoError, Reader as Fields, Value};
use tail::{Cutter, Encoding, Format, Multiline, Preset};

use super::*;
use crate::{Intake, Limits, Pending, SourceState};

/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

fn settings(directory: &Path, include: &str) -> FileSettings {
    FileSettings {
        name: "app".into(),
        include: vec![directory.join(include).to_string_lossy().into_owned()],
        exclude: Vec::new(),
        start: Start::Beginning,
        cutter: Cutter::new(Format::Auto, None, Encoding::Utf8, 4096),
        format: Format::Auto,
        flush_after: Duration::from_millis(100),
        max_files: 16,
        resource: Vec::new(),
        attributes: Vec::new(),
    }
}

/// What the pipeline would know: texts in the order in which they came, and positions.
#[derive(Default)]
struct Taken {
    texts: Vec<String>,
    positions: BTreeMap<Box<[u8]>, Box<[u8]>>,
    /// So many requests are refused first.
    refusals: u32,
}

fn texts(body: &[u8]) -> Vec<String> {
    let field = |bytes: &[u8], wanted: u32| -> Option<Vec<u8>> {
        let mut reader = Fields::new(bytes);
        while let Some((number, value)) = reader.next_field().unwrap() {
            if let (true, Value::Bytes(bytes)) = (number == wanted, value) {
                return Some(bytes.to_vec());
            }
        }
        None
    };
    let mut texts = Vec::new();
    for_each_scope::<ProtoError>(body, |scope| {
        for item in scope.items() {
            let text = field(&field(item?, 5).unwrap(), 1).unwrap();
            texts.push(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(())
    })
    .unwrap();
    texts
}

/// A life of the source, until `done` says so; then it is killed.
fn live(settings: &FileSettings, taken: &Rc<RefCell<Taken>>, done: impl Fn(&Taken, &SourceState) -> bool) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let intake: Intake = {
            let taken = Rc::clone(taken);
            Rc::new(move |request, position, _| {
                let mut taken = taken.borrow_mut();
                if taken.refusals > 0 {
                    taken.refusals -= 1;
                    return Pending::settled(Answer::Wait(Duration::from_millis(10)));
                }
                taken.texts.extend(texts(&request.body));
                let position: Position = position.unwrap();
                match position.is_done {
                    true => drop(taken.positions.remove(&position.key)),
                    false => drop(taken.positions.insert(position.key, position.next)),
                }
                Pending::settled(Answer::Accepted)
            })
        };
        let on = |key: &[u8], next: &[u8]| ReadTo { key: key.into(), next: next.into(), again: Vec::new() };
        let read_to: Vec<ReadTo> = taken.borrow().positions.iter().map(|(key, next)| on(key, next)).collect();
        let feed = Feed::new(intake, Limits::new(1, 1, 1), SourceState::new(settings.shown()));
        let state = Rc::clone(feed.state());
        let source = FileSource { settings: settings.clone(), feed, read_to };
        let start = tokio::time::Instant::now();
        let clock: Clock = Box::new(move || (start.elapsed(), 1));
        let task = tokio::task::spawn_local(serve(vec![source], clock).unwrap());
        let until = start + PATIENCE;
        while !done(&taken.borrow(), &state) {
            assert!(tokio::time::Instant::now() < until, "{:?} {:?}", taken.borrow().texts.len(), state.errors());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        task.abort();
    });
}

/// Lives until so many lines came.
fn until(settings: &FileSettings, taken: &Rc<RefCell<Taken>>, lines: u32) {
    live(settings, taken, |taken, _| taken.texts.len() as u32 >= lines);
}

/// A program that writes numbered lines.
struct Program {
    path: PathBuf,
    written: u32,
}

impl Program {
    fn new(directory: &Path) -> Self {
        Self { path: directory.join("app.log"), written: 0 }
    }

    fn write(&mut self, lines: u32) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        for number in self.written..self.written + lines {
            writeln!(file, "line {number}").unwrap();
        }
        self.written += lines;
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.path.with_file_name(name)
    }
}

fn gzip(from: &Path, to: &Path) {
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(to).unwrap(), flate2::Compression::fast());
    encoder.write_all(&fs::read(from).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(from).unwrap();
}

#[derive(Debug, Clone, Copy)]
enum Rotation {
    Rename,
    RenameThenGzip,
    CopyTruncate,
    CopyTruncateThenGzip,
}

fn rotate(program: &Program, how: Rotation, number: u32) {
    let rotated = program.beside(&format!("app.log.{number}"));
    match how {
        Rotation::Rename | Rotation::RenameThenGzip => fs::rename(&program.path, &rotated).unwrap(),
        Rotation::CopyTruncate | Rotation::CopyTruncateThenGzip => {
            fs::copy(&program.path, &rotated).unwrap();
            OpenOptions::new().write(true).open(&program.path).unwrap().set_len(0).unwrap();
        }
    }
    if matches!(how, Rotation::RenameThenGzip | Rotation::CopyTruncateThenGzip) {
        gzip(&rotated, &program.beside(&format!("app.log.{number}.gz")));
    }
}

fn check(taken: &Taken, program: &Program, what: &str) {
    let mut found = taken.texts.clone();
    found.sort_by_key(|text| text.strip_prefix("line ").and_then(|number| number.parse::<u32>().ok()).unwrap());
    let expected: Vec<String> = (0..program.written).map(|number| format!("line {number}")).collect();
    assert!(found == expected, "{what}: {} of {}", found.len(), expected.len());
}

const ROTATIONS: [Rotation; 4] =
    [Rotation::Rename, Rotation::RenameThenGzip, Rotation::CopyTruncate, Rotation::CopyTruncateThenGzip];

/// Scenario: a file is rotated in every way while the source does not run: part of it was read, more came, it was rotated, and the
/// program goes on in a new file. What is rotated is meant by the pattern, or not. Guarantees: every line comes once (P1).
#[test]
fn what_is_rotated_while_down_is_read_once() {
    for how in ROTATIONS {
        for include in ["app.log", "app.log*"] {
            let directory = tempfile::tempdir().unwrap();
            let (mut program, taken) = (Program::new(directory.path()), Rc::default());
            let settings = settings(directory.path(), include);
            for number in 1..=3 {
                program.write(100);
                until(&settings, &taken, program.written);
                program.write(50);
                rotate(&program, how, number);
                program.write(20);
                until(&settings, &taken, program.written);
            }
            // Nothing comes again.
            live(&settings, &taken, |_, state| state.lag() == Some(Lag::Bytes(0)));
            check(&taken.borrow(), &program, &format!("{how:?} {include}"));
        }
    }
}

/// Scenario: the same while the source runs, again and again. Guarantees: every line comes once.
#[test]
fn what_is_rotated_while_it_runs_is_read_once() {
    for how in ROTATIONS {
        for include in ["app.log", "app.log*"] {
            let directory = tempfile::tempdir().unwrap();
            let (program, taken) = (RefCell::new(Program::new(directory.path())), Rc::default());
            let settings = settings(directory.path(), include);
            let rotations = RefCell::new(0);
            program.borrow_mut().write(100);
            live(&settings, &taken, |taken: &Taken, _| {
                let mut program = program.borrow_mut();
                if (taken.texts.len() as u32) < program.written {
                    return false;
                }
                let mut rotations = rotations.borrow_mut();
                *rotations += 1;
                if *rotations > 5 {
                    return true;
                }
                program.write(300);
                rotate(&program, how, *rotations);
                program.write(30);
                false
            });
            live(&settings, &taken, |_, state| state.lag() == Some(Lag::Bytes(0)));
            check(&taken.borrow(), &program.borrow(), &format!("{how:?} {include}"));
        }
    }
}

/// Scenario: files are removed and replaced, and new ones appear, while the source is down; the very first start is told to begin at the
/// end. Guarantees: what was there before it is left, everything that came later is read once, and a file that is gone is told.
#[test]
fn files_come_and_go_while_down() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(directory.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let taken: Rc<RefCell<Taken>> = Rc::default();
    let settings = FileSettings { start: Start::End, ..settings(directory.path(), "*.log") };
    write("a.log", "old 1\nold 2\n");
    write("b.log", "old 3\n");
    live(&settings, &taken, |taken, _| taken.positions.len() == 3);
    write("a.log", "new 1\n");
    until(&settings, &taken, 1);
    fs::remove_file(directory.path().join("b.log")).unwrap();
    write("b.log", "new 2 of another file\n");
    write("c.log", "new 3\n");
    write("a.log", "new 4\n");
    until(&settings, &taken, 4);
    live(&settings, &taken, |_, state| state.lag() == Some(Lag::Bytes(0)));
    let mut found = taken.borrow().texts.clone();
    found.sort();
    assert_eq!(found, ["new 1", "new 2 of another file", "new 3", "new 4"]);
}

/// Scenario: the very first start is told to begin at a time: one file has records from before to after it, some without a time, one was changed
/// last before it. Guarantees: reading begins with the first record of that time, and what is written later is read whatever its time, also
/// by a next life.
#[test]
fn reading_begins_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let mut file = OpenOptions::new().create(true).append(true).open(directory.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let line = |day: u32, text: &str| format!("{{\"time\":\"2026-01-0{day}T00:00:00Z\",\"msg\":\"{text}\"}}\n");
    write(
        "a.log",
        &[
            line(1, "early"),
            "no time, early\n".into(),
            line(3, "late"),
            "no time, late\n".into(),
            line(2, "out of order"),
        ]
        .concat(),
    );
    write("b.log", &line(5, "of a file that is old"));
    let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::open(directory.path().join("b.log")).unwrap().set_modified(old).unwrap();
    // 2026-01-02T12:00:00Z
    let settings =
        FileSettings { start: Start::Time(1_767_355_200_000_000_000), ..settings(directory.path(), "*.log") };
    let taken: Rc<RefCell<Taken>> = Rc::default();
    until(&settings, &taken, 3);
    write("a.log", &line(1, "of the past, written now"));
    write("b.log", "more\n");
    until(&settings, &taken, 5);
    live(&settings, &taken, |_, state| state.lag() == Some(Lag::Bytes(0)));
    let mut found = taken.borrow().texts.clone();
    found.sort();
    assert_eq!(found, ["late", "more", "no time, late", "of the past, written now", "out of order"]);
}

/// Scenario: requests are refused while lines come. Guarantees: the lag shows, and everything comes once there is room (P1).
#[test]
fn pressure_makes_a_tail_wait() {
    let directory = tempfile::tempdir().unwrap();
    let (mut program, taken) = (Program::new(directory.path()), Rc::<RefCell<Taken>>::default());
    taken.borrow_mut().refusals = 20;
    program.write(20_000);
    let settings = settings(directory.path(), "app.log");
    until(&settings, &taken, 20_000);
    check(&taken.borrow(), &program, "pressure");
}

/// Scenario: a stack trace, a line without its end, one that is far too long, bytes that are no text. Guarantees: the trace is one record once
/// nothing more comes, the line waits for its end, the long one comes whole in parts and is counted (P1).
#[test]
fn odd_lines_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("odd.log");
    let long = "x".repeat(10_000);
    let text = format!("a\nERROR e\n\tat b\n\tat c\nz\0\n{long}\nhalf");
    fs::write(&path, &text).unwrap();
    let cutter = Cutter::new(Format::Auto, Some(Multiline::Preset(Preset::Java)), Encoding::Utf8, 4096);
    let settings = FileSettings { cutter, ..settings(directory.path(), "*.log") };
    let taken: Rc<RefCell<Taken>> = Rc::default();
    live(&settings, &taken, |taken, state| taken.texts.len() >= 6 && state.kinds() > 0);
    let found = taken.borrow().texts.clone();
    assert_eq!(&found[..3], ["a", "ERROR e\n\tat b\n\tat c", "z\0"]);
    assert_eq!(found[3..].concat(), long);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b" whole\n").unwrap();
    until(&settings, &taken, 7);
    assert_eq!(taken.borrow().texts[6], "half whole");
}
