//! What a device may be called: a name stands in log lines, on pages, in files' and series' keys.

/// Longest name, in bytes.
const LONGEST: usize = 128;
/// What may stand in a name besides letters and digits of any script.
const MARKS: &str = "._-:/@+~#=() ";

/// Whether a device may be called so.
///
/// # Errors
/// What is wrong with the name; the name itself is not in it.
pub(crate) fn check(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the device has no name; set `device.id` in its configuration".into());
    }
    if name.len() > LONGEST {
        return Err(format!("the device's name has {} bytes; at most {LONGEST} are allowed", name.len()));
    }
    if name.starts_with(' ') || name.ends_with(' ') {
        return Err("the device's name begins or ends with a space".into());
    }
    let wrong = name.chars().find(|letter| !letter.is_alphanumeric() && !MARKS.contains(*letter));
    wrong.map_or(Ok(()), |letter| {
        Err(format!(
            "the device's name holds {:?}; letters, digits, spaces and {} may stand in it",
            letter,
            MARKS.trim()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: names as fleets have them, and such that would break lines, markup, keys or eyes. Guarantees: the former are
    /// taken, the latter are not, and the reason never holds the name.
    #[test]
    fn h12_names_are_names() {
        for name in [
            "vessel-1",
            "1f0b2c8e-7e57-4d5e",
            "F\u{e4}hre S\u{fc}d (2)",
            "plant/7:gw@north",
            "\u{8239}\u{8236}1",
            &"n".repeat(128),
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        let wrong = [
            "",
            " x",
            "x ",
            "a\nb",
            "a\r",
            "a\tb",
            "\u{1b}[2J",
            "<b>",
            "a\"b",
            "a\\b",
            "a\u{202e}b",
            "a\u{0}b",
            &"n".repeat(129),
        ];
        for name in wrong {
            let why = check(name).unwrap_err();
            assert!(!why.contains('\n') && why.len() < 200, "{why}");
        }
    }
}
