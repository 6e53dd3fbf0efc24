//! Syslog lines: RFC 5424, and RFC 3164 as files and programs have it.

/// A line, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Syslog<'a> {
    /// From the priority, 0 to 7; `None` where there is none.
    pub(crate) severity: Option<u8>,
    pub(crate) facility: Option<u8>,
    /// As it stands there: RFC 3339, or `Jan  2 03:04:05`.
    pub(crate) time: &'a str,
    pub(crate) host: &'a str,
    pub(crate) program: &'a str,
    pub(crate) process: &'a str,
    pub(crate) id: &'a str,
    pub(crate) structured: &'a str,
    pub(crate) message: &'a str,
}

impl Syslog<'_> {
    /// OpenTelemetry's `SeverityNumber`, as its data model maps syslog's.
    pub(crate) fn severity_number(&self) -> u8 {
        const NUMBERS: [u8; 8] = [21, 19, 18, 17, 13, 10, 9, 5];
        self.severity.map_or(0, |severity| NUMBERS[usize::from(severity & 7)])
    }
}

/// Takes a line apart; `None` for what is no syslog.
pub(crate) fn parse(line: &str) -> Option<Syslog<'_>> {
    let (priority, rest) = match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((number, rest)) if number.len() <= 3 => {
            (Some(number.parse::<u8>().ok().filter(|number| *number < 192)?), rest)
        }
        _ => (None, line),
    };
    let base =
        Syslog { severity: priority.map(|one| one & 7), facility: priority.map(|one| one >> 3), ..Syslog::default() };
    match rest.strip_prefix("1 ").filter(|_| priority.is_some()) {
        Some(rest) => rfc5424(rest, base),
        None => rfc3164(rest, base),
    }
}

fn nil(text: &str) -> &str {
    if text == "-" { "" } else { text }
}

fn rfc5424<'a>(line: &'a str, base: Syslog<'a>) -> Option<Syslog<'a>> {
    let mut parts = line.splitn(6, ' ');
    let mut next = || parts.next().map(nil);
    let (time, host, program, process, id) = (next()?, next()?, next()?, next()?, next()?);
    let rest = parts.next().unwrap_or("-");
    let end = structured_end(rest)?;
    let (structured, message) = rest.split_at(end);
    let message = message.strip_prefix(' ').unwrap_or(message);
    let message = message.strip_prefix('\u{feff}').unwrap_or(message);
    Some(Syslog { time, host, program, process, id, structured: nil(structured), message, ..base })
}

/// Where the structured data ends.
fn structured_end(text: &str) -> Option<usize> {
    if text.starts_with('-') {
        return Some(1);
    }
    let bytes = text.as_bytes();
    let (mut at, mut quoted) = (0, false);
    while bytes.get(at) == Some(&b'[') {
        loop {
            at += 1;
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    (at > 0 && text.is_char_boundary(at)).then_some(at)
}

fn rfc3164<'a>(line: &'a str, base: Syslog<'a>) -> Option<Syslog<'a>> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (time, rest) = match line.get(..3).is_some_and(|month| MONTHS.contains(&month)) {
        true => (line.get(..15)?, line.get(15..)?.strip_prefix(' ')?),
        false => line.split_once(' ').filter(|(time, _)| crate::time::rfc3339(time.as_bytes()).is_some())?,
    };
    let (host, rest) = rest.split_once(' ')?;
    let (tag, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
    let (program, process) = match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
        Some((program, process)) => (program, process),
        None => (tag, ""),
    };
    (!program.contains(' ')).then_some(Syslog { time, host, program, process, message, ..base })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of both RFCs, with and without priority, and lines that are neither. Guarantees: every part is found, and what is no
    /// syslog is left as it is.
    #[test]
    fn both_forms_are_read() {
        let line = r#"<165>1 2003-10-11T22:14:15.003Z host evntslog 77 ID47 [a@1 x="]\"" y="2"][b] An event"#;
        let read = parse(line).unwrap();
        assert_eq!((read.severity, read.facility, read.severity_number()), (Some(5), Some(20), 10));
        assert_eq!((read.host, read.program, read.process, read.id), ("host", "evntslog", "77", "ID47"));
        assert_eq!((read.structured, read.message), (r#"[a@1 x="]\"" y="2"][b]"#, "An event"));
        let read = parse("<34>1 - - su - - -").unwrap();
        assert_eq!((read.time, read.program, read.message), ("", "su", ""));
        let read = parse("<13>Oct  1 22:14:15 mymachine su[42]: 'su root' failed: x").unwrap();
        assert_eq!((read.time, read.host, read.program, read.process), ("Oct  1 22:14:15", "mymachine", "su", "42"));
        assert_eq!(read.message, "'su root' failed: x");
        let read = parse("2026-01-01T00:00:00.5+01:00 box kernel: up").unwrap();
        assert_eq!((read.severity, read.host, read.program, read.message), (None, "box", "kernel", "up"));
        for other in
            ["", "<999>x", "<1>", "plain text: here", "Jan", "<34>1 x", "<34>1 - h p - - [a", "Oct  1 22:14:15 \u{e9}"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
