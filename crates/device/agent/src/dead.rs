//! `queue dead`: what destinations refused for good.

use std::fs;
use std::path::Path;

use config::Config;
use model::Signal;
use model::otlp::count_records;
use query::time;

use crate::arguments::Arguments;
use crate::{Failure, print, socket};

/// A dead letter, as its file's name says.
struct Letter {
    name: String,
    signal: Signal,
    second: u64,
    destination: String,
    reason: String,
    request: Vec<u8>,
}

impl Letter {
    fn records(&self) -> u64 {
        count_records(self.signal, &self.request).unwrap_or(0)
    }
}

/// `lightship queue dead ls | show FILE | retry FILE.. | drop FILE..`
pub(crate) fn dead(config: &Config, words: &[&str], arguments: &Arguments) -> Result<(), Failure> {
    let letters = letters(&config.data_dir)?;
    let names = |names: &[&str]| -> Vec<String> {
        match arguments.all {
            true => letters.iter().map(|letter| letter.name.clone()).collect(),
            false => names.iter().map(|name| (*name).to_owned()).collect(),
        }
    };
    match words {
        [] | ["ls"] if arguments.json => print(&as_json(&letters)),
        [] | ["ls"] => print(&as_text(&letters)),
        ["show", name] => {
            let letter = letters.iter().find(|letter| letter.name == *name);
            let letter = letter.ok_or_else(|| Failure::usage(format!("{name}: there is no such dead letter")))?;
            let mut json = String::new();
            otlp::json::request(&mut json, letter.signal, &letter.request);
            print(&format!("{json}\n"))
        }
        [what @ ("retry" | "drop"), files @ ..] if arguments.all != files.is_empty() => Err(Failure::usage(format!(
            "which? lightship queue dead {what} FILE.. or --all; see lightship queue dead ls"
        ))),
        [what @ ("retry" | "drop"), files @ ..] => {
            let mut said = String::new();
            for name in names(files) {
                said.push_str(&socket::order(&config.data_dir, &format!("/queue/dead/{what}/{name}"))?);
            }
            print(&said)
        }
        _ => Err(Failure::usage("which? lightship queue dead ls | show FILE | retry FILE.. | drop FILE..")),
    }
}

/// The files, the oldest first.
fn letters(data_dir: &Path) -> Result<Vec<Letter>, Failure> {
    let directory = data_dir.join("dead-letters");
    let failed = |path: &Path, error: std::io::Error| Failure::unwell(format!("{}: {error}", path.display()));
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&directory, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| failed(&directory, error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        let Some((signal, second, destination, reason)) = parse(&name) else { continue };
        let bytes = fs::read(&path).map_err(|error| failed(&path, error))?;
        let request = bytes.get(4..).unwrap_or_default().to_vec();
        found.push(Letter { signal, second, destination, reason, request, name });
    }
    found.sort_by(|one, other| (one.second, &one.name).cmp(&(other.second, &other.name)));
    Ok(found)
}

/// Signal, second, destination and reason of a file's name.
fn parse(name: &str) -> Option<(Signal, u64, String, String)> {
    let mut parts = name.strip_suffix(".otlp")?.splitn(4, '-');
    let signal = parts.next()?;
    let signal = Signal::ALL.into_iter().find(|one| one.name() == signal)?;
    let second = parts.next()?.parse().ok()?;
    let (destination, reason) = parts.nth(1)?.rsplit_once('-')?;
    Some((signal, second, destination.to_owned(), reason.to_owned()))
}

fn as_text(letters: &[Letter]) -> String {
    if letters.is_empty() {
        return "nothing was refused for good\n".to_owned();
    }
    let mut out = format!(
        "{:<21} {:<16} {:<8} {:>8} {:>10}  {:<22} FILE\n",
        "WHEN", "DESTINATION", "SIGNAL", "RECORDS", "BYTES", "REASON"
    );
    for letter in letters {
        out.push_str(&format!(
            "{:<21} {:<16} {:<8} {:>8} {:>10}  {:<22} {}\n",
            time::rfc3339(letter.second * 1_000_000_000, 0),
            letter.destination,
            letter.signal.name(),
            letter.records(),
            time::size(letter.request.len() as u64),
            letter.reason,
            letter.name
        ));
    }
    out
}

fn as_json(letters: &[Letter]) -> String {
    // Names, signals and reasons have no characters that JSON would have to escape.
    let row = |letter: &Letter| {
        format!(
            "{{\"file\":\"{}\",\"destination\":\"{}\",\"signal\":\"{}\",\"second\":{},\"records\":{},\"bytes\":{},\"reason\":\"{}\"}}",
            letter.name,
            letter.destination,
            letter.signal.name(),
            letter.second,
            letter.records(),
            letter.request.len(),
            letter.reason
        )
    };
    format!("[{}]\n", letters.iter().map(row).collect::<Vec<_>>().join(","))
}
