//! From a file to a [`Config`]: values from the environment and from files put in, every fault told with its place.

use std::fmt::{self, Write};
use std::io::Read;
use std::path::Path;

use crate::otlp::bound_lanes;
use crate::{Config, faults};

/// What is wrong with a configuration, ready to be shown: where, what, and what to do; a fault in each line.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    fn one(fault: String) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It quotes what stands in the file; one fault stays one line, and no terminal is steered by it.
        for (at, fault) in self.0.iter().enumerate() {
            f.write_str(if at > 0 { "\n" } else { "" })?;
            for character in fault.chars() {
                match character.is_control() {
                    true => write!(f, "{}", character.escape_default())?,
                    false => f.write_char(character)?,
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The largest file that is read.
const MAX_FILE: u64 = 1 << 20;
/// The largest file that `${file:PATH}` reads.
const MAX_VALUE: usize = 64 << 10;
/// Faults that are told at once.
const MAX_FAULTS: usize = 10;

/// Reads and checks a configuration file.
///
/// # Errors
/// [`ConfigError`] with file, line and column where the text has them.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let shown = path.display();
    let size = std::fs::metadata(path)
        .map_err(|error| ConfigError::one(format!("{shown}: {error}; write one with `lightship init`")))?
        .len();
    if size > MAX_FILE {
        return Err(ConfigError::one(format!("{shown}: larger than 1 MiB; is this the configuration file?")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::one(format!("{shown}: {error}")))?;
    parse(&text).map_err(|error| ConfigError(error.0.into_iter().map(|fault| format!("{shown}{fault}")).collect()))
}

/// Checks the text of a configuration, with this process's environment.
///
/// # Errors
/// [`ConfigError`] whose faults start with `:line:column: ` where they have a place, else with `: `.
pub fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, |name| std::env::var(name).ok())
}

fn parse_with(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    let mut rest = expanded(text, variable)?;
    let mut found = Vec::new();
    // A reader of YAML stops at its first fault: what has it is taken out, and the rest is read for more.
    while found.len() < MAX_FAULTS {
        match read(&rest) {
            Ok(mut config) if found.is_empty() => {
                let faults = faults(&config);
                return match faults.is_empty() {
                    true => {
                        bound_lanes(&mut config);
                        Ok(config)
                    }
                    false => Err(ConfigError(faults.iter().map(|(place, what)| format!("{place}: {what}")).collect())),
                };
            }
            Ok(config) => {
                // Places are those of the text that was read: lines stay where they are.
                found.extend(faults(&config).iter().map(|(place, what)| format!("{place}: {what}")));
                break;
            }
            Err(fault) => {
                // What is missing has no place, and now it may be what was taken out.
                let line = fault.line.filter(|_| !fault.missing);
                if found.is_empty() || !fault.missing {
                    found.push(fault.text);
                }
                match line.and_then(|line| without_entry(&rest, line)) {
                    Some(without) => rest = without,
                    None => break,
                }
            }
        }
    }
    found.truncate(MAX_FAULTS);
    Err(ConfigError(found))
}

/// A fault of reading.
struct Fault {
    /// From 1; where it has a place.
    line: Option<usize>,
    missing: bool,
    text: String,
}

fn read(text: &str) -> Result<Config, Fault> {
    yaml::from_str(text).map_err(|error: yaml::Error| {
        let at = error.place();
        let line = usize::try_from(at.line()).ok().filter(|line| *line > 0);
        let place = line.map(|line| format!(":{line}:{}", at.column())).unwrap_or_default();
        Fault { line, missing: error.is_missing(), text: format!("{place}: {}", error.what()) }
    })
}

/// The text without the entry that begins in this line, which is the line and the deeper ones after it, and without what is
/// then empty around it; lines keep their numbers. `None` where nothing would be left out.
fn without_entry(text: &str, line: usize) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let depth = |line: &str| line.len() - line.trim_start().len();
    let holds = |line: &&str| -> bool { !line.trim().is_empty() && !line.trim_start().starts_with('#') };
    let mut at = line.checked_sub(1).filter(|at| lines.get(*at).is_some_and(holds))?;
    loop {
        let outer = depth(lines[at]);
        lines[at] = "";
        let below = lines[at..].iter().take_while(|one| !holds(one) || depth(one) > outer).count();
        lines[at..at + below].fill("");
        let above = lines[..at].iter().rposition(&holds);
        let next = lines[at..].iter().find(|one| holds(one)).map_or(0, |one| depth(one));
        match above {
            Some(above)
                if depth(lines[above]) < outer
                    && next <= depth(lines[above])
                    && lines[above].trim_end().ends_with(':') =>
            {
                at = above;
            }
            _ => break,
        }
    }
    lines.iter().any(holds).then(|| lines.join("\n"))
}

/// The text with what `${NAME}`, `${NAME:-DEFAULT}`, `${env:NAME}` and `${file:PATH}` stand for. Comments stay as they are, and
/// `$${` is `${` itself.
fn expanded(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, ConfigError> {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some((before, from)) = rest.split_once("${") {
            let comment = before.starts_with('#') || before.contains(" #") || before.contains("\t#");
            let Some((reference, after)) = from.split_once('}').filter(|_| !comment) else { break };
            rest = after;
            // Groups of a relabelling rule; no variable has such a name.
            if reference.bytes().all(|byte| byte.is_ascii_digit()) {
                out.extend([before, "${", reference, "}"]);
                continue;
            }
            if let Some(before) = before.strip_suffix('$') {
                out.extend([before, "${", reference, "}"]);
                continue;
            }
            let value = value_of(reference, &variable).map_err(|why| {
                let column = line.chars().count() - from.chars().count() - 1;
                ConfigError::one(format!(":{}:{column}: ${{{reference}}}: {why}", number + 1))
            })?;
            out.extend([before, &value]);
        }
        out.extend([rest, "\n"]);
    }
    Ok(out)
}

fn value_of(reference: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let value = match reference.strip_prefix("file:") {
        Some(path) => file_value(Path::new(path))?,
        None => {
            let name = reference.strip_prefix("env:").unwrap_or(reference);
            let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
            let set = variable(name).filter(|value| default.is_none() || !value.is_empty());
            let value = set.or_else(|| default.map(str::to_owned));
            value.ok_or_else(|| {
                format!("the environment variable {name} is not set; give a default with ${{{name}:-DEFAULT}}")
            })?
        }
    };
    // It stands in the middle of YAML: what could end a scalar or begin something else would change the file's meaning.
    let harmless = |c: char| !c.is_control() && !"'\"\\#{}[],&*!|>%@`".contains(c);
    match value.chars().all(harmless) && !value.contains(": ") && !value.ends_with(':') {
        true => Ok(value),
        false => {
            Err("its value has a character that means something in YAML, or a line end; write it out here".to_owned())
        }
    }
}

/// A file's text without the line end behind it.
fn file_value(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_VALUE as u64 + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() > MAX_VALUE {
        return Err(format!("larger than {MAX_VALUE} bytes"));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "version: 0
device:
  id: ${NAME:-vessel-1}
data_dir: /var/lib/lightship
sources:
  otlp:
    grpc: localhost:4317
destinations:
  - name: hub
    type: hub
    url: https://${env:HUB}:7443
journal:
  budget: 64MiB
";

    fn environment(name: &str) -> Option<String> {
        match name {
            "HUB" => Some("hub.example".to_owned()),
            "ROOM" => Some("4MiB".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("a\nversion: 7".to_owned()),
            "NOTE" => Some("a #b".to_owned()),
            _ => None,
        }
    }

    fn fault(text: &str) -> String {
        parse_with(text, environment).unwrap_err().to_string()
    }

    /// Scenario: values from the environment, with a default, in quotes, from a file with a line end; in a comment; doubled; each
    /// that is not there; and values that would be more than a value (U17). Guarantees: a value stays one value of its own
    /// type; what is missing or would change the file's meaning is told with its place and name.
    #[test]
    fn u17_values_come_from_the_environment_and_from_files() {
        let config = parse_with(GOOD, environment).unwrap();
        assert_eq!(config.device.id, "vessel-1");
        assert_eq!(config.destinations[0].url, "https://hub.example:7443");
        let config = parse_with(&GOOD.replace("64MiB", "${ROOM}"), environment).unwrap();
        assert_eq!(config.journal.budget.0, 4 << 20);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "vessel-7\n").unwrap();
        let from_file = GOOD.replace("${NAME:-vessel-1}", &format!("${{file:{}}}", file.path().display()));
        assert_eq!(parse_with(&from_file, environment).unwrap().device.id, "vessel-7");
        let comment = format!("# token: ${{file:/none}} ${{env:NONE}}\n{GOOD}");
        assert!(parse_with(&comment, environment).is_ok());
        let quoted = GOOD.replace("${NAME:-vessel-1}", "'${EMPTY:-vessel-8}'");
        assert_eq!(parse_with(&quoted, environment).unwrap().device.id, "vessel-8");
        let literal = GOOD.replace("/var/lib/lightship", "/var/$${HUB}");
        assert_eq!(parse_with(&literal, environment).unwrap().data_dir, Path::new("/var/${HUB}"));
        for (to, expected) in [
            ("${file:/none}", ":3:7: ${file:/none}: No such file"),
            ("${env:NONE}", ":3:7: ${env:NONE}: the environment variable NONE is not set"),
            ("a${NONE}", ":3:8: ${NONE}: the environment variable NONE is not set"),
            ("${ODD}", ":3:7: ${ODD}: its value has a character"),
            ("${NOTE}", ":3:7: ${NOTE}: its value has a character"),
            ("${file:/dev/zero}", "larger than 65536 bytes"),
        ] {
            let found = fault(&GOOD.replace("${NAME:-vessel-1}", to));
            assert!(found.contains(expected), "{to}: {found}");
        }
    }

    /// Scenario: `localhost`, an address without a port, a name that is not an address (U23). Guarantees: the usual word is read;
    /// what is none is told with an example.
    #[test]
    fn u23_addresses_are_read_as_people_write_them() {
        let config = parse_with(GOOD, environment).unwrap();
        assert_eq!(config.sources.otlp.unwrap().grpc.unwrap().to_string(), "127.0.0.1:4317");
        for wrong in ["localhost", "127.0.0.1", "example.com:4317", "4317"] {
            let found = fault(&GOOD.replace("localhost:4317", wrong));
            assert!(found.contains(":7:11: ") && found.contains("127.0.0.1:4317"), "{wrong}: {found}");
        }
    }

    /// Scenario: three mistakes in one file, one of them in an entry with others below it; faults of meaning in two sections
    /// (U23). Guarantees: all are told, each in its line with its place; one alone is told once.
    #[test]
    fn u23_every_mistake_is_told() {
        let text = GOOD
            .replace("device:", "devise:\n  a: b\ndevice:")
            .replace("64MiB", "64QiB")
            .replace("    type: hub\n", "    type: hub\n    colour: red\n");
        let found = fault(&text);
        let places: Vec<&str> = found.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(places, [":2:1:", ":13:5:", ":16:11:"], "{found}");
        let text = GOOD.replace("id: ${NAME:-vessel-1}", "id: 'a b'") + "sampling: { memory: 1KiB }\n";
        assert_eq!(fault(&text).lines().count(), 2, "{}", fault(&text));
        assert_eq!(fault(&GOOD.replace("64MiB", "64QiB")).lines().count(), 1);
        assert_eq!(fault(&GOOD.replace("data_dir: /var/lib/lightship\n", "")).lines().count(), 1);
        assert_eq!(fault("version: [").lines().count(), 1, "{}", fault("version: ["));
    }
}
