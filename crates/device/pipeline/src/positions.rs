//! How far sources that read are, as it rides in commits: where each goes on, and what of the bytes before that place is still undecided and in
//! memory only. After a kill that is read again, and nothing else.

use std::collections::BTreeMap;

use model::proto::{Reader, Value, put_bytes, put_message, put_uint};
use model::{Position, ReadTo, TraceId};
use recorder::EntryId;

/// The most bytes that ride in a commit; beyond it what is undecided is left out, and lost with a kill, as what was sent is.
const MOST_BYTES: usize = 1 << 20;

/// Of a trace id what tells it apart from others in one request.
fn print(trace: &TraceId) -> u32 {
    let (_, last) = trace.0.split_at(12);
    last.iter().fold(0, |print, byte| print << 8 | u32::from(*byte))
}

/// A request of which something is undecided.
#[derive(Debug, Clone, PartialEq)]
struct Waiting {
    /// What was read for it.
    read: Box<[u8]>,
    traces: Traces,
}

#[derive(Debug, Clone, PartialEq)]
enum Traces {
    /// In this life: where they wait in the recorder, and the trace of each record.
    Here(EntryId, Vec<TraceId>),
    /// In an earlier one: they are to be read again.
    Before(Vec<u32>),
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Standing {
    next: Box<[u8]>,
    is_done: bool,
    waiting: Vec<Waiting>,
    /// Pieces of a request that is not whole yet.
    pieces: Vec<Waiting>,
}

/// What of the positions has no room in commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PositionsLeftOut {
    /// Bytes of all positions, with what is undecided behind them, at the last commit.
    pub bytes: u64,
    /// Commits without what is undecided: with a kill those records are lost.
    pub without_undecided: u64,
    /// Commits without any position: with a kill what was read since the last one that had them comes again.
    pub without_any: u64,
}

/// How far each is.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    left_out: PositionsLeftOut,
    all: BTreeMap<Box<[u8]>, Standing>,
    /// Whether anything was told in this life or before.
    is_used: bool,
}

impl Positions {
    /// A request is taken in, or a piece of one; `waiting` are the traces of its records that wait in this entry of the recorder.
    pub(crate) fn took(&mut self, position: &Position, is_last: bool, waiting: Option<(EntryId, Vec<TraceId>)>) {
        self.is_used = true;
        let standing = self.all.entry(position.key.clone()).or_default();
        let waiting = waiting.filter(|(_, traces)| !traces.is_empty());
        let read = position.read.clone();
        standing.pieces.extend(waiting.map(|(entry, traces)| Waiting { read, traces: Traces::Here(entry, traces) }));
        if !is_last {
            return;
        }
        if position.is_again {
            standing.waiting.retain(|one| one.read != position.read || matches!(one.traces, Traces::Here(..)));
        } else {
            standing.next.clone_from(&position.next);
            standing.is_done = position.is_done;
        }
        standing.waiting.append(&mut standing.pieces);
    }

    /// Whether a record of a request that is read again was undecided.
    pub(crate) fn is_missing(&self, position: &Position, trace: &TraceId) -> bool {
        let standing = self.all.get(&position.key);
        let mut waiting = standing.into_iter().flat_map(|one| &one.waiting).filter(|one| one.read == position.read);
        waiting.any(|one| matches!(&one.traces, Traces::Before(prints) if prints.contains(&print(trace))))
    }

    /// What rides in the next commit; `None` where no source reads. `is_waiting` tells whether the records of a trace still wait in an entry.
    pub(crate) fn encode(&mut self, mut is_waiting: impl FnMut(&TraceId, EntryId) -> bool) -> Option<Vec<u8>> {
        if !self.is_used {
            return None;
        }
        for standing in self.all.values_mut() {
            standing.waiting.retain_mut(|one| match &mut one.traces {
                Traces::Here(entry, traces) => {
                    traces.retain(|trace| is_waiting(trace, *entry));
                    !traces.is_empty()
                }
                Traces::Before(_) => true,
            });
        }
        self.all.retain(|_, standing| !(standing.is_done && standing.waiting.is_empty()));
        let whole = self.written(true);
        self.left_out.bytes = whole.len() as u64;
        if whole.len() <= MOST_BYTES {
            return Some(whole);
        }
        let lean = self.written(false);
        match lean.len() <= MOST_BYTES {
            true => {
                self.left_out.without_undecided += 1;
                Some(lean)
            }
            false => {
                self.left_out.without_any += 1;
                None
            }
        }
    }

    /// What had no room in commits.
    pub(crate) fn left_out(&self) -> PositionsLeftOut {
        self.left_out
    }

    fn written(&self, with_waiting: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (key, standing) in &self.all {
            put_message(&mut out, 1, |out| {
                put_bytes(out, 1, key);
                put_bytes(out, 2, &standing.next);
                put_uint(out, 4, u64::from(standing.is_done));
                for one in standing.waiting.iter().filter(|_| with_waiting) {
                    put_message(out, 3, |out| {
                        put_bytes(out, 1, &one.read);
                        let prints: Vec<u8> = match &one.traces {
                            Traces::Here(_, traces) => traces.iter().flat_map(|one| print(one).to_le_bytes()).collect(),
                            Traces::Before(prints) => prints.iter().flat_map(|print| print.to_le_bytes()).collect(),
                        };
                        put_bytes(out, 2, &prints);
                    });
                }
            });
        }
        if out.is_empty() {
            // That nothing is to be read is news, too.
            put_uint(&mut out, 2, 1);
        }
        out
    }

    /// Goes on from what rode in the last commit; what cannot be read of it is nothing.
    pub(crate) fn resume(&mut self, bytes: &[u8]) {
        self.is_used = true;
        let mut reader = Reader::new(bytes);
        while let Ok(Some((number, value))) = reader.next_field() {
            if let (1, Value::Bytes(one)) = (number, value)
                && let Some((key, standing)) = read(one)
            {
                self.all.insert(key, standing);
            }
        }
    }

    /// Records that are to be read again.
    pub(crate) fn missing(&self) -> u64 {
        let prints = |one: &Waiting| match &one.traces {
            Traces::Before(prints) => prints.len() as u64,
            Traces::Here(..) => 0,
        };
        self.all.values().flat_map(|standing| &standing.waiting).map(prints).sum()
    }

    /// What was undecided came again from elsewhere: nothing is to be read again.
    pub(crate) fn nothing_is_missing(&mut self) {
        for standing in self.all.values_mut() {
            standing.waiting.retain(|one| matches!(one.traces, Traces::Here(..)));
        }
    }

    /// Where each goes on.
    pub(crate) fn all(&self) -> impl Iterator<Item = ReadTo> {
        self.all.iter().map(|(key, standing)| {
            let again = standing.waiting.iter().filter(|one| matches!(one.traces, Traces::Before(_)));
            let mut again: Vec<_> = again.map(|one| one.read.clone()).collect();
            again.dedup();
            ReadTo { key: key.clone(), next: standing.next.clone(), again }
        })
    }
}

fn read(one: &[u8]) -> Option<(Box<[u8]>, Standing)> {
    let (mut key, mut standing) = (None, Standing::default());
    let mut reader = Reader::new(one);
    while let Some((number, value)) = reader.next_field().ok()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => key = Some(bytes.into()),
            (2, Value::Bytes(bytes)) => standing.next = bytes.into(),
            (3, Value::Bytes(bytes)) => standing.waiting.push(waiting(bytes)?),
            (4, Value::Varint(bits)) => standing.is_done = bits != 0,
            _ => {}
        }
    }
    Some((key?, standing))
}

fn waiting(bytes: &[u8]) -> Option<Waiting> {
    let (mut read, mut prints) = (Box::default(), Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field().ok()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => read = bytes.into(),
            (2, Value::Bytes(bytes)) => {
                prints = bytes.as_chunks::<4>().0.iter().map(|print| u32::from_le_bytes(*print)).collect();
            }
            _ => {}
        }
    }
    Some(Waiting { read, traces: Traces::Before(prints) })
}

/// A position as it is recorded with its request.
pub(crate) fn recorded(position: &Position, is_last: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, bytes) in (1..).zip([&position.key, &position.read, &position.next]) {
        put_bytes(&mut out, number, bytes);
    }
    let bits = [position.is_again, is_last, position.is_done];
    put_uint(&mut out, 4, bits.iter().rev().fold(0, |all, bit| all << 1 | u64::from(*bit)));
    out
}

/// A recorded position, and whether its request was the last piece; `None` for what is none.
pub(crate) fn from_recorded(bytes: &[u8]) -> Option<(Position, bool)> {
    let nothing = || Box::<[u8]>::default();
    let mut position = Position { key: nothing(), read: nothing(), next: nothing(), is_again: false, is_done: false };
    let mut is_last = true;
    let mut reader = Reader::new(bytes);
    while let Some((number, value)) = reader.next_field().ok()? {
        match (number, value) {
            (1, Value::Bytes(bytes)) => position.key = bytes.into(),
            (2, Value::Bytes(bytes)) => position.read = bytes.into(),
            (3, Value::Bytes(bytes)) => position.next = bytes.into(),
            (4, Value::Varint(bits)) => {
                (position.is_again, is_last, position.is_done) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            }
            _ => {}
        }
    }
    (!position.key.is_empty()).then_some((position, is_last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(key: &str, read: &str, next: &str) -> Position {
        let [key, read, next] = [key, read, next].map(|text| text.as_bytes().into());
        Position { key, read, next, is_again: false, is_done: false }
    }

    /// Scenario: two files are read; of one request two traces wait, one is decided, then the program is killed, and the other is read
    /// again. Guarantees: a commit says where to go on and what of the rest is missing, exactly that is taken again, and a second kill
    /// before it is decided changes nothing (P1).
    #[test]
    fn what_waits_is_read_again_and_nothing_else() {
        let [decided, waits, other] = [1, 2, 3].map(|byte| TraceId([byte; 16]));
        let mut first = Positions::default();
        assert_eq!(first.encode(|_, _| false), None);
        first.took(&position("a", "0-10", "10"), true, Some((7, vec![decided, waits, waits])));
        first.took(&position("b", "0-5", "5"), true, None);
        first.took(&Position { is_done: true, ..position("c", "0-5", "5") }, true, None);
        let bytes = first.encode(|trace, entry| entry == 7 && *trace == waits).unwrap();

        let mut second = Positions::default();
        second.resume(&bytes);
        let all: Vec<ReadTo> = second.all().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((&*all[0].next, &*all[0].again), (&b"10"[..], &[b"0-10"[..].into()][..]));
        assert_eq!((&*all[1].next, all[1].again.len(), second.missing()), (&b"5"[..], 0, 2));
        second.took(&position("a", "10-20", "20"), true, None);
        let kept = second.encode(|_, _| false).unwrap();
        let again = Position { is_again: true, ..position("a", "0-10", "") };
        assert!(second.is_missing(&again, &waits) && !second.is_missing(&again, &decided));
        assert!(!second.is_missing(&again, &other) && !second.is_missing(&position("a", "10-20", ""), &waits));
        second.took(&again, true, Some((9, vec![waits, waits])));
        assert_eq!((second.missing(), second.is_missing(&again, &waits)), (0, false));
        let next = second.all().next().unwrap();
        assert_eq!((&*next.next, next.again.len()), (&b"20"[..], 0));
        assert_eq!(second.encode(|_, entry| entry == 9).unwrap(), kept);
        assert_ne!(second.encode(|_, _| false).unwrap(), kept);
    }

    /// Scenario: a request goes in pieces, and the program is killed between two of them. Guarantees: the position moves with the last piece
    /// and not before.
    #[test]
    fn a_position_moves_with_the_last_piece() {
        let mut positions = Positions::default();
        positions.took(&position("a", "0-1", "1"), true, None);
        let before = positions.encode(|_, _| true).unwrap();
        positions.took(&position("a", "1-2", "2"), false, Some((3, vec![TraceId([1; 16])])));
        assert_eq!(positions.encode(|_, _| true).unwrap(), before);
        positions.took(&position("a", "1-2", "2"), true, None);
        let mut next = Positions::default();
        next.resume(&positions.encode(|_, _| true).unwrap());
        assert_eq!((&*next.all().next().unwrap().next, next.missing()), (&b"2"[..], 1));
    }

    /// Scenario: so much is undecided that it has no room in a commit, then so many files that not even their positions have. Guarantees: where to go
    /// on rides as long as it can, and what is left out is counted (P1).
    #[test]
    fn what_has_no_room_is_counted() {
        let mut positions = Positions::default();
        let traces: Vec<TraceId> =
            (0..300_000_u32).map(|number| TraceId([number.to_be_bytes(); 4].concat().try_into().unwrap())).collect();
        positions.took(&position("a", "0-10", "10"), true, Some((7, traces)));
        let lean = positions.encode(|_, _| true).unwrap();
        assert!(lean.len() < 100 && positions.left_out().bytes > MOST_BYTES as u64);
        assert_eq!((positions.left_out().without_undecided, positions.left_out().without_any), (1, 0));
        for number in 0..5000 {
            positions.took(&position(&format!("{number:0200}"), "", &"x".repeat(20)), true, None);
        }
        assert_eq!(positions.encode(|_, _| true), None);
        assert_eq!((positions.left_out().without_undecided, positions.left_out().without_any), (1, 1));
    }

    /// Scenario: positions as they are recorded, and bytes that are none. Guarantees: they come back.
    #[test]
    fn recorded_positions_survive() {
        let one = Position { is_again: true, is_done: true, ..position("k", "r", "n") };
        assert_eq!(from_recorded(&recorded(&one, false)), Some((one, false)));
        assert_eq!((from_recorded(b""), from_recorded(b"\xff")), (None, None));
    }
}
