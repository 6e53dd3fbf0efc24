//! The command line.

use std::path::PathBuf;

use lexopt::prelude::{Long, Short, Value, ValueExt};

/// What `--help` says.
pub(crate) const USAGE: &str = "\
lightship: telemetry for machines that the network cannot always reach

usage: lightship COMMAND [OPTIONS]

the agent
  run     --config FILE            run the agent
  check   --config FILE [--outage 2h]
                                   check the configuration, the data directory and the destinations' addresses; the
                                   disk that an outage needs at the measured rates (exit code 1: more than there is)
  status  --config FILE [--json]   ask the running agent how it is
  top     --config FILE [--once]   its counters and what they do per second
  init    [--device-type TYPE] [--backend BACKEND] [--output FILE]
                                   write a commented starter configuration
                                   TYPE: sensor, machine (default), vessel
                                   BACKEND: hub (default), otlp-http, otlp-grpc
  replay  --config FILE            run recorded requests from standard input through the pipeline, on a simulated
                                   clock; for `lightship-lab replay`

what this device holds, with no network, whether the agent runs or not
  query [FILTER]                   records that pass, or what is made of them:
                                   lightship query 'service=api level>=error last 2h | stats count by service'
  tail [FILTER]                    records as they come
  trace ID                         one trace with its log lines
  gaps                             what was lost, when and why
  fetch FILTER [--lane LANE]       deliver after all what was dropped, as long as the recorder holds it:
                                   lightship fetch 'service=api http.route=/cart last 5m'
  fetch --history FILTER [--lane LANE]
                                   deliver once more what every destination is done with
  queue ls | show NAME | pause NAME | resume NAME | drop NAME [LANE]
                                   what waits for each destination; pause holds until resume or the next start; drop
                                   gives it up, mission and audit only when they are named
  journal ls | verify              segments; every byte checked (exit code 3: something is damaged)
  journal repair                   keep every block that can be read (the agent must not run)
  journal export --to DIR [--form json|protobuf]
                                   OTLP files, the way out by USB stick
  journal import FILE...           files of `export --form protobuf` into this journal (the agent must not run)

options of these
  --config FILE | --data-dir DIR   where the data lies
  --since T --until T              2h, 2026-03-01T10:20:30Z
  -o, --output FORM                table, json, ndjson, logfmt, otlp-json; --json is -o json
  --explain                        what was read, and which times are incomplete

lightship --version | --help

exit codes: 0 all is well, 1 the agent does not answer, is not well, or has nothing of a trace,
            2 the command or the configuration is wrong, 3 stored data is damaged
";

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
    pub(crate) explain: bool,
    pub(crate) history: bool,
    pub(crate) lane: Option<String>,
    pub(crate) outage: Option<String>,
    pub(crate) since: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) device_type: Option<String>,
    pub(crate) backend: Option<String>,
    /// A file of `init`, a form elsewhere.
    pub(crate) output: Option<PathBuf>,
    pub(crate) to: Option<PathBuf>,
    pub(crate) form: Option<String>,
}

/// What the command line asks for.
pub(crate) enum Asked {
    Help,
    Version,
    Command(Box<Arguments>),
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Asked, lexopt::Error> {
    let mut arguments = Arguments::default();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Asked::Help),
            Short('V') | Long("version") => return Ok(Asked::Version),
            Short('c') | Long("config") => arguments.config = Some(parser.value()?.into()),
            Long("data-dir") => arguments.data_dir = Some(parser.value()?.into()),
            Long("json") => arguments.json = true,
            Long("once") => arguments.once = true,
            Long("explain") => arguments.explain = true,
            Long("history") => arguments.history = true,
            Long("lane") => arguments.lane = Some(parser.value()?.string()?),
            Long("outage") => arguments.outage = Some(parser.value()?.string()?),
            Long("since") => arguments.since = Some(parser.value()?.string()?),
            Long("until") => arguments.until = Some(parser.value()?.string()?),
            Long("device-type") => arguments.device_type = Some(parser.value()?.string()?),
            Long("backend") => arguments.backend = Some(parser.value()?.string()?),
            Short('o') | Long("output") => arguments.output = Some(parser.value()?.into()),
            Long("to") => arguments.to = Some(parser.value()?.into()),
            Long("form") => arguments.form = Some(parser.value()?.string()?),
            Value(word) if arguments.command.is_none() => arguments.command = Some(word.string()?),
            Value(word) => arguments.words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(Asked::Command(Box::new(arguments)))
}
