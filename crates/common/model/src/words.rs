//! Words of others, for people.

/// The most characters of a server's words that are kept.
const WORDS: usize = 300;

/// A server's words, fit for a log line and a status page: no control characters, not endless.
pub fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let clean = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let clean: String = clean.take(WORDS).collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an answer with line breaks, escape sequences, bytes that are no text, without end. Guarantees: one short line
    /// that can be shown anywhere (P9).
    #[test]
    fn d2_words_of_a_server_are_fit_to_be_shown() {
        assert_eq!(words(b"no\r\nerror forged\x1b[2J  \xff"), "no error forged [2J \u{fffd}");
        assert_eq!(words(&vec![b'x'; 1 << 16]).len(), WORDS);
    }
}
