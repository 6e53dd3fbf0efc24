//! Programs that the lab starts, watches and ends.

use crate::clock::monotonic;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// How long a program may take until it is up.
const START: Duration = Duration::from_secs(30);
/// How long a program may take to end when it is asked to.
const END: Duration = Duration::from_secs(15);

/// A running program; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it in a process group of its own, so that Ctrl-C reaches the lab alone; what it prints is appended to `log`.
    pub(crate) fn start<S: AsRef<OsStr>>(
        name: &'static str,
        binary: &Path,
        arguments: &[S],
        log: &Path,
    ) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(log);
        let file = open().with_context(|| format!("cannot write {}", log.display()))?;
        let child = Command::new(binary)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name}: {}", binary.display()))?;
        Ok(Self { name, child, log: log.to_path_buf() })
    }

    /// Waits until the program has written this JSON file, and reads it.
    pub(crate) async fn wrote<T: DeserializeOwned>(&mut self, path: &Path) -> Result<T> {
        let begin = monotonic();
        loop {
            // A file that is being written may not be whole yet.
            if let Ok(text) = fs::read(path)
                && let Ok(read) = serde_json::from_slice(&text)
            {
                return Ok(read);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}; it said:\n{}", self.name, self.last_words());
            }
            if monotonic().duration_since(begin) > START {
                let (name, path) = (self.name, path.display());
                bail!("{name} did not write {path} within {} s; it said:\n{}", START.as_secs(), self.last_words());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The process id, while it runs.
    pub(crate) fn id(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended; it said:\n{}", self.name, self.last_words()))
    }

    /// Kills it, as a power switch would.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.id()?;
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = self.id()?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id beyond the system's")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot end {}", self.name))?;
        let ended = timeout(END, self.child.wait()).await;
        let status = ended.with_context(|| format!("{} did not end within {} s", self.name, END.as_secs()))??;
        if !status.success() {
            bail!("{} ended with {status}; it said:\n{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// The end of what it printed.
    fn last_words(&self) -> String {
        let printed = fs::read(&self.log).unwrap_or_default();
        let printed = String::from_utf8_lossy(&printed);
        let lines: Vec<&str> = printed.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// The program of this name beside the lab itself, unless a path is given.
pub(crate) fn locate(given: Option<&Path>, name: &str) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_path_buf(),
        None => std::env::current_exe().context("cannot tell where the lab is")?.with_file_name(name),
    };
    if !path.is_file() {
        bail!("there is no {name} at {}; build it, or say where it is (`cargo xtask demo` does both)", path.display());
    }
    Ok(path)
}

/// A path as an argument or a value in a configuration.
pub(crate) fn path_text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("the path is not UTF-8: {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, log: &Path) -> Program {
        Program::start("a script", Path::new("/bin/sh"), &["-c", script], log).unwrap()
    }

    /// Scenario: a program writes its file late, one ends before, one is asked to end, one is killed. Guarantees: the
    /// file is read when it is whole; the error of a program that ended has its last words; ending works both ways.
    #[tokio::test]
    async fn programs_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let file = dir.path().join("addresses.json");
        let script = format!("printf '[1' > {0}; sleep 0.2; printf ',2]' >> {0}; exec sleep 60", file.display());
        let mut program = shell(&script, &log);
        assert_eq!(program.wrote::<Vec<u8>>(&file).await.unwrap(), vec![1, 2]);
        program.kill().await.unwrap();

        let mut program = shell("echo port in use >&2; exit 3", &log);
        let error = program.wrote::<u8>(&dir.path().join("none")).await.unwrap_err().to_string();
        assert!(error.contains("port in use") && error.contains('3'), "{error}");

        let waits = "trap 'exit 0' TERM; touch ready; while :; do sleep 0.05; done";
        let mut program = shell(&format!("cd {}; {waits}", dir.path().display()), &log);
        while !dir.path().join("ready").is_file() {
            assert!(program.child.try_wait().unwrap().is_none());
            sleep(Duration::from_millis(20)).await;
        }
        program.stop().await.unwrap();
    }
}
