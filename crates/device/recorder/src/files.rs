//! The recorder in files: every request that is answered for is written here first, and what is decided of it is written with the
//! commit that delivers it.

use disk::{Disk, IoCounts};
use model::Epoch;
use segment::{EntryKind, FieldReader, FieldWriter, MOST, Row, lz4};

use crate::decisions::{Decisions, DecisionsRead};
use crate::error::RecorderError;
use crate::mutants::{self, Mutant};
use crate::requests::{self, Recording};
use crate::ring::{FileRing, Label};

/// Bytes of the head that rides in each commit.
pub const HEAD_LEN: usize = 24;

/// How much the rings take on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// Bytes of requests.
    pub bytes: u64,
    /// Bytes of decisions.
    pub decision_bytes: u64,
}

/// How far a commit is with what is recorded. Both are sequences of the recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Requests below this one are in the books of the commit.
    pub booked: u64,
    /// The oldest request that holds something undecided; `booked` when there is none.
    pub needed: u64,
}

/// What a commit says of the rings. Everything behind it in the ring of decisions was never committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Head {
    progress: Progress,
    /// The sequence after the last committed entry of the decisions.
    decisions: u64,
}

impl Head {
    fn encode(&self) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        FieldWriter::new(&mut bytes).u64(self.progress.booked).u64(self.progress.needed).u64(self.decisions);
        bytes
    }

    /// `None` for what cannot be a head: what goes on from it has to stay readable.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = FieldReader::at(bytes.first_chunk::<HEAD_LEN>()?, 0);
        let progress = Progress { booked: fields.u64(), needed: fields.u64() };
        let head = Self { progress, decisions: fields.u64() };
        [progress.booked, progress.needed, head.decisions].iter().all(|place| *place <= MOST / 2).then_some(head)
    }
}

/// Both rings. Plain and synchronous; whoever owns the disk passes it to each call.
#[derive(Debug)]
pub struct RecorderFiles<F> {
    requests: FileRing<F>,
    decisions: FileRing<F>,
    /// For requests that do not come compressed.
    compressor: lz4::Compressor,
    /// What the last commit said.
    committed: Head,
    /// What the commit that is under way says.
    prepared: Option<Head>,
    /// What [`Mutant::DecisionsLate`] writes after the commit.
    late: Option<(Label, Vec<u8>)>,
}

impl<F> RecorderFiles<F> {
    /// Opens the rings, or makes them. `head` is what rode in the last commit; `newest` whether that surely was the last one.
    /// Decisions behind it came to nothing and are cut; where it may not be the last one, none is.
    ///
    /// # Errors
    /// What the disk refused. Damage never stops it.
    pub fn open<D: Disk<File = F>>(
        disk: &D,
        epoch: Epoch,
        options: &FileOptions,
        head: Option<&[u8]>,
        newest: bool,
    ) -> Result<Self, RecorderError> {
        let read = head.map_or(Some(Head::default()), Head::decode);
        let (mut head, newest) = (read.unwrap_or_default(), newest && read.is_some());
        let limit = if newest { head.decisions.max(1) } else { u64::MAX };
        let requests = FileRing::open(disk, epoch, Row::Recorder, options.bytes, head.progress.booked, u64::MAX)?;
        let decisions = FileRing::open(disk, epoch, Row::Decisions, options.decision_bytes, head.decisions, limit)?;
        if !newest {
            // None was cut, so all of them count: the commit that spoke of the last ones may be the damaged one.
            head.decisions = decisions.next();
        }
        let compressor = lz4::Compressor::default();
        Ok(Self { requests, decisions, compressor, committed: head, prepared: None, late: None })
    }

    /// What rides in the next commit when nothing was decided.
    pub fn head(&self) -> [u8; HEAD_LEN] {
        self.committed.encode()
    }

    /// What the last commit said.
    pub fn progress(&self) -> Progress {
        self.committed.progress
    }

    /// The oldest request that is recorded, and the sequence that the next one will have.
    pub fn bounds(&self) -> (u64, u64) {
        (self.requests.oldest(), self.requests.next())
    }

    /// What was written and synced since it was opened.
    pub fn counts(&self) -> IoCounts {
        self.requests.counts() + self.decisions.counts()
    }

    /// Records requests, so that they survive the end of the program before they are decided, and with `durable` a power cut.
    /// Gives the sequence of the first one; the others follow.
    ///
    /// # Errors
    /// [`RecorderError::Full`] when everything held is still needed: tell the producer to wait. Nothing was recorded then.
    pub fn record<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        requests: &[Recording<'_>],
        wall_ns: u64,
        durable: bool,
    ) -> Result<u64, RecorderError> {
        self.requests.check_place(disk)?;
        let before = self.requests.mark();
        let recorded = self.append_all(disk, requests, wall_ns).and_then(|()| match durable {
            true => Ok(self.requests.sync(disk)?),
            false => Ok(()),
        });
        if let Err(error) = recorded {
            self.requests.take_back(disk, before);
            return Err(error);
        }
        Ok(before.next())
    }

    fn append_all<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        requests: &[Recording<'_>],
        wall_ns: u64,
    ) -> Result<(), RecorderError> {
        let mut payload = Vec::new();
        let mut left = requests;
        while !left.is_empty() {
            let (group, later) = left.split_at(requests::group_len(left));
            requests::encode(group, &mut self.compressor, &mut payload);
            let label = Label { kind: EntryKind::Requests, count: group.len() as u32, wall_ns };
            self.requests.append(disk, label, &payload, self.committed.progress.needed)?;
            left = later;
        }
        Ok(())
    }

    /// Writes and syncs what was decided, and gives the head that has to ride in the commit of the frames that it came to: both
    /// become valid together, or none of them does. [`RecorderFiles::committed`] follows when the commit is done.
    ///
    /// # Errors
    /// [`RecorderError`]: do not commit, and give the same decisions again.
    pub fn prepare<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        decisions: &Decisions<'_>,
        progress: Progress,
        wall_ns: u64,
    ) -> Result<[u8; HEAD_LEN], RecorderError> {
        self.check_place(disk)?;
        self.late = None;
        if mutants::is_on(Mutant::DecisionsLate) {
            let label = Label { kind: EntryKind::Decisions, count: 1, wall_ns };
            self.late = (!decisions.is_empty()).then(|| (label, decisions.encode(progress.booked)));
        } else {
            self.write_decisions(disk, decisions, progress.booked, wall_ns)?;
        }
        let head = Head { progress, decisions: self.decisions.next() };
        self.prepared = Some(head);
        Ok(head.encode())
    }

    pub(crate) fn write_decisions<D: Disk<File = F>>(
        &mut self,
        disk: &D,
        decisions: &Decisions<'_>,
        before: u64,
        wall_ns: u64,
    ) -> Result<(), RecorderError> {
        if !decisions.is_empty() {
            let label = Label { kind: EntryKind::Decisions, count: 1, wall_ns };
            self.decisions.append(disk, label, &decisions.encode(before), u64::MAX)?;
        }
        Ok(self.decisions.sync(disk)?)
    }

    /// The commit with the prepared head is done: what it does not need may be overwritten.
    pub fn committed<D: Disk<File = F>>(&mut self, disk: &D) {
        self.committed = self.prepared.take().unwrap_or(self.committed);
        if let Some((label, payload)) = self.late.take() {
            let _late = self.decisions.append(disk, label, &payload, u64::MAX);
            let _late = self.decisions.sync(disk);
        }
    }

    /// Makes everything durable that is recorded.
    ///
    /// # Errors
    /// What the disk refused: what was not synced may be lost in a power cut.
    pub fn sync<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), RecorderError> {
        Ok(self.requests.sync(disk)?)
    }

    /// Whether the files that are written are still where they were.
    ///
    /// # Errors
    /// [`RecorderError::Disk`] that names what is gone.
    pub fn check_place<D: Disk<File = F>>(&self, disk: &D) -> Result<(), RecorderError> {
        self.requests.check_place(disk)?;
        Ok(self.decisions.check_place(disk)?)
    }

    /// Calls `each` with the decisions of every commit that are still held, oldest first.
    ///
    /// # Errors
    /// What the disk refused; damage is passed over.
    pub fn each_decisions<D: Disk<File = F>>(
        &self,
        disk: &D,
        mut each: impl FnMut(DecisionsRead),
    ) -> Result<(), RecorderError> {
        let read = self.decisions.read(disk, 0, |entry, payload| {
            if let Some(read) = DecisionsRead::decode(payload, entry.start_ns) {
                each(read);
            }
        });
        Ok(read.map(drop)?)
    }

    /// Calls `each` with every request that is recorded from a sequence on, and its sequence; tells how many places were
    /// damaged.
    ///
    /// # Errors
    /// What the disk refused; damage is passed over.
    pub fn each_recorded<D: Disk<File = F>>(
        &self,
        disk: &D,
        from: u64,
        mut each: impl FnMut(u64, Recording<'_>),
    ) -> Result<u64, RecorderError> {
        Ok(self.requests.read(disk, from, |entry, payload| {
            let mut sequence = entry.first;
            requests::decode(payload, |request| {
                if sequence >= from {
                    each(sequence, request);
                }
                sequence += 1;
            });
        })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: heads as they ride in commits, and bytes that are none. Guarantees: what was written is read; what could not
    /// be gone on from is not taken for a head.
    #[test]
    fn heads_survive() {
        let head = Head { progress: Progress { booked: 9, needed: 4 }, decisions: 7 };
        assert_eq!(Head::decode(&head.encode()), Some(head));
        assert_eq!(Head::decode(&head.encode()[..23]), None);
        let mut wrong = head.encode();
        wrong[7] = 0xff;
        assert_eq!(Head::decode(&wrong), None);
    }
}
