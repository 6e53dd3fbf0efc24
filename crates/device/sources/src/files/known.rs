//! One file that is known: where it is, how far it was read, and what is done when it changes.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Position;
use tail::{Cutter, End, Entry, HEAD, Place, Print, TAIL, Writer, Written};

use super::content::Content;
use super::find::{Inode, inode};
use super::{Ended, FileSettings, Given, Says};

/// What is read of one file before others have their turn, bytes.
const TURN: u64 = 1 << 20;
/// A file whose name leads elsewhere is done with after so long without a new byte.
const MOVED_QUIET: Duration = Duration::from_mins(1);

/// Where a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Under its name.
    Here,
    /// Its name leads elsewhere, or nowhere; it is open, and whoever had it open may still write.
    Moved(Duration),
    /// Its bytes are looked for: rotation copied or compressed them, or somebody removed them.
    Lost(Duration),
    /// What is left of it is read from where rotation put it.
    Rest,
}

/// A file that is known.
pub(super) struct Known {
    id: u64,
    place: Place,
    content: Option<Content>,
    whereabouts: Whereabouts,
    /// How long it was when it was looked at last, and when that changed.
    size: u64,
    changed_ns: i128,
    grew: Duration,
    /// The bytes before the position, as far as they are known.
    before: Vec<u8>,
    writer: Writer,
    /// What an earlier life left undecided: from where to where.
    again: Vec<(u64, u64)>,
    /// From which time on it is read, and of how many of its first bytes that is asked.
    begins_at: Option<(u64, u64)>,
}

/// What a turn of reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// There is more to be read now.
    More,
    /// All that is complete is read.
    Read,
    /// The file has other bytes than before: it was cut and begun anew.
    Replaced,
    /// There never will be more.
    Done,
}

/// What every turn needs.
pub(super) struct Hand<'a> {
    pub(super) settings: &'a FileSettings,
    pub(super) source: usize,
    pub(super) key_prefix: &'a [u8],
    pub(super) buffer: &'a mut [u8],
    pub(super) says: &'a Says,
    pub(super) wall_ns: u64,
    pub(super) now: Duration,
}

impl Known {
    /// A file that is read from this place on.
    pub(super) fn new(settings: &FileSettings, id: u64, place: Place, now: Duration) -> Self {
        let writer = Writer::new(settings.format.clone(), &place.path, &settings.resource, &settings.attributes);
        let size = place.position;
        let (content, whereabouts) = (None, Whereabouts::Lost(now));
        Self {
            id,
            place,
            content,
            whereabouts,
            size,
            changed_ns: 0,
            grew: now,
            before: Vec::new(),
            writer,
            again: Vec::new(),
            begins_at: None,
        }
    }

    /// Of its first bytes, so many, records before the first one of this time are passed over, Unix nanoseconds.
    pub(super) fn begin_at(&mut self, time_ns: u64, bytes: u64) {
        self.begins_at = Some((time_ns, bytes));
    }

    /// How many of the first of these entries, which begin at this place of the file, are passed over.
    fn passed_over(&mut self, entries: &[Entry<'_>], from: u64) -> usize {
        let Some((time_ns, until)) = self.begins_at else { return 0 };
        let is_wanted = |entry: &Entry<'_>| from + entry.start as u64 >= until || self.writer.time_ns(entry) >= time_ns;
        let Some(mut first) = entries.iter().position(is_wanted) else { return entries.len() };
        self.begins_at = None;
        // A position is where no entry reaches over.
        while first > 0 && entries[..first].iter().any(|entry| entry.end > entries[first].start) {
            first -= 1;
        }
        first
    }

    /// The same with what an earlier life left undecided.
    pub(super) fn reading_again(self, again: Vec<(u64, u64)>) -> Self {
        Self { again, ..self }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(&self.place.path)
    }

    pub(super) fn whereabouts(&self) -> Whereabouts {
        self.whereabouts
    }

    /// Bytes that are there and not read.
    pub(super) fn lag(&self) -> u64 {
        self.size.saturating_sub(self.place.position)
    }

    /// Whether it has to be looked at again soon, though nothing happens.
    pub(super) fn is_waiting(&self) -> bool {
        self.lag() > 0 || self.whereabouts == Whereabouts::Rest || !self.again.is_empty()
    }

    /// Whether this inode is surely it: it is held open.
    pub(super) fn is_open(&self) -> bool {
        self.content.is_some()
    }

    /// It is here, under this name.
    pub(super) fn found(&mut self, path: &Path, inode: Inode, content: Option<Content>) {
        self.place.path = path.to_string_lossy().into_owned();
        (self.place.inode, self.place.is_past) = (inode, false);
        self.whereabouts = Whereabouts::Here;
        self.content = content.or(self.content.take());
    }

    /// What is left of it is in there.
    pub(super) fn found_rest(&mut self, content: Content) {
        self.whereabouts = Whereabouts::Rest;
        self.content = Some(content);
    }

    /// Its name leads elsewhere.
    pub(super) fn moved(&mut self, now: Duration) {
        if self.whereabouts == Whereabouts::Here {
            self.whereabouts = if self.content.is_some() { Whereabouts::Moved(now) } else { Whereabouts::Lost(now) };
        }
    }

    /// Splits off what was replaced: gives a file that stands for the old bytes, which are to be looked for; this one begins anew.
    pub(super) fn split(&mut self, settings: &FileSettings, new_id: u64, now: Duration) -> Self {
        let mut old = Self::new(settings, self.id, Place { is_past: true, ..self.place.clone() }, now);
        old.size = self.size;
        old.again = std::mem::take(&mut self.again);
        self.id = new_id;
        self.place = Place { path: self.place.path.clone(), inode: self.place.inode, ..Place::default() };
        (self.size, self.changed_ns, self.grew) = (0, 0, now);
        self.before.clear();
        old
    }

    /// Its length and when it changed, where it is a file as it is.
    fn look(&self) -> io::Result<Option<(u64, i128)>> {
        let Some(Content::Plain(file)) = &self.content else { return Ok(None) };
        let metadata = file.metadata()?;
        Ok(Some((metadata.size(), changed_ns(&metadata))))
    }

    /// Whether it still has the bytes that were read. Asked after each read: what was replaced meanwhile shows then.
    fn is_same(&mut self) -> io::Result<bool> {
        let Self { content, place, .. } = self;
        content.as_mut().map_or(Ok(true), |content| match content {
            Content::Plain(_) => content.holds(place),
            Content::Gz { .. } => Ok(true),
        })
    }

    /// Whether a file that is found holds all that was read of this one: a copy of it. `size` is that file's.
    pub(super) fn is_copied_by(&self, content: &mut Content, size: u64) -> bool {
        self.place.position > 0 && size >= self.place.position && content.holds(&self.place).unwrap_or(false)
    }

    /// Whether a file that is found begins as this one does, and is shorter: a copy in the making, perhaps.
    pub(super) fn begins_as(&mut self, content: &mut Content, size: u64) -> bool {
        let length = size.min(HEAD as u64);
        let Some(own) = &mut self.content else { return false };
        let prints = own.print(0, length).and_then(|own| Ok(own == content.print(0, length)?));
        size < self.place.position && prints.unwrap_or(false)
    }

    /// Reads what is there, for a turn.
    pub(super) fn read(&mut self, hand: &mut Hand<'_>) -> Result<Turn, Ended> {
        match self.try_read(hand) {
            Ok(turn) => turn,
            Err(error) => {
                let is_unfinished = error.kind() == io::ErrorKind::UnexpectedEof;
                // A file that is being compressed has no end yet.
                if !is_unfinished || self.whereabouts != Whereabouts::Rest {
                    hand.says.error(hand.source, "read", 1, format!("{}: {error}", self.place.path))?;
                }
                self.content = None;
                self.whereabouts = Whereabouts::Lost(hand.now);
                Ok(Turn::Read)
            }
        }
    }

    fn try_read(&mut self, hand: &mut Hand<'_>) -> io::Result<Result<Turn, Ended>> {
        if self.content.is_none() {
            return Ok(Ok(Turn::Read));
        }
        match self.read_again(hand)? {
            Ok(true) => {}
            Ok(false) => return Ok(Ok(Turn::Replaced)),
            Err(ended) => return Ok(Err(ended)),
        }
        let looked = self.look()?;
        if looked.is_some_and(|(size, _)| size < self.place.position) {
            return Ok(Ok(Turn::Replaced));
        }
        let is_still = looked == Some((self.size, self.changed_ns));
        if is_still && self.lag() == 0 && self.whereabouts == Whereabouts::Here {
            return Ok(Ok(Turn::Read));
        }
        let mut left = TURN;
        loop {
            let Some(content) = &mut self.content else { return Ok(Ok(Turn::Read)) };
            let read = content.read_at(self.place.position, hand.buffer)?;
            if !self.is_same()? {
                return Ok(Ok(Turn::Replaced));
            }
            if let Some((size, changed_ns)) = looked.filter(|_| !is_still) {
                self.grew = if (self.size, self.changed_ns) == (size, changed_ns) { self.grew } else { hand.now };
                (self.size, self.changed_ns) = (size, changed_ns);
            }
            let is_end = read < hand.buffer.len();
            let is_quiet = hand.now.saturating_sub(self.grew) >= hand.settings.flush_after;
            let is_last = match self.whereabouts {
                Whereabouts::Rest => true,
                Whereabouts::Moved(since) => hand.now.saturating_sub(since.max(self.grew)) >= MOVED_QUIET,
                Whereabouts::Here | Whereabouts::Lost(_) => false,
            };
            let (read, end) = match is_end {
                true if is_last => (read, End::Closed),
                // A line that is not written to its end waits for it, however long that takes.
                true if is_quiet => (hand.settings.cutter.whole_lines(&hand.buffer[..read]), End::Closed),
                _ => (read, End::Open),
            };
            let used = match self.hand_over(hand, read, end) {
                Ok(used) => used,
                Err(ended) => return Ok(Err(ended)),
            };
            if is_end {
                return Ok(Ok(if is_last { Turn::Done } else { Turn::Read }));
            }
            left = left.saturating_sub(used);
            if left == 0 {
                return Ok(Ok(Turn::More));
            }
        }
    }

    /// Hands over what is complete of the bytes in the buffer; gives how many that were.
    fn hand_over(&mut self, hand: &mut Hand<'_>, read: usize, end: End) -> Result<u64, Ended> {
        let bytes = &hand.buffer[..read];
        let cutter: &Cutter = &hand.settings.cutter;
        let mut stretch = cutter.cut(bytes, end);
        if stretch.used == 0 && read == hand.buffer.len() {
            // Entries reach over each other without an end: they are cut at the last line.
            let last = Some(cutter.whole_lines(bytes)).filter(|last| *last > 0).unwrap_or(read);
            stretch = cutter.cut(&bytes[..last], End::Closed);
        }
        let from = self.place.position;
        let mut entries = &*stretch.entries;
        let mut passed = self.passed_over(entries, from);
        while !entries.is_empty() {
            let start = self.place.position;
            let mut body = Vec::new();
            let written = match std::mem::take(&mut passed) {
                0 => self.writer.write(entries, hand.wall_ns, &mut body),
                // A position without records.
                entries => Written { entries, mismatches: 0 },
            };
            let records = if body.is_empty() { 0 } else { written.entries as u64 };
            entries = &entries[written.entries..];
            let behind = from + entries.first().map_or(stretch.used, |entry| entry.start) as u64;
            let read = &bytes[(start - from) as usize..(behind - from) as usize];
            let next = self.place_behind(read);
            let given = Given {
                source: hand.source,
                body,
                records,
                wall_ns: hand.wall_ns,
                position: position(hand.key_prefix, self.id, (start, behind), next.encode()),
            };
            hand.says.give(&given)?;
            self.place = next;
            self.before.extend_from_slice(&read[read.len().saturating_sub(TAIL)..]);
            self.before.drain(..self.before.len().saturating_sub(TAIL));
            if written.mismatches > 0 {
                let why = format!("{}: lines that are not of the format go on as they are", self.place.path);
                hand.says.error(hand.source, "other_format", written.mismatches, why)?;
            }
        }
        if stretch.cut_lines > 0 {
            let most = cutter.max_line();
            let why = format!("{}: lines of more than {most} bytes go on in further records", self.place.path);
            hand.says.error(hand.source, "long_line", stretch.cut_lines, why)?;
        }
        Ok(self.place.position - from)
    }

    /// Its place once these bytes behind it are read.
    fn place_behind(&self, bytes: &[u8]) -> Place {
        let mut next = Place { position: self.place.position + bytes.len() as u64, ..self.place.clone() };
        if next.head.length == self.place.position {
            let room = HEAD.saturating_sub(next.head.length as usize);
            next.head = next.head.and(&bytes[..bytes.len().min(room)]);
        }
        // What is shorter says less, and is as true.
        let tail = [&*self.before, &bytes[bytes.len().saturating_sub(TAIL)..]].concat();
        next.tail = Print::of(&tail[tail.len().saturating_sub(TAIL)..]);
        next
    }

    /// Reads again what an earlier life left undecided; false when the file has other bytes by now.
    fn read_again(&mut self, hand: &mut Hand<'_>) -> io::Result<Result<bool, Ended>> {
        while let Some((from, to)) = self.again.last().copied() {
            let Some(content) = &mut self.content else { return Ok(Ok(true)) };
            let length = usize::try_from(to - from).unwrap_or(usize::MAX).min(hand.buffer.len());
            let read = content.read_at(from, &mut hand.buffer[..length])?;
            if !self.is_same()? {
                return Ok(Ok(false));
            }
            let stretch = hand.settings.cutter.cut(&hand.buffer[..read], End::Closed);
            let (mut entries, mut body) = (&*stretch.entries, Vec::new());
            let records = entries.len() as u64;
            while !entries.is_empty() {
                // Requests one after the other are one request.
                let written = self.writer.write(entries, hand.wall_ns, &mut body);
                entries = &entries[written.entries..];
            }
            let position = Position { is_again: true, ..position(hand.key_prefix, self.id, (from, to), Vec::new()) };
            let given = Given { source: hand.source, body, records, wall_ns: hand.wall_ns, position };
            if let Err(ended) = hand.says.give(&given) {
                return Ok(Err(ended));
            }
            self.again.pop();
        }
        Ok(Ok(true))
    }

    /// Tells where it is without records: where it begins, or that it is done with.
    pub(super) fn tell(&self, hand: &Hand<'_>, is_done: bool) -> Result<(), Ended> {
        // What cannot be read again is given up with it.
        let given_up = self.again.iter().filter(|_| is_done).map(|range| (*range, true));
        let at = (self.place.position, self.place.position);
        for (range, is_again) in given_up.chain([(at, false)]) {
            let position = position(hand.key_prefix, self.id, range, self.place.encode());
            let position = Position { is_again, is_done, ..position };
            let empty = Given { source: hand.source, body: Vec::new(), records: 0, wall_ns: hand.wall_ns, position };
            hand.says.give(&empty)?;
        }
        Ok(())
    }

    /// Goes to the end of what is there: only what comes from now on is read.
    pub(super) fn skip_to_end(&mut self, content: &mut Content, size: u64) -> io::Result<()> {
        let head = content.print(0, size.min(HEAD as u64))?;
        let tail = content.print(size - size.min(TAIL as u64), size.min(TAIL as u64))?;
        self.place = Place { position: size, head, tail, ..self.place.clone() };
        self.size = size;
        Ok(())
    }
}

/// When a file was changed last, Unix nanoseconds.
pub(super) fn changed_ns(metadata: &std::fs::Metadata) -> i128 {
    i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec())
}

/// The place of a file that is read from its beginning.
pub(super) fn beginning(path: &Path, file: Inode) -> Place {
    Place { path: path.to_string_lossy().into_owned(), inode: file, ..Place::default() }
}

/// Device and inode of what a content reads, where it is a file as it is.
pub(super) fn inode_of(content: &Content) -> Option<Inode> {
    match content {
        Content::Plain(file) => file.metadata().ok().map(|metadata| inode(&metadata)),
        Content::Gz { .. } => None,
    }
}

/// A position, as the pipeline keeps it.
pub(super) fn position(prefix: &[u8], id: u64, (from, to): (u64, u64), next: Vec<u8>) -> Position {
    let key = [prefix, &id.to_be_bytes()].concat();
    let read = [from.to_be_bytes(), to.to_be_bytes()].concat();
    Position { key: key.into(), read: read.into(), next: next.into(), is_again: false, is_done: false }
}

/// From where to where was read.
pub(super) fn range(read: &[u8]) -> Option<(u64, u64)> {
    let (from, to) = read.split_first_chunk::<8>()?;
    let (from, to) = (u64::from_be_bytes(*from), u64::from_be_bytes(*to.first_chunk::<8>()?));
    (from <= to).then_some((from, to))
}
