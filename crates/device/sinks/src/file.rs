//! OTLP JSON lines (OpenTelemetry's "OTLP File Exporter"), into files or to standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use drain::{PartialSuccess, SendError};
use model::{Refusal, Signal};

/// A line's end is looked for in pieces of this size.
const PIECE: u64 = 4096;

/// What a file may become.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// Where `traces.jsonl`, `logs.jsonl` and `metrics.jsonl` stand; made where it is missing.
    pub directory: PathBuf,
    /// A file that would become longer than this many bytes is put aside first, unless it is empty.
    pub max_bytes: u64,
    /// So many files that were put aside are kept of each signal, `logs.1.jsonl` being the youngest; older ones are deleted.
    pub keep: u32,
}

/// Writes each export request as one line.
pub struct FileSink {
    target: Target,
}

enum Target {
    Stdout,
    /// The files that are open, one for each signal that was written.
    Files(FileOptions, Vec<LineFile>),
}

impl FileSink {
    /// A sink that writes to standard output.
    pub fn stdout() -> Self {
        Self { target: Target::Stdout }
    }

    /// A sink that writes to files, opened when they are first needed. No other program may write to them.
    pub fn files(options: FileOptions) -> Self {
        Self { target: Target::Files(options, Vec::new()) }
    }

    /// Writes one export request; an empty one asks whether there could be written, and nothing is. When this returns, a file's bytes
    /// are on the disk. The write runs on a thread of its own, and is not taken back where this future is dropped.
    ///
    /// # Errors
    /// [`SendError::Retry`] where the disk is full or fails, or the reader of standard output is gone; [`SendError::Blocked`] where the
    /// files may not be written. What was written of the line is taken back.
    pub async fn export(&mut self, signal: Signal, request: &[u8]) -> Result<PartialSuccess, SendError> {
        let mut line = String::new();
        if !request.is_empty() {
            otlp::json::request(&mut line, signal, request);
            line.push('\n');
        }
        match &mut self.target {
            Target::Stdout => on_a_thread(move || {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush())
            })
            .await?
            .map_err(|error| SendError::retry(Refusal::CutOff, format!("cannot write to standard output: {error}")))?,
            Target::Files(options, open) => {
                let options = options.clone();
                let known = open.iter().position(|file| file.signal == signal).map(|at| open.swap_remove(at));
                let directory = options.directory.clone();
                let written = on_a_thread(move || append(known, signal, &options, line.as_bytes())).await?;
                open.push(written.map_err(|error| fault(&directory, &error))?);
            }
        }
        Ok(PartialSuccess::default())
    }
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, SendError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SendError::retry(Refusal::FailedStatus, format!("the write did not end: {error}")))
}

fn fault(directory: &Path, error: &io::Error) -> SendError {
    let why = format!("cannot write to {}: {error}", directory.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => SendError::retry(Refusal::DiskFull, why),
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => {
            SendError::blocked(Refusal::Unreachable, format!("{why}; the directory must be writable for this program"))
        }
        _ => SendError::retry(Refusal::Unreachable, why),
    }
}

/// Appends a line to the file of a signal, and has it on the disk.
fn append(known: Option<LineFile>, signal: Signal, options: &FileOptions, line: &[u8]) -> io::Result<LineFile> {
    let mut file = match known {
        Some(file) => file,
        None => LineFile::open(signal, &options.directory)?,
    };
    if file.length > 0 && file.length + line.len() as u64 > options.max_bytes {
        put_aside(signal, options)?;
        file = LineFile::open(signal, &options.directory)?;
    }
    file.append(line)?;
    Ok(file)
}

fn path(directory: &Path, signal: Signal, number: u32) -> PathBuf {
    let name = signal.name();
    directory.join(if number == 0 { format!("{name}.jsonl") } else { format!("{name}.{number}.jsonl") })
}

/// Makes room for a new file: each one gets the next number, and the oldest goes.
fn put_aside(signal: Signal, options: &FileOptions) -> io::Result<()> {
    let at = |number| path(&options.directory, signal, number);
    if options.keep == 0 {
        return std::fs::remove_file(at(0));
    }
    for number in (0..options.keep).rev() {
        match std::fs::rename(at(number), at(number + 1)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A file of whole lines.
struct LineFile {
    signal: Signal,
    file: File,
    length: u64,
}

impl LineFile {
    /// Opens or makes the file of a signal. A line that a death of the program cut off was not confirmed: it is taken away.
    fn open(signal: Signal, directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path(directory, signal, 0))?;
        let end = file.seek(SeekFrom::End(0))?;
        let length = whole_lines(&mut file, end)?;
        if length < end {
            file.set_len(length)?;
        }
        // The names of files are the directory's.
        File::open(directory)?.sync_all()?;
        Ok(Self { signal, file, length })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if line.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(line).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // The next try must not find half of it; where this fails too, the next start takes it away.
            let _shortened = self.file.set_len(self.length);
            return written;
        }
        self.length += line.len() as u64;
        Ok(())
    }
}

/// How many bytes of a file stand in whole lines.
fn whole_lines(file: &mut File, end: u64) -> io::Result<u64> {
    let mut upper = end;
    let mut piece = Vec::new();
    while upper > 0 {
        let lower = upper.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(lower))?;
        piece.clear();
        Read::by_ref(file).take(upper - lower).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(lower + at as u64 + 1);
        }
        upper = lower;
    }
    Ok(0)
}
