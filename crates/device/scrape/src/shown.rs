//! Texts of others in messages.

/// A text as a message shows it: short, in quotes, on one line.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let short: String = text.chars().take(MOST).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("'{}{more}'", short.escape_debug())
}
