//! `cargo xtask repro`: everything that ships, built twice at the same time by two builders who share nothing but the
//! commit, and compared byte by byte (P12).

use crate::dist::elf;
use crate::dist::inputs::{self, hex};
use crate::dist::place::Place;
use crate::dist::toolchain;
use crate::tools::{output, root, run};
use anyhow::{Context, Result, bail};
use lexopt::prelude::{Long, ValueExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A user who owns nothing, by number.
const NOBODY: u32 = 65534;

/// One of the two builders: what differs between them.
struct Builder {
    name: &'static str,
    /// Below the working directory; of another length and depth than the other's.
    directory: &'static str,
    umask: &'static str,
    time_zone: &'static str,
    locale: &'static str,
    jobs: &'static str,
    /// Becomes another user, where this one may.
    is_other: bool,
}

const BUILDERS: [Builder; 2] = [
    Builder { name: "one", directory: "a", umask: "022", time_zone: "UTC0", locale: "C", jobs: "2", is_other: false },
    Builder {
        name: "other",
        directory: "a-second-builder/further/down",
        umask: "077",
        time_zone: "ELSEWHERE-13:45",
        locale: "C.UTF-8",
        jobs: "1",
        is_other: true,
    },
];

/// What is asked for.
#[derive(Default)]
struct Options {
    /// Passed on to `cargo xtask dist`.
    selection: Vec<String>,
    report: Option<PathBuf>,
    /// Where what the first builder made is kept, when it is the same.
    output: Option<PathBuf>,
    fallback: bool,
    keep: bool,
    plant: bool,
}

/// Builds twice and compares; an error unless every byte is the same.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let options = parse(options)?;
    let work = std::env::temp_dir().join(format!("lightship-repro-{}", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let compared = build_and_compare(&options, &work).and_then(|report| {
        if let Some(output) = options.output.as_ref().filter(|_| report["identical"] == true) {
            toolchain::replace(&work.join(BUILDERS[0].directory).join("dist"), output)?;
        }
        Ok(report)
    });
    if options.keep {
        eprintln!("repro: kept {}", work.display());
    } else {
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    }
    let report = compared?;
    let text = serde_json::to_string_pretty(&report).context("the report is no JSON")? + "\n";
    match &options.report {
        Some(path) => fs::write(path, &text).with_context(|| format!("cannot write {}", path.display()))?,
        None => print!("{text}"),
    }
    if report["identical"] == true {
        eprintln!("repro: identical");
        return Ok(());
    }
    let differ = report["artefacts"].as_array().into_iter().flatten().filter(|artefact| artefact["identical"] == false);
    let lines: Vec<String> =
        differ.map(|artefact| format!("{}: {}", artefact["file"], artefact["difference"])).collect();
    bail!("two builds of one commit differ:\n{}", lines.join("\n"))
}

fn parse(options: &[String]) -> Result<Options> {
    let mut parsed = Options::default();
    let mut parser = lexopt::Parser::from_args(options);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("program") => parsed.selection.extend(["--program".to_owned(), parser.value()?.string()?]),
            Long("arch") => parsed.selection.extend(["--arch".to_owned(), parser.value()?.string()?]),
            Long("fallback") => {
                parsed.fallback = true;
                parsed.selection.push("--fallback".to_owned());
            }
            Long("report") => parsed.report = Some(std::path::absolute(parser.value()?)?),
            Long("output") => parsed.output = Some(std::path::absolute(parser.value()?)?),
            Long("keep") => parsed.keep = true,
            Long("plant") => parsed.plant = true,
            other => bail!("{}; see cargo xtask help", other.unexpected()),
        }
    }
    Ok(parsed)
}

fn build_and_compare(options: &Options, work: &Path) -> Result<Value> {
    let here = Place::new(root()?, work.join("here"), None)?;
    let user = output(Command::new("id").arg("-u"))?;
    let may_change_user = user.trim() == "0";
    if !may_change_user {
        eprintln!("repro: SKIPPED another user: only root can become one; all else differs");
    }
    let mut running = Vec::new();
    for builder in &BUILDERS {
        let is_other = builder.is_other && may_change_user;
        prepare(builder, options, &here, work, is_other)?;
        running.push(start(builder, options, &here, work, is_other)?);
    }
    let ended: Vec<Result<()>> = running.into_iter().map(Running::wait).collect();
    ended.into_iter().collect::<Result<()>>()?;
    let outputs = BUILDERS.each_ref().map(|builder| work.join(builder.directory).join("dist"));
    let artefacts = compare(&outputs[0], &outputs[1])?;
    let identical = artefacts.iter().all(|artefact| artefact["identical"] == true);
    let builders = BUILDERS.each_ref().map(|builder| {
        json!({
            "directory": builder.directory, "umask": builder.umask, "time_zone": builder.time_zone,
            "locale": builder.locale, "jobs": builder.jobs,
            "user": if builder.is_other && may_change_user { NOBODY.to_string() } else { user.trim().to_owned() },
        })
    });
    Ok(json!({
        "revision": here.revision, "source_date_epoch": here.epoch, "planted": options.plant, "builders": builders,
        "identical": identical, "artefacts": artefacts,
    }))
}

/// Gives a builder a source, a toolchain, inputs, and a home of its own.
fn prepare(builder: &Builder, options: &Options, here: &Place, work: &Path, is_other: bool) -> Result<()> {
    let own = work.join(builder.directory);
    let source = own.join("source");
    copy_source(&here.source, &source)?;
    if options.plant {
        plant(&source)?;
    }
    let cargo_home = own.join("cargo-home/registry");
    fs::create_dir_all(&cargo_home).with_context(|| format!("cannot make {}", cargo_home.display()))?;
    // What was fetched before is not fetched again; the sources are unpacked anew.
    for part in ["cache", "index"] {
        let from = here.cargo_home.join("registry").join(part);
        if from.is_dir() {
            run(Command::new("cp").arg("--recursive").arg(&from).arg(&cargo_home))?;
        }
    }
    fs::create_dir_all(own.join("home")).with_context(|| format!("cannot make a home in {}", own.display()))?;
    let place = Place { source, ..Place::new(here.source.clone(), own.join("work"), None)? };
    let cache = inputs::cache()?;
    if options.fallback || inputs::collect(&cache).is_err() {
        // `dist` says why, and takes the other way.
        toolchain::plain(&place)?;
    } else {
        toolchain::copy(&cache, &own.join("inputs"))?;
        toolchain::musl(&place, &inputs::collect(&own.join("inputs"))?)?;
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    fs::copy(&program, own.join("xtask")).with_context(|| format!("cannot copy {}", program.display()))?;
    if is_other {
        give(&own)?;
        let mut outer = own.as_path();
        while let Some(parent) = outer.parent().filter(|parent| parent.starts_with(work)) {
            run(Command::new("chmod").arg("755").arg(parent))?;
            outer = parent;
        }
    }
    Ok(())
}

/// Every file of the repository, as it is now, and nothing else.
fn copy_source(from: &Path, to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.arg("-C").arg(from).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    for name in output(&mut git)?.split_terminator('\0') {
        let (path, copy) = (from.join(name), to.join(name));
        if !path.is_file() {
            continue;
        }
        if let Some(directory) = copy.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        }
        fs::copy(&path, &copy).with_context(|| format!("cannot copy {}", path.display()))?;
    }
    Ok(())
}

/// Puts the time of the build into the device's program, as a careless build script does. The comparison has to notice.
fn plant(source: &Path) -> Result<()> {
    let planted = source.join("tests/repro/planted");
    let agent = source.join("crates/device/agent");
    let script = planted.join("build.rs");
    fs::copy(&script, agent.join("build.rs")).with_context(|| format!("cannot copy {}", script.display()))?;
    let line = planted.join("main.rs");
    let line = fs::read(&line).with_context(|| format!("cannot read {}", line.display()))?;
    let main = agent.join("src/main.rs");
    let mut main = fs::OpenOptions::new().append(true).open(&main).context("the device's program has no main.rs")?;
    main.write_all(&line).context("cannot plant a time")
}

/// Makes the other user the owner of what is only here; files that are shared by hard links keep theirs.
fn give(path: &Path) -> Result<()> {
    let metadata = fs::symlink_metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))? {
            give(&entry.with_context(|| format!("cannot read {}", path.display()))?.path())?;
        }
    } else if metadata.is_symlink() || metadata.nlink() > 1 {
        return Ok(());
    }
    chown(path, Some(NOBODY), Some(NOBODY)).with_context(|| format!("cannot give away {}", path.display()))
}

/// A build under way.
struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

fn start(builder: &Builder, options: &Options, here: &Place, work: &Path, is_other: bool) -> Result<Running> {
    let own = work.join(builder.directory);
    let mut words = vec!["sh", "-c", "umask \"$1\"; shift; exec \"$@\"", "sh", builder.umask];
    let (program, nobody) = (own.join("xtask"), NOBODY.to_string());
    if is_other {
        words.splice(0..0, ["setpriv", "--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    }
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(program).arg("dist").args(&options.selection);
    for (option, directory) in [("source", "source"), ("work", "work"), ("output", "dist"), ("inputs", "inputs")] {
        command.arg(format!("--{option}")).arg(own.join(directory));
    }
    command
        .args(["--jobs", builder.jobs])
        .current_dir(&own)
        .env("HOME", own.join("home"))
        .env("CARGO_HOME", own.join("cargo-home"))
        .env("TZ", builder.time_zone)
        .env("LC_ALL", builder.locale)
        .env("SOURCE_DATE_EPOCH", here.epoch.to_string())
        .env("LIGHTSHIP_REVISION", &here.revision)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot start a build")?;
    let errors = child.stderr.take().context("the build has no standard error")?;
    let (name, log) = (builder.name, work.join(format!("{}.log", builder.name)));
    let mut kept = fs::File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if line.starts_with("dist:") {
                eprintln!("repro: the {name} builder: {line}");
            }
            // A log that cannot be kept does not end the build.
            let _ = writeln!(kept, "{line}");
        }
    });
    Ok(Running { name, child, log })
}

impl Running {
    fn wait(mut self) -> Result<()> {
        let status = self.child.wait().context("cannot wait for a build")?;
        if status.success() {
            return Ok(());
        }
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!("the {} builder failed ({status}):\n{last}", self.name)
    }
}

/// One row for each file that either of them made.
fn compare(one: &Path, other: &Path) -> Result<Vec<Value>> {
    let mut names = BTreeSet::new();
    for directory in [one, other] {
        let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
        names.extend(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()));
    }
    let rows = names.iter().map(|name| {
        let read = |directory: &Path| fs::read(directory.join(name));
        let (one, other) = match (read(one), read(other)) {
            (Ok(one), Ok(other)) => (one, other),
            (Err(error), _) | (_, Err(error)) => {
                return json!({ "file": name, "identical": false, "difference": format!("only one made it: {error}") });
            }
        };
        let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
        let difference = difference(&one, &other);
        let mut row = json!({
            "file": name, "identical": difference.is_none(), "bytes": one.len(), "sha256": digest(&one),
        });
        if let Some(difference) = difference {
            row["difference"] = difference.into();
            row["other_sha256"] = digest(&other).into();
        }
        row
    });
    Ok(rows.collect())
}

/// The first byte that differs, and what it belongs to.
fn difference(one: &[u8], other: &[u8]) -> Option<String> {
    let at = match one.iter().zip(other).position(|(one, other)| one != other) {
        Some(at) => at,
        None if one.len() == other.len() => return None,
        None => one.len().min(other.len()),
    };
    let place = elf::place(one, at).or_else(|| member(one, at)).map(|place| format!(" ({place})")).unwrap_or_default();
    Some(format!("first at byte {at}{place}; {} and {} bytes", one.len(), other.len()))
}

/// The member of a tar archive that holds a byte.
fn member(bytes: &[u8], at: usize) -> Option<String> {
    let mut archive = tar::Archive::new(bytes);
    let members = archive.entries().ok()?.map_while(Result::ok);
    let mut before = members.take_while(|member| member.raw_header_position() <= at as u64);
    let found = before.by_ref().last()?;
    Some(found.path().ok()?.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the same bytes, one that differs, an end that comes early, and archives that differ in their second
    /// member. Guarantees: the first differing byte is named, with its member (P12).
    #[test]
    fn the_first_differing_byte_is_named() {
        assert_eq!(difference(b"abc", b"abc"), None);
        assert_eq!(difference(b"abc", b"axc").unwrap(), "first at byte 1; 3 and 3 bytes");
        assert_eq!(difference(b"abc", b"ab").unwrap(), "first at byte 2; 3 and 2 bytes");
        let archive = |content: &[u8]| {
            let mut archive = tar::Builder::new(Vec::new());
            for (name, content) in [("first", b"same".as_slice()), ("second", content)] {
                let mut header = tar::Header::new_ustar();
                header.set_size(content.len() as u64);
                header.set_cksum();
                archive.append_data(&mut header, name, content).unwrap();
            }
            archive.into_inner().unwrap()
        };
        let named = difference(&archive(b"one"), &archive(b"two")).unwrap();
        assert!(named.starts_with("first at byte 1536 (second)"), "{named}");
    }

    /// Scenario: two directories of which one has a file more, and one file differs. Guarantees: both are told, and the
    /// equal file is told to be identical (P12).
    #[test]
    fn what_only_one_made_is_a_difference() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (directory, name, text) in [
            (&one, "same", "x"),
            (&other, "same", "x"),
            (&one, "changed", "x"),
            (&other, "changed", "y"),
            (&one, "more", ""),
        ] {
            fs::write(directory.path().join(name), text).unwrap();
        }
        let rows = compare(one.path(), other.path()).unwrap();
        let identical: Vec<_> =
            rows.iter().map(|row| (row["file"].as_str().unwrap(), row["identical"] == true)).collect();
        assert_eq!(identical, [("changed", false), ("more", false), ("same", true)]);
    }
}
