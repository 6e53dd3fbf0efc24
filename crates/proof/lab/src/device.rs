//! An agent that the lab starts, kills and asks.

use crate::agent_status::Status;
use crate::clock::monotonic;
use crate::http_json;
use crate::program::{Program, path_text};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// The device's name.
const NAME: &str = "vessel-1";
/// How long the agent may take until it is ready.
const READY: Duration = Duration::from_secs(20);

/// Where the agent delivers to.
#[derive(Debug, Clone)]
pub(crate) enum Upstream {
    /// A hub's link, or what stands in front of it.
    Hub { link: SocketAddr, ca: PathBuf },
    /// An OTLP/HTTP receiver.
    Otlp { address: SocketAddr },
}

/// The waits of the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) decision: Duration,
    pub(crate) red: Duration,
    pub(crate) commit: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) backoff: Duration,
}

/// What the agent is told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Setting {
    /// What `lightship init --device-type sensor` writes: policies for errors and slow traces.
    Typical,
    /// The same with all waits shorter by this factor, for a load that is faster by it.
    Hastened(u32),
    /// The load of the vessel: more memory than a typical device needs, and short waits.
    Vessel(Waits),
    /// The recorder in files, answers once the request survives the death of the program; every trace is kept, or those
    /// that the policies say.
    Written { waits: Waits, keep_all: bool, masks: bool },
    /// Every trace is kept; the journal may take more than the disk has.
    SmallDisk(Waits),
    /// The recorder in memory, answers once the request is there; failed and slow traces are kept.
    Received(Waits),
    /// The load of the vessel in so many MiB, the program and everything in it; with the usual masking, or without any.
    Limited { waits: Waits, memory_mib: u64, masks: bool },
}

#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
    admin: SocketAddr,
}

/// A running agent; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Device {
    directory: PathBuf,
    binary: PathBuf,
    program: Option<Program>,
    admin: SocketAddr,
    /// Where it takes OTLP in; another address after a restart.
    pub(crate) otlp_grpc: watch::Sender<SocketAddr>,
    pub(crate) otlp_http: watch::Sender<SocketAddr>,
}

impl Device {
    /// Starts one on free loopback ports, with its files under `directory`.
    pub(crate) async fn start(directory: &Path, binary: &Path, setting: Setting, upstream: &Upstream) -> Result<Self> {
        let file = directory.join("agent.yaml");
        let config = configuration(&directory.join("agent"), setting, upstream)?;
        fs::write(&file, config).with_context(|| format!("cannot write {}", file.display()))?;
        let (program, addresses) = launch(directory, binary).await?;
        Ok(Self {
            directory: directory.to_path_buf(),
            binary: binary.to_path_buf(),
            program: Some(program),
            admin: addresses.admin,
            otlp_grpc: watch::Sender::new(addresses.otlp_grpc),
            otlp_http: watch::Sender::new(addresses.otlp_http),
        })
    }

    /// Kills the agent with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.program.take().context("the agent does not run")?.kill().await
    }

    /// Starts the agent again on the same data.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        let (program, addresses) = launch(&self.directory, &self.binary).await?;
        self.program = Some(program);
        self.admin = addresses.admin;
        self.otlp_grpc.send_replace(addresses.otlp_grpc);
        self.otlp_http.send_replace(addresses.otlp_http);
        Ok(())
    }

    /// Starts the agent and kills it after this time, ready or not.
    pub(crate) async fn kill_while_starting(&mut self, after: Duration) -> Result<()> {
        let agent = spawn(&self.directory, &self.binary)?;
        sleep(after).await;
        agent.kill().await
    }

    /// Asks the agent to end, and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.program.take().context("the agent does not run")?.stop().await
    }

    /// The agent's process.
    pub(crate) fn process(&self) -> Result<u32> {
        self.program.as_ref().context("the agent does not run")?.id()
    }

    /// Where it keeps its data.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.join("agent")
    }

    /// What the agent says of itself.
    pub(crate) async fn status(&self) -> Result<Status> {
        http_json::get(self.admin, "/status").await
    }

    /// Asks the agent until `done` is true of its answer; an error when that takes longer than `patience`.
    pub(crate) async fn wait_until(
        &self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut(&Status) -> bool,
    ) -> Result<Status> {
        let begin = monotonic();
        loop {
            let status = self.status().await?;
            if done(&status) {
                return Ok(status);
            }
            if monotonic().duration_since(begin) > patience {
                bail!("the agent was not {what} after {} s; it says: {status:?}", patience.as_secs());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Starts the program; what a former life wrote of its addresses is gone then.
fn spawn(directory: &Path, binary: &Path) -> Result<Program> {
    let file = addresses_file(directory);
    if let Err(error) = fs::remove_file(&file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot remove {}", file.display()));
    }
    let config = directory.join("agent.yaml");
    let arguments = ["run", "--config", path_text(&config)?];
    Program::start("lightship", binary, &arguments, &directory.join("agent.log"))
}

fn addresses_file(directory: &Path) -> PathBuf {
    directory.join("agent/addresses.json")
}

async fn launch(directory: &Path, binary: &Path) -> Result<(Program, Addresses)> {
    let mut agent = spawn(directory, binary)?;
    let addresses: Addresses = agent.wrote(&addresses_file(directory)).await?;
    let begin = monotonic();
    while !http_json::is_ok(addresses.admin, "/readyz").await {
        agent.id()?;
        if monotonic().duration_since(begin) > READY {
            bail!("the agent was not ready after {} s (http://{}/readyz)", READY.as_secs(), addresses.admin);
        }
        sleep(Duration::from_millis(20)).await;
    }
    Ok((agent, addresses))
}

/// What is left of the memory beside the program and its fixed parts goes to the recorder and the sampler.
fn limited(waits: Waits, memory_mib: u64) -> (String, String, String) {
    let ms = |wait: Duration| format!("{}ms", wait.as_millis());
    let kib = memory_mib << 10;
    let rest = kib.saturating_sub(FIXED_KIB + kib / 8) / 2;
    (
        format!("  decision_wait: {}\n  memory: {rest}KiB\n", ms(waits.decision)),
        format!(
            "recorder: {{ memory: {rest}KiB }}\nred: {{ interval: {}, max_series: 64 }}\n\
             journal: {{ budget: 1GiB, commit_delay: {} }}\n",
            ms(waits.red),
            ms(waits.commit)
        ),
        format!(", heartbeat: {}, max_backoff: {}", ms(waits.heartbeat), ms(waits.backoff)),
    )
}

/// The program, sources, RED, and what waits for the journal and the destination; an eighth of the whole comes on top, for
/// what grows with the rate.
const FIXED_KIB: u64 = 5_632;

fn configuration(data: &Path, setting: Setting, upstream: &Upstream) -> Result<String> {
    let ms = |wait: Duration| format!("{}ms", wait.as_millis());
    let (sampling, rest, pace) = match setting {
        // As `lightship init --device-type sensor` writes it, which is for this very load.
        Setting::Typical => (
            "  memory: 256KiB\n".to_owned(),
            "recorder: { memory: 512KiB }\njournal: { budget: 8MiB }\n".to_owned(),
            String::new(),
        ),
        Setting::Hastened(speed) => (
            format!("  decision_wait: {}\n  memory: 256KiB\n", ms(Duration::from_secs(10) / speed)),
            format!(
                "recorder: {{ memory: 512KiB }}\nred: {{ interval: {} }}\njournal: {{ budget: 8MiB, commit_delay: {} }}\n",
                ms(Duration::from_secs(10) / speed),
                ms(Duration::from_secs(1) / speed)
            ),
            String::new(),
        ),
        Setting::Vessel(waits) | Setting::Received(waits) => (
            // Decisions are remembered for an hour: 8 bytes for each of about 200 traces a second.
            format!("  decision_wait: {}\n  memory: 16MiB\n", ms(waits.decision)),
            format!(
                "recorder: {{ memory: 16MiB }}\nred: {{ interval: {} }}\njournal: {{ budget: 64MiB, commit_delay: {} }}\n",
                ms(waits.red),
                ms(waits.commit)
            ),
            format!(", heartbeat: {}, max_backoff: {}", ms(waits.heartbeat), ms(waits.backoff)),
        ),
        Setting::Written { waits, .. } => (
            format!("  decision_wait: {}\n  memory: 16MiB\n", ms(waits.decision)),
            format!(
                "recorder: {{ memory: 16MiB, files: 96MiB }}\nred: {{ interval: {} }}\n\
                 journal: {{ budget: 256MiB, commit_delay: {} }}\n",
                ms(waits.red),
                ms(waits.commit)
            ),
            format!(", heartbeat: {}, max_backoff: {}", ms(waits.heartbeat), ms(waits.backoff)),
        ),
        Setting::SmallDisk(waits) => (
            format!("  decision_wait: {}\n  memory: 1MiB\n", ms(waits.decision)),
            format!(
                "recorder: {{ memory: 1MiB }}\nred: {{ interval: {} }}\n\
                 journal: {{ budget: 64MiB, commit_delay: {} }}\n",
                ms(waits.red),
                ms(waits.commit)
            ),
            format!(", heartbeat: {}, max_backoff: {}", ms(waits.heartbeat), ms(waits.backoff)),
        ),
        Setting::Limited { waits, memory_mib, .. } => limited(waits, memory_mib),
    };
    let policies = match setting {
        Setting::Written { keep_all: true, .. } | Setting::SmallDisk(_) => "    - { name: all, type: always_sample }\n",
        _ => {
            "    - { name: errors, type: status_code, status_code: { status_codes: [ERROR] } }\n    \
             - { name: slow, type: latency, latency: { threshold_ms: 200 } }\n"
        }
    };
    let limit = match setting {
        Setting::Limited { memory_mib, .. } => format!("memory: {memory_mib}MiB\n"),
        _ => String::new(),
    };
    let guard = match setting {
        Setting::Limited { masks: false, .. } | Setting::Written { masks: false, .. } => "guard: { defaults: false }\n",
        _ => "",
    };
    let destination = match upstream {
        Upstream::Hub { link, ca } => {
            format!("name: hub, type: hub, url: \"https://{link}\", ca_file: {}", path_text(ca)?)
        }
        Upstream::Otlp { address } => format!("name: sink, type: otlp, url: \"http://{address}\""),
    };
    Ok(format!(
        r#"version: 0
device: {{ id: {NAME} }}
data_dir: {data}
{limit}sources:
  otlp: {{ grpc: "127.0.0.1:0", http: "127.0.0.1:0", max_request: 256KiB, in_flight: 512KiB,
    lanes: [mission, audit], lane_bytes_per_minute: 1GiB }}
sampling:
{sampling}  policies:
{policies}{rest}{guard}destinations:
  - {{ {destination}{pace} }}
admin: {{ listen: "127.0.0.1:0" }}
"#,
        data = path_text(data)?,
    ))
}
