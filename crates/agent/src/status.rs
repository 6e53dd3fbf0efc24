//! `status`, `top` and `queue`: the running agent, asked on its admin address or its socket.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use config::Config;

use crate::arguments::Arguments;
use crate::{Failure, print, print_on, socket};

/// How long `top` watches before it shows rates.
const WATCH: Duration = Duration::from_secs(2);

pub(crate) fn get(config: &Config, path: &str) -> Result<String, Failure> {
    let address = admin_address(config);
    socket::on_network(&address, path).map_err(|error| {
        Failure::unwell(format!(
            "no agent answers on {address}: {error}; is `lightship run` up with this configuration?"
        ))
    })
}

/// Prints the agent's status, for people or as JSON.
pub(crate) fn show(config: &Config, json: bool) -> Result<(), Failure> {
    print(&get(config, if json { "/status" } else { "/status?format=text" })?)?;
    let health = get(config, "/healthz")?;
    if !health.contains("\"ok\"") {
        return Err(Failure::unwell(format!("the agent is not well: {}", health.trim())));
    }
    let ready = get(config, "/readyz")?;
    match ready.contains("\"ready\"") {
        true => Ok(()),
        false => Err(Failure::unwell(format!("the agent runs, and an operator has to act: {}", ready.trim()))),
    }
}

/// Where the agent says that it listens; where it was told to, when it says nothing.
fn admin_address(config: &Config) -> String {
    let written = std::fs::read_to_string(config.data_dir.join("addresses.json")).unwrap_or_default();
    let stated = written.split("\"admin\":\"").nth(1).and_then(|rest| rest.split('"').next());
    stated.map_or_else(|| config.admin.listen.to_string(), str::to_owned)
}

/// The samples of a Prometheus text, by name with labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// Everything that is not 0: what it is now, and what counters do per second.
pub(crate) fn top(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let redraw = std::io::stdout().is_terminal() && !arguments.once;
    let mut before = samples(&get(config, "/metrics")?);
    loop {
        std::thread::sleep(WATCH);
        let now = samples(&get(config, "/metrics")?);
        let mut out = String::from(if redraw { "\u{1b}[H\u{1b}[2J" } else { "" });
        out.push_str(&format!("{:<58} {:>14} {:>12}\n", "NAME", "VALUE", "PER SECOND"));
        for (name, value) in now.iter().filter(|(_, value)| **value != 0.0) {
            let shown = name.trim_start_matches("lightship_");
            let rate = match shown.split('{').next().is_some_and(|family| family.ends_with("_total")) {
                true => {
                    let grown = value - before.get(name).copied().unwrap_or(0.0);
                    format!("{:.1}", grown / WATCH.as_secs_f64())
                }
                false => String::new(),
            };
            out.push_str(&format!("{shown:<58} {value:>14} {rate:>12}\n"));
        }
        if !print_on(&out)? || arguments.once {
            return Ok(());
        }
        before = now;
    }
}

/// `lightship queue`
pub(crate) fn queue(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let words: Vec<&str> = arguments.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["ls"] if arguments.json => {
            let status = get(config, "/status")?;
            let destinations = status.rsplit_once("\"destinations\":").map_or("[]}", |(_, rest)| rest.trim_end());
            print(&format!("{}\n", destinations.strip_suffix('}').unwrap_or(destinations)))
        }
        [] | ["ls"] => lines(config, |_| true),
        ["show", name] => lines(config, |line| line.split_whitespace().nth(1) == Some(name)),
        [what @ ("pause" | "resume" | "drop"), name, lane @ ..] if lane.len() <= usize::from(*what == "drop") => {
            let lane = lane.first().map_or(String::new(), |lane| format!("?lane={lane}"));
            let answer = socket::on_socket(&config.data_dir, "POST", &format!("/queue/{what}/{name}{lane}"))
                .and_then(socket::text)
                .map_err(|error| {
                    let path = config.data_dir.join(edge::SOCKET);
                    Failure::unwell(format!(
                        "{}: {error}; is the agent running, and may you write there?",
                        path.display()
                    ))
                })?;
            print(&answer)
        }
        _ => Err(Failure::usage("which? lightship queue ls | show NAME | pause NAME | resume NAME | drop NAME [LANE]")),
    }
}

fn lines(config: &Config, wanted: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let status = get(config, "/status?format=text")?;
    let found: String = status
        .lines()
        .filter(|line| line.starts_with("destination ") && wanted(line))
        .map(|line| format!("{line}\n"))
        .collect();
    match found.is_empty() {
        true => Err(Failure::usage("no destination has this name; see lightship queue ls")),
        false => print(&found),
    }
}
