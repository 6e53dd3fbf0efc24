//! The agent's own words on standard error: level, text; one line each.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

fn line(level: &str, text: &str) {
    // When standard error is gone there is nobody left to tell.
    let _written = writeln!(std::io::stderr(), "{level:5} {text}");
}

/// Something that is as it should be, told once.
pub(crate) fn info(text: &str) {
    line("info", text);
}

/// Something that mends itself, or that an operator may want to look at.
pub(crate) fn warn(text: &str) {
    line("warn", text);
}

/// Loss of data, or something that an operator has to mend.
pub(crate) fn error(text: &str) {
    line("error", text);
}

/// [`info`], of one kind at most once a minute; the next line says how many were left unsaid.
pub(crate) fn info_limited(kind: &str, now_ns: u64, text: &str) {
    limited("info", kind, now_ns, text);
}

/// [`warn`], of one kind at most once a minute; the next line says how many were left unsaid.
pub(crate) fn warn_limited(kind: &str, now_ns: u64, text: &str) {
    limited("warn", kind, now_ns, text);
}

/// [`error`], of one kind at most once a minute; the next line says how many were left unsaid.
pub(crate) fn error_limited(kind: &str, now_ns: u64, text: &str) {
    limited("error", kind, now_ns, text);
}

fn limited(level: &str, kind: &str, now_ns: u64, text: &str) {
    static LIMITER: Mutex<Limiter> = Mutex::new(Limiter { kinds: Vec::new() });
    let unsaid = LIMITER.lock().unwrap_or_else(PoisonError::into_inner).ask(kind, now_ns);
    match unsaid {
        None => {}
        Some(0) => line(level, text),
        Some(unsaid) => line(level, &format!("{text} (and {unsaid} more like it since the last such line)")),
    }
}

/// How long a kind is silent after a line, nanoseconds.
const SILENCE_NS: u64 = 60_000_000_000;
/// Kinds that are told apart; beyond it the one that is silent for longest makes room.
const KINDS: usize = 64;

struct Kind {
    name: String,
    said_ns: u64,
    unsaid: u64,
}

struct Limiter {
    kinds: Vec<Kind>,
}

impl Limiter {
    /// Whether a line of a kind may be said now, and how many were left unsaid before it.
    fn ask(&mut self, name: &str, now_ns: u64) -> Option<u64> {
        if let Some(kind) = self.kinds.iter_mut().find(|kind| kind.name == name) {
            if now_ns.saturating_sub(kind.said_ns) < SILENCE_NS {
                kind.unsaid += 1;
                return None;
            }
            kind.said_ns = now_ns;
            return Some(std::mem::take(&mut kind.unsaid));
        }
        if self.kinds.len() >= KINDS
            && let Some(oldest) = (0..self.kinds.len()).min_by_key(|index| self.kinds[*index].said_ns)
        {
            self.kinds.swap_remove(oldest);
        }
        self.kinds.push(Kind { name: name.to_owned(), said_ns: now_ns, unsaid: 0 });
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two kinds of lines, one of them again and again, then more kinds than are told apart. Guarantees: each is
    /// said at once, then once a minute with the number of those between; memory is bounded (P9).
    #[test]
    fn a_kind_is_said_once_a_minute() {
        let mut limiter = Limiter { kinds: Vec::new() };
        assert_eq!(limiter.ask("a", 1), Some(0));
        assert_eq!(limiter.ask("b", 2), Some(0));
        for _ in 0..5 {
            assert_eq!(limiter.ask("a", 3), None);
        }
        assert_eq!(limiter.ask("a", SILENCE_NS), None);
        assert_eq!(limiter.ask("a", SILENCE_NS + 1), Some(6));
        for number in 0..2 * KINDS as u64 {
            assert_eq!(limiter.ask(&number.to_string(), SILENCE_NS + 2 + number), Some(0));
        }
        assert_eq!(limiter.kinds.len(), KINDS);
    }
}
