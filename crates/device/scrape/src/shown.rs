//! Texts of others in messages.

/// The most characters that are shown.
const MOST: usize = 40;
/// So many digits are no value that anybody would look for.
const FEW_DIGITS: usize = 4;

/// A text that holds nothing of a metric as a message shows it: short, in quotes, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("'{}{more}'", short.escape_debug())
}

/// Text of an exposition as a message shows it. Names, and single words such as `<html>`, stand there as they are. Of anything else only the form does, since messages reach logs
/// and status without being masked (P10): `a` for a letter, `0` for a digit, and what stands between them.
pub(crate) fn shown(text: &str) -> String {
    let is_name =
        text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '<' | '>' | '/' | '.' | '-'))
            && text.chars().filter(char::is_ascii_digit).count() <= FEW_DIGITS;
    let form = |c: char| match c {
        _ if c.is_ascii_digit() => '0',
        _ if c.is_alphanumeric() => 'a',
        _ => c,
    };
    if is_name { quoted(text) } else { quoted(&text.chars().take(MOST + 1).map(form).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names, and texts that hold values. Guarantees: names are shown, of values only the form is (P10).
    #[test]
    fn values_are_shown_by_their_form() {
        assert_eq!(shown("http_requests_total"), "'http_requests_total'");
        assert_eq!(shown("4111111111111111x none"), "'0000000000000000a aaaa'");
        assert_eq!(shown("pw=\"hunter2\"}"), "'aa=\\\"aaaaaa0\\\"}'");
        assert_eq!(shown("card_4111111111111111"), "'aaaa_0000000000000000'");
        assert_eq!(shown(&"\u{e4}".repeat(41)), format!("'{}...'", "a".repeat(40)));
    }
}
