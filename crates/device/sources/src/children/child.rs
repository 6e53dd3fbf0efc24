//! A program that runs, in a process group of its own: whatever it started ends with it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{ChildStderr, ChildStdout, Command};

/// What every program finds in its environment: nothing of the agent's own.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long a program may take to end that was asked to.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process group. When it is dropped, what is left of it is ended.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It may be gone already.
            let _gone = kill_process_group(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself, with this status.
    Exited(ExitStatus),
    /// It took too long, and was ended.
    TimedOut,
}

impl Outcome {
    /// The reason under which it is counted, and what happened; `None` for one that ended well.
    pub(crate) fn error(self) -> Option<(&'static str, String)> {
        use std::os::unix::process::ExitStatusExt;
        let Self::Exited(status) = self else { return Some(("timeout", "it took too long and was ended".to_owned())) };
        let Some(code) = status.code() else {
            let signal = status.signal().unwrap_or_default();
            return Some(("killed", format!("signal {signal} ended it")));
        };
        let reason = match code {
            0 => return None,
            1 => "exit_1",
            2 => "exit_2",
            126 => "exit_126",
            127 => "exit_127",
            _ => "exit_other",
        };
        Some((reason, format!("it ended with exit status {code}")))
    }
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Child {
    child: tokio::process::Child,
    group: Group,
}

impl Child {
    /// Starts one, with its standard output and standard error.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn start(
        command: &[String],
        environment: &[(String, String)],
        directory: &Path,
    ) -> std::io::Result<(Self, ChildStdout, ChildStderr)> {
        let (program, arguments) = command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match (child.stdout.take(), child.stderr.take()) {
            (Some(stdout), Some(stderr)) => Ok((Self { child, group: Group(pid) }, stdout, stderr)),
            _ => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Waits until it ended by itself; then nothing of its group is left.
    pub(crate) async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        self.group.signal(Signal::KILL);
        self.group.0 = None;
        Ok(status)
    }

    /// Asks it to end, and ends it when it does not.
    pub(crate) async fn end(mut self) {
        self.group.signal(Signal::TERM);
        // What is left of it ends with the group.
        let _in_time = tokio::time::timeout(PATIENCE, self.child.wait()).await;
    }
}
