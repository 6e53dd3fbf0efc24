//! `bench false-positives`: clean lines and spans of the vessel, and log lines of a public corpus, through `lightship mask explain`: what it
//! would mask of them, by class, with what a person needs to judge each hit.

use crate::bench::host::commit;
use crate::console::Console;
use crate::vessel::{Fate, lines_of, spans_of};
use anyhow::{Context, Result, bail};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct FalsePositiveArgs {
    pub(crate) agent: PathBuf,
    /// A directory with log files (`*.log`, at any depth).
    pub(crate) corpus: Option<PathBuf>,
    /// Where the corpus is from, for the report.
    pub(crate) corpus_name: Option<String>,
    /// Lines and spans of the vessel together.
    pub(crate) records: u64,
}

/// Lines that one process looks at.
const AT_ONCE: usize = 200_000;
/// Hits of a class that are shown, and what of the text around each.
const SHOWN: usize = 40;
const AROUND: usize = 32;
/// When the vessel's day begins.
const BEGIN_NS: u64 = 1_767_225_600_000_000_000;

/// What was found of one class.
#[derive(Debug, Default, Serialize)]
struct Class {
    hits: u64,
    /// Of a million lines that have a digit.
    per_million_lines_with_digits: f64,
    /// Different ones, with the text around them; the hit stands in `<<` and `>>`. They are printed and not kept: some are secrets.
    #[serde(skip)]
    shown: Vec<String>,
}

/// Lines of one origin.
#[derive(Debug, Default, Serialize)]
struct Origin {
    lines: u64,
    lines_with_digits: u64,
    classes: BTreeMap<String, Class>,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct FalsePositives {
    commit: Option<String>,
    corpus: Option<String>,
    lines: u64,
    lines_with_digits: u64,
    card_numbers_per_million_lines_with_digits: f64,
    origins: BTreeMap<&'static str, Origin>,
    /// What does not hold.
    pub(crate) faults: Vec<String>,
}

/// Runs it.
pub(crate) fn false_positives(args: &FalsePositiveArgs, console: Console) -> Result<FalsePositives> {
    let mut origins = BTreeMap::new();
    let requests = || (0..).map(|number| (Fate::decide(1, number, None), BEGIN_NS + number * 1_234_567));
    let half = usize::try_from(args.records / 2)?;
    let lines = requests().flat_map(|(fate, end)| lines_of(&fate, end)).map(|line| line.json());
    origins.insert("vessel lines", look(args, &mut lines.take(half))?);
    let spans = requests().flat_map(|(fate, end)| spans_of(&fate, end)).map(|span| text_of(&span));
    origins.insert("vessel spans", look(args, &mut spans.take(half))?);
    match &args.corpus {
        Some(directory) => {
            let mut files = Vec::new();
            find(directory, &mut files)?;
            files.sort();
            if files.is_empty() {
                bail!("{} has no log file", directory.display());
            }
            let read = |file: &PathBuf| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
            let texts = files.iter().map(read).collect::<Result<Vec<_>>>()?;
            let texts = texts.iter().map(|text| String::from_utf8_lossy(text));
            let mut lines = texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
            origins.insert("public corpus", look(args, &mut lines)?);
        }
        None => eprintln!("SKIPPED the public corpus: name its directory with --corpus DIRECTORY"),
    }
    for (name, origin) in &origins {
        let found: String = origin.classes.iter().map(|(class, found)| format!(", {class} {}", found.hits)).collect();
        console.event(&format!("{name}: {} lines, {} with digits{found}", origin.lines, origin.lines_with_digits));
        for (class, found) in &origin.classes {
            found.shown.iter().for_each(|shown| console.event(&format!("  {class}: {shown}")));
        }
    }
    let sum = |count: fn(&Origin) -> u64| origins.values().map(count).sum::<u64>();
    let (lines, lines_with_digits) = (sum(|origin| origin.lines), sum(|origin| origin.lines_with_digits));
    let cards = sum(|origin| origin.classes.get("pan").map_or(0, |class| class.hits));
    let rate = per_million(cards, lines_with_digits);
    let faults = if rate < 1.0 {
        Vec::new()
    } else {
        vec![format!("{cards} card numbers in {lines_with_digits} lines with digits: {rate} in a million")]
    };
    Ok(FalsePositives {
        commit: commit(),
        corpus: args.corpus_name.clone(),
        lines,
        lines_with_digits,
        card_numbers_per_million_lines_with_digits: rate,
        origins,
        faults,
    })
}

fn per_million(hits: u64, lines: u64) -> f64 {
    (hits as f64 * 1e9 / lines.max(1) as f64).round() / 1e3
}

fn find(directory: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, out)?;
        } else if path.extension().is_some_and(|extension| extension == "log") {
            out.push(path);
        }
    }
    Ok(())
}

/// A span as a line: its name, its ids, and each attribute with its key.
fn text_of(span: &Span) -> String {
    let mut text = span.name.clone();
    for (name, id) in [("trace_id", &span.trace_id), ("span_id", &span.span_id)] {
        // Writing to a String cannot fail.
        let _ = write!(text, " {name}={}", id.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    let _ = write!(text, " start={} end={}", span.start_time_unix_nano, span.end_time_unix_nano);
    let events = span.events.iter().flat_map(|event| &event.attributes);
    span.attributes.iter().chain(events).for_each(|pair| put_pair(&mut text, pair));
    text
}

fn put_pair(out: &mut String, pair: &KeyValue) {
    let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
    let _ = match value {
        Some(Value::StringValue(text)) => write!(out, " {}={text:?}", pair.key),
        Some(Value::IntValue(number)) => write!(out, " {}={number}", pair.key),
        Some(Value::DoubleValue(number)) => write!(out, " {}={number}", pair.key),
        _ => Ok(()),
    };
}

/// Lets the agent look at lines, many at once.
fn look(args: &FalsePositiveArgs, lines: &mut dyn Iterator<Item = String>) -> Result<Origin> {
    let mut origin = Origin::default();
    loop {
        let chunk: Vec<String> = lines.take(AT_ONCE).collect();
        if chunk.is_empty() {
            break;
        }
        origin.lines += chunk.len() as u64;
        let with_digits = chunk.iter().filter(|line| line.bytes().any(|byte| byte.is_ascii_digit())).count();
        origin.lines_with_digits += with_digits as u64;
        explain(&args.agent, &chunk, &mut origin.classes)?;
    }
    let lines = origin.lines_with_digits;
    origin.classes.values_mut().for_each(|class| class.per_million_lines_with_digits = per_million(class.hits, lines));
    Ok(origin)
}

/// Adds what the agent would mask of these lines, by its usual rules.
fn explain(agent: &Path, lines: &[String], classes: &mut BTreeMap<String, Class>) -> Result<()> {
    let directory = tempfile::tempdir().context("no temporary directory")?;
    let config = directory.path().join("lightship.yaml");
    let text = "version: 0\ndevice: { id: lab }\ndata_dir: /nowhere\ndestinations: [{ name: hub, type: hub, url: 'http://localhost:1' }]\n";
    fs::write(&config, text)?;
    let mut command = Command::new(agent);
    command.args(["mask", "explain", "--config"]).arg(&config).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", agent.display()))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let output = std::thread::scope(|scope| {
        // Another thread writes: neither side waits for the other.
        scope.spawn(move || lines.iter().try_for_each(|line| writeln!(input, "{line}")));
        child.wait_with_output()
    });
    let output = output?;
    if !output.status.success() {
        bail!("mask explain ended with {}", output.status);
    }
    for row in String::from_utf8(output.stdout)?.lines().filter_map(|row| row.strip_prefix("line ")) {
        let (number, start, end, class) = read(row).with_context(|| format!("mask explain printed '{row}'"))?;
        let line = lines.get(number - 1).with_context(|| format!("there is no line {number}"))?;
        let found = classes.entry(class.to_owned()).or_default();
        found.hits += 1;
        let shown = shown(line, start, end);
        if found.shown.len() < SHOWN && !found.shown.contains(&shown) {
            found.shown.push(shown);
        }
    }
    Ok(())
}

/// `12, bytes 3..19: pan`: line, start, end, class.
fn read(row: &str) -> Option<(usize, usize, usize, &str)> {
    let (number, rest) = row.split_once(", bytes ")?;
    let (range, class) = rest.split_once(": ")?;
    let (start, end) = range.split_once("..")?;
    Some((number.parse().ok()?, start.parse().ok()?, end.parse().ok()?, class))
}

/// A hit with the text around it.
fn shown(line: &str, start: usize, end: usize) -> String {
    let part = |from: usize, to: usize| {
        let bytes = line.as_bytes().get(from..to.min(line.len())).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    };
    let hit = part(start, end.min(start + 2 * AROUND));
    format!("{}<<{hit}>>{}", part(start.saturating_sub(AROUND), start), part(end, end + AROUND / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a row of `mask explain`, and a line around it. Guarantees: it is read, and shown with what stands around it.
    #[test]
    fn a_hit_is_shown() {
        assert_eq!(read("12, bytes 4..8: pan"), Some((12, 4, 8, "pan")));
        assert_eq!(read("rules"), None);
        assert_eq!(shown("abc 1234 def", 4, 8), "abc <<1234>> def");
        assert_eq!(per_million(1, 2_000_000), 0.5);
    }

    /// Scenario: a request of the vessel. Guarantees: each of its spans is one line with its name, ids and attributes.
    #[test]
    fn a_span_is_a_line() {
        let spans = spans_of(&Fate::decide(1, 1, None), BEGIN_NS);
        let text = text_of(&spans[0]);
        assert!(text.contains(" trace_id=") && text.contains(" http.response.status_code=") && !text.contains('\n'));
    }
}
