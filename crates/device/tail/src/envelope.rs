//! What container runtimes put around a line: CRI (Kubernetes, "CRI logging format") and Docker's `json-file`.

use std::borrow::Cow;

use model::otlp::json::{Lexer, Scalar};

use crate::time::rfc3339;

/// Where a container wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

impl Stream {
    fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Out),
            b"stderr" => Some(Self::Err),
            _ => None,
        }
    }

    /// Its name as the semantic conventions have it (`log.iostream`).
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// A line without its envelope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Inner<'a> {
    pub(crate) text: Cow<'a, [u8]>,
    /// Unix nanoseconds; 0 when unknown.
    pub(crate) time_ns: u64,
    pub(crate) stream: Option<Stream>,
    /// More of the same line follows.
    pub(crate) is_partial: bool,
}

impl<'a> Inner<'a> {
    /// A line that has no envelope.
    pub(crate) fn bare(line: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { text: line.into(), time_ns: 0, stream: None, is_partial: false }
    }
}

/// `TIME STREAM TAGS CONTENT`; `None` for what is none.
pub(crate) fn cri(line: &[u8]) -> Option<Inner<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags) = (parts.next()?, parts.next()?, parts.next()?);
    let stream = Stream::of(stream)?;
    let time_ns = rfc3339(time)?;
    // Tags stand behind each other with colons; the first says whether the line is whole.
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    Some(Inner { text: Cow::Borrowed(parts.next().unwrap_or_default()), time_ns, stream: Some(stream), is_partial })
}

/// `{"log":"...\n","stream":"stdout","time":"..."}`; `None` for what is none. A line that Docker cut has no line feed at its end.
pub(crate) fn docker(line: &[u8]) -> Option<Inner<'_>> {
    if !line.starts_with(b"{") {
        return None;
    }
    let mut lexer = Lexer::new(line).ok()?;
    let (mut log, mut stream, mut time_ns) = (None, None, None);
    lexer.expect(b'{').ok()?;
    let mut first = true;
    while lexer.more(first, b'}').ok()? {
        first = false;
        let key = lexer.string().ok()?;
        lexer.expect(b':').ok()?;
        match &*key {
            "log" => {
                let Scalar::Text(text) = lexer.scalar().ok()? else { return None };
                log = Some(text);
            }
            "stream" => stream = Stream::of(lexer.string().ok()?.as_bytes()),
            "time" => time_ns = rfc3339(lexer.string().ok()?.as_bytes()),
            "attrs" => lexer.skip().ok()?,
            _ => return None,
        }
    }
    lexer.end().ok()?;
    let (log, stream, time_ns) = (log?, stream?, time_ns?);
    let mut text = match log {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let is_partial = text.last() != Some(&b'\n');
    if !is_partial {
        match &mut text {
            Cow::Borrowed(text) => *text = &text[..text.len() - 1],
            Cow::Owned(text) => drop(text.pop()),
        }
    }
    Some(Inner { text, time_ns, stream: Some(stream), is_partial })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: u64 = 1_767_225_600_123_456_789;

    /// Scenario: lines of both runtimes, whole and cut, with tags, without content, and lines that only look like it. Guarantees: content,
    /// time and stream are read, and what is no envelope is left as it is.
    #[test]
    fn envelopes_are_taken_off() {
        let line = b"2026-01-01T00:00:00.123456789Z stderr P a  b ";
        let read = cri(line).unwrap();
        assert_eq!(
            (&*read.text, read.time_ns, read.stream, read.is_partial),
            (&b"a  b "[..], NS, Some(Stream::Err), true)
        );
        assert_eq!(cri(b"2026-01-01T00:00:00Z stdout F:x y").unwrap().text, &b"y"[..]);
        assert_eq!(cri(b"2026-01-01T00:00:00Z stdout F").unwrap().text, &b""[..]);
        for other in [&b"2026-01-01T00:00:00Z stdout X y"[..], b"2026 stdout F y", b"2026-01-01T00:00:00Z out F y", b""]
        {
            assert_eq!(cri(other), None);
        }
        let read = docker(br#"{"log":"a\u00e9\n","stream":"stdout","time":"2026-01-01T00:00:00.123456789Z"}"#).unwrap();
        assert_eq!((&*read.text, read.time_ns, read.is_partial), ("a\u{e9}".as_bytes(), NS, false));
        let cut =
            docker(br#"{"log":"abc","stream":"stdout","attrs":{"a":[1]},"time":"2026-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!((&*cut.text, cut.is_partial), (&b"abc"[..], true));
        for other in [&br#"{"log":"a\n","level":"info"}"#[..], br#"{"log":"a\n","stream":"stdout"}"#, b"{", b"[]"] {
            assert_eq!(docker(other), None);
        }
    }
}
