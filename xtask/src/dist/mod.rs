//! `cargo xtask dist`: the programs as they ship, the same bits from the same source (P12, docs/reproducibility.md).

mod artefacts;
mod audit;
mod compile;
mod elf;
mod images;
mod inputs;
mod job;
mod licences;
mod packages;
mod place;
pub(crate) mod repro;
pub(crate) mod results;
mod sbom;
pub(crate) mod sign;
mod toolchain;

use crate::tools::{root, target_dir};
use crate::ui;
use anyhow::{Context, Result, bail};
use artefacts::Artefacts;
use job::{Job, Linkage};
use lexopt::prelude::{Long, ValueExt};
use place::{Arch, Place, Program};
use std::fs;
use std::path::PathBuf;

/// What is asked for.
struct Options {
    programs: Vec<Program>,
    archs: Vec<Arch>,
    source: PathBuf,
    output: PathBuf,
    work: PathBuf,
    inputs: PathBuf,
    jobs: Option<usize>,
    fallback: bool,
}

/// Builds what ships and writes it, with its lists and checksums, into one directory.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let options = parse(options)?;
    let place = Place::new(options.source, options.work, options.jobs)?;
    let foundation = match options.fallback {
        true => Err("--fallback was given".to_owned()),
        false => inputs::collect(&options.inputs).map_err(|error| format!("{error:#}")),
    };
    let toolchain = match &foundation {
        Ok(inputs) => toolchain::musl(&place, inputs)?,
        Err(_) => toolchain::plain(&place)?,
    };
    if let Err(why) = &foundation {
        eprintln!("dist: static glibc (+crt-static) for x86-64 instead of musl, because: {why}");
    }
    if options.programs.contains(&Program::Hub) {
        ui::build_in(&place.source.join("ui"))?;
    }
    let mut artefacts = Artefacts::new(&options.output, &place)?;
    for arch in &options.archs {
        if foundation.is_err() && *arch != Arch::X86_64 {
            eprintln!("dist: SKIPPED {}: static glibc is built for this machine only", arch.name());
            continue;
        }
        for program in &options.programs {
            let job = Job { program: *program, arch: *arch, linkage: Linkage::Pie, features: None };
            let packages = packages::linked(&place, &toolchain, &job)?;
            let built = compile::build(&place, &toolchain, &job, &packages)?;
            artefacts.add(&job, &toolchain, &built, &packages)?;
        }
    }
    artefacts.finish(&place, &toolchain)
}

/// Builds `lightship` for this kind of machine as it ships; gives its path.
pub(crate) fn agent() -> Result<PathBuf> {
    task(&["--program".to_owned(), "lightship".to_owned(), "--arch".to_owned(), "x86_64".to_owned()])?;
    let directory = target_dir()?.join("dist");
    let names = ["lightship-x86_64-linux-musl", "lightship-x86_64-linux-glibc"];
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file()).context("no static lightship was built")
}

fn parse(options: &[String]) -> Result<Options> {
    let mut parsed = Options {
        programs: Vec::new(),
        archs: Vec::new(),
        source: root()?,
        output: target_dir()?.join("dist"),
        work: target_dir()?.join("dist-work"),
        inputs: inputs::cache()?,
        jobs: None,
        fallback: false,
    };
    let mut parser = lexopt::Parser::from_args(options);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("program") => parsed.programs.push(Program::named(&parser.value()?.string()?)?),
            Long("arch") => parsed.archs.push(Arch::named(&parser.value()?.string()?)?),
            Long("source") => parsed.source = parser.value()?.into(),
            Long("output") => parsed.output = parser.value()?.into(),
            Long("work") => parsed.work = parser.value()?.into(),
            Long("inputs") => parsed.inputs = parser.value()?.into(),
            Long("jobs") => parsed.jobs = Some(parser.value()?.parse()?),
            Long("fallback") => parsed.fallback = true,
            other => bail!("{}; see cargo xtask help", other.unexpected()),
        }
    }
    if parsed.programs.is_empty() {
        parsed.programs = Program::ALL.to_vec();
    }
    if parsed.archs.is_empty() {
        parsed.archs = Arch::ALL.to_vec();
    }
    // Compilers are told these paths, wherever they run.
    for path in [&mut parsed.source, &mut parsed.output, &mut parsed.work, &mut parsed.inputs] {
        *path = std::path::absolute(&path).with_context(|| format!("no such path: {}", path.display()))?;
    }
    fs::create_dir_all(&parsed.work).with_context(|| format!("cannot make {}", parsed.work.display()))?;
    Ok(parsed)
}
