//! `cargo xtask prove NAME`: the long proofs, one command each. They are too long to guard every landing; each writes its report
//! into docs/results, with the commit that it ran on.

use crate::tools::{cargo, root, run, target_dir};
use crate::{build, containers, dist, drain, hostile, interop, kill};
use anyhow::{Context, Result, bail};
use std::process::Command;

/// A proof: its name, what it shows, how long it takes on two cores.
struct Proof {
    name: &'static str,
    about: &'static str,
    run: fn() -> Result<()>,
}

const PROOFS: [Proof; 8] = [
    Proof {
        name: "crash",
        about: "100,000 simulated power cuts and kills lose nothing that was acknowledged (3 h)",
        run: crash,
    },
    Proof {
        name: "kill",
        about: "200 kills of the agent under load, in each of its modes (1.5 h)",
        run: || kill::task(&words(&["--kills", "200", "--results"])),
    },
    Proof {
        name: "hostile",
        about: "half an hour of every attack at once, beside an honest producer",
        run: || hostile::task(&words(&["--seconds", "1800", "--report", "docs/results/hostile.json"])),
    },
    Proof {
        name: "drain",
        about: "every wrong answer of a destination, dead ones, five minutes of a flapping link (10 min)",
        run: || drain::task(&words(&["--minutes", "5", "--report", "docs/results/drain.json"])),
    },
    Proof {
        name: "interop",
        about: "two hours of a vessel without a link, to every backend that is built (10 min)",
        run: || interop::task(&words(&["--write"])),
    },
    Proof {
        name: "fidelity",
        about: "ten minutes at 2,500 spans/s in little memory: every trace that must be kept (12 min)",
        run: fidelity,
    },
    Proof { name: "repro", about: "everything that ships, built twice by strangers: the same bits (1 h)", run: repro },
    Proof {
        name: "results",
        about: "what ships, measured: sizes, memory, an outage of two hours (30 min)",
        run: || dist::results::task(&[]),
    },
];

/// Runs the proof of this name; without one, says which there are.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let [name] = options else {
        let list: String = PROOFS.iter().map(|proof| format!("\n  {:<10} {}", proof.name, proof.about)).collect();
        bail!("which proof?{list}");
    };
    match PROOFS.iter().find(|proof| proof.name == name) {
        Some(proof) => (proof.run)(),
        None => bail!("no such proof: {name}; cargo xtask prove lists them"),
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn crash() -> Result<()> {
    run(cargo()?.args(["build", "--locked", "--release", "--package", "lightship-crash"]))?;
    let programs = build::programs()?;
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args(["crash", "--", "--seeds", "100000", "--output", "docs/results/crash.json"]);
    run(&mut lab)
}

/// The programs that ship, twice the same, and what is made of them: images that run, checksums that others verify.
fn repro() -> Result<()> {
    let output = target_dir()?.join("dist");
    let output = output.to_str().context("the target directory's name is not UTF-8")?;
    dist::repro::task(&words(&["--report", "docs/results/repro.json", "--output", output]))?;
    dist::sign::test()?;
    containers::task(&[])
}

fn fidelity() -> Result<()> {
    let programs = build::programs()?;
    let mut lab = Command::new(&programs.lab);
    lab.current_dir(root()?).args([
        "drill",
        "fidelity",
        "--seconds",
        "600",
        "--spans-per-second",
        "2500",
        "--memory",
        "12",
    ]);
    lab.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub);
    run(lab.args(["--output", "docs/results/fidelity-2500.json"]))
}
