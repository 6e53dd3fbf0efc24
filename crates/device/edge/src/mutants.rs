//! Faults on purpose (cargo feature `mutants`): the drills must notice each of them. `LIGHTSHIP_MUTANT` chooses one.

/// Whether requests are answered while they are in memory only, whatever an answer is to mean.
pub(crate) fn answers_early() -> bool {
    std::env::var("LIGHTSHIP_MUTANT").is_ok_and(|name| name == "answer-early")
}
