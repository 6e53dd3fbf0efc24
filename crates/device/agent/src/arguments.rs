//! The command line.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

use crate::commands::{self, COMMANDS};

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) command: Option<String>,
    /// What follows the command.
    pub(crate) words: Vec<String>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) once: bool,
    pub(crate) all: bool,
    pub(crate) explain: bool,
    pub(crate) history: bool,
    pub(crate) connect: bool,
    pub(crate) keep_all: bool,
    pub(crate) lane: Option<String>,
    pub(crate) outage: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) device_type: Option<String>,
    pub(crate) device_id: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) aged: Option<String>,
    /// A file of `init`, a form elsewhere.
    pub(crate) output: Option<PathBuf>,
    pub(crate) to: Option<PathBuf>,
    pub(crate) form: Option<String>,
}

/// What the command line asks for.
pub(crate) enum Asked {
    /// Help, of one command where it is named.
    Help(Option<String>),
    Version,
    Command(Box<Arguments>),
}

/// Reads the command line.
///
/// # Errors
/// What does not fit: an option that is not known or that the command does not take, a value that is missing.
pub(crate) fn parse() -> Result<Asked, lexopt::Error> {
    read(lexopt::Parser::from_env())
}

fn read(mut parser: lexopt::Parser) -> Result<Asked, lexopt::Error> {
    let mut arguments = Arguments::default();
    let (mut given, mut help) = (Vec::new(), false);
    while let Some(argument) = parser.next()? {
        let name = match argument {
            Short('h') | Long("help") => {
                help = true;
                continue;
            }
            Short('V') | Long("version") => return Ok(Asked::Version),
            Value(word) if arguments.command.is_none() => {
                arguments.command = Some(word.string()?);
                continue;
            }
            Value(word) => {
                arguments.words.push(word.string()?);
                continue;
            }
            Short(short) => match commands::OPTIONS.iter().find(|option| option.short == Some(short)) {
                Some(option) => option.name,
                None => return Err(Short(short).unexpected()),
            },
            Long(long) => match commands::option(long) {
                Some(option) => option.name,
                None => return Err(Long(long).unexpected()),
            },
        };
        arguments.set(name, &mut parser)?;
        given.push(name);
    }
    if help {
        return Ok(Asked::Help(arguments.command));
    }
    match arguments.command.as_deref() {
        Some("help") => return Ok(Asked::Help(arguments.words.into_iter().next())),
        Some("version") => return Ok(Asked::Version),
        _ => {}
    }
    let command = arguments.command.as_deref().and_then(|name| COMMANDS.iter().find(|one| one.name == name));
    if let Some(command) = command
        && let Some(stray) = given.iter().find(|option| !command.options.contains(option))
    {
        return Err(lexopt::Error::Custom(
            format!("{} does not take --{stray}; see lightship help {0}", command.name).into(),
        ));
    }
    Ok(Asked::Command(Box::new(arguments)))
}

impl Arguments {
    fn set(&mut self, option: &str, parser: &mut lexopt::Parser) -> Result<(), lexopt::Error> {
        let mut text = || parser.value()?.string().map(Some);
        match option {
            "json" => self.json = true,
            "once" => self.once = true,
            "all" => self.all = true,
            "explain" => self.explain = true,
            "history" => self.history = true,
            "connect" => self.connect = true,
            "keep-all" => self.keep_all = true,
            "lane" => self.lane = text()?,
            "outage" => self.outage = text()?,
            "since" => self.since = text()?,
            "until" => self.until = text()?,
            "device-type" => self.device_type = text()?,
            "device-id" => self.device_id = text()?,
            "aged" => self.aged = text()?,
            "backend" => self.backend = text()?,
            "form" => self.form = text()?,
            "config" => self.config = Some(parser.value()?.into()),
            "data-dir" => self.data_dir = Some(parser.value()?.into()),
            "output" => self.output = Some(parser.value()?.into()),
            _ => self.to = Some(parser.value()?.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked, String> {
        read(lexopt::Parser::from_args(words)).map_err(|error| error.to_string())
    }

    /// Scenario: help and version asked for in each way, options before and after the command, one that the command does not
    /// take (U17). Guarantees: help is that of the command; a stray option is refused by name, not ignored.
    #[test]
    fn u17_the_command_line_is_read() {
        for words in [["help", "query"].as_slice(), &["query", "--help"], &["-h", "query"]] {
            assert!(matches!(asked(words), Ok(Asked::Help(Some(name))) if name == "query"), "{words:?}");
        }
        assert!(matches!(asked(&["--help"]), Ok(Asked::Help(None))));
        assert!(matches!(asked(&["version"]), Ok(Asked::Version)) && matches!(asked(&["-V"]), Ok(Asked::Version)));
        let Ok(Asked::Command(read)) = asked(&["-c", "x.yaml", "query", "a=b", "--since=2h", "c", "-o", "json"]) else {
            panic!("a command")
        };
        assert_eq!((read.config, read.since.as_deref()), (Some("x.yaml".into()), Some("2h")));
        assert_eq!((read.words, read.output), (vec!["a=b".to_owned(), "c".to_owned()], Some("json".into())));
        let stray = asked(&["run", "--outage", "2h"]).err().unwrap();
        assert!(stray.contains("run does not take --outage"), "{stray}");
        assert!(asked(&["query", "--sicne", "2h"]).is_err() && asked(&["query", "--since"]).is_err());
    }

    /// Scenario: each option of the table with a value where it has one. Guarantees: the table and the reader agree.
    #[test]
    fn u17_every_option_is_read() {
        for option in &commands::OPTIONS {
            let command = COMMANDS.iter().find(|command| command.options.contains(&option.name)).unwrap();
            let dashed = format!("--{}", option.name);
            let mut words = vec![command.name, &dashed];
            if !option.value.is_empty() {
                words.push("value");
            }
            let Ok(Asked::Command(read)) = asked(&words) else { panic!("{dashed}") };
            assert!(read.words.is_empty(), "{dashed}: {:?}", read.words);
        }
    }
}
