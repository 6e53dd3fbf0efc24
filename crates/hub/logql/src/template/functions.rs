//! The functions of templates.

use std::cmp::Ordering;

use super::value::Value;
use crate::lengths::{parse_bytes, parse_duration};
use regex::Regex;

/// Bytes that a value may have.
pub(super) const MAX_TEXT: usize = 1 << 20;

/// Names with the least and the most arguments.
const FUNCTIONS: [(&str, usize, usize); 75] = [
    ("ToLower", 1, 1),
    ("ToUpper", 1, 1),
    ("Replace", 4, 4),
    ("Trim", 2, 2),
    ("TrimLeft", 2, 2),
    ("TrimRight", 2, 2),
    ("TrimPrefix", 2, 2),
    ("TrimSuffix", 2, 2),
    ("TrimSpace", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("title", 1, 1),
    ("trunc", 2, 2),
    ("substr", 3, 3),
    ("contains", 2, 2),
    ("hasPrefix", 2, 2),
    ("hasSuffix", 2, 2),
    ("indent", 2, 2),
    ("nindent", 2, 2),
    ("replace", 3, 3),
    ("repeat", 2, 2),
    ("trim", 1, 1),
    ("trimAll", 2, 2),
    ("trimSuffix", 2, 2),
    ("trimPrefix", 2, 2),
    ("alignLeft", 2, 2),
    ("alignRight", 2, 2),
    ("regexReplaceAll", 3, 3),
    ("regexReplaceAllLiteral", 3, 3),
    ("count", 2, 2),
    ("urlencode", 1, 1),
    ("urldecode", 1, 1),
    ("b64enc", 1, 1),
    ("b64dec", 1, 1),
    ("bytes", 1, 1),
    ("duration", 1, 1),
    ("duration_seconds", 1, 1),
    ("unixEpoch", 1, 1),
    ("unixEpochMillis", 1, 1),
    ("unixEpochNanos", 1, 1),
    ("unixToTime", 1, 1),
    ("int", 1, 1),
    ("float64", 1, 1),
    ("add", 1, 16),
    ("sub", 2, 2),
    ("mul", 1, 16),
    ("div", 2, 2),
    ("mod", 2, 2),
    ("addf", 1, 16),
    ("subf", 1, 16),
    ("mulf", 1, 16),
    ("divf", 1, 16),
    ("max", 1, 16),
    ("min", 1, 16),
    ("maxf", 1, 16),
    ("minf", 1, 16),
    ("ceil", 1, 1),
    ("floor", 1, 1),
    ("round", 2, 3),
    ("default", 2, 2),
    ("print", 0, 16),
    ("println", 0, 16),
    ("printf", 1, 16),
    ("len", 1, 1),
    ("eq", 2, 16),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("and", 1, 16),
    ("or", 1, 16),
    ("not", 1, 1),
    ("__line__", 0, 0),
    ("__timestamp__", 0, 0),
];

/// Whether there is such a function.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.iter().any(|(own, ..)| *own == name)
}

/// Whether a function takes so many arguments.
pub(super) fn takes(name: &str, count: usize) -> bool {
    FUNCTIONS.iter().any(|(own, least, most)| *own == name && (*least..=*most).contains(&count))
}

/// Where compiled expressions come from.
pub(super) type Expressions<'a> = &'a dyn Fn(&str) -> Result<Regex, String>;

/// Calls a function with as many arguments as it takes.
///
/// # Errors
/// What cannot be done.
pub(super) fn call(name: &str, arguments: &[Value], expressions: Expressions<'_>) -> Result<Value, String> {
    let text = |place: usize| arguments.get(place).map(Value::text).unwrap_or_default();
    let int = |place: usize| arguments.get(place).map_or(0, Value::int);
    let floats = || arguments.iter().map(Value::float);
    let ints = || arguments.iter().map(Value::int);
    let made = match name {
        "ToLower" | "lower" => Value::Text(text(0).to_lowercase()),
        "ToUpper" | "upper" => Value::Text(text(0).to_uppercase()),
        "title" => Value::Text(title(&text(0))),
        "Replace" => {
            let (own, from, to) = (text(0), text(1), text(2));
            replaces(&own, &to)?;
            match usize::try_from(int(3)) {
                Ok(count) => Value::Text(own.replacen(&from, &to, count)),
                Err(_) => Value::Text(own.replace(&from, &to)),
            }
        }
        "replace" => {
            let (from, to, own) = (text(0), text(1), text(2));
            replaces(&own, &to)?;
            Value::Text(own.replace(&from, &to))
        }
        "Trim" => Value::Text(text(0).trim_matches(|c| text(1).contains(c)).to_owned()),
        "trimAll" => Value::Text(text(1).trim_matches(|c| text(0).contains(c)).to_owned()),
        "TrimLeft" => Value::Text(text(0).trim_start_matches(|c| text(1).contains(c)).to_owned()),
        "TrimRight" => Value::Text(text(0).trim_end_matches(|c| text(1).contains(c)).to_owned()),
        "TrimPrefix" => Value::Text(without_prefix(&text(0), &text(1))),
        "trimPrefix" => Value::Text(without_prefix(&text(1), &text(0))),
        "TrimSuffix" => Value::Text(without_suffix(&text(0), &text(1))),
        "trimSuffix" => Value::Text(without_suffix(&text(1), &text(0))),
        "TrimSpace" | "trim" => Value::Text(text(0).trim().to_owned()),
        "trunc" => Value::Text(truncated(&text(1), int(0))),
        "substr" => {
            let own = text(2);
            let bound = |at: i64| usize::try_from(at).unwrap_or(0).min(own.len());
            let end = if int(1) < 0 { own.len() } else { bound(int(1)) };
            Value::Text(own.get(bound(int(0))..end).unwrap_or_default().to_owned())
        }
        "contains" => Value::Bool(text(1).contains(&text(0))),
        "hasPrefix" => Value::Bool(text(1).starts_with(&text(0))),
        "hasSuffix" => Value::Bool(text(1).ends_with(&text(0))),
        "indent" | "nindent" => {
            let (own, width) = (text(1), usize::try_from(int(0)).unwrap_or(0));
            fits(own.len().saturating_add(own.matches('\n').count().saturating_add(1).saturating_mul(width)))?;
            let pad = " ".repeat(width);
            let first = if name == "nindent" { "\n" } else { "" };
            Value::Text(format!("{first}{pad}{}", own.replace('\n', &format!("\n{pad}"))))
        }
        "repeat" => {
            let (count, own) = (usize::try_from(int(0)).unwrap_or(0), text(1));
            fits(own.len().saturating_mul(count))?;
            Value::Text(own.repeat(count))
        }
        "alignLeft" | "alignRight" => {
            let (width, own) = (usize::try_from(int(0)).unwrap_or(0), text(1));
            fits(width)?;
            let count = own.chars().count();
            let (left, pad) = (name == "alignLeft", " ".repeat(width.saturating_sub(count)));
            let cut: String = if left {
                own.chars().take(width).collect()
            } else {
                own.chars().skip(count.saturating_sub(width)).collect()
            };
            Value::Text(if left { cut + &pad } else { pad + &cut })
        }
        "regexReplaceAll" => {
            let (own, to) = (text(1), text(2));
            replaces(&own, &to)?;
            Value::Text(expressions(&text(0))?.replace_all(&own, to.as_str()).into_owned())
        }
        "regexReplaceAllLiteral" => {
            let (own, to) = (text(1), text(2));
            replaces(&own, &to)?;
            Value::Text(expressions(&text(0))?.replace_all(&own, regex::NoExpand(&to)).into_owned())
        }
        "count" => Value::Int(expressions(&text(0))?.find_iter(&text(1)).count() as i64),
        "urlencode" => Value::Text(url_encode(&text(0))),
        "urldecode" => Value::Text(url_decode(&text(0))?),
        "b64enc" => Value::Text(base64_encode(text(0).as_bytes())),
        "b64dec" => Value::Text(base64_decode(&text(0))?),
        "bytes" => Value::Float(parse_bytes(text(0).trim()).ok_or_else(|| format!("{} is no size", text(0)))? as f64),
        "duration" | "duration_seconds" => {
            let ns = parse_duration(text(0).trim()).ok_or_else(|| format!("{} is no duration", text(0)))?;
            Value::Float(ns as f64 / 1e9)
        }
        "unixEpoch" => Value::Text(int(0).div_euclid(1_000_000_000).to_string()),
        "unixEpochMillis" => Value::Text(int(0).div_euclid(1_000_000).to_string()),
        "unixEpochNanos" => Value::Text(int(0).to_string()),
        "unixToTime" => {
            let own = text(0);
            let factor = match own.len() {
                5 => 86_400_000_000_000,
                10 => 1_000_000_000,
                13 => 1_000_000,
                16 => 1_000,
                19 => 1,
                _ => 0,
            };
            let time = own.parse::<i64>().ok().filter(|_| factor > 0).and_then(|own| own.checked_mul(factor));
            Value::Time(time.ok_or_else(|| format!("unable to parse time {own:?}"))?)
        }
        "int" => Value::Int(int(0)),
        "float64" => Value::Float(arguments[0].float()),
        "add" => Value::Int(ints().fold(0, i64::wrapping_add)),
        "sub" => Value::Int(int(0).wrapping_sub(int(1))),
        "mul" => Value::Int(ints().fold(1, i64::wrapping_mul)),
        "div" => Value::Int(int(0).checked_div(int(1)).ok_or("division by zero")?),
        "mod" => Value::Int(int(0).checked_rem(int(1)).ok_or("division by zero")?),
        "addf" => Value::Float(floats().sum()),
        "subf" => Value::Float(floats().reduce(|a, b| a - b).unwrap_or(0.0)),
        "mulf" => Value::Float(floats().product()),
        "divf" => Value::Float(floats().reduce(|a, b| a / b).unwrap_or(0.0)),
        "max" => Value::Int(ints().max().unwrap_or(0)),
        "min" => Value::Int(ints().min().unwrap_or(0)),
        "maxf" => Value::Float(floats().reduce(f64::max).unwrap_or(0.0)),
        "minf" => Value::Float(floats().reduce(f64::min).unwrap_or(0.0)),
        "ceil" => Value::Float(arguments[0].float().ceil()),
        "floor" => Value::Float(arguments[0].float().floor()),
        "round" => {
            let scale = 10_f64.powi(int(1).clamp(-300, 300) as i32);
            Value::Float((arguments[0].float() * scale).round() / scale)
        }
        "default" => arguments[usize::from(arguments[1].is_true())].clone(),
        "print" => Value::Text(arguments.iter().map(Value::text).collect()),
        "println" => Value::Text(arguments.iter().map(Value::text).collect::<Vec<_>>().join(" ") + "\n"),
        "printf" => Value::Text(printf(&text(0), &arguments[1..])?),
        "len" => Value::Int(text(0).len() as i64),
        "eq" => Value::Bool(arguments[1..].iter().any(|other| compare(&arguments[0], other) == Some(Ordering::Equal))),
        "ne" => Value::Bool(compare(&arguments[0], &arguments[1]) != Some(Ordering::Equal)),
        "lt" => Value::Bool(compare(&arguments[0], &arguments[1]) == Some(Ordering::Less)),
        "gt" => Value::Bool(compare(&arguments[0], &arguments[1]) == Some(Ordering::Greater)),
        "le" => Value::Bool(compare(&arguments[0], &arguments[1]).is_some_and(Ordering::is_le)),
        "ge" => Value::Bool(compare(&arguments[0], &arguments[1]).is_some_and(Ordering::is_ge)),
        "and" => arguments.iter().find(|value| !value.is_true()).unwrap_or(&arguments[arguments.len() - 1]).clone(),
        "or" => arguments.iter().find(|value| value.is_true()).unwrap_or(&arguments[arguments.len() - 1]).clone(),
        "not" => Value::Bool(!arguments[0].is_true()),
        _ => return Err(format!("function {name:?} not defined")),
    };
    if let Value::Text(text) = &made {
        fits(text.len())?;
    }
    Ok(made)
}

fn fits(bytes: usize) -> Result<(), String> {
    if bytes > MAX_TEXT { Err(format!("a text of more than {MAX_TEXT} bytes")) } else { Ok(()) }
}

/// What replacing may make at most, before it is made.
fn replaces(own: &str, to: &str) -> Result<(), String> {
    fits(own.len().saturating_add(own.len().saturating_add(1).saturating_mul(to.len())) / 16)
}

fn without_prefix(text: &str, prefix: &str) -> String {
    text.strip_prefix(prefix).unwrap_or(text).to_owned()
}

fn without_suffix(text: &str, suffix: &str) -> String {
    text.strip_suffix(suffix).unwrap_or(text).to_owned()
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins {
            out.extend(c.to_uppercase());
        } else {
            out.push(c);
        }
        begins = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    out
}

/// The first bytes, or with a negative count the last; never a part of a character.
fn truncated(text: &str, count: i64) -> String {
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX).min(text.len());
    let from_end = count < 0;
    let mut at = if from_end { text.len() - length } else { length };
    while !text.is_char_boundary(at) {
        at = if from_end { at + 1 } else { at - 1 };
    }
    if from_end { text[at..].to_owned() } else { text[..at].to_owned() }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Text(_) | Value::Bool(_), _) | (_, Value::Text(_) | Value::Bool(_)) => None,
        (a, b) => a.float().partial_cmp(&b.float()),
    }
}

/// `%s %d %v %q %x %f %.2f %5d %-5s %%`, as far as logs need it.
fn printf(format: &str, arguments: &[Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = format;
    let mut given = arguments.iter();
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let end =
            rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '-' | '+' | '.' | '#' | ' ')).unwrap_or(rest.len());
        let flags = &rest[..end];
        let Some(verb) = rest[end..].chars().next() else {
            out.push_str("%!(NOVERB)");
            return Ok(out);
        };
        rest = &rest[end + verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let Some(value) = given.next() else {
            out.push_str("%!");
            out.push(verb);
            out.push_str("(MISSING)");
            continue;
        };
        let (left, zeros) = (flags.contains('-'), flags.trim_start_matches(['-', '+', '#', ' ']).starts_with('0'));
        let (width, precision) = flags
            .trim_start_matches(['-', '+', '#', ' '])
            .split_once('.')
            .map_or((flags.trim_start_matches(['-', '+', '#', ' ']), None), |(width, precision)| {
                (width, Some(precision))
            });
        let read = |digits: &str| digits.parse::<usize>().unwrap_or(0);
        let (width, precision) = (read(width), precision.map(read));
        fits(width.saturating_add(precision.unwrap_or(0)))?;
        let text = match verb {
            'd' => value.int().to_string(),
            'f' | 'F' => format!("{:.*}", precision.unwrap_or(6), value.float()),
            'q' => format!("{:?}", value.text()),
            'x' if !matches!(value, Value::Text(_)) => format!("{:x}", value.int()),
            's' | 'v' | 't' | 'g' => match precision {
                Some(count) if verb == 's' => value.text().chars().take(count).collect(),
                _ => value.text(),
            },
            other => return Err(format!("printf: %{other} is not built")),
        };
        let pad = width.saturating_sub(text.chars().count());
        match (left, zeros) {
            (true, _) => out += &(text + &" ".repeat(pad)),
            (false, true) if verb != 's' => out += &("0".repeat(pad) + &text),
            (false, _) => out += &(" ".repeat(pad) + &text),
        }
        fits(out.len())?;
    }
    out.push_str(rest);
    Ok(out)
}

fn url_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

fn url_decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                out.push(code.ok_or("invalid URL escape")?);
                rest = &rest[2..];
            }
            other => out.push(*other),
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0, |group, (at, byte)| group | u32::from(*byte) << (16 - 8 * at));
        for place in 0..4 {
            let letter = BASE64[(group >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

fn base64_decode(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let (mut group, mut bits) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = BASE64.iter().position(|letter| *letter == byte).ok_or("illegal base64 data")?;
        group = (group << 6 | value as u32) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits) as u8);
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
