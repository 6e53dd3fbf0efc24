//! The commands: what `help`, completions, the manual page and the reading of the command line know of them.

/// A command of the program.
pub(crate) struct Command {
    /// Its word.
    pub(crate) name: &'static str,
    /// What may follow it, by use.
    pub(crate) uses: &'static [&'static str],
    /// What it does, in one line.
    pub(crate) about: &'static str,
    /// More, for `help NAME`; may be empty.
    pub(crate) more: &'static str,
    /// Long names of the options that it takes besides `--help`.
    pub(crate) options: &'static [&'static str],
    /// The words that may follow, for completions.
    pub(crate) words: &'static [&'static str],
}

/// An option: long name, short one, what its value is (empty: it has none), what it is for.
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) value: &'static str,
    pub(crate) about: &'static str,
}

const PLACE: [&str; 2] = ["config", "data-dir"];

/// Every command, in the order of `help`.
pub(crate) const COMMANDS: [Command; 19] = [
    Command {
        name: "run",
        uses: &[""],
        about: "run the agent",
        more: "Ends in order on SIGTERM and SIGINT: what was taken in is on disk by then, else the exit code says so.",
        options: &["config"],
        words: &[],
    },
    Command {
        name: "check",
        uses: &["", "--connect", "--outage 2h"],
        about: "check the configuration, and with --connect each destination",
        more: "\
Without --connect nothing is sent anywhere and nothing is made: what was not tried is said. --outage: the disk
that so long an outage needs at the measured rates (exit code 1: more than there is).",
        options: &["config", "connect", "outage"],
        words: &[],
    },
    Command {
        name: "doctor",
        uses: &["[--backend NAME] [--aged HOURS] [--json]"],
        about: "look for what is in the way of delivery, each finding with its fix",
        more: "\
Clock, disk, files, limits; then names, proxies, TLS and certificates, and whether each destination (or the one called
NAME) takes each signal. --aged: also sends one record that is HOURS old, called lightship_doctor_probe, and says whether
it was taken. Exit code 1 when something is wrong.",
        options: &["config", "backend", "aged", "json"],
        words: &[],
    },
    Command {
        name: "mask",
        uses: &["test < FILE", "explain [< FILE]"],
        about: "what the guard would make of a file",
        more: "\
test: the lines of FILE as they would be written; OTLP as JSON is walked as requests, everything else is a text. What each
rule masked is counted on standard error. explain: the rules, and the places of FILE where each masks something. Without a
configuration the usual rules hold.",
        options: &["config"],
        words: &["test", "explain"],
    },
    Command {
        name: "exception",
        uses: &["check [FILE]", "sign KEY.pem debug|payloads|all --device-id ID --until TIME [--since TIME] [WHY]"],
        about: "let what production leaves out pass for a time: is a file one that holds, or sign one",
        more: "\
check: whether FILE (else guard.exception.file) holds now on this device, what, and until when; exit code 1 and the reason where it does not.
sign: on an operator's machine, needs no configuration; KEY.pem is what openssl genpkey -algorithm ed25519 writes. The file comes on standard
output, the public key for guard.exception.public_keys on standard error. Times like 2026-11-30T10:00:00Z; without --since it begins now.",
        options: &["config", "device-id", "since", "until"],
        words: &["check", "sign"],
    },
    Command {
        name: "init",
        uses: &["[--device-type TYPE] [--backend BACKEND] [--device-id ID] [--keep-all] [--output FILE]"],
        about: "write a commented starter configuration",
        more: "\
TYPE: sensor, machine (default), vessel. BACKEND: hub (default), otlp-http, otlp-grpc. ID: the host's name when
absent. --keep-all: every trace is delivered, none is sampled out.",
        options: &["device-type", "backend", "device-id", "keep-all", "output"],
        words: &[],
    },
    Command {
        name: "status",
        uses: &["[--json]"],
        about: "ask the running agent how it is",
        more: "Exit code 1 when it does not answer, or is not well.",
        options: &["config", "json"],
        words: &[],
    },
    Command {
        name: "top",
        uses: &["[--once]"],
        about: "what comes in, is kept, waits and is sent, per second",
        more: "--all: every counter by its metric's name.",
        options: &["config", "once", "all"],
        words: &[],
    },
    Command {
        name: "query",
        uses: &["[FILTER]"],
        about: "records that pass, or what is made of them",
        more: "lightship query 'service=api level>=error last 2h | stats count by service'",
        options: &["config", "data-dir", "since", "until", "output", "json", "explain"],
        words: &[],
    },
    Command {
        name: "tail",
        uses: &["[FILTER]"],
        about: "records as they come",
        more: "",
        options: &["config", "data-dir", "since", "until", "output", "json"],
        words: &[],
    },
    Command {
        name: "trace",
        uses: &["ID"],
        about: "one trace with its log records, and where it stands: delivered, queued, undecided, dropped",
        more: "",
        options: &["config", "data-dir", "output", "json", "explain"],
        words: &[],
    },
    Command {
        name: "gaps",
        uses: &[""],
        about: "what was lost, when and why",
        more: "",
        options: &["config", "data-dir", "since", "until", "output", "json"],
        words: &[],
    },
    Command {
        name: "fetch",
        uses: &["FILTER [--lane LANE]", "--history FILTER [--lane LANE]"],
        about: "deliver after all what was dropped, or once more what was delivered",
        more: "\
As long as the recorder holds it: lightship fetch 'service=api http.route=/cart last 5m'
--history: what every destination is done with.",
        options: &["config", "since", "until", "history", "lane"],
        words: &[],
    },
    Command {
        name: "queue",
        uses: &[
            "ls | show NAME",
            "pause NAME | resume NAME",
            "drop NAME [LANE]",
            "dead ls | show FILE",
            "dead retry FILE... | drop FILE... [--all]",
        ],
        about: "what waits for each destination; hold it, let it go, give it up",
        more: "\
pause holds until resume or the next start; drop gives up what waits, mission and audit only when they are named. NAME is a
destination, or one signal of it: backend.traces. dead: what was refused for good; retry sends it to the same destination.",
        options: &["config", "json", "all"],
        words: &["ls", "show", "pause", "resume", "drop", "dead", "retry"],
    },
    Command {
        name: "journal",
        uses: &["ls | verify | repair", "export --to DIR [--form json|protobuf]", "import FILE..."],
        about: "the files of the journal: list, check, repair, carry away and bring in",
        more: "\
verify: every byte checked (exit code 3: something is damaged). repair: keep every block that can be read (the agent
must not run). export: OTLP files, the way out by USB stick. import: such files, in either form, into this journal
(the agent must not run).",
        options: &["config", "data-dir", "since", "until", "json", "to", "form"],
        words: &["ls", "verify", "repair", "export", "import"],
    },
    Command {
        name: "replay",
        uses: &[""],
        about: "run recorded requests from standard input through the pipeline, on a simulated clock",
        more: "For `lightship-lab replay`.",
        options: &["config"],
        words: &[],
    },
    Command {
        name: "help",
        uses: &["[COMMAND]"],
        about: "this, or more of one command",
        more: "",
        options: &[],
        words: &[],
    },
    Command {
        name: "completions",
        uses: &["bash | zsh | fish"],
        about: "completions for a shell, on standard output",
        more: "lightship completions bash > /etc/bash_completion.d/lightship",
        options: &[],
        words: &["bash", "zsh", "fish"],
    },
    Command {
        name: "man",
        uses: &[""],
        about: "the manual page, on standard output",
        more: "lightship man | man -l -",
        options: &[],
        words: &[],
    },
];

/// Every option.
pub(crate) const OPTIONS: [Opt; 20] = [
    Opt {
        name: "config",
        short: Some('c'),
        value: "FILE",
        about: "the configuration; else LIGHTSHIP_CONFIG, else /etc/lightship/lightship.yaml",
    },
    Opt { name: "data-dir", short: None, value: "DIR", about: "where the data lies, instead of a configuration" },
    Opt {
        name: "since",
        short: None,
        value: "TIME",
        about: "2h, 07:50, yesterday, 2026-03-01, 2026-03-01T10:20:30Z (times are UTC)",
    },
    Opt { name: "until", short: None, value: "TIME", about: "the same; up to, and without, this time" },
    Opt {
        name: "output",
        short: Some('o'),
        value: "FORM",
        about: "table, json, ndjson, logfmt, otlp-json; a file of init",
    },
    Opt { name: "json", short: None, value: "", about: "JSON, for scripts" },
    Opt { name: "explain", short: None, value: "", about: "what was read, and which times are incomplete" },
    Opt { name: "once", short: None, value: "", about: "show it once" },
    Opt { name: "all", short: None, value: "", about: "every counter; with queue dead, every letter" },
    Opt { name: "connect", short: None, value: "", about: "connect to each destination, as the agent would" },
    Opt { name: "outage", short: None, value: "TIME", about: "how long the outage lasts: 2h" },
    Opt { name: "history", short: None, value: "", about: "what was delivered, once more" },
    Opt { name: "lane", short: None, value: "LANE", about: "into this lane instead of its own" },
    Opt { name: "device-type", short: None, value: "TYPE", about: "sensor, machine, vessel" },
    Opt {
        name: "backend",
        short: None,
        value: "BACKEND",
        about: "a destination's name; for init: hub, otlp-http, otlp-grpc, prometheus, jaeger, loki, nats, mqtt, grafana, victoria",
    },
    Opt { name: "aged", short: None, value: "HOURS", about: "how old the record is that is sent: 24" },
    Opt { name: "device-id", short: None, value: "ID", about: "the device's name in the fleet" },
    Opt { name: "keep-all", short: None, value: "", about: "sample nothing out" },
    Opt { name: "to", short: None, value: "DIR", about: "where the files go" },
    Opt { name: "form", short: None, value: "FORM", about: "json or protobuf" },
];

/// The command of this name.
pub(crate) fn command(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// The option of this long name.
pub(crate) fn option(name: &str) -> Option<&'static Opt> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// Whether the command looks at data where it lies, whether an agent runs or not.
pub(crate) fn reads_data(command: &Command) -> bool {
    PLACE.iter().all(|option| command.options.contains(option))
}
