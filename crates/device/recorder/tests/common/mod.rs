//! What the tests of the recorder's files share.

use disk::model::{ModelDisk, ModelFile, Rng};
use model::Epoch;
use recorder::{FileOptions, HEAD_LEN, RecorderFiles};

pub(crate) const EPOCH: Epoch = Epoch(9);
pub(crate) const OPTIONS: FileOptions = FileOptions { bytes: 1 << 20, decision_bytes: 1 << 20 };

/// Opens the rings behind a commit with this head.
pub(crate) fn open(disk: &ModelDisk, options: &FileOptions, head: Option<[u8; HEAD_LEN]>) -> RecorderFiles<ModelFile> {
    RecorderFiles::open(disk, EPOCH, options, head.as_ref().map(|head| &head[..]), true).expect("recovery always ends")
}

/// Text that hardly compresses, always the same for a seed.
pub(crate) fn noise(seed: u64, len: usize) -> String {
    let mut rng = Rng::new(seed);
    (0..len).map(|_| char::from(b'!' + rng.below(90) as u8)).collect()
}
