//! `journal ls`, `verify`, `repair`, `export`, `import`.

use std::fs::File;
use std::io::{self, BufReader, BufWriter};
use std::path::Path;

use disk::RealDisk;
use filter::Record;
use journal::reader::Reader;
use journal::{FrameMeta, Journal};
use model::{Lane, Signal, Signals};
use query::export::{FileForm, export, read_request};
use query::time;
use wire::SectionRef;

use crate::arguments::Arguments;
use crate::imports::{self, Imports};
use crate::local::{place, reader};
use crate::{Failure, print};

/// The file beside exported ones that names the epoch of their journal.
const EXPORTED_FROM: &str = "exported-from";

/// `lightship journal WHAT`
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut words = arguments.words.iter().map(String::as_str);
    match words.next() {
        Some("ls") => ls(arguments),
        Some("verify") => verify(arguments),
        Some("repair") => repair(arguments),
        Some("export") => write_files(arguments),
        Some("import") => import(arguments, words),
        _ => Err(Failure::usage("which? lightship journal ls|verify|repair|export|import")),
    }
}

fn ls(arguments: &Arguments) -> Result<(), Failure> {
    let reader = reader(&place(arguments)?)?;
    let mut out = match arguments.json {
        true => String::new(),
        false => format!(
            "epoch {}\n{:<8} {:>12} {:>12} {:>10} {:>12}  {}\n",
            reader.epoch(),
            "LANE",
            "FIRST",
            "LAST",
            "RECORDS",
            "SIZE",
            "EVENT TIMES"
        ),
    };
    for lane in Lane::ALL {
        for segment in reader.segments(lane).map_err(|error| Failure::unwell(error.to_string()))? {
            let number = |number: Option<u64>, none: &str| number.map_or(none.to_owned(), |number| number.to_string());
            if arguments.json {
                out.push_str(&format!(
                    "{{\"lane\":\"{lane}\",\"first\":{},\"last\":{},\"records\":{},\"bytes\":{},\"start_ns\":\"{}\",\"end_ns\":\"{}\",\"indexed\":{}}}\n",
                    segment.first,
                    number(segment.last, "null"),
                    number(segment.records, "null"),
                    segment.bytes,
                    segment.start_ns,
                    segment.end_ns,
                    segment.indexed
                ));
                continue;
            }
            let times = match (segment.start_ns, segment.end_ns) {
                (0, 0) if segment.last.is_none() => "being written".to_owned(),
                (0, 0) => "not known".to_owned(),
                (start, end) => format!("{} to {}", time::rfc3339(start, 0), time::rfc3339(end, 0)),
            };
            out.push_str(&format!(
                "{lane:<8} {:>12} {:>12} {:>10} {:>12}  {times}\n",
                segment.first,
                number(segment.last, "-"),
                number(segment.records, "-"),
                time::size(segment.bytes)
            ));
        }
    }
    print(&out)
}

/// Exit code 3 when something is damaged.
fn verify(arguments: &Arguments) -> Result<(), Failure> {
    let place = place(arguments)?;
    let verified = journal::verify(&RealDisk::read_only(&place.data_dir))
        .map_err(|error| Failure::usage(format!("{}: {error}", place.data_dir.display())))?;
    if arguments.json {
        let mut out = format!(
            "{{\"files\":{},\"bytes\":{},\"blocks\":{},\"frames\":{},\"records\":{},\"findings\":[",
            verified.files, verified.bytes, verified.blocks, verified.frames, verified.records
        );
        for (at, finding) in verified.findings.iter().enumerate() {
            out.push_str(if at > 0 { "," } else { "" });
            out.push_str("{\"path\":");
            query::json::text(&mut out, &finding.path);
            out.push_str(&format!(",\"offset\":{},\"what\":", finding.offset));
            query::json::text(&mut out, finding.what);
            out.push('}');
        }
        out.push_str("]}\n");
        print(&out)?;
    } else {
        let findings: String = verified.findings.iter().map(|finding| format!("{finding}\n")).collect();
        print(&format!(
            "{findings}{} files, {}: {} blocks with {} frames and {} records are whole\n",
            verified.files,
            time::size(verified.bytes),
            verified.blocks,
            verified.frames,
            verified.records
        ))?;
    }
    match verified.findings.len() {
        0 => Ok(()),
        count => Err(Failure::damage(format!(
            "{count} places are not as they were written; `lightship journal repair` keeps every other block"
        ))),
    }
}

fn repair(arguments: &Arguments) -> Result<(), Failure> {
    let config = crate::load(arguments)?;
    let fail = |why: String| Failure::usage(format!("data_dir {}: {why}", config.data_dir.display()));
    let disk = RealDisk::new(&config.data_dir).map_err(|error| fail(error.to_string()))?;
    let repaired = journal::repair(disk, edge::journal_options(&config), edge::Clock::start().stamp())
        .map_err(|error| fail(error.to_string()))?;
    let mut out = String::new();
    for path in &repaired.rewritten {
        out.push_str(&format!("{path}: written anew with every block that can be read\n"));
    }
    for lost in &repaired.recovery.corrupt {
        out.push_str(&format!(
            "{}: {} records (sequences {}-{}) cannot be read; a gap record says so\n",
            lost.lane, lost.records, lost.first, lost.last
        ));
    }
    out.push_str(&format!(
        "{} findings before, {} now; {} records are held\n",
        repaired.before.findings.len(),
        repaired.after.findings.len(),
        repaired.after.records
    ));
    print(&out)?;
    match repaired.after.findings.first() {
        None => Ok(()),
        Some(finding) => Err(Failure::damage(format!("{finding}; the disk itself may be failing"))),
    }
}

fn write_files(arguments: &Arguments) -> Result<(), Failure> {
    let reader = reader(&place(arguments)?)?;
    let directory = arguments.to.clone().ok_or_else(|| Failure::usage("where to? --to DIRECTORY"))?;
    let form = match arguments.form.as_deref() {
        None | Some("json") => FileForm::Json,
        Some("protobuf") => FileForm::Protobuf,
        Some(other) => return Err(Failure::usage(format!("no such form: {other}; json or protobuf"))),
    };
    let range = crate::local::range(arguments, edge::Clock::start().wall_ns())?;
    std::fs::create_dir_all(&directory).map_err(|error| Failure::usage(format!("{}: {error}", directory.display())))?;
    let exported = export(&reader, &Lane::ALL, range, form, |signal: Signal| -> io::Result<BufWriter<File>> {
        // An earlier export is never overwritten.
        let path = directory.join(format!("{}.{}", signal.name(), form.extension()));
        let file = File::create_new(&path);
        file.map(BufWriter::new).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    })
    .map_err(|error| Failure::unwell(error.to_string()))?;
    let marker = directory.join(EXPORTED_FROM);
    std::fs::write(&marker, format!("{}\n", reader.epoch()))
        .map_err(|error| Failure::unwell(format!("{}: {error}", marker.display())))?;
    print(&format!(
        "{} spans, {} log records and {} points in {}\n",
        exported.spans,
        exported.logs,
        exported.points,
        directory.display()
    ))?;
    match exported.damaged {
        0 => Ok(()),
        count => {
            Err(Failure::damage(format!("{count} blocks or frames could not be read; see `lightship journal verify`")))
        }
    }
}

/// Appends what other files hold and was not imported before, under this directory's own identities; the agent must not run.
fn import<'a>(arguments: &Arguments, files: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let files: Vec<&Path> = files.map(Path::new).collect();
    if files.is_empty() {
        return Err(Failure::usage("which files? lightship journal import traces.otlp logs.otlp metrics.otlp"));
    }
    let config = crate::load(arguments)?;
    let fail = |why: String| Failure::usage(format!("data_dir {}: {why}", config.data_dir.display()));
    let stamp = edge::Clock::start().stamp();
    let disk = RealDisk::new(&config.data_dir).map_err(|error| fail(error.to_string()))?;
    let held = imports::held(RealDisk::read_only(&config.data_dir)).map_err(|error| fail(error.to_string()))?;
    let (mut journal, _) =
        Journal::open(disk, edge::journal_options(&config), stamp).map_err(|error| fail(error.to_string()))?;
    let mut imported = Imports::open(&config.data_dir).map_err(|error| fail(error.to_string()))?;
    let (mut records, mut known, mut known_requests) = (0, 0, 0);
    let own = Reader::open(RealDisk::read_only(&config.data_dir)).map(|reader| reader.epoch().to_string()).ok();
    for path in files {
        let fail = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let from = std::fs::read_to_string(path.with_file_name(EXPORTED_FROM)).ok();
        if let (Some(from), Some(own)) = (&from, &own)
            && from.trim() == own
        {
            return Err(fail(format!(
                "this journal exported it (epoch {own}): it holds what is in it, or has delivered it; to deliver that once more use \
                 `lightship fetch --history`, or take {EXPORTED_FROM} away"
            )));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let signal =
            [Signal::Traces, Signal::Logs, Signal::Metrics].into_iter().find(|one| name.starts_with(one.name()));
        let signal =
            signal.ok_or_else(|| fail("name it traces.., logs.. or metrics.., by what it holds".to_owned()))?;
        let mut file = BufReader::new(File::open(path).map_err(|error| fail(error.to_string()))?);
        let mut number = 0;
        while let Some(request) = read_request(&mut file, signal).map_err(|error| fail(error.to_string()))? {
            number += 1;
            let fail = |why: String| fail(format!("request {number}: {why}; what stood before it is imported"));
            let digest = imports::digest(signal, &request).map_err(|error| fail(error.to_string()))?;
            if held.contains(&digest) || imported.contains(&digest) {
                known += model::otlp::count_records(signal, &request).map_err(|error| fail(error.to_string()))?;
                known_requests += 1;
                continue;
            }
            records += append(&mut journal, signal, &request, stamp).map_err(fail)?;
            journal.commit(stamp, &[]).map_err(|error| fail(error.to_string()))?;
            imported.remember(digest).map_err(|error| fail(error.to_string()))?;
        }
    }
    let mut said = format!("{records} records are in the journal and will be delivered when the agent runs\n");
    if known_requests > 0 {
        said.push_str(&format!("{known} records of {known_requests} requests were imported before, or are in this journal anyway, and are left out\n"));
    }
    print(&said)
}

fn append(journal: &mut Journal<RealDisk>, signal: Signal, request: &[u8], stamp: model::Stamp) -> Result<u64, String> {
    model::otlp::validate(signal, request).map_err(|error| error.to_string())?;
    let (mut records, mut start_ns, mut end_ns) = (0, 0, 0);
    query::each_record(signal, request, "", |view| {
        records += 1;
        if view.time_ns() > 0 {
            start_ns = if start_ns == 0 { view.time_ns() } else { view.time_ns().min(start_ns) };
        }
        end_ns = view.end_ns().max(end_ns);
    })
    .map_err(|error| error.to_string())?;
    let (lane, section) = match signal {
        Signal::Traces => (Lane::Traces, SectionRef::Traces(request)),
        Signal::Logs => (Lane::Logs, SectionRef::Logs(request)),
        Signal::Metrics => (Lane::Metrics, SectionRef::Metrics(request)),
    };
    let mut body = Vec::new();
    wire::encode_body(&[section], &mut body).map_err(|error| error.to_string())?;
    let meta = FrameMeta {
        records: u32::try_from(records).unwrap_or(u32::MAX),
        start_ns,
        end_ns,
        signals: Some(Signals::of(signal)),
    };
    journal.append(lane, &body, meta, stamp).map_err(|error| error.to_string())?;
    Ok(records)
}
