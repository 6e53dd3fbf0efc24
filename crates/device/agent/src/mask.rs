//! `mask test`, `mask explain`: what the guard makes of a file, before it stands in anybody's way.

use std::io::{BufRead, IsTerminal};

use guard::{Action, Guard, What};
use model::Signal;

use crate::arguments::Arguments;
use crate::{Failure, print, print_on};

/// The longest line that is read; what is beyond it is a line of its own.
const LONGEST: u64 = 16 << 20;

/// Which of both a word asks for.
///
/// # Errors
/// Where standard input or output fails, or the configuration is wrong.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    edge::forbid_core_dumps().map_err(|error| Failure::unwell(error.to_string()))?;
    let mut guard = guard(arguments)?;
    match arguments.words.first().map(String::as_str) {
        Some("test") => test(&mut guard),
        Some("explain") => explain(&mut guard),
        _ => Err(Failure::usage("which? lightship mask test|explain < FILE")),
    }
}

/// The guard of the configuration; the usual rules where there is none, and none was named.
fn guard(arguments: &Arguments) -> Result<Guard, Failure> {
    let is_named = arguments.config.is_some() || std::env::var_os("LIGHTSHIP_CONFIG").is_some();
    if !is_named && !crate::config_path(arguments).try_exists().unwrap_or(true) {
        return Ok(Guard::default());
    }
    edge::guard(&crate::load(arguments)?).map_err(|error| Failure::usage(error.to_string()))
}

/// Calls `each` with every line of standard input, without its end, until it says false.
fn lines(mut each: impl FnMut(&[u8]) -> Result<bool, Failure>) -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut input, LONGEST);
        let read = limited.read_until(b'\n', &mut line);
        let read = read.map_err(|error| Failure::unwell(format!("standard input: {error}")))?;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if read == 0 || !each(text)? {
            return Ok(());
        }
    }
}

/// A line of OTLP as JSON: its signal and the request.
fn request(line: &[u8]) -> Option<(Signal, Vec<u8>)> {
    let starts = [
        ("{\"resourceSpans\"", Signal::Traces),
        ("{\"resourceLogs\"", Signal::Logs),
        ("{\"resourceMetrics\"", Signal::Metrics),
    ];
    let (_, signal) = starts.into_iter().find(|(start, _)| line.starts_with(start.as_bytes()))?;
    let request = query::export::read_request(&mut &*line, signal).ok().flatten()?;
    Some((signal, request))
}

/// Prints every line as it would be written: lines of OTLP as JSON are walked as requests, others are texts.
fn test(guard: &mut Guard) -> Result<(), Failure> {
    let (mut dropped, mut texts) = (0, std::collections::BTreeMap::<String, u64>::new());
    lines(|line| {
        let masked = match request(line) {
            Some((signal, request)) => {
                let passed = guard.admit(signal, request).map_err(|denied| Failure::usage(denied.why))?;
                dropped += passed.dropped.total();
                let mut out = String::new();
                query::export::json_line(&mut out, signal, &passed.request);
                out
            }
            None => {
                let (masked, hits) = guard.mask(line);
                hits.into_iter().for_each(|hit| *texts.entry(hit.rule).or_default() += 1);
                String::from_utf8_lossy(&masked).into_owned() + "\n"
            }
        };
        print_on(&masked)
    })?;
    for (rule, count) in guard.counts() {
        let count = count + texts.get(rule).copied().unwrap_or(0);
        if count > 0 {
            eprintln!("{rule}: {count}");
        }
    }
    if dropped > 0 {
        eprintln!("records taken out: {dropped}");
    }
    Ok(())
}

/// Prints the rules, then where in standard input each of them masks something; nothing of what it masks.
fn explain(guard: &mut Guard) -> Result<(), Failure> {
    let mut out = format!("rules {}, the first that fits counts\n", guard.version());
    for rule in &guard.options().rules {
        let what = match &rule.what {
            What::All => "whatever stands there".to_owned(),
            What::SecretKeys => "texts under keys that look secret".to_owned(),
            What::Class(class) => class.name().to_owned(),
            What::Pattern(pattern) => format!("/{}/", pattern.as_str()),
        };
        let keys = rule.keys.as_ref().map_or(String::new(), |keys| format!(" under {keys}"));
        let action = match &rule.action {
            Action::Redact(Some(word)) => format!("becomes {word}"),
            Action::Redact(None) => format!("becomes [REDACTED:{}]", rule.name),
            Action::Keep { first, last } => format!("keeps {first} characters and the last {last}"),
            Action::Token => "becomes a token".to_owned(),
            Action::DropField => "goes with its attribute".to_owned(),
            Action::DropRecord => "goes with its record".to_owned(),
        };
        out.push_str(&format!("  {:<20} {what}{keys}: {action}\n", rule.name));
    }
    print(&out)?;
    if std::io::stdin().is_terminal() {
        return Ok(());
    }
    let mut number = 0u64;
    lines(|line| {
        number += 1;
        let (_, hits) = guard.mask(line);
        let rows = hits.iter().map(|hit| format!("line {number}, bytes {:?}: {}\n", hit.range, hit.rule));
        print_on(&rows.collect::<String>())
    })
}
