//! Log lines that come once, as through a pipe: what was read cannot be read again, so that pressure is that nobody reads on.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use model::Signal;
use tail::{Cutter, End, Format, Writer};

use crate::Feed;

/// The most bytes that are taken at once.
pub(crate) const CHUNK: usize = 16 << 10;

/// How lines become records.
#[derive(Debug, Clone)]
pub struct LineSettings {
    /// Cuts bytes into records.
    pub cutter: Cutter,
    /// What the records' texts are.
    pub format: Format,
    /// How long a record that may go on waits for more.
    pub flush_after: Duration,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// Attributes of every record.
    pub attributes: Vec<(String, String)>,
}

impl LineSettings {
    /// The most memory that one stream of such lines takes, bytes: what waits for the end of a record, cut, and written as a request.
    pub fn budget(&self) -> u64 {
        (4 * self.cutter.max_line() + 3 * CHUNK) as u64
    }
}

/// A way into the pipeline that waits as long as there is no room, and tells whether it does.
#[derive(Clone)]
pub(crate) struct Giver {
    pub(crate) feed: Feed,
    wall_ns: Rc<dyn Fn() -> u64>,
    is_giving: Rc<Cell<bool>>,
}

impl Giver {
    pub(crate) fn new(feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) -> Self {
        Self { feed, wall_ns, is_giving: Rc::default() }
    }

    /// Whether a request is on its way into the pipeline.
    #[cfg(feature = "exec")]
    pub(crate) fn is_giving(&self) -> bool {
        self.is_giving.get()
    }

    /// Wall time, Unix nanoseconds.
    pub(crate) fn wall_ns(&self) -> u64 {
        (self.wall_ns)()
    }

    /// Hands a request over, again and again while there is no room for it.
    pub(crate) async fn give(&self, signal: Signal, body: Vec<u8>, records: u64) {
        self.hand_over(signal, body, records, None).await;
    }

    /// The same with where the source stands behind it.
    #[cfg(feature = "positions")]
    pub(crate) async fn give_read(&self, signal: Signal, body: Vec<u8>, records: u64, position: model::Position) {
        self.hand_over(signal, body, records, Some(position)).await;
    }

    async fn hand_over(&self, signal: Signal, body: Vec<u8>, records: u64, position: Option<model::Position>) {
        self.is_giving.set(true);
        loop {
            let wall_ns = self.wall_ns();
            let given = self.feed.give_read(signal, body.clone(), records, wall_ns, position.clone());
            let crate::Answer::Wait(delay) = given.await else { break };
            tokio::time::sleep(delay.min(Duration::from_secs(1))).await;
        }
        self.is_giving.set(false);
    }
}

/// A stream of lines on its way into the pipeline.
pub(crate) struct Lines {
    cutter: Cutter,
    writer: Writer,
    giver: Giver,
    /// What is not cut yet.
    buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn new(settings: &LineSettings, giver: Giver) -> Self {
        let writer = Writer::of_stream(settings.format.clone(), &settings.resource, &settings.attributes);
        Self { cutter: settings.cutter.clone(), writer, giver, buffer: Vec::new() }
    }

    /// Whether lines wait for more.
    pub(crate) fn is_waiting(&self) -> bool {
        self.cutter.whole_lines(&self.buffer) > 0
    }

    /// Takes what came, at most [`CHUNK`] bytes, and hands the records over that are whole.
    pub(crate) async fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.hand_over(self.buffer.len(), End::Open).await;
    }

    /// Nothing came for a while: lines that wait for more are whole. One without its end waits on.
    pub(crate) async fn flush(&mut self) {
        self.hand_over(self.cutter.whole_lines(&self.buffer), End::Closed).await;
    }

    /// Nothing will come any more.
    pub(crate) async fn finish(&mut self) {
        self.hand_over(self.buffer.len(), End::Closed).await;
        // One that was large is not kept for a next one.
        self.buffer = Vec::new();
    }

    async fn hand_over(&mut self, length: usize, end: End) {
        let Self { cutter, writer, giver, buffer } = self;
        let stretch = cutter.cut(&buffer[..length], end);
        let state = giver.feed.state();
        if stretch.cut_lines > 0 {
            let why = format!("longer than {} bytes: it goes on in further records", cutter.max_line());
            state.error("long_line", stretch.cut_lines, &why);
        }
        let mut entries = &*stretch.entries;
        while !entries.is_empty() {
            let mut body = Vec::new();
            let written = writer.write(entries, giver.wall_ns(), &mut body);
            if written.mismatches > 0 {
                state.error("other_format", written.mismatches, "lines are not of the format; they go on as they are");
            }
            giver.give(Signal::Logs, body, written.entries as u64).await;
            entries = &entries[written.entries..];
        }
        let used = stretch.used;
        drop(stretch);
        buffer.drain(..used);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::RefCell;

    use tail::{Encoding, Multiline, Preset};

    use super::*;
    use crate::{Answer, Intake, Limits, Pending, SourceState};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    /// Scenario: lines in pieces, a long one, a stack trace that waits, an end without a line's end, and a pipeline without room now and then.
    /// Guarantees: each record comes once, what was refused comes again, and what was cut is counted (P1).
    #[test]
    fn lines_come_once_under_pressure() {
        let asked = Rc::new(Cell::new(0));
        let taken = Rc::new(RefCell::new(Vec::new()));
        let (count, bodies) = (Rc::clone(&asked), Rc::clone(&taken));
        let intake: Intake = Rc::new(move |request, _, _| {
            count.set(count.get() + 1);
            if count.get() % 2 == 1 {
                return Pending::settled(Answer::Wait(Duration::from_secs(1)));
            }
            bodies.borrow_mut().push(request.body);
            Pending::settled(Answer::Accepted)
        });
        let state = SourceState::new("stdin");
        let giver = Giver::new(Feed::new(intake, Limits::new(1, 1, 1), Rc::clone(&state)), Rc::new(|| 7));
        let settings = LineSettings {
            cutter: Cutter::new(Format::Plain, Some(Multiline::Preset(Preset::Java)), Encoding::Utf8, 32),
            format: Format::Plain,
            flush_after: Duration::from_secs(1),
            resource: vec![("service.name".into(), "app".into())],
            attributes: Vec::new(),
        };
        runtime().block_on(async {
            let mut lines = Lines::new(&settings, giver);
            for piece in ["one\ntw", "o\nERROR x\n", "\tat y\n"] {
                lines.push(piece.as_bytes()).await;
            }
            assert!(lines.is_waiting());
            lines.flush().await;
            assert!(!lines.is_waiting());
            lines.push("z".repeat(40).as_bytes()).await;
            lines.finish().await;
        });
        assert_eq!((state.records(), asked.get()), (5, 2 * taken.borrow().len()));
        assert_eq!((state.errors()[0].reason, state.errors()[0].count), ("long_line", 1));
        let all = taken.borrow().concat();
        let has = |text: &str| all.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(has("ERROR x\n\tat y") && has("two") && has("app"));
    }
}
