//! The audit log: one entry a line, each with the digest of all before it, so that an entry that is taken out, changed or moved shows.
//! How many there are and the last digest stand in a file of their own: entries that are cut off at the end show by it.

use serde::{Deserialize, Serialize};

use crate::token::Digest;

/// Longest text of an entry, bytes; what is longer is cut.
pub(crate) const LONGEST: usize = 1024;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The hub began to run.
    Start,
    /// Somebody signed in to the page.
    SignIn,
    /// Somebody signed out.
    SignOut,
    /// Requests without the right to what they asked for.
    Refused,
    /// Something about a device was changed.
    Operate,
    /// Who is known was changed, or could not be read.
    Access,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its place, from 1.
    pub number: u64,
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// What was done.
    pub kind: Kind,
    /// The principal; absent where none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// In words.
    pub what: String,
    /// The digest of the line before; of nothing in the first.
    pub before: Digest,
}

/// Where the log stands: how many entries, and the digest of the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Entries so far.
    pub entries: u64,
    /// Digest of the last line, without its line break.
    pub last: Digest,
}

impl Default for Head {
    fn default() -> Self {
        Self { entries: 0, last: Digest::of(b"") }
    }
}

/// What an entry says.
#[derive(Debug, Clone)]
pub struct Said<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub at_ns: u64,
    /// What was done.
    pub kind: Kind,
    /// By whom.
    pub principal: Option<&'a str>,
    /// From where.
    pub address: Option<&'a str>,
    /// In words.
    pub what: &'a str,
}

impl Head {
    /// The line of one more entry, with its line break; the head moves on.
    pub fn append(&mut self, said: &Said<'_>) -> String {
        let mut what = said.what.to_owned();
        if what.len() > LONGEST {
            let end = (0..=LONGEST).rev().find(|end| what.is_char_boundary(*end)).unwrap_or(0);
            what.truncate(end);
        }
        let entry = Entry {
            number: self.entries + 1,
            at_ns: said.at_ns,
            kind: said.kind,
            principal: said.principal.map(str::to_owned),
            address: said.address.map(str::to_owned),
            what,
            before: self.last,
        };
        // Texts and numbers always have a form in JSON.
        let mut line = serde_json::to_string(&entry).unwrap_or_default();
        *self = Self { entries: entry.number, last: Digest::of(line.as_bytes()) };
        line.push('\n');
        line
    }
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A line that is no entry.
    #[error("line {0} is no entry: {1}")]
    Malformed(u64, String),
    /// An entry that does not follow the one before.
    #[error("line {0} does not follow the line before it: an entry was changed, taken out or moved")]
    Chain(u64),
    /// Fewer entries than there were, or another end.
    #[error("the log ends with entry {found}, and entry {written} was written last: entries were cut off, or changed")]
    End {
        /// Entries that are there.
        found: u64,
        /// Entries that were written.
        written: u64,
    },
}

/// Checks a whole log against the head that was kept beside it; its entries. One entry more than the head knows is what a crash
/// leaves between the two files.
///
/// # Errors
/// [`Broken`] at the first thing that is wrong.
pub fn verify(log: &str, kept: Head) -> Result<Vec<Entry>, Broken> {
    let (mut head, mut before) = (Head::default(), None);
    let mut entries = Vec::new();
    for (number, line) in (1..).zip(log.lines()) {
        let entry: Entry = serde_json::from_str(line).map_err(|error| Broken::Malformed(number, error.to_string()))?;
        if entry.number != number || entry.before != head.last {
            return Err(Broken::Chain(number));
        }
        before = Some(head);
        head = Head { entries: number, last: Digest::of(line.as_bytes()) };
        entries.push(entry);
    }
    if head != kept && before != Some(kept) {
        return Err(Broken::End { found: head.entries, written: kept.entries });
    }
    Ok(entries)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn log(count: u64) -> (Vec<String>, Head) {
        let mut head = Head::default();
        let line = |at_ns| {
            head.append(&Said {
                at_ns,
                kind: Kind::SignIn,
                principal: Some("ann"),
                address: Some("10.0.0.1"),
                what: "signed in",
            })
        };
        let lines = (0..count).map(line).collect();
        (lines, head)
    }

    /// Scenario: each entry of a log is taken out, changed, swapped with the next, doubled; the end is cut off; a byte of any line is
    /// another. Guarantees: each shows, and the log as it was written does not (P10).
    #[test]
    fn what_is_done_to_the_log_shows() {
        let (lines, head) = log(6);
        let check = |lines: &[String]| verify(&lines.concat(), head);
        assert_eq!(check(&lines).unwrap().len(), 6);
        assert_eq!(verify("", Head::default()), Ok(Vec::new()));
        for place in 0..6 {
            let mut without = lines.clone();
            without.remove(place);
            assert!(check(&without).is_err(), "without {place}");
            let mut changed = lines.clone();
            changed[place] = changed[place].replace("ann", "bob");
            assert!(check(&changed).is_err(), "changed {place}");
            let mut doubled = lines.clone();
            doubled.insert(place, lines[place].clone());
            assert!(check(&doubled).is_err(), "doubled {place}");
            if place < 5 {
                let mut swapped = lines.clone();
                swapped.swap(place, place + 1);
                assert!(check(&swapped).is_err(), "swapped {place}");
                assert!(matches!(check(&lines[..=place]), Err(Broken::End { written: 6, .. })), "cut {place}");
            }
        }
        let whole = lines.concat();
        for place in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone().into_bytes();
            bytes[place] ^= 1;
            let changed = String::from_utf8(bytes).unwrap();
            assert!(verify(&changed, head).is_err(), "byte {place}");
        }
    }

    /// Scenario: the power goes after a line was written and before the head was. Guarantees: that is no fault, and two such lines are.
    #[test]
    fn one_entry_more_is_a_crash() {
        let (lines, _) = log(3);
        let (_, one_less) = log(2);
        let (_, two_less) = log(1);
        assert!(verify(&lines.concat(), one_less).is_ok());
        assert!(verify(&lines.concat(), two_less).is_err());
    }

    /// Scenario: an entry is longer than it may be, in the middle of a letter. Guarantees: it is cut and can be read.
    #[test]
    fn a_long_entry_is_cut() {
        let what = "\u{e9}".repeat(LONGEST);
        let mut head = Head::default();
        let line = head.append(&Said { at_ns: 1, kind: Kind::Access, principal: None, address: None, what: &what });
        let entries = verify(&line, head).unwrap();
        assert_eq!(entries[0].what.len(), LONGEST);
    }
}
