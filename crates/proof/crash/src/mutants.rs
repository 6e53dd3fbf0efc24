//! Faults on purpose, of every part of storage that has some.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    Journal(journal::mutants::Mutant),
    Recorder(recorder::mutants::Mutant),
}

/// All of them, with their names.
pub(crate) fn all() -> impl Iterator<Item = (Mutant, &'static str)> {
    let journal = journal::mutants::Mutant::ALL.into_iter().map(|(mutant, name)| (Mutant::Journal(mutant), name));
    let recorder = recorder::mutants::Mutant::ALL.into_iter().map(|(mutant, name)| (Mutant::Recorder(mutant), name));
    journal.chain(recorder)
}

/// Chooses the fault of this thread.
pub(crate) fn choose(mutant: Option<Mutant>) {
    let (mut journal, mut recorder) = (None, None);
    match mutant {
        Some(Mutant::Journal(mutant)) => journal = Some(mutant),
        Some(Mutant::Recorder(mutant)) => recorder = Some(mutant),
        None => {}
    }
    journal::mutants::choose(journal);
    recorder::mutants::choose(recorder);
}
