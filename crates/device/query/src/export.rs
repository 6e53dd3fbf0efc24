//! The journal as OTLP files: the way out by USB stick.
//!
//! Two forms: JSON lines as OpenTelemetry's "OTLP File Exporter" writes them (one request in each line), and the
//! Collector's binary file form (each request behind its length, 4 bytes, big-endian).

use std::io::{self, BufRead, Read, Write};
use std::ops::ControlFlow;

use disk::Disk;
use filter::Range;
use journal::JournalError;
use journal::reader::{Filter, Reader};
use model::{Lane, Signal};
use wire::{Gap, Inflater, RawBlock, Section, decode_frame};

use otlp::json;

/// A request longer than this is none that this program wrote or takes.
const MAX_REQUEST: u32 = 64 << 20;

/// Which form the files have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileForm {
    /// JSON lines, `.jsonl`.
    Json,
    /// Requests behind their length, `.otlp`.
    Protobuf,
}

impl FileForm {
    /// The end of the files' names.
    pub fn extension(self) -> &'static str {
        match self {
            FileForm::Json => "jsonl",
            FileForm::Protobuf => "otlp",
        }
    }
}

/// Where an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exported {
    /// Records of each signal: spans, log records, points.
    pub spans: u64,
    /// See `spans`.
    pub logs: u64,
    /// See `spans`.
    pub points: u64,
    /// Frames that could not be read; `journal verify` says where.
    pub damaged: u64,
    /// What the journal says is lost.
    pub gaps: Vec<Gap>,
}

/// Writes the frames of these lanes that may hold something of the range, oldest first, to the file of their signal.
///
/// # Errors
/// [`ExportError`]; what was written before stays.
pub fn export<D: Disk, W: Write>(
    reader: &Reader<D>,
    lanes: &[Lane],
    range: Range,
    form: FileForm,
    mut file_of: impl FnMut(Signal) -> io::Result<W>,
) -> Result<Exported, ExportError> {
    let mut exported = Exported::default();
    let mut files: Vec<(Signal, W)> = Vec::new();
    let mut inflater = Inflater::new();
    let mut failed = None;
    let wanted = Filter {
        lanes: lanes.to_vec(),
        from_ns: range.since_ns.unwrap_or(0),
        to_ns: range.until_ns.map_or(u64::MAX, |until| until.saturating_sub(1)),
        ..Filter::default()
    };
    let walked = reader.blocks(&wanted, |found| {
        let frames = RawBlock::parse(found.bytes).and_then(|(block, _)| {
            let frames = block.frames(&mut inflater)?;
            Ok(frames.map(|(_, bytes)| decode_frame(bytes)).collect::<Vec<_>>())
        });
        let Ok(frames) = frames else {
            exported.damaged += 1;
            return ControlFlow::Continue(());
        };
        for frame in frames {
            let Ok(frame) = frame else {
                exported.damaged += 1;
                continue;
            };
            for section in &frame.sections {
                let (signal, bytes) = match section {
                    Section::Traces(bytes) => (Signal::Traces, bytes),
                    Section::Logs(bytes) => (Signal::Logs, bytes),
                    Section::Metrics(bytes) => (Signal::Metrics, bytes),
                    // They belong to points that have no place in a file of their own.
                    Section::Exemplars(_) => continue,
                    Section::Gap(gap) => {
                        exported.gaps.push(*gap);
                        continue;
                    }
                };
                if let Err(error) = write(&mut files, signal, bytes, form, &mut file_of) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
                let records = model::otlp::count_records(signal, bytes).unwrap_or(0);
                match signal {
                    Signal::Traces => exported.spans += records,
                    Signal::Logs => exported.logs += records,
                    Signal::Metrics => exported.points += records,
                }
            }
        }
        ControlFlow::Continue(())
    })?;
    exported.damaged += walked.damaged;
    if let Some(error) = failed {
        return Err(error.into());
    }
    for (_, mut file) in files {
        file.flush()?;
    }
    Ok(exported)
}

fn write<W: Write>(
    files: &mut Vec<(Signal, W)>,
    signal: Signal,
    request: &[u8],
    form: FileForm,
    file_of: &mut impl FnMut(Signal) -> io::Result<W>,
) -> io::Result<()> {
    let at = match files.iter().position(|(of, _)| *of == signal) {
        Some(at) => at,
        None => {
            files.push((signal, file_of(signal)?));
            files.len() - 1
        }
    };
    let Some((_, file)) = files.get_mut(at) else { return Ok(()) };
    match form {
        FileForm::Json => {
            let mut line = String::new();
            json_line(&mut line, signal, request);
            file.write_all(line.as_bytes())
        }
        FileForm::Protobuf => {
            let len = u32::try_from(request.len()).map_err(|_| io::Error::other("a request of more than 4 GiB"))?;
            file.write_all(&len.to_be_bytes())?;
            file.write_all(request)
        }
    }
}

/// Appends a request as a line of OTLP as JSON.
pub fn json_line(out: &mut String, signal: Signal, request: &[u8]) {
    json::request(out, signal, request);
    out.push('\n');
}

/// Reads the next request of a file, in whichever form it is; `None` at its end.
///
/// # Errors
/// `InvalidData` where the file is cut off, or is none of the two forms.
pub fn read_request(file: &mut impl BufRead, signal: Signal) -> io::Result<Option<Vec<u8>>> {
    // No length is so large that it begins as a JSON document does.
    match file.fill_buf()?.first() {
        Some(b'{' | b'\n' | b'\r' | b' ') => read_json(file, signal),
        _ => read_binary(file),
    }
}

fn read_json(file: &mut impl BufRead, signal: Signal) -> io::Result<Option<Vec<u8>>> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    loop {
        let mut line = Vec::new();
        let most = 4 * u64::from(MAX_REQUEST);
        if file.take(most).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line.len() as u64 == most {
            return Err(bad("a line is too long to be an OTLP request".to_owned()));
        }
        if !line.trim_ascii().is_empty() {
            let request = model::otlp::json::to_protobuf(signal, &line, MAX_REQUEST as usize);
            return request.map(Some).map_err(|error| bad(error.to_string()));
        }
    }
}

fn read_binary(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut length = [0; 4];
    let mut have = 0;
    while have < length.len() {
        match file.read(&mut length[have..])? {
            0 if have == 0 => return Ok(None),
            0 => return Err(bad("the file is cut off")),
            count => have += count,
        }
    }
    let length = u32::from_be_bytes(length);
    if length > MAX_REQUEST {
        return Err(bad("not a file of OTLP requests behind their lengths"));
    }
    let mut request = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut request)?;
    match request.len() as u64 == u64::from(length) {
        true => Ok(Some(request)),
        false => Err(bad("the file is cut off")),
    }
}
