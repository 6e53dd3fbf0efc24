//! What stays in memory of a pack, and reading by it: the label index first, then the series that it names, then the
//! chunks whose time is asked for.

use roaring::RoaringBitmap;

use crate::Damaged;
use crate::block::{Block, Source};
use crate::bytes::{Cursor, put_signed, put_varint};
use crate::chunk::Chunk;
use crate::labels::LabelIndex;

/// Where a block of series is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeriesBlock {
    /// The number of its first series.
    pub(crate) first: u32,
    pub(crate) block: Block,
}

/// What stays in memory of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    pub(crate) file_len: u64,
    pub(crate) series: u32,
    pub(crate) chunks: u64,
    pub(crate) points: u64,
    pub(crate) blocks: Vec<SeriesBlock>,
    pub(crate) labels: LabelIndex,
}

/// Where the points of a chunk are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChunkRef {
    /// The first point's time.
    pub min_time: u64,
    /// The last point's time.
    pub max_time: u64,
    /// How many points it has.
    pub points: u32,
    pub(crate) times_at: u64,
    pub(crate) times_len: u32,
    pub(crate) values_at: u64,
    pub(crate) values_len: u32,
    /// CRC32C of the times and, after them, the values.
    pub(crate) crc: u32,
}

/// A series of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the pack: its place in the order of keys.
    pub number: u32,
    /// Its key.
    pub key: Vec<u8>,
    /// What describes it.
    pub description: Vec<u8>,
    /// Its chunks, in the order of time.
    pub chunks: Vec<ChunkRef>,
}

/// A condition on a label. A series without the label has the empty value.
pub struct Matcher<'a> {
    /// The label, or several that stand for one: it is enough that one of them fits.
    pub labels: &'a [&'a [u8]],
    /// The only value that fits, where there is only one.
    pub exact: Option<&'a [u8]>,
    /// Whether a value fits.
    pub fits: &'a dyn Fn(&[u8]) -> bool,
}

impl ChunkRef {
    pub(crate) fn describe(&self, before: &Self, out: &mut Vec<u8>) {
        put_signed(out, self.min_time.wrapping_sub(before.max_time) as i64);
        put_varint(out, self.max_time.wrapping_sub(self.min_time));
        put_varint(out, u64::from(self.points));
        put_signed(out, self.times_at.wrapping_sub(before.values_at) as i64);
        put_varint(out, u64::from(self.times_len));
        put_signed(out, self.values_at.wrapping_sub(self.times_at) as i64);
        put_varint(out, u64::from(self.values_len));
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    fn parse(cursor: &mut Cursor<'_>, before: &Self, file_len: u64) -> Result<Self, Damaged> {
        let narrow = |number: u64| u32::try_from(number).map_err(|_| Damaged("a chunk is too large"));
        let min_time = before.max_time.wrapping_add(cursor.signed()? as u64);
        let max_time = min_time.checked_add(cursor.varint()?).ok_or(Damaged("a chunk ends before it begins"))?;
        let points = narrow(cursor.varint()?)?;
        let times_at = before.values_at.wrapping_add(cursor.signed()? as u64);
        let times_len = narrow(cursor.varint()?)?;
        let values_at = times_at.wrapping_add(cursor.signed()? as u64);
        let values_len = narrow(cursor.varint()?)?;
        let crc = u32::from_le_bytes(cursor.array()?);
        let is_inside = |at: u64, len: u32| at.checked_add(u64::from(len)).is_some_and(|end| end <= file_len);
        if !is_inside(times_at, times_len) || !is_inside(values_at, values_len) {
            return Err(Damaged("a chunk lies outside its file"));
        }
        Ok(Self { min_time, max_time, points, times_at, times_len, values_at, values_len, crc })
    }

    /// Its times and its values as they lie in the file, checked.
    fn stored<S: Source + ?Sized>(&self, source: &S) -> Result<(Vec<u8>, Vec<u8>), S::Error> {
        let (times, values) = if self.times_at + u64::from(self.times_len) == self.values_at {
            let mut both = source.read(self.times_at, self.times_len as usize + self.values_len as usize)?;
            let values = both.split_off(self.times_len as usize);
            (both, values)
        } else {
            let times = source.read(self.times_at, self.times_len as usize)?;
            (times, source.read(self.values_at, self.values_len as usize)?)
        };
        if crc32c::crc32c_append(crc32c::crc32c(&times), &values) != self.crc {
            return Err(Damaged("a chunk fails its checksum").into());
        }
        Ok((times, values))
    }

    /// Reads its points.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn read<S: Source + ?Sized>(&self, source: &S) -> Result<Chunk, S::Error> {
        let (times, values) = self.stored(source)?;
        let chunk = Chunk::read(&times, &values)?;
        let ends = (chunk.times.first().copied(), chunk.times.last().copied());
        if chunk.len() != self.points as usize || ends != (Some(self.min_time), Some(self.max_time)) {
            return Err(Damaged("a chunk is not the one that its series names").into());
        }
        if chunk.times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Damaged("the times of a chunk do not rise").into());
        }
        Ok(chunk)
    }

    /// Bytes that it takes in the file.
    pub fn bytes(&self) -> usize {
        self.times_len as usize + self.values_len as usize
    }
}

impl Directory {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for number in [self.file_len, u64::from(self.series), self.chunks, self.points, self.blocks.len() as u64] {
            put_varint(&mut out, number);
        }
        for SeriesBlock { first, block } in &self.blocks {
            put_varint(&mut out, u64::from(*first));
            block.describe(&mut out);
        }
        self.labels.describe(&mut out);
        out
    }

    /// Reads it; nothing that it names lies beyond `file_len`.
    ///
    /// # Errors
    /// [`Damaged`] when these are no bytes of a directory, or not of a file of this length.
    pub fn from_bytes(bytes: &[u8], file_len: u64) -> Result<Self, Damaged> {
        let mut cursor = Cursor(bytes);
        let content = cursor.varint()?;
        let series = u32::try_from(cursor.varint()?).map_err(|_| Damaged("too many series"))?;
        let (chunks, points) = (cursor.varint()?, cursor.varint()?);
        if content > file_len {
            return Err(Damaged("the file is shorter than what it holds"));
        }
        let mut blocks: Vec<SeriesBlock> = Vec::new();
        for at in 0..cursor.size()? {
            let first = u32::try_from(cursor.varint()?).unwrap_or(u32::MAX);
            let rises = blocks.last().map_or(at == 0 && first == 0, |last| last.first < first);
            if first >= series || !rises {
                return Err(Damaged("the blocks of series are out of order"));
            }
            blocks.push(SeriesBlock { first, block: Block::parse(&mut cursor, content)? });
        }
        let labels = LabelIndex::parse(&mut cursor, content)?;
        if !cursor.is_empty() || blocks.is_empty() != (series == 0) {
            return Err(Damaged("a directory does not fit its series"));
        }
        Ok(Self { file_len: content, series, chunks, points, blocks, labels })
    }

    /// How many series there are.
    pub fn series(&self) -> u32 {
        self.series
    }

    /// How many points there are.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// How many blocks of series there are.
    pub fn series_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes that it takes in memory.
    pub fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.blocks.len() * size_of::<SeriesBlock>() + self.labels.held_bytes()
    }

    /// The series of one block, in the order of their keys.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn entries<S: Source + ?Sized>(&self, source: &S, block: usize) -> Result<Vec<Entry>, S::Error> {
        let Some(SeriesBlock { first, block: place }) = self.blocks.get(block) else { return Ok(Vec::new()) };
        let end = self.blocks.get(block + 1).map_or(self.series, |next| next.first);
        let raw = place.read(source)?;
        let mut cursor = Cursor(&raw);
        let mut entries: Vec<Entry> = Vec::new();
        for number in *first..end {
            let (key, description) = (cursor.bytes()?.to_vec(), cursor.bytes()?.to_vec());
            if entries.last().is_some_and(|last| last.key >= key) {
                return Err(Damaged("series are out of order").into());
            }
            let mut chunks = Vec::new();
            let mut before = ChunkRef::default();
            for _ in 0..cursor.size()? {
                before = ChunkRef::parse(&mut cursor, &before, self.file_len)?;
                chunks.push(before);
            }
            if chunks.windows(2).any(|pair| pair[0].max_time >= pair[1].min_time) {
                return Err(Damaged("the chunks of a series are out of order").into());
            }
            entries.push(Entry { number, key, description, chunks });
        }
        if cursor.is_empty() { Ok(entries) } else { Err(Damaged("bytes after the series").into()) }
    }

    /// The series for which all matchers fit.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn select<S: Source + ?Sized>(&self, source: &S, matchers: &[Matcher<'_>]) -> Result<RoaringBitmap, S::Error> {
        let all = || RoaringBitmap::from_iter(0..self.series);
        let mut selected: Option<RoaringBitmap> = None;
        for matcher in matchers {
            let (mut with, mut fitting) = (RoaringBitmap::new(), RoaringBitmap::new());
            let takes_none = (matcher.fits)(b"");
            let exact = matcher.exact.filter(|_| !takes_none);
            for label in matcher.labels {
                self.labels.each_value(source, label, exact, |value, list| {
                    if (matcher.fits)(value) {
                        fitting |= &list;
                    }
                    if takes_none {
                        with |= list;
                    }
                })?;
            }
            if takes_none {
                fitting |= all() - with;
            }
            selected = Some(selected.map_or_else(|| fitting.clone(), |selected| selected & &fitting));
            if selected.as_ref().is_some_and(RoaringBitmap::is_empty) {
                break;
            }
        }
        let selected = selected.unwrap_or_else(all);
        if selected.max().is_some_and(|last| last >= self.series) {
            return Err(Damaged("a posting list names a series that is not there").into());
        }
        Ok(selected)
    }

    /// Shows the series with these numbers, block by block, until told to stop.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn each<S: Source + ?Sized>(
        &self,
        source: &S,
        numbers: &RoaringBitmap,
        mut show: impl FnMut(Entry) -> bool,
    ) -> Result<(), S::Error> {
        let mut numbers = numbers.iter().peekable();
        while let Some(next) = numbers.peek().copied() {
            let block = self.blocks.partition_point(|block| block.first <= next).saturating_sub(1);
            let mut entries = self.entries(source, block)?.into_iter();
            let end = self.blocks.get(block + 1).map_or(self.series, |next| next.first);
            while let Some(number) = numbers.next_if(|number| *number < end) {
                let Some(entry) = entries.find(|entry| entry.number == number) else { break };
                if !show(entry) {
                    return Ok(());
                }
            }
            if numbers.peek().is_some_and(|number| *number < end) {
                return Err(Damaged("a series is not in its block").into());
            }
        }
        Ok(())
    }

    /// The labels that there are.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn labels<S: Source + ?Sized>(&self, source: &S) -> Result<Vec<Vec<u8>>, S::Error> {
        self.labels.names(source)
    }

    /// Shows the values of a label, each with the series that have it.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn each_value<S: Source + ?Sized>(
        &self,
        source: &S,
        label: &[u8],
        show: impl FnMut(&[u8], RoaringBitmap),
    ) -> Result<(), S::Error> {
        self.labels.each_value(source, label, None, show)
    }

    /// Holds every byte against its checksum; points are not decoded.
    ///
    /// # Errors
    /// What the source says, or [`Damaged`].
    pub fn verify<S: Source + ?Sized>(&self, source: &S) -> Result<(), S::Error> {
        for block in 0..self.blocks.len() {
            for entry in self.entries(source, block)? {
                entry.chunks.iter().try_for_each(|chunk| chunk.stored(source).map(drop))?;
            }
        }
        self.labels.blocks().try_for_each(|block| block.stored(source).map(drop))
    }
}
