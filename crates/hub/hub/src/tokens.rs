//! `lightship-hub token` and `lightship-hub audit`.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use access::Role;
use anyhow::Context;
use clap::{Args, Subcommand};
use hub::access::{audit, file};
use serde_json::json;

use crate::parse_duration;

/// What is done with tokens.
#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, this once; a running hub knows it within a second. The first one makes the hub ask everybody who they are.
    Add(AddArgs),
    /// List who is known, and what is kept of their tokens.
    List(ListArgs),
    /// Take a principal out, or one of its tokens; a running hub knows it within a second.
    Revoke(RevokeArgs),
}

#[derive(Args)]
pub(crate) struct AddArgs {
    /// The hub's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Whose it is: a person, a program or a device. One that is known gets one more token.
    #[arg(long)]
    name: String,
    /// viewer asks; sender brings records; operator asks and changes what devices do; admin does everything.
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// The only device that it may send as, for role sender.
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// How long it is good, for example 90d; without it, until it is revoked.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// The hub's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(crate) struct RevokeArgs {
    /// The hub's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Whose.
    #[arg(long)]
    name: String,
    /// Only the token whose digest begins so, as `token list` prints it.
    #[arg(long, value_name = "DIGITS")]
    digest: Option<String>,
}

#[derive(Args)]
pub(crate) struct AuditArgs {
    /// The hub's data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// As JSON, an entry a line.
    #[arg(long)]
    json: bool,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::from_name(text).ok_or_else(|| format!("one of {}", Role::ALL.map(Role::name).join(", ")))
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")
}

/// Runs a command.
///
/// # Errors
/// What is wrong, with what to do about it.
pub(crate) fn run(command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Add(args) => {
            let AddArgs { data_dir, name, role, device, expires } = args;
            let life_s = expires.map(|expires| expires.as_secs());
            let token = file::add_token(&data_dir, &name, (role, device.as_deref()), life_s)?;
            eprintln!("{name} is a {}; this is shown once:", role.name());
            say(token.text())
        }
        TokenCommand::List(args) => {
            let principals = file::read(&file::path(&args.data_dir))?;
            if args.json {
                return say(&serde_json::to_string(principals.all())?);
            }
            for one in principals.all() {
                let device = one.device.as_ref().map(|device| format!(" of device {device}")).unwrap_or_default();
                say(&format!("{} {}{device}", one.name, one.role.name()))?;
                for token in &one.tokens {
                    let until = token.expires_s.map_or("no end".to_owned(), |end| format!("ends {end} s since 1970"));
                    say(&format!("  {} {until}", &token.sha256.to_string()[..12]))?;
                }
            }
            Ok(())
        }
        TokenCommand::Revoke(args) => {
            let gone = file::revoke(&args.data_dir, &args.name, args.digest.as_deref())?;
            eprintln!("{gone} tokens of {} are no longer good", args.name);
            Ok(())
        }
    }
}

/// Prints the audit log.
///
/// # Errors
/// When it cannot be read, or is not as it was written.
pub(crate) fn audit(args: &AuditArgs) -> anyhow::Result<()> {
    for entry in audit::read(&args.data_dir)? {
        if args.json {
            say(&serde_json::to_string(&entry)?)?;
            continue;
        }
        let kind = json!(entry.kind);
        let who = entry.principal.as_deref().unwrap_or("-");
        let address = entry.address.as_deref().unwrap_or("-");
        let seconds = entry.at_ns / 1_000_000_000;
        say(&format!(
            "{} {seconds} {} {who} {address} {}",
            entry.number,
            kind.as_str().unwrap_or_default(),
            entry.what
        ))?;
    }
    Ok(())
}
