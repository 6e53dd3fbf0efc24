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

/// The names of syslog's levels.
pub(crate) const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// OpenTelemetry's `SeverityNumber` of one of syslog's levels, as its data model maps them.
pub(crate) fn severity_number(level: u8) -> u8 {
    const NUMBERS: [u8; 8] = [21, 19, 18, 17, 13, 10, 9, 5];
    NUMBERS[usize::from(level & 7)]
}

impl Syslog<'_> {
    /// OpenTelemetry's `SeverityNumber`; 0 where there is none.
    pub(crate) fn severity_number(&self) -> u8 {
        self.severity.map_or(0, severity_number)
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

/// Takes a message from the network apart. Programs that say no more than a priority, a tag and a text are read, too; `None` for what has no
/// priority.
pub(crate) fn parse_sent(line: &str) -> Option<Syslog<'_>> {
    if !line.starts_with('<') {
        return None;
    }
    if let Some(read) = parse(line) {
        return Some(read);
    }
    let (number, rest) = line[1..].split_once('>').filter(|(number, _)| (1..=3).contains(&number.len()))?;
    let priority = number.parse::<u8>().ok().filter(|number| *number < 192)?;
    let base = Syslog { severity: Some(priority & 7), facility: Some(priority >> 3), ..Syslog::default() };
    let (time, rest) = time_of_rfc3164(rest).unwrap_or(("", rest));
    Some(match tagged(rest) {
        Some((program, process, message)) => Syslog { time, program, process, message, ..base },
        None => Syslog { time, message: rest, ..base },
    })
}

/// Program, process and text of `program[process]: text`.
fn tagged(text: &str) -> Option<(&str, &str, &str)> {
    /// Characters of the longest tag: of RFC 5424's name of a program.
    const MOST: usize = 48;
    let (tag, message) = text.split_once(": ").or_else(|| Some((text.strip_suffix(':')?, "")))?;
    let (program, process) = match tag.strip_suffix(']').and_then(|tag| tag.split_once('[')) {
        Some((program, process)) => (program, process),
        None => (tag, ""),
    };
    let is_tag = (1..=MOST).contains(&program.len())
        && program.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    is_tag.then_some((program, process, message))
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

/// A time in front of a text: `Jan  2 03:04:05`, or RFC 3339.
fn time_of_rfc3164(line: &str) -> Option<(&str, &str)> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    match line.get(..3).is_some_and(|month| MONTHS.contains(&month)) {
        true => Some((line.get(..15)?, line.get(15..)?.strip_prefix(' ')?)),
        false => line.split_once(' ').filter(|(time, _)| crate::time::rfc3339(time.as_bytes()).is_some()),
    }
}

fn rfc3164<'a>(line: &'a str, base: Syslog<'a>) -> Option<Syslog<'a>> {
    let (time, rest) = time_of_rfc3164(line)?;
    let (host, rest) = rest.split_once(' ').filter(|(host, _)| !host.ends_with(':'))?;
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
