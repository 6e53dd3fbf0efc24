//! Records of several lines: which line begins one, which one goes on.

use regex_lite::Regex;

/// How lines belong together.
#[derive(Debug, Clone)]
pub enum Multiline {
    /// A line that matches begins a record; all others go on.
    Start(Regex),
    /// A line that matches goes on; all others begin a record.
    Continuation(Regex),
    /// As stack traces of a language stand in logs.
    Preset(Preset),
}

/// Languages whose stack traces are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// `Exception in thread`, `at ...` indented, `Caused by: ...`, `... 3 more`
    Java,
    /// `panic: ...`, `goroutine 1 [running]:`, frames with their places
    Go,
    /// `Traceback (most recent call last):` up to the error's own line
    Python,
}

/// What the lines before one were, as far as it matters for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// No stack trace.
    #[default]
    Plain,
    /// In a stack trace.
    Trace,
    /// In Python's, behind the frames of which one error is told already.
    Told,
}

impl Multiline {
    /// Whether a line goes on with the record before it, and the state behind it.
    pub(crate) fn continues(&self, state: State, line: &[u8]) -> (bool, State) {
        let text = String::from_utf8_lossy(line);
        match self {
            Multiline::Start(start) => (!start.is_match(&text), State::Plain),
            Multiline::Continuation(more) => (more.is_match(&text), State::Plain),
            Multiline::Preset(Preset::Java) => (java(&text), State::Plain),
            Multiline::Preset(Preset::Go) => go(state, &text),
            Multiline::Preset(Preset::Python) => python(state, &text),
        }
    }
}

fn java(line: &str) -> bool {
    let inner = line.trim_start();
    let is_deeper = inner.len() < line.len();
    is_deeper
        && (inner.starts_with("at ")
            || inner.starts_with("... ")
            || inner.starts_with("Suppressed: ")
            || inner.starts_with("Caused by: "))
        || line.starts_with("Caused by: ")
        || (is_exception(line) && !line.contains(' '))
        || line.split_once(": ").is_some_and(|(head, _)| is_exception(head) && !head.contains(' '))
}

/// `java.lang.IllegalStateException`
fn is_exception(name: &str) -> bool {
    name.contains('.') && (name.ends_with("Exception") || name.ends_with("Error"))
}

fn go(state: State, line: &str) -> (bool, State) {
    let begins =
        line.starts_with("panic: ") || line.starts_with("fatal error: ") || line.contains(" http: panic serving");
    if begins {
        return (false, State::Trace);
    }
    let is_frame = line.is_empty()
        || line.starts_with('\t')
        || line.starts_with("goroutine ")
        || line.starts_with("created by ")
        || line.starts_with("[signal ")
        || line.starts_with("[recovered]")
        || line.starts_with("...additional frames elided")
        || line.starts_with("exit status ")
        || (line.ends_with(')') && line.contains('(') && !line.contains(": "));
    match state {
        State::Trace if is_frame => (true, State::Trace),
        _ => (false, State::Plain),
    }
}

fn python(state: State, line: &str) -> (bool, State) {
    const BEGINS: &str = "Traceback (most recent call last):";
    const BETWEEN: [&str; 2] = [
        "During handling of the above exception, another exception occurred:",
        "The above exception was the direct cause of the following exception:",
    ];
    match state {
        // The message that tells of an error stands before its trace.
        State::Plain if line == BEGINS => (true, State::Trace),
        State::Plain => (false, State::Plain),
        State::Trace if line.is_empty() || line.starts_with(' ') || line.starts_with('\t') => (true, State::Trace),
        State::Trace => (true, State::Told),
        State::Told if line.is_empty() || BETWEEN.contains(&line) => (true, State::Told),
        State::Told if line == BEGINS => (true, State::Trace),
        State::Told => (false, State::Plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(multiline: &Multiline, text: &str) -> Vec<String> {
        let (mut out, mut state): (Vec<String>, State) = (Vec::new(), State::Plain);
        for line in text.lines() {
            let (more, next) = multiline.continues(state, line.as_bytes());
            state = next;
            match out.last_mut() {
                Some(last) if more => {
                    last.push('\n');
                    last.push_str(line);
                }
                _ => out.push(line.to_owned()),
            }
        }
        out
    }

    /// Scenario: stack traces of three languages between plain lines. Guarantees: each is one record with all its lines, the lines around it
    /// are their own.
    #[test]
    fn stack_traces_are_one_record() {
        let java = "10:00 INFO a\n10:00 ERROR failed\njava.lang.IllegalStateException: no\n\tat a.B.c(B.java:1)\n\t... 3 more\n\
                    Caused by: java.io.IOException\n\tat d.E.f(E.java:2)\n10:01 INFO b";
        let found = records(&Multiline::Preset(Preset::Java), java);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("10:00 ERROR") && found[1].ends_with("(E.java:2)"));
        let go =
            "start\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:5 +0x1d\nexit status 2\nnext";
        let found = records(&Multiline::Preset(Preset::Go), go);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[1].starts_with("panic") && found[1].ends_with("status 2"));
        let python = "ERROR failed\nTraceback (most recent call last):\n  File \"a.py\", line 1, in f\n    x()\nValueError: no\n\n\
                      During handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  \
                      File \"b.py\"\nKeyError: 'k'\nINFO next";
        let found = records(&Multiline::Preset(Preset::Python), python);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].ends_with("KeyError: 'k'"));
        let start = Multiline::Start(Regex::new(r"^\d{4}-").unwrap());
        assert_eq!(records(&start, "2026-01 a\n b\nc\n2026-02 d"), ["2026-01 a\n b\nc", "2026-02 d"]);
        let more = Multiline::Continuation(Regex::new(r"^\s").unwrap());
        assert_eq!(records(&more, "a\n b\nc"), ["a\n b", "c"]);
    }
}
