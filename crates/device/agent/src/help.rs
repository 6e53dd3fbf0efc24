//! `help`, `completions`, `man`: all made of [`COMMANDS`].

use std::fmt::Write;

use crate::commands::{COMMANDS, Command, OPTIONS, Opt, command, option, reads_data};

const ABOUT: &str = "telemetry for machines that the network cannot always reach";
const EXIT_CODES: &str = "\
exit codes: 0 all is well, 1 the agent does not answer, is not well, or has nothing of a trace,
            2 the command or the configuration is wrong, 3 stored data is damaged
";

/// What `--help` says.
pub(crate) fn overview() -> String {
    let mut out = format!("lightship: {ABOUT}\n\nusage: lightship COMMAND [OPTIONS]\n\nthe agent\n");
    let row = |out: &mut String, command: &Command| {
        // Writing into a String cannot fail.
        let _written = writeln!(out, "  {:<12} {}", command.name, command.about);
    };
    COMMANDS.iter().filter(|one| !reads_data(one)).for_each(|one| row(&mut out, one));
    out.push_str("\nwhat this device holds, with no network, whether the agent runs or not\n");
    COMMANDS.iter().filter(|one| reads_data(one)).for_each(|one| row(&mut out, one));
    out.push_str("\nlightship help COMMAND says more of one; lightship --version\n\n");
    out.push_str(EXIT_CODES);
    out
}

/// What `help NAME` says; `None` for no command.
pub(crate) fn of(name: &str) -> Option<String> {
    let command = command(name)?;
    let mut out = format!("lightship {}: {}\n\n", command.name, command.about);
    for (at, words) in command.uses.iter().enumerate() {
        let begin = if at == 0 { "usage:" } else { "      " };
        let _written = writeln!(out, "{}", format!("{begin} lightship {} {words}", command.name).trim_end());
    }
    if !command.more.is_empty() {
        let _written = write!(out, "\n{}\n", command.more);
    }
    if !command.options.is_empty() {
        out.push_str("\noptions\n");
        for one in command.options.iter().filter_map(|name| option(name)) {
            let _written = writeln!(out, "  {:<22} {}", spelled(one), one.about);
        }
    }
    out.push('\n');
    out.push_str(EXIT_CODES);
    Some(out)
}

fn spelled(option: &Opt) -> String {
    let short = option.short.map_or(String::new(), |short| format!("-{short}, "));
    format!("{short}--{} {}", option.name, option.value).trim_end().to_owned()
}

/// A script for a shell; `None` for one that is not known.
pub(crate) fn completions(shell: &str) -> Option<String> {
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.name).collect();
    Some(match shell {
        "bash" => bash(&names.join(" ")),
        // zsh reads the same through its own bridge.
        "zsh" => format!("#compdef lightship\nautoload -U +X bashcompinit && bashcompinit\n{}", bash(&names.join(" "))),
        "fish" => fish(&names.join(" ")),
        _ => return None,
    })
}

fn words_after(command: &Command) -> String {
    let options = command.options.iter().map(|option| format!("--{option}"));
    command.words.iter().map(|word| (*word).to_owned()).chain(options).collect::<Vec<_>>().join(" ")
}

fn bash(names: &str) -> String {
    let mut cases = String::new();
    for command in COMMANDS.iter().filter(|command| command.name != "help") {
        let _written = writeln!(cases, "    {}) words=\"{} --help\" ;;", command.name, words_after(command));
    }
    format!(
        "_lightship() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} words
  case ${{COMP_WORDS[COMP_CWORD-1]}} in
    --config|-c|--data-dir|--to) COMPREPLY=($(compgen -f -- \"$word\")); return ;;
  esac
  case $COMP_CWORD-${{COMP_WORDS[1]}} in
    1-*) COMPREPLY=($(compgen -W \"{names} --help --version\" -- \"$word\")); return ;;
  esac
  case ${{COMP_WORDS[1]}} in
    help) words=\"{names}\" ;;
{cases}  esac
  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))
}}
complete -o default -F _lightship lightship
"
    )
}

fn fish(names: &str) -> String {
    let mut out = String::from("complete -c lightship -f\n");
    for command in &COMMANDS {
        let _written = writeln!(
            out,
            "complete -c lightship -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            command.about.replace('\'', "\\'")
        );
        let within = format!("complete -c lightship -n '__fish_seen_subcommand_from {}'", command.name);
        let words = if command.name == "help" { names.to_owned() } else { command.words.join(" ") };
        if !words.is_empty() {
            let _written = writeln!(out, "{within} -a '{words}'");
        }
        for option in command.options.iter().filter_map(|name| option(name)) {
            let short = option.short.map_or(String::new(), |short| format!(" -s {short}"));
            let value = match option.value {
                "" => "",
                "FILE" | "DIR" => " -r -F",
                _ => " -x",
            };
            let about = option.about.replace('\'', "\\'");
            let _written = writeln!(out, "{within} -l {}{short}{value} -d '{about}'", option.name);
        }
    }
    out
}

/// Text in roff: no line begins with a control character, no hyphen becomes a dash.
fn roff(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-");
    let safe = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    escaped.lines().map(safe).collect::<Vec<_>>().join("\n.br\n")
}

/// The manual page (man(7)).
pub(crate) fn manual() -> String {
    let mut out = format!(
        ".TH LIGHTSHIP 1 \"\" \"lightship {}\"\n.SH NAME\nlightship \\- {}\n.SH SYNOPSIS\n.B lightship\n.I COMMAND\n[OPTIONS]\n\
         .SH COMMANDS\n",
        env!("CARGO_PKG_VERSION"),
        roff(ABOUT)
    );
    for command in &COMMANDS {
        for (at, words) in command.uses.iter().enumerate() {
            let tag = if at == 0 { ".TP" } else { ".TQ" };
            let _written = writeln!(out, "{tag}\n.B {} {}", command.name, roff(words));
        }
        let _written = writeln!(out, "{}", roff(command.about));
        if !command.more.is_empty() {
            let _written = writeln!(out, ".br\n{}", roff(command.more));
        }
        if !command.options.is_empty() {
            let options: Vec<String> = command.options.iter().map(|name| roff(&format!("--{name}"))).collect();
            let _written = writeln!(out, ".br\nOptions: {}", options.join(", "));
        }
    }
    out.push_str(".SH OPTIONS\n");
    for option in &OPTIONS {
        let _written = writeln!(out, ".TP\n.B {}\n{}", roff(&spelled(option)), roff(option.about));
    }
    let _written = write!(
        out,
        ".SH ENVIRONMENT\n.TP\n.B LIGHTSHIP_CONFIG\nThe configuration, where \\-\\-config does not name one.\n.TP\n.B NO_COLOR\n\
         No colours.\n.SH FILES\n.TP\n.B /etc/lightship/lightship.yaml\nThe configuration, where nothing names another.\n\
         .SH EXIT STATUS\n{}\n",
        roff(EXIT_CODES.trim_start_matches("exit codes: ").trim_end())
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every command's own help, the completions of every shell, the manual page (U17). Guarantees: each command
    /// and each option is in all of them, and every option that a command names is described.
    #[test]
    fn u17_help_completions_and_manual_know_every_command() {
        let (overview, manual) = (overview(), manual());
        let scripts = ["bash", "zsh", "fish"].map(|shell| completions(shell).unwrap());
        for command in &COMMANDS {
            let help = of(command.name).unwrap();
            assert!(overview.contains(command.about) && manual.contains(&roff(command.about)), "{}", command.name);
            assert!(scripts.iter().all(|script| script.contains(command.name)), "{}", command.name);
            for name in command.options {
                assert!(option(name).is_some() && help.contains(&format!("--{name}")), "{} {name}", command.name);
                assert!(manual.contains(&roff(&format!("--{name}"))), "{name}");
            }
        }
        assert!(OPTIONS.iter().all(|one| COMMANDS.iter().any(|command| command.options.contains(&one.name))));
        assert!(completions("tcsh").is_none() && of("helm").is_none());
    }
}
