//! The task runner of this repository: `cargo xtask TASK`. It runs tools and looks at files; nothing ships from here.

mod backends;
mod bench;
mod browser;
mod build;
mod canary;
mod check;
mod circles;
mod clients;
mod clock;
mod containers;
mod cost;
mod deploy;
mod disk;
mod dist;
mod drain;
mod floors;
mod fuzz;
mod hostile;
mod interop;
mod kill;
mod links;
mod masking;
mod mutants;
mod promqltest;
mod prove;
mod reference;
mod report;
mod sampling;
mod sdk;
mod sources;
mod test;
mod tools;
mod ui;

use anyhow::{Result, bail};
use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask TASK [OPTIONS]

  demo [OPTIONS]      build everything and run the demonstration (--smoke: the short one that judges itself)
  test                every test of the workspace, the web page and the golden vectors
  check [--quick]     formatting, lints, docs, floors, circles of files, file lengths, links, the agent's smallest builds,
                      licences (--quick: what compiles nothing)
  sdk                 OpenTelemetry's Python SDK sends to the agent, and all of it is looked for in the hub
  clients             SDKs in four languages send to the agent at once; every field of every record is compared with what
                      was sent (--long SECONDS: how long one of their spans lasts; --only NAME: some of them)
  backends [--cached] what goes to Prometheus, VictoriaMetrics, VictoriaLogs, NATS and Mosquitto is looked for in them; they are built
                      from Go modules, once (Prometheus: ten minutes; --cached: only those that are built)
  promqltest [OPTIONS] Prometheus' own tests of PromQL, from its Go module, against ours (--json: the report; --write: into
                      docs/results)
  drain [OPTIONS]     every wrong answer of a destination at once, dead ones, a flapping link: none harms another (--minutes M,
                      --report FILE)
  interop [OPTIONS]   two hours of a vessel behind a link that is down, to real backends at once: what is built of Prometheus,
                      VictoriaMetrics, VictoriaLogs and Jaeger (--hours H, --build, --write: docs/backends.md)
  hostile [OPTIONS]   every attack at once on both programs, beside an honest producer (--seconds S, --report FILE)
  prove NAME          a long proof, with its report in docs/results; without a name, which there are
  test-browser        the page of a demonstration, clicked through in headless Chromium
  mutants             smoke run and kill drill must fail, in the right field, with programs that are broken on purpose
  canary              values that must not get anywhere, planted into every field, log files and scrapes, are found nowhere, in the
                      hub's store neither; with a guard that passes over one field they are
  sampling            the goldens of sampling, replayed on a simulated clock; fidelity under load in little memory
  kill [--kills N]    the agent is killed so often (200) under load, link up and down, with every trace kept and with
                      sampling; everything is compared by id (--results: the outcome goes into docs/results)
  disk                a small file system is filled by someone else under load (--results: into docs/results)
  deploy              units and manifests of deploy/, read by systemd, by Kubernetes' schemas and by the programs
  fuzz [--seconds N]  the fuzz targets, each for so long (60)
  bench NAME ...      a benchmark of the lab with programs as they ship (footprint: the static agent; cost: fails where a stage
                      costs 3 % more than the results say, --write writes them; cpu: beside the Collector; guard: what
                      masking costs, beside the Collector's redaction; false-positives: what it takes for a value that is none)
  dist [OPTIONS]      the programs as they ship, static, for x86_64 and aarch64, with their lists and checksums
                      (--program NAME, --arch ARCH, --output DIR, --jobs N, --fallback: static glibc)
  results [OPTIONS]   measures what ships (--hub FILE), and prints it into docs/reproducibility.md
  test-containers     the images of that under podman, on both architectures (--images DIR)
  sign --key FILE     sign the checksums of that with Ed25519, as cosign verifies it
  test-signature      Debian's cosign accepts such a signature, and refuses what was changed
  repro [OPTIONS]     builds that twice, by builders who share nothing but the commit, and compares every byte
                      (--program NAME, --arch ARCH, --report FILE, --output DIR, --keep, --plant: a time, to be noticed)
  reference           write docs/configuration.md and its schema anew, from the types of the configuration
  ui                  build the web page into ui/dist, when it is stale
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next();
    let rest: Vec<String> = arguments.collect();
    match task.as_deref() {
        Some("demo") => build::demo(&rest),
        Some("test") => no_options(&rest).and_then(|()| test::run_all()),
        Some("check") => check::task(&rest),
        Some("backends") => backends::task(&rest),
        Some("drain") => drain::task(&rest),
        Some("interop") => interop::task(&rest),
        Some("promqltest") => promqltest::task(&rest),
        Some("bench") => bench::task(&rest),
        Some("canary") => no_options(&rest).and_then(|()| canary::task()),
        Some("mutants") => no_options(&rest).and_then(|()| mutants::task()),
        Some("sdk") => no_options(&rest).and_then(|()| sdk::task()),
        Some("clients") => clients::task(&rest),
        Some("hostile") => hostile::task(&rest),
        Some("prove") => prove::task(&rest),
        Some("test-browser") => no_options(&rest).and_then(|()| browser::task()),
        Some("sampling") => no_options(&rest).and_then(|()| sampling::task()),
        Some("kill") => kill::task(&rest),
        Some("fuzz") => fuzz::task(&rest),
        Some("deploy") => no_options(&rest).and_then(|()| deploy::task()),
        Some("disk") => disk::task(&rest),
        Some("dist") => dist::task(&rest),
        Some("results") => dist::results::task(&rest),
        Some("test-containers") => containers::task(&rest),
        Some("sign") => dist::sign::task(&rest),
        Some("test-signature") => no_options(&rest).and_then(|()| dist::sign::test()),
        Some("repro") => dist::repro::task(&rest),
        Some("reference") => no_options(&rest).and_then(|()| reference::task()),
        Some("ui") => no_options(&rest).and_then(|()| ui::task()),
        None | Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("no such task: {other}\n\n{HELP}"),
    }
}

fn no_options(rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(option) => bail!("this task takes no options, but got {option}"),
    }
}
