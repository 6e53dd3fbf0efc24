//! The little of JSON that is written anywhere: texts, numbers, bytes.

use std::fmt::{Arguments, Write};

/// Appends what is formatted.
pub(super) fn push(out: &mut String, what: Arguments<'_>) {
    // Writing into a String cannot fail.
    let _written = out.write_fmt(what);
}

/// Appends a text in quotes.
pub fn text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => push(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Appends a number; what JSON has no number for is a text, as protobuf's JSON has it.
pub fn float(out: &mut String, number: f64) {
    if number.is_finite() {
        // Rust writes the shortest text that reads back the same.
        push(out, format_args!("{number:?}"));
    } else if number.is_nan() {
        out.push_str("\"NaN\"");
    } else {
        out.push_str(if number > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    }
}

/// Appends bytes in base64 (RFC 4648, section 4), in quotes.
pub fn base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    put_base64(out, bytes);
    out.push('"');
}

/// Appends bytes in base64 (RFC 4648, section 4).
pub(super) fn put_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = (group >> (18 - 6 * position)) & 63;
            out.push(if position > chunk.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
}

/// Appends bytes in lower-case hex, in quotes.
pub fn hex(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        push(out, format_args!("{byte:02x}"));
    }
    out.push('"');
}
