//! `key=value key="quoted value"` as pairs.

/// A pair, or what was no pair.
pub(crate) enum Found<'l> {
    /// A key with its value, if it has one.
    Pair(&'l str, Option<String>),
    /// Something that is none.
    Bad,
}

/// Shows each pair of a line.
pub(crate) fn pairs<'l>(line: &'l str, mut show: impl FnMut(Found<'l>)) {
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '"').unwrap_or(rest.len());
        let key = &rest[..end];
        rest = &rest[end..];
        if let Some(value) = rest.strip_prefix('=') {
            if let Some(quoted) = value.strip_prefix('"') {
                match unquote(quoted) {
                    Some((value, length)) => {
                        show(if key.is_empty() { Found::Bad } else { Found::Pair(key, Some(value)) });
                        rest = &quoted[length..];
                        if rest.starts_with(|c: char| !c.is_whitespace()) {
                            show(Found::Bad);
                            rest = skip_word(rest);
                        }
                    }
                    None => {
                        show(Found::Bad);
                        rest = skip_word(quoted);
                    }
                }
            } else {
                let end = value.find(char::is_whitespace).unwrap_or(value.len());
                let own = &value[..end];
                let is_bad = key.is_empty() || own.contains(['=', '"']);
                show(if is_bad { Found::Bad } else { Found::Pair(key, Some(own.to_owned())) });
                rest = &value[end..];
            }
        } else if rest.starts_with('"') {
            show(Found::Bad);
            rest = skip_word(rest);
        } else {
            show(Found::Pair(key, None));
        }
        rest = rest.trim_start();
    }
}

fn skip_word(rest: &str) -> &str {
    &rest[rest.find(char::is_whitespace).unwrap_or(rest.len())..]
}

/// A text up to its quote, escapes resolved, and how long it was with that quote.
fn unquote(rest: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, at + 1)),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                'b' => out.push('\u{8}'),
                'f' => out.push('\u{c}'),
                'u' => {
                    let mut code = 0;
                    for _ in 0..4 {
                        code = code * 16 + chars.next()?.1.to_digit(16)?;
                    }
                    out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}
