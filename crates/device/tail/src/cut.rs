//! A stretch of a file as entries.
//!
//! An entry is what becomes one record: a line, a line of a container whose parts are joined, or several lines that belong together. Entries
//! of two streams may stand between each other; a stretch ends only where none is open, so that whoever reads on from there, or reads
//! the same stretch again, finds the same entries.

use std::borrow::Cow;

use crate::envelope::{Inner, Stream, cri, docker};
use crate::format::Format;
use crate::multiline::{Multiline, State};

/// How bytes are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// UTF-8; other bytes pass, and are mended at the door.
    #[default]
    Utf8,
    /// UTF-16, the low byte first.
    Utf16Le,
    /// UTF-16, the high byte first.
    Utf16Be,
    /// ISO 8859-1: each byte is the character of its number.
    Latin1,
}

/// What stands behind a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// More bytes, or more may come soon: what is not complete waits.
    Open,
    /// Nothing for a while, or never again: what is not complete is complete now.
    Closed,
}

/// What becomes one record.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry<'a> {
    /// Where its first byte stands in the stretch.
    pub start: usize,
    /// Where its last byte ends; bytes of other entries may stand between.
    pub end: usize,
    /// Its text.
    pub text: Cow<'a, [u8]>,
    /// From its envelope, Unix nanoseconds; 0 when unknown.
    pub(crate) time_ns: u64,
    pub(crate) stream: Option<Stream>,
    state: State,
    is_partial: bool,
}

/// What a stretch came to.
#[derive(Debug, Default, PartialEq)]
pub struct Stretch<'a> {
    /// Entries in the order of their beginnings.
    pub entries: Vec<Entry<'a>>,
    /// So many bytes are done with: no entry reaches over this place.
    pub used: usize,
    /// Lines that were longer than a line may be: they go on in further records.
    pub cut_lines: u64,
}

/// Cuts stretches into entries.
#[derive(Debug, Clone)]
pub struct Cutter {
    format: Format,
    multiline: Option<Multiline>,
    encoding: Encoding,
    max_line: usize,
}

/// Entries that are open: one for each stream at most, and one for lines without.
const STREAMS: usize = 3;

fn slot(stream: Option<Stream>) -> usize {
    match stream {
        None => 0,
        Some(Stream::Out) => 1,
        Some(Stream::Err) => 2,
    }
}

impl Cutter {
    /// For lines of this form, at most so many bytes each.
    pub fn new(format: Format, multiline: Option<Multiline>, encoding: Encoding, max_line: usize) -> Self {
        Self { format, multiline, encoding, max_line: max_line.max(16) & !1 }
    }

    /// The most bytes of a record.
    pub fn max_line(&self) -> usize {
        self.max_line
    }

    /// Cuts a stretch that begins where an entry begins. With [`End::Open`] `used` may be 0: then more bytes are needed, or the end.
    pub fn cut<'a>(&self, bytes: &'a [u8], end: End) -> Stretch<'a> {
        let mut work = Work { done: Vec::new(), open: [const { None }; STREAMS], cuts: Vec::new() };
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let (line, next) = match self.line_end(rest) {
                Some((length, with_end)) if length <= self.max_line => (&rest[..length], with_end),
                None if rest.len() <= self.max_line && end == End::Open => break,
                None if rest.len() <= self.max_line => (rest, rest.len()),
                _ => {
                    work.cuts.push(at);
                    let length = self.cut_at(rest);
                    (&rest[..length], length)
                }
            };
            self.line(&mut work, at, at + next, line);
            at += next;
        }
        if end == End::Closed {
            (0..STREAMS).for_each(|slot| work.close(slot));
        }
        work.finish(at)
    }

    /// Where the last line ends of which the end is there; 0 when none is.
    pub fn whole_lines(&self, bytes: &[u8]) -> usize {
        let (mut end, mut at) = (0, 0);
        match self.encoding {
            Encoding::Utf8 | Encoding::Latin1 => {
                end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            }
            Encoding::Utf16Le | Encoding::Utf16Be => {
                while let Some((_, next)) = self.line_end(&bytes[at..]) {
                    at += next;
                    end = at;
                }
            }
        }
        end
    }

    /// Where the first line ends, and where the next one begins.
    fn line_end(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let pair = match self.encoding {
            Encoding::Utf8 | Encoding::Latin1 => {
                return bytes.iter().position(|byte| *byte == b'\n').map(|at| (at, at + 1));
            }
            Encoding::Utf16Le => [b'\n', 0],
            Encoding::Utf16Be => [0, b'\n'],
        };
        let (pairs, _) = bytes.as_chunks::<2>();
        pairs.iter().position(|found| *found == pair).map(|at| (2 * at, 2 * at + 2))
    }

    /// Where a line that is too long is cut: not within a character.
    fn cut_at(&self, line: &[u8]) -> usize {
        let is_inside = |at: &usize| line.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
        match self.encoding {
            Encoding::Utf8 => (self.max_line - 3..=self.max_line).rev().find(|at| !is_inside(at)),
            _ => None,
        }
        .unwrap_or(self.max_line)
    }

    /// Takes a line in, without its end.
    fn line<'a>(&self, work: &mut Work<'a>, start: usize, end: usize, line: &'a [u8]) {
        let inner = self.inner(line);
        let slot = slot(inner.stream);
        let opened = work.open[slot].as_ref();
        if let Some(open) = opened.filter(|open| open.is_partial) {
            let fits = open.text.len() + inner.text.len() <= self.max_line;
            if fits {
                work.append(slot, end, &inner, b"");
            } else {
                work.cuts.push(open.start);
                work.close(slot);
                work.begin(slot, start, end, inner, State::Plain);
            }
        } else {
            let state = opened.map_or(State::Plain, |open| open.state);
            let (more, next) = match &self.multiline {
                Some(multiline) => multiline.continues(state, &inner.text),
                None => (false, State::Plain),
            };
            match opened {
                Some(open) if more && open.text.len() + inner.text.len() < self.max_line => {
                    work.append(slot, end, &inner, b"\n");
                    work.set_state(slot, next);
                }
                open => {
                    work.cuts.extend(open.filter(|_| more).map(|open| open.start));
                    work.close(slot);
                    work.begin(slot, start, end, inner, next);
                }
            }
        }
        // A line that needs no other one is complete.
        if self.multiline.is_none() && work.open[slot].as_ref().is_some_and(|open| !open.is_partial) {
            work.close(slot);
        }
    }

    fn inner<'a>(&self, line: &'a [u8]) -> Inner<'a> {
        let line = match self.encoding {
            Encoding::Utf8 => Cow::Borrowed(line.strip_suffix(b"\r").unwrap_or(line)),
            other => Cow::Owned(decoded(line, other)),
        };
        match (&self.format, line) {
            (Format::Cri, Cow::Borrowed(line)) => cri(line).unwrap_or_else(|| Inner::bare(line)),
            (Format::Docker, Cow::Borrowed(line)) => docker(line).unwrap_or_else(|| Inner::bare(line)),
            (Format::Auto, Cow::Borrowed(line)) => match line.first() {
                Some(b'0'..=b'9') => cri(line),
                Some(b'{') if line.starts_with(b"{\"log\":") => docker(line),
                _ => None,
            }
            .unwrap_or_else(|| Inner::bare(line)),
            (_, line) => Inner::bare(line),
        }
    }
}

fn decoded(line: &[u8], encoding: Encoding) -> Vec<u8> {
    let text: String = match encoding {
        Encoding::Utf8 => return line.to_vec(),
        Encoding::Latin1 => line.iter().map(|byte| char::from(*byte)).collect(),
        Encoding::Utf16Le | Encoding::Utf16Be => {
            let unit = |pair: &[u8; 2]| match encoding {
                Encoding::Utf16Le => u16::from_le_bytes(*pair),
                _ => u16::from_be_bytes(*pair),
            };
            let units = line.as_chunks::<2>().0.iter().map(unit);
            char::decode_utf16(units).map(|one| one.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
    };
    text.trim_start_matches('\u{feff}').trim_end_matches('\r').to_owned().into_bytes()
}

/// Entries that are done, and those that are open.
struct Work<'a> {
    done: Vec<Entry<'a>>,
    open: [Option<Entry<'a>>; STREAMS],
    /// Where what begins that was longer than a record may be.
    cuts: Vec<usize>,
}

impl<'a> Work<'a> {
    fn begin(&mut self, slot: usize, start: usize, end: usize, inner: Inner<'a>, state: State) {
        let Inner { text, time_ns, stream, is_partial } = inner;
        self.open[slot] = Some(Entry { start, end, text, time_ns, stream, state, is_partial });
    }

    fn append(&mut self, slot: usize, end: usize, inner: &Inner<'a>, between: &[u8]) {
        if let Some(open) = &mut self.open[slot] {
            let text = open.text.to_mut();
            text.extend_from_slice(between);
            text.extend_from_slice(&inner.text);
            (open.end, open.is_partial) = (end, inner.is_partial);
        }
    }

    fn set_state(&mut self, slot: usize, state: State) {
        if let Some(open) = &mut self.open[slot] {
            open.state = state;
        }
    }

    fn close(&mut self, slot: usize) {
        self.done.extend(self.open[slot].take());
    }

    /// `at`: where the next line begins.
    fn finish(self, at: usize) -> Stretch<'a> {
        let Self { mut done, open, cuts } = self;
        let mut used = open.iter().flatten().map(|open| open.start).min().unwrap_or(at);
        // Back to a place over which no entry reaches.
        while let Some(start) =
            done.iter().filter(|entry| entry.start < used && used < entry.end).map(|one| one.start).min()
        {
            used = start;
        }
        done.retain(|entry| entry.end <= used);
        done.sort_by_key(|entry| entry.start);
        // What is cut again is counted then.
        let cut_lines = cuts.iter().filter(|start| **start < used).count() as u64;
        Stretch { entries: done, used, cut_lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multiline::Preset;

    fn texts(stretch: &Stretch<'_>) -> Vec<String> {
        stretch.entries.iter().map(|entry| String::from_utf8_lossy(&entry.text).into_owned()).collect()
    }

    fn plain(max_line: usize) -> Cutter {
        Cutter::new(Format::Plain, None, Encoding::Utf8, max_line)
    }

    /// Scenario: lines with both ends, an empty one, one that is not written to its end, with and without more to come. Guarantees: what is
    /// complete is told, what is not waits until it is said to be.
    #[test]
    fn lines_are_cut_at_their_ends() {
        let text = b"a\r\n\nb\0\xff\nrest";
        let open = plain(100).cut(text, End::Open);
        assert_eq!((texts(&open), open.used), (vec!["a".into(), String::new(), "b\0\u{fffd}".into()], 8));
        let closed = plain(100).cut(text, End::Closed);
        assert_eq!((texts(&closed).len(), closed.used), (4, text.len()));
    }

    /// Scenario: a line far longer than a line may be, with characters of several bytes. Guarantees: all of it comes, in pieces that are
    /// text, and that is counted (P1).
    #[test]
    fn long_lines_are_cut_and_counted() {
        let text = format!("{}\nz\n", "\u{20ac}".repeat(30));
        let cut = plain(32).cut(text.as_bytes(), End::Open);
        assert_eq!(texts(&cut).concat(), format!("{}z", "\u{20ac}".repeat(30)));
        assert_eq!((cut.entries.len(), cut.cut_lines, cut.used), (4, 2, text.len()));
    }

    /// Scenario: parts of lines of two streams between each other, read in stretches of every length. Guarantees: they are joined, and
    /// whatever the stretches are, each comes once and none is lost.
    #[test]
    fn partial_lines_are_joined_in_every_stretch() {
        let t = "2026-01-01T00:00:00Z";
        let text = format!(
            "{t} stdout P a\n{t} stderr F x\n{t} stdout P b\n{t} stderr P y\n{t} stdout F c\n{t} stderr F z\n{t} stdout F d\n"
        );
        let cutter = Cutter::new(Format::Auto, None, Encoding::Utf8, 1000);
        let whole = cutter.cut(text.as_bytes(), End::Open);
        assert_eq!((texts(&whole), whole.used), (vec!["abc".into(), "x".into(), "yz".into(), "d".into()], text.len()));
        for length in 1..text.len() {
            let (mut at, mut found, mut seen) = (0, Vec::new(), 0);
            while at < text.len() {
                seen = (seen + length).min(text.len());
                let cut = cutter.cut(&text.as_bytes()[at..seen], End::Open);
                found.extend(texts(&cut));
                at += cut.used;
                assert!(seen < text.len() || at == text.len());
            }
            assert_eq!(found, texts(&whole), "{length}");
        }
    }

    /// Scenario: a stack trace at the end of what is there. Guarantees: it waits for more, and is one record when nothing comes; one that
    /// is longer than a record is cut and counted.
    #[test]
    fn a_stack_trace_waits_for_its_end() {
        let text = b"info\nERROR e\n\tat a\n\tat b\n";
        let of = |max_line| Cutter::new(Format::Plain, Some(Multiline::Preset(Preset::Java)), Encoding::Utf8, max_line);
        let open = of(100).cut(text, End::Open);
        assert_eq!((texts(&open), open.used), (vec!["info".into()], 5));
        assert_eq!(texts(&of(100).cut(text, End::Closed))[1], "ERROR e\n\tat a\n\tat b");
        let cut = of(16).cut(text, End::Closed);
        assert_eq!((texts(&cut).len(), cut.cut_lines), (3, 1));
    }

    /// Scenario: the same text in every encoding. Guarantees: the same entries.
    #[test]
    fn encodings_are_read() {
        let text = "\u{feff}caf\u{e9}\r\nb\n";
        for (encoding, bytes) in [
            (Encoding::Utf16Le, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
            (Encoding::Utf16Be, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            (Encoding::Latin1, b"caf\xe9\r\nb\n".to_vec()),
        ] {
            let cut = Cutter::new(Format::Plain, None, encoding, 100).cut(&bytes, End::Open);
            assert_eq!((texts(&cut), cut.used), (vec!["caf\u{e9}".into(), "b".into()], bytes.len()), "{encoding:?}");
        }
    }
}
