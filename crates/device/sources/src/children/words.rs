//! What a program complains of, on its standard error: the last words are kept, and all lines counted.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::SourceState;

/// The most bytes of a line that are kept.
const MOST: usize = 300;
/// The most bytes that are read at once.
const BUFFER: usize = 1 << 10;

/// The last line, as far as it is kept.
#[derive(Debug, Default)]
pub(crate) struct Words {
    line: Vec<u8>,
    last: String,
}

impl Words {
    /// The last whole line, or what there is of one.
    pub(crate) fn last(&self) -> &str {
        &self.last
    }

    /// Reads to the end: every line is counted, and told to the source's state.
    pub(crate) async fn read(&mut self, mut from: impl AsyncRead + Unpin, state: &SourceState) {
        let mut buffer = [0; BUFFER];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            self.take(&buffer[..length], state);
        }
        if !self.line.is_empty() {
            self.end_line(state);
        }
    }

    fn take(&mut self, bytes: &[u8], state: &SourceState) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_whole) = part.strip_suffix(b"\n").map_or((part, false), |text| (text, true));
            let room = MOST.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if is_whole {
                self.end_line(state);
            }
        }
    }

    fn end_line(&mut self, state: &SourceState) {
        let text = String::from_utf8_lossy(&self.line);
        if !text.trim().is_empty() {
            text.trim().clone_into(&mut self.last);
            state.error("stderr", 1, &self.last);
        }
        self.line.clear();
    }
}
