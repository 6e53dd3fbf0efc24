//! A start that does not come to its end: killed for memory by what it takes in again, a program would be killed by it at each start.
//! The file `starting` counts starts that died before their first commit was done; from the third on what was recorded is set aside.

use std::io;

use disk::Disk;

const PATH: &str = "starting";
/// So many starts in a row may die before anything is set aside.
const PATIENCE: u64 = 2;

/// What a start takes in again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakesIn {
    /// All of it.
    All,
    /// Not what came after the last commit: that is set aside.
    Committed,
    /// Nothing: all that is recorded is set aside.
    Nothing,
}

/// Notes that a start begins, in this boot of the machine: what a power cut ended died of nothing that is recorded.
///
/// # Errors
/// What the disk says: then this start is not counted.
pub(crate) fn begin<D: Disk>(disk: &D, boot_id: &[u8; 16]) -> io::Result<TakesIn> {
    let mut bytes = [0; 24];
    let (file, found) = match disk.open(PATH) {
        Ok(file) => {
            let read = disk.read_at(&file, 0, &mut bytes)?;
            (file, read == bytes.len() && bytes[8..] == *boot_id)
        }
        // It need not survive a power cut.
        Err(error) if error.kind() == io::ErrorKind::NotFound => (disk.create(PATH, bytes.len() as u64)?, false),
        Err(error) => return Err(error),
    };
    let (count, boot) = bytes.split_at_mut(8);
    let died = if found { count.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) } else { 0 };
    count.copy_from_slice(&died.saturating_add(1).to_le_bytes());
    boot.copy_from_slice(boot_id);
    disk.write_at(&file, 0, &bytes)?;
    Ok(match died {
        0..PATIENCE => TakesIn::All,
        PATIENCE => TakesIn::Committed,
        _ => TakesIn::Nothing,
    })
}

/// The start came to its end, well or not.
///
/// # Errors
/// What the disk says.
pub(crate) fn end<D: Disk>(disk: &D) -> io::Result<()> {
    match disk.remove(PATH) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disk::model::ModelDisk;

    /// Scenario: starts that die, more and more of them, and one that does not. Guarantees: two in a row change nothing, then less and less
    /// is taken in; a start that came to its end begins anew.
    #[test]
    fn i13_starts_that_die_are_counted() {
        let disk = ModelDisk::new();
        let boot = [7; 16];
        let seen: Vec<TakesIn> = (0..5).map(|_| begin(&disk, &boot).unwrap()).collect();
        assert_eq!(seen, [TakesIn::All, TakesIn::All, TakesIn::Committed, TakesIn::Nothing, TakesIn::Nothing]);
        end(&disk).unwrap();
        end(&disk).unwrap();
        assert_eq!(begin(&disk, &boot).unwrap(), TakesIn::All);
        begin(&disk, &boot).unwrap();
        assert_eq!(begin(&disk, &[8; 16]).unwrap(), TakesIn::All, "the power was cut");
    }
}
