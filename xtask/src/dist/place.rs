//! What is built, and where: the only things in which two builds of one commit may differ.

use crate::tools::output;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program that ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// `lightship`, on the device.
    Agent,
    /// `lightship-hub`, in the centre.
    Hub,
}

impl Program {
    pub(crate) const ALL: [Self; 2] = [Self::Agent, Self::Hub];

    pub(crate) fn named(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|program| program.name() == name) {
            Some(program) => Ok(program),
            None => bail!("no such program: {name}; one of lightship, lightship-hub"),
        }
    }

    /// Of its package and of the file.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Agent => "lightship",
            Self::Hub => "lightship-hub",
        }
    }

    /// Its profile in Cargo.toml.
    pub(crate) const fn profile(self) -> &'static str {
        match self {
            Self::Agent => "device",
            Self::Hub => "dist",
        }
    }

    /// How its profile handles a panic, which is a crate of the standard library.
    pub(crate) const fn panic_crate(self) -> &'static str {
        match self {
            Self::Agent => "panic_abort",
            Self::Hub => "panic_unwind",
        }
    }
}

/// A processor architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    X86_64,
    Aarch64,
}

impl Arch {
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    pub(crate) fn named(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|arch| arch.name() == name) {
            Some(arch) => Ok(arch),
            None => bail!("no such architecture: {name}; one of x86_64, aarch64"),
        }
    }

    /// As compilers call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// Where one build happens, and the commit that it builds.
pub(crate) struct Place {
    /// The root of the source.
    pub(crate) source: PathBuf,
    /// For everything that is not kept.
    pub(crate) work: PathBuf,
    /// Cargo's own directory, where it keeps the sources of dependencies.
    pub(crate) cargo_home: PathBuf,
    /// At most so many processes at once; cargo decides without it.
    pub(crate) jobs: Option<usize>,
    /// The time of the commit, in seconds since 1970: SOURCE_DATE_EPOCH.
    pub(crate) epoch: u64,
    /// The commit; "unknown" where there is no git, "+changes" behind it where the files differ from it.
    pub(crate) revision: String,
}

impl Place {
    /// A source outside git tells its commit in SOURCE_DATE_EPOCH and LIGHTSHIP_REVISION.
    pub(crate) fn new(source: PathBuf, work: PathBuf, jobs: Option<usize>) -> Result<Self> {
        let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let epoch = match said("SOURCE_DATE_EPOCH") {
            Some(epoch) => epoch,
            None => git(&source, &["log", "-1", "--format=%ct"])?,
        };
        let epoch = epoch.parse().with_context(|| format!("SOURCE_DATE_EPOCH is no number of seconds: {epoch}"))?;
        let revision = match said("LIGHTSHIP_REVISION") {
            Some(revision) => revision,
            None if source.join(".git").try_exists().unwrap_or(false) => revision(&source)?,
            None => "unknown".to_owned(),
        };
        let cargo_home = match (std::env::var_os("CARGO_HOME"), std::env::var_os("HOME")) {
            (Some(home), _) => PathBuf::from(home),
            (None, Some(home)) => Path::new(&home).join(".cargo"),
            (None, None) => bail!("neither CARGO_HOME nor HOME is set"),
        };
        Ok(Self { source, work, cargo_home, jobs, epoch, revision })
    }
}

fn revision(source: &Path) -> Result<String> {
    let commit = git(source, &["rev-parse", "HEAD"])?;
    let changed = git(source, &["status", "--porcelain", "--untracked-files=no"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit}+changes") })
}

fn git(source: &Path, arguments: &[&str]) -> Result<String> {
    let printed = output(Command::new("git").arg("-C").arg(source).args(arguments))
        .context("without git, set SOURCE_DATE_EPOCH and LIGHTSHIP_REVISION")?;
    Ok(printed.trim().to_owned())
}
