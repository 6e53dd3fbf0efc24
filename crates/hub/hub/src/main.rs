//! `lightship-hub`: the program in the centre.

mod health_question;
mod tokens;

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hub::duration;
use hub::run::{self, Config};
use hub::tls::TlsFiles;
use store::Options;
use tokio::signal::unix::{SignalKind, signal};

/// glibc's allocator keeps what each thread once had: under load that comes and goes, it holds several times what is in use.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Stores what Lightship devices send, answers, shows it, and says how complete every answer is.
#[derive(Parser)]
#[command(name = "lightship-hub", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the hub until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Check data directory, token and certificate, and say what is wrong. Changes nothing.
    Check(RunArgs),
    /// Mend the data directory of a hub that does not run: rebuild what packs can tell. Deletes nothing.
    Repair(RepairArgs),
    /// Make, list and revoke the tokens of those who may ask, send and operate.
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Print the audit log, and say whether it is as it was written: exit code 1 when it is not.
    Audit(tokens::AuditArgs),
    /// Ask a running hub whether it is well: exit code 0 when it is, 1 when it is not or does not answer.
    Health(HealthArgs),
}

#[derive(Args)]
struct RepairArgs {
    /// The data directory.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Take what cannot be read as lost: health no longer minds it; answers over its time stay incomplete.
    #[arg(long)]
    accept_loss: bool,
}

#[derive(Args)]
struct HealthArgs {
    /// Address of its queries and web page.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    http: String,
    /// The authority of its certificate (DATA-DIR/tls/ca.pem), where they have TLS.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let ns = duration::parse_ns(text).ok_or("a number with a unit: 60s, 10m, 12h, 30d")?;
    Ok(Duration::from_nanos(ns))
}

#[derive(Args)]
struct RunArgs {
    /// Where everything is kept; created if it is not there.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Address of queries, the web page and OTLP/HTTP; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    http: String,
    /// Address of the link that devices connect to (HTTPS); port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7443")]
    link: String,
    /// Let the link be reached from beyond this machine although no token is asked for: anybody may send as any device.
    #[arg(long, conflicts_with = "token_file")]
    insecure_no_token: bool,
    /// Let queries and the page be reached from beyond this machine without TLS, and without a token where none was made.
    #[arg(long)]
    insecure_plain_http: bool,
    /// Serve queries and the page over TLS with the link's certificate, also on this machine.
    #[arg(long, conflicts_with = "insecure_plain_http")]
    http_tls: bool,
    /// A file with the token that devices and OTLP senders must show; without it, none is asked for.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A further name or address that the made certificate is valid for; may repeat.
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert")]
    tls_name: Vec<String>,
    /// Your own certificate chain (PEM); without it, one is made in DATA-DIR/tls.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of your own certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Delete what is older than this (whole packs); without it, everything is kept.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    retention: Option<Duration>,
    /// Move frames from memory into packs when they are older than this.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    compact_after: Duration,
    /// Memory of the whole hub, in MiB; beyond the share of what is not packed yet (3/16) senders are told to wait.
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    memory: u32,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Args)]
struct LimitArgs {
    /// Most devices; one more is refused.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_devices: u32,
    /// Most connections of each port; beyond them the one that has been idle longest makes room.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..=60_000))]
    max_connections: u32,
}

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(75);

impl RunArgs {
    fn config(self) -> Config {
        let tls = self.tls_cert.zip(self.tls_key).map(|(cert, key)| TlsFiles { cert, key });
        Config {
            data_dir: self.data_dir,
            http: self.http,
            link: self.link,
            token_file: self.token_file,
            tls,
            tls_names: self.tls_name,
            insecure_no_token: self.insecure_no_token,
            insecure_plain_http: self.insecure_plain_http,
            http_tls: self.http_tls,
            connections: self.limits.max_connections as usize,
            idle: IDLE,
            memory: self.memory as usize * (1 << 20),
            store: Options {
                compact_after: self.compact_after,
                retention: self.retention,
                max_devices: self.limits.max_devices as usize,
                ..Options::default()
            },
        }
    }
}

/// Threads for what blocks: queries, decoding, the disk.
const BLOCKING_THREADS: usize = 64;
/// Exit code of everything that the operator has to mend.
const CANNOT_START: u8 = 2;
/// Exit code of a hub that is not well, or not there.
const UNWELL: u8 = 1;

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("lightship-hub: {error:#}");
    ExitCode::from(CANNOT_START)
}

/// How long mimalloc keeps a page that is free, milliseconds; it asks the environment before `main` begins.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Starts the program again in its own place with an allocator that gives pages back at once: after the second that is its default, a hub
/// whose load comes and goes holds about twice as much. Where that cannot be, it goes on as it is.
fn give_pages_back_at_once() {
    if std::env::var_os(PURGE_DELAY).is_some() {
        return;
    }
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let error = again.args(arguments).env(PURGE_DELAY, "0").exec();
    eprintln!("lightship-hub: it keeps free memory for a second: {error}");
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => {
            give_pages_back_at_once();
            let runtime = match tokio::runtime::Builder::new_multi_thread()
                .max_blocking_threads(BLOCKING_THREADS)
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => return fail(&anyhow::anyhow!("cannot start: {error}")),
            };
            runtime.block_on(serve(args.config()))
        }
        Command::Health(args) => match health_question::ask(&args.http, args.ca.as_deref()) {
            Ok(body) => {
                println!("{}", body.trim());
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("lightship-hub: {}: {error}", args.http);
                ExitCode::from(UNWELL)
            }
        },
        Command::Token(command) => match tokens::run(command) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Command::Audit(args) => match tokens::audit(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("lightship-hub: {error:#}");
                ExitCode::from(UNWELL)
            }
        },
        Command::Check(args) => match run::check(&args.config()) {
            Ok(wrong) if wrong.is_empty() => {
                println!("ok");
                ExitCode::SUCCESS
            }
            Ok(wrong) => {
                wrong.iter().for_each(|line| eprintln!("lightship-hub: {line}"));
                ExitCode::from(UNWELL)
            }
            Err(error) => fail(&error),
        },
        Command::Repair(args) => match run::repair(&args.data_dir, args.accept_loss) {
            Ok((lines, wrong)) => {
                lines.iter().for_each(|line| println!("{line}"));
                wrong.iter().for_each(|line| eprintln!("lightship-hub: {line}"));
                ExitCode::from(if wrong.is_empty() { 0 } else { UNWELL })
            }
            Err(error) => fail(&error),
        },
    }
}

async fn serve(config: Config) -> ExitCode {
    let signals = signal(SignalKind::terminate())
        .and_then(|term| Ok((term, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?)));
    let (mut terminate, mut interrupt, mut hangup) = match signals {
        Ok(signals) => signals,
        Err(error) => return fail(&anyhow::anyhow!("cannot listen to signals: {error}")),
    };
    let data_dir = config.data_dir.clone();
    let hub = match run::start(config).await {
        Ok(hub) => hub,
        Err(error) => return fail(&error),
    };
    println!("lightship-hub {} is ready", env!("CARGO_PKG_VERSION"));
    let scheme = if hub.http_tls { "https" } else { "http" };
    println!("  page and queries  {scheme}://{}/", hub.http);
    println!("  OTLP/HTTP         {scheme}://{}/v1/traces", hub.http);
    println!("  devices           https://{}/", hub.link);
    if let Some(ca) = &hub.ca {
        println!("  devices trust     {}", ca.display());
    }
    println!("  data              {}", data_dir.display());
    // Nobody reads it any more: the hub works all the same.
    let _ = std::io::stdout().flush();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => eprintln!("lightship-hub: SIGHUP: options are read at start only; restart to change them"),
        }
    }
    eprintln!("lightship-hub: stopping");
    hub.stop().await;
    ExitCode::SUCCESS
}
