//! The hub's log: one line each, which nobody else's words can break or forge, and the same one not again and again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock;

/// Between two lines of one kind about one thing.
const AGAIN_NS: u64 = 60_000_000_000;
/// Most things that are remembered; beyond them the oldest line's is forgotten.
const MOST: usize = 1024;
/// Most letters of a line.
const LONGEST: usize = 2000;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The disk or the database.
    Disk,
    /// Stored data that cannot be read.
    Damage,
    /// A request that was refused, by who sent it.
    Refused,
    /// A device that was not known.
    NewDevice,
    /// A name, epoch or frame that is not what it should be.
    Identity,
    /// Connections for which there is no room.
    Crowded,
    /// A block that cannot be read.
    Corrupt,
    /// A frame that was kept aside.
    Quarantine,
}

struct Said {
    at_ns: u64,
    left_out: u64,
}

/// Says each thing once a minute at most, and how often it was left out.
#[derive(Default)]
pub(crate) struct Log(Mutex<HashMap<(Kind, String), Said>>);

/// Text from outside as a part of one line: control characters are escaped, what is long is cut.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(LONGEST));
    for letter in text.chars().take(LONGEST) {
        // Also the separators that some viewers break lines at, and what turns the direction of text.
        let breaks = matches!(letter, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if letter.is_control() || breaks {
            out.extend(letter.escape_default());
        } else {
            out.push(letter);
        }
    }
    if text.chars().nth(LONGEST).is_some() {
        out.push('\u{2026}');
    }
    out
}

impl Log {
    /// Says a line, unless the same one was said lately.
    pub(crate) fn say(&self, kind: Kind, line: &str) {
        self.say_of(kind, line, line);
    }

    /// Says a line about `thing`, unless one of this kind about it was said lately.
    pub(crate) fn say_of(&self, kind: Kind, thing: &str, line: &str) {
        if let Some(line) = self.next(kind, thing, line, clock::now_ns()) {
            eprintln!("lightship-hub: {line}");
        }
    }

    fn next(&self, kind: Kind, thing: &str, line: &str, now_ns: u64) -> Option<String> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thing = clean(thing);
        let mut left_out = 0;
        if let Some(before) = said.get_mut(&(kind, thing.clone())) {
            if now_ns.saturating_sub(before.at_ns) < AGAIN_NS {
                before.left_out += 1;
                return None;
            }
            left_out = before.left_out;
        } else if said.len() >= MOST
            && let Some(oldest) = said.iter().min_by_key(|(_, said)| said.at_ns).map(|(key, _)| key.clone())
        {
            said.remove(&oldest);
        }
        said.insert((kind, thing), Said { at_ns: now_ns, left_out: 0 });
        let line = clean(line);
        Some(if left_out == 0 { line } else { format!("{line} ({left_out} times more since the last line)") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a device name with line breaks, escape sequences and direction marks; one of 60 KB. Guarantees: one line of
    /// bounded length, in which nothing looks like another line.
    #[test]
    fn h12_a_name_cannot_forge_a_line() {
        let log = Log::default();
        let line = log
            .next(Kind::Quarantine, "x", "device a\nlightship-hub: all well\r\u{1b}[2J\u{2028}\u{202e}b", 1)
            .unwrap();
        assert_eq!(line.lines().count(), 1);
        assert!(!line.contains(['\n', '\r', '\u{1b}', '\u{2028}', '\u{202e}']), "{line:?}");
        let long = log.next(Kind::Quarantine, "y", &"n".repeat(60_000), 1).unwrap();
        assert_eq!(long.chars().count(), LONGEST + 1);
    }

    /// Scenario: the same refusal a thousand times in a minute, then once more; many different ones. Guarantees: one line a
    /// minute, which says how many there were; what is remembered is bounded.
    #[test]
    fn u24_the_same_line_is_said_once_a_minute() {
        let log = Log::default();
        assert!(log.next(Kind::Damage, "10.0.0.1", "refused", 1).is_some());
        assert!((0..1000).all(|_| log.next(Kind::Damage, "10.0.0.1", "refused", 2).is_none()));
        assert_eq!(
            log.next(Kind::Damage, "10.0.0.1", "refused", 2 + AGAIN_NS).unwrap(),
            "refused (1000 times more since the last line)"
        );
        (0..5000).for_each(|number| drop(log.next(Kind::Damage, &number.to_string(), "refused", number)));
        assert!(log.0.lock().unwrap().len() <= MOST);
    }
}
