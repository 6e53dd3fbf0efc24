//! What a check of the device came to, for people and for scripts.

use std::fmt::Write;

use crate::exposition::json_text;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// As it should be.
    Good,
    /// It works, and may not for long, or not for everything.
    Warning,
    /// It does not work.
    Bad,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Good => "ok",
            Level::Warning => "warn",
            Level::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Finding {
    level: Level,
    about: String,
    says: String,
    /// What to do; empty where nothing is to be done.
    fix: String,
}

/// All findings of one run.
#[derive(Debug, Default)]
pub struct Diagnosis {
    findings: Vec<Finding>,
}

impl Diagnosis {
    /// Something is as it should be.
    pub(super) fn good(&mut self, about: &str, says: impl Into<String>) {
        self.add(Level::Good, about, says.into(), String::new());
    }

    /// Something works, and wants a look.
    pub(super) fn warning(&mut self, about: &str, says: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Warning, about, says.into(), fix.into());
    }

    /// Something does not work.
    pub(super) fn bad(&mut self, about: &str, says: impl Into<String>, fix: impl Into<String>) {
        self.add(Level::Bad, about, says.into(), fix.into());
    }

    fn add(&mut self, level: Level, about: &str, says: String, fix: String) {
        self.findings.push(Finding { level, about: about.to_owned(), says, fix });
    }

    /// Whether nothing is wrong; warnings are not wrong.
    pub fn is_good(&self) -> bool {
        self.findings.iter().all(|one| one.level != Level::Bad)
    }

    /// A line for each finding, and one for its fix.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for Finding { level, about, says, fix } in &self.findings {
            // Writing into a String cannot fail.
            let _written = writeln!(out, "{:<4} {about}: {says}", level.name());
            if !fix.is_empty() {
                let _written = writeln!(out, "       fix: {fix}");
            }
        }
        out
    }

    /// `{"good": bool, "findings": [{"level": "ok|warn|bad", "about", "says", "fix"}]}`
    pub fn json(&self) -> String {
        let row = |one: &Finding| {
            format!(
                "{{\"level\":\"{}\",\"about\":{},\"says\":{},\"fix\":{}}}",
                one.level.name(),
                json_text(&one.about),
                json_text(&one.says),
                json_text(&one.fix)
            )
        };
        let rows: Vec<String> = self.findings.iter().map(row).collect();
        format!("{{\"good\":{},\"findings\":[{}]}}\n", self.is_good(), rows.join(","))
    }
}
