//! What a scalar says: YAML 1.2's core schema (section 10.3.2), and the booleans of YAML 1.1 where a boolean is asked for.

/// Whether a plain scalar is `null`.
pub(crate) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// A boolean as people write them, where one is asked for.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.trim().eq_ignore_ascii_case(word));
    if is(&["true", "yes", "y", "on"]) {
        return Some(true);
    }
    is(&["false", "no", "n", "off"]).then_some(false)
}

/// A boolean where anything may stand.
pub(crate) fn core_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" => Some(true),
        "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// A whole number: decimal, `0x`, `0o` or `0b`; digits may stand in groups with `_` between them. A decimal one does not begin with 0.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (is_negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (radix, digits) =
        prefixes.iter().find_map(|(prefix, radix)| Some((*radix, rest.strip_prefix(prefix)?))).unwrap_or((10, rest));
    let is_grouped = digits.starts_with('_') || digits.ends_with('_') || digits.contains("__");
    let is_octal_of_old = radix == 10 && digits.len() > 1 && digits.starts_with('0');
    if is_grouped || is_octal_of_old || digits.starts_with(['+', '-']) {
        return None;
    }
    let digits: String = digits.chars().filter(|digit| *digit != '_').collect();
    let number = i128::from_str_radix(&digits, radix).ok()?;
    Some(if is_negative { -number } else { number })
}

/// A number.
pub(crate) fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        ".nan" | ".NaN" | ".NAN" if unsigned == text => return Some(f64::NAN),
        _ => {}
    }
    // The standard library also reads words such as `inf` and `nan`, which are texts here.
    let is_number = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-_".contains(&byte));
    is_number.then(|| text.replace('_', "").parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: scalars of the core schema and such that look like them. Guarantees: what is a number is read exactly, what is none stays a
    /// text.
    #[test]
    fn scalars_are_what_the_core_schema_says() {
        for (text, number) in
            [("0", 0), ("-12", -12), ("+7", 7), ("0x7f", 127), ("0o17", 15), ("0b101", 5), ("1_000", 1000)]
        {
            assert_eq!(integer(text), Some(number), "{text}");
        }
        for text in ["", "-", "007", "1__0", "_1", "1_", "0x", "1.5", "--1", "+-1", "0x-1", "ten"] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(float("1.5e3"), Some(1500.0));
        assert_eq!(float("-.inf"), Some(f64::NEG_INFINITY));
        assert!(float(".nan").is_some_and(f64::is_nan));
        for text in ["inf", "nan", "infinity", "-.nan", "1.2.3", "", ".", "e5", "1h"] {
            assert_eq!(float(text), None, "{text}");
        }
        assert_eq!([boolean("Yes"), boolean("off"), boolean("2")], [Some(true), Some(false), None]);
        assert_eq!([core_boolean("TRUE"), core_boolean("yes")], [Some(true), None]);
    }
}
