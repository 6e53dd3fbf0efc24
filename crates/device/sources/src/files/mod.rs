//! Log files, read as they grow. A thread of its own does all that may wait for a disk: it looks for files, reads, and cuts what it reads
//! into records; the runtime hands the requests over. A position moves only when the pipeline has what lies before it, so pressure is
//! simply that the thread waits.

mod content;
mod find;
mod follow;
mod known;
mod reader;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use model::{Position, ReadTo, Signal};
use tail::{Cutter, Format};
use tokio::sync::{mpsc, oneshot};

use crate::{Answer, Feed, Lag};

use reader::Reader;

/// The thread holds its buffers on the heap.
const STACK: usize = 256 << 10;

/// Where files that are there at the very first start are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Their end.
    End,
    /// Their beginning.
    Beginning,
    /// Their first record of this time or a later one, Unix nanoseconds. Records before it are passed over, also those without a time; what is
    /// written from now on is read whatever its time.
    Time(u64),
}

/// How the files of one source are read.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// Its name in the configuration.
    pub name: String,
    /// Patterns of absolute paths.
    pub include: Vec<String>,
    /// Patterns of paths that are left out.
    pub exclude: Vec<String>,
    /// Where files that are there at the very first start are read from.
    pub start: Start,
    /// Cuts bytes into records.
    pub cutter: Cutter,
    /// What the records' texts are.
    pub format: Format,
    /// How long a record that may go on waits for more.
    pub flush_after: Duration,
    /// How many files are known at once.
    pub max_files: usize,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Attributes of every record.
    pub attributes: Vec<(String, String)>,
}

impl FileSettings {
    /// The name under which it is shown.
    pub fn shown(&self) -> String {
        format!("files/{}", self.name)
    }

    /// What the keys of its positions begin with.
    fn key_prefix(&self) -> Vec<u8> {
        let mut key = self.shown().into_bytes();
        key.push(0);
        key
    }

    /// The bytes that are read at once: a record as long as may be, and one more.
    fn window(&self) -> usize {
        (2 * self.cutter.max_line()).max(64 << 10)
    }

    /// The most memory that sources like these take together, bytes: what is read at once, cut, and written as a request, and what is known
    /// of each file.
    pub fn budget<'a>(all: impl Iterator<Item = &'a Self>) -> u64 {
        const EACH_FILE: usize = 1 << 10;
        let (mut window, mut files) = (0, 0);
        for one in all {
            window = window.max(one.window());
            files += one.max_files;
        }
        (4 * window + files * EACH_FILE + if window > 0 { STACK / 4 } else { 0 }) as u64
    }
}

/// A source as it is started: how it reads, its way into the pipeline, and how far an earlier life was.
pub struct FileSource {
    /// How it reads.
    pub settings: FileSettings,
    /// Its way into the pipeline.
    pub feed: Feed,
    /// How far it was, with those of all other sources.
    pub read_to: Vec<ReadTo>,
}

/// What the thread says.
enum Said {
    Request(Given, oneshot::Sender<Answer>),
    /// A source's position moves without records.
    Lag(usize, u64),
    Error(usize, &'static str, u64, String),
}

/// A request that is handed over.
#[derive(Clone)]
struct Given {
    source: usize,
    body: Vec<u8>,
    records: u64,
    wall_ns: u64,
    position: Position,
}

/// How the thread knows the time: monotonic since some moment, and Unix nanoseconds.
pub type Clock = Box<dyn Fn() -> (Duration, u64) + Send>;

/// Reads for ever.
///
/// # Errors
/// When the system gives no thread.
pub fn serve(sources: Vec<FileSource>, clock: Clock) -> std::io::Result<impl Future<Output = ()>> {
    let (says, mut hears) = mpsc::channel(4);
    let feeds: Vec<Feed> = sources.iter().map(|source| source.feed.clone()).collect();
    let parts = sources.into_iter().map(|source| (source.settings, source.read_to)).collect();
    let thread = std::thread::Builder::new().name("files".into()).stack_size(STACK);
    let _detached = thread.spawn(move || Reader::new(parts, Says(says), clock).run())?;
    Ok(async move {
        while let Some(said) = hears.recv().await {
            match said {
                Said::Request(given, reply) => {
                    let Given { source, body, records, wall_ns, position } = given;
                    let answer = feeds[source].give_read(Signal::Logs, body, records, wall_ns, Some(position)).await;
                    // The thread may have ended.
                    let _heard = reply.send(answer);
                }
                Said::Lag(source, bytes) => feeds[source].state().set_lag(Some(Lag::Bytes(bytes))),
                Said::Error(source, reason, count, why) => feeds[source].state().error(reason, count, &why),
            }
        }
    })
}

/// The runtime is gone: the thread ends.
#[derive(Debug)]
struct Ended;

/// How the thread speaks to the runtime.
struct Says(mpsc::Sender<Said>);

impl Says {
    /// Whether nobody hears any more.
    fn is_ended(&self) -> bool {
        self.0.is_closed()
    }

    fn say(&self, said: Said) -> Result<(), Ended> {
        self.0.blocking_send(said).map_err(|_| Ended)
    }

    fn error(&self, source: usize, reason: &'static str, count: u64, why: String) -> Result<(), Ended> {
        self.say(Said::Error(source, reason, count, why))
    }

    /// Hands a request over and waits until it is taken in. Under pressure the same is given again; what is refused for good is counted by the
    /// feed, and passed.
    fn give(&self, given: &Given) -> Result<(), Ended> {
        loop {
            let (reply, answer) = oneshot::channel();
            self.say(Said::Request(given.clone(), reply))?;
            match answer.blocking_recv().map_err(|_| Ended)? {
                Answer::Wait(delay) => {
                    if self.is_ended() {
                        return Err(Ended);
                    }
                    std::thread::sleep(delay.min(Duration::from_secs(1)));
                }
                _ => return Ok(()),
            }
        }
    }
}
