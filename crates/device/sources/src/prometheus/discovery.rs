//! Which targets a job has now: those that are configured, and those in files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use scrape::Target;

use super::setup::{ScrapeJob, TargetGroup};
use crate::SourceState;

/// The largest file of groups.
const MAX_FILE: u64 = 1 << 20;
/// The most files of one pattern.
const MAX_FILES: usize = 256;

/// What was read of files.
#[derive(Default)]
pub(crate) struct Discovery {
    /// The last good content of each: a file that cannot be read keeps its targets, one that is gone does not.
    files: BTreeMap<PathBuf, Vec<TargetGroup>>,
}

impl Discovery {
    /// The targets that there are now; what is wrong with others is told.
    pub(crate) fn look(&mut self, job: &ScrapeJob, state: &SourceState) -> Vec<Target> {
        let mut targets = Vec::new();
        job.groups.iter().for_each(|group| add(job, group, None, state, &mut targets));
        let mut there = BTreeMap::new();
        for pattern in job.files.iter().flat_map(|files| &files.files) {
            for path in matching(pattern) {
                let before = self.files.remove(&path);
                let groups = match read(&path, job) {
                    Ok(groups) => Some(groups),
                    Err(why) => {
                        state.error("target_file", 1, &format!("{}: {why}", path.display()));
                        before
                    }
                };
                there.insert(path, groups.unwrap_or_default());
            }
        }
        self.files = there;
        for (path, groups) in &self.files {
            groups.iter().for_each(|group| add(job, group, Some(path), state, &mut targets));
        }
        targets
    }
}

fn add(job: &ScrapeJob, group: &TargetGroup, path: Option<&Path>, state: &SourceState, out: &mut Vec<Target>) {
    for address in &group.targets {
        let mut labels: Vec<(&str, &str)> = Vec::new();
        let has = |name: &str| group.labels.iter().any(|(own, _)| own == name);
        let external = job.external_labels.iter().filter(|(name, _)| !has(name));
        labels.extend(external.chain(&group.labels).map(|(name, value)| (name.as_str(), value.as_str())));
        let path = path.map(|path| path.display().to_string());
        if let Some(path) = &path {
            labels.push(("__meta_filepath", path));
        }
        labels.push(("__address__", address));
        match Target::new(&job.job, labels) {
            Ok(target) => out.extend(target),
            Err(why) => state.error("bad_target", 1, &format!("target {address}: {why}")),
        }
    }
}

fn read(path: &Path, job: &ScrapeJob) -> Result<Vec<TargetGroup>, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_FILE {
        return Err("larger than 1 MiB".into());
    }
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    (job.read_groups)(&text)
}

/// The files of a pattern, sorted; the last part may have one `*`.
pub(crate) fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((before, behind)) = name.split_once('*') else {
        let there = std::fs::metadata(pattern).is_ok();
        return if there { vec![pattern.to_owned()] } else { Vec::new() };
    };
    let directory = pattern.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let fits = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind)
    };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(fits)
        .map(|entry| entry.path())
        .filter(|path| path.is_file())
        .take(MAX_FILES)
        .collect();
    found.sort();
    found
}
