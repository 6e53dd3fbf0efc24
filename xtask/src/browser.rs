//! `cargo xtask test-browser`: the page of a real demonstration, clicked through in headless Chromium
//! (tests/browser/flow.mjs).

use crate::build;
use crate::tools::{have, root, run, target_dir};
use crate::ui;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Short enough for a test, long enough for the page to be looked at before, in and after the outage.
const DEMO: [&str; 4] = ["--seconds", "15", "--outage", "20"];
const START: Duration = Duration::from_secs(60);
/// Lines of the lab that may wait to be looked at for the address.
const LINES: usize = 256;

/// Builds programs and page, starts a demonstration, and clicks through its page.
pub(crate) fn task() -> Result<()> {
    let chromium = std::env::var_os("CHROMIUM").map_or_else(|| PathBuf::from("/usr/bin/chromium"), PathBuf::from);
    let missing = match (have("npm"), chromium.is_file()) {
        (false, _) => Some("npm is not installed (Node 20 or newer)".to_owned()),
        (_, false) => Some(format!("there is no {} (install chromium, or name it in CHROMIUM)", chromium.display())),
        _ => None,
    };
    if let Some(missing) = missing {
        eprintln!("test-browser: SKIPPED, nothing was tested: {missing}");
        return Ok(());
    }
    let tests = root()?.join("tests/browser");
    ui::install_in(&tests)?;
    let programs = build::programs()?;
    let picture = target_dir()?.join("browser.png");
    let demo = Demo::start(&programs)?;
    let tested = demo.address().and_then(|address| {
        run(Command::new("node")
            .current_dir(&tests)
            .args([Path::new("flow.mjs"), Path::new(&address), &picture])
            .env("CHROMIUM", &chromium))
    });
    let stopped = demo.stop();
    eprintln!("the page as it was: {}", picture.display());
    tested.and(stopped)
}

/// A running `lightship-lab demo`.
struct Demo {
    lab: Child,
    lines: mpsc::Receiver<String>,
}

impl Demo {
    fn start(programs: &build::Programs) -> Result<Self> {
        let mut command = Command::new(&programs.lab);
        command.current_dir(root()?).arg("demo").args(DEMO);
        command.arg("--agent").arg(&programs.agent).arg("--hub").arg(&programs.hub);
        let mut lab = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start the lab")?;
        let errors = lab.stderr.take().context("the lab has no standard error")?;
        let (sender, lines) = mpsc::sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                eprintln!("demo: {line}");
                // The address comes early. The reading goes on when nobody waits for it any more, so that the lab can write.
                let _ = sender.try_send(line);
            }
        });
        Ok(Self { lab, lines })
    }

    /// The address of the page, as the lab prints it.
    fn address(&self) -> Result<String> {
        loop {
            let line = self.lines.recv_timeout(START).context("the demonstration printed no address of its page")?;
            if let Some(address) = line.split_whitespace().find(|word| word.starts_with("http://")) {
                return Ok(address.to_owned());
            }
        }
    }

    /// Ends it as Ctrl-C does, so that it ends the hub and the agent.
    fn stop(mut self) -> Result<()> {
        run(Command::new("kill").args(["-INT", &self.lab.id().to_string()]))?;
        let status = self.lab.wait().context("cannot wait for the lab")?;
        if !status.success() {
            bail!("the demonstration ended with {status}");
        }
        Ok(())
    }
}
