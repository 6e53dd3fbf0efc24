//! Journal and recorder in files of one data directory: opened together, since both go on from the same commit, and renewed
//! together.

use disk::Disk;
use journal::{Attachment, AttachmentKind, Journal, JournalError, Options, Recovery, Renewed};
use model::{Epoch, Stamp};
use recorder::{Decisions, FileOptions, Progress, RecorderError, RecorderFiles, carry_over};

/// How journal and recorder work.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// The journal.
    pub journal: Options,
    /// The recorder in files; `None` when it is in memory only.
    pub recorder: Option<FileOptions>,
}

/// Both of them.
pub(crate) struct Storage<D: Disk> {
    pub(crate) journal: Journal<D>,
    /// `None` when the recorder is in memory only.
    pub(crate) recorder: Option<RecorderFiles<D::File>>,
}

impl<D: Disk> Storage<D> {
    /// Opens the journal, and the recorder with what is attached to the last commit; the first commit says so again.
    pub(crate) fn open(disk: D, options: &StorageOptions, stamp: Stamp) -> Result<(Self, Recovery), JournalError> {
        let opening = Journal::recover(disk, options.journal.clone())?;
        let Some(files) = &options.recorder else {
            let (journal, recovery) = opening.commit(stamp, &[]);
            return Ok((Self { journal, recorder: None }, recovery));
        };
        let (found, epoch) = (opening.recovery(), opening.epoch());
        let head = found.attachment(AttachmentKind::Recorder);
        let recorder = RecorderFiles::open(opening.disk(), epoch, files, head, found.is_last);
        let recorder = recorder.map_err(RecorderError::into_disk)?;
        let (journal, recovery) = opening.commit(stamp, &[Attachment::recorder(&recorder.head())]);
        Ok((Self { journal, recorder: Some(recorder) }, recovery))
    }

    /// Commits what is appended, and with it the ledger, how far sources that read are, and where requests are recorded what was decided of them.
    pub(crate) fn commit(
        &mut self,
        stamp: Stamp,
        ledger: &[u8],
        positions: Option<&[u8]>,
        recorded: Option<(&Decisions<'_>, Progress)>,
    ) -> Result<(), JournalError> {
        let mut attachments = vec![Attachment::ledger(ledger)];
        attachments.extend(positions.map(Attachment::positions));
        let Some((recorder, (decisions, progress))) = self.recorder.as_mut().zip(recorded) else {
            return self.journal.commit(stamp, &attachments).map(drop);
        };
        if positions.is_some() {
            // What they lie behind is recorded; a power cut must leave it.
            recorder.sync(self.journal.disk()).map_err(RecorderError::into_disk)?;
        }
        let prepared = recorder.prepare(self.journal.disk(), decisions, progress, stamp.wall_ns);
        let head = prepared.map_err(RecorderError::into_disk)?;
        attachments.push(Attachment::recorder(&head));
        self.journal.commit(stamp, &attachments)?;
        recorder.committed(self.journal.disk());
        Ok(())
    }

    /// Whether the files that are written are still where they were.
    pub(crate) fn check_place(&self) -> Result<(), JournalError> {
        self.journal.check_place()?;
        let gone = self.recorder.as_ref().map_or(Ok(()), |recorder| recorder.check_place(self.journal.disk()));
        Ok(gone.map_err(RecorderError::into_disk)?)
    }
}

/// Begins a new epoch in a data directory that no agent runs in; see [`journal::renew`]. What is recorded goes over too.
///
/// # Errors
/// As [`journal::renew`]; the directory is as it was then.
pub fn renew<D: Disk>(disk: &D, options: &StorageOptions, stamp: Stamp, epoch: Epoch) -> Result<Renewed, JournalError> {
    journal::renew(disk, &options.journal, stamp, epoch, |carry| {
        let Some(files) = &options.recorder else { return Ok(Vec::new()) };
        let carried = || {
            let found = carry.recovery;
            let head = found.attachment(AttachmentKind::Recorder);
            let old = RecorderFiles::open(carry.old, carry.old_epoch, files, head, found.is_last)?;
            let mut new = RecorderFiles::open(carry.new, carry.new_epoch, files, None, true)?;
            carry_over((carry.old, &old), (carry.new, &mut new))
        };
        let head = carried().map_err(RecorderError::into_disk)?;
        Ok(vec![(AttachmentKind::Recorder, head.to_vec())])
    })
}
