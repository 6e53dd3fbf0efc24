//! Runs of characters in which tokens, keys and encodings stand: most lines have none, and the others few.

use std::ops::Range;

use super::run_end;

/// The shortest run in which one stands: a JSON web token.
const RUN: usize = 13;
/// So many are told apart; a further one is taken together with all behind it.
const MOST: usize = 8;

/// The bytes that fit, as a table: they are asked for each byte of many lines.
pub(super) const fn table(signs: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut place = 0;
    while place < signs.len() {
        table[signs[place] as usize] = true;
        place += 1;
    }
    table
}

#[inline(always)]
fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = table(b"_-.+/");
    TOKEN[usize::from(byte)]
}

/// The runs of a text that are long enough.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: [(usize, usize); MOST],
    count: usize,
}

impl Runs {
    /// Of a text.
    #[inline(never)]
    pub(crate) fn of(text: &[u8]) -> Self {
        let (mut all, mut from) = (Self::default(), 0);
        while let Some(start) = long_run(text, from, RUN, is_token) {
            let end = if all.count + 1 < MOST { run_end(text, start + RUN, is_token) } else { text.len() };
            if let Some(run) = all.runs.get_mut(all.count) {
                *run = (start, end);
                all.count += 1;
            }
            from = end + 1;
        }
        all
    }

    /// Whether a text has one.
    #[inline(never)]
    pub(crate) fn are_in(text: &[u8]) -> bool {
        long_run(text, 0, RUN, is_token).is_some()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Calls `found` with every run of at least so many bytes that fit, which are some of those that a run has.
    #[inline(always)]
    pub(super) fn each(
        &self,
        text: &[u8],
        least: usize,
        fits: impl Fn(u8) -> bool,
        mut found: impl FnMut(Range<usize>),
    ) {
        for (start, end) in self.runs.iter().take(self.count) {
            each_long_run(text.get(..*end).unwrap_or_default(), *start, least, &fits, &mut found);
        }
    }
}

/// Calls `found` with every run of at least so many bytes that fit, at `from` and behind it.
#[inline(always)]
pub(super) fn each_long_run(
    text: &[u8],
    mut from: usize,
    least: usize,
    fits: impl Fn(u8) -> bool,
    mut found: impl FnMut(Range<usize>),
) {
    while let Some(start) = long_run(text, from, least, &fits) {
        let end = run_end(text, start + least, &fits);
        found(start..end);
        from = end + 1;
    }
}

/// Where the next run of so many bytes that fit starts: shorter ones are passed over by the last byte that they would need. At `start` the
/// text begins, or stands behind a byte that does not fit.
#[inline(always)]
fn long_run(text: &[u8], mut start: usize, least: usize, fits: impl Fn(u8) -> bool) -> Option<usize> {
    while let Some(gap) = text.get(start..start + least)?.iter().rposition(|byte| !fits(*byte)) {
        start += gap + 1;
    }
    Some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: runs of 12 to 40 characters, one to twelve in a text, with signs in them and between them. Guarantees: each that is long
    /// enough is found as a whole, and no other (P10).
    #[test]
    fn every_long_run_is_found() {
        for count in 1..=12 {
            for length in 12..40 {
                let run: String = "a1-B2_c3.d4/e5+".chars().cycle().take(length).collect();
                let text = vec![run.as_str(); count].join(" = ");
                let (runs, mut found) = (Runs::of(text.as_bytes()), Vec::new());
                runs.each(text.as_bytes(), 13, |byte| !matches!(byte, b' ' | b'='), |range| found.push(&text[range]));
                assert_eq!(found, vec![run.as_str(); if length < 13 { 0 } else { count }], "{count} {length}");
                let mut words = Vec::new();
                runs.each(text.as_bytes(), 2, |byte| byte.is_ascii_alphanumeric(), |range| words.push(&text[range]));
                assert_eq!(words.is_empty(), length < 13, "{count} {length}");
            }
        }
    }
}
