//! Syslog messages in a stream (RFC 6587): each with its length in front, or each up to its line's end; told apart message by message.

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its bytes, without what frames them.
    pub bytes: Vec<u8>,
    /// Whether it was longer than a message may be: the rest is left out.
    pub is_cut: bool,
}

/// Digits of the longest length.
const MOST_DIGITS: usize = 8;

/// A stream of messages.
#[derive(Debug)]
pub struct Framing {
    most: usize,
    buffer: Vec<u8>,
    /// What of a message that is cut is passed over.
    passing: Passing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    Nothing,
    /// So many bytes.
    Bytes(usize),
    /// Up to a line's end.
    Line,
}

impl Framing {
    /// Messages of at most so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(16), buffer: Vec::new(), passing: Passing::Nothing }
    }

    /// Takes what came.
    pub fn push(&mut self, mut bytes: &[u8]) {
        match self.passing {
            Passing::Nothing => {}
            Passing::Bytes(left) => {
                let passed = left.min(bytes.len());
                bytes = &bytes[passed..];
                self.passing = if left > passed { Passing::Bytes(left - passed) } else { Passing::Nothing };
            }
            Passing::Line => {
                let Some(at) = bytes.iter().position(|byte| *byte == b'\n') else { return };
                bytes = &bytes[at + 1..];
                self.passing = Passing::Nothing;
            }
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message that is whole, or as long as one may be. `None`: more bytes are needed.
    #[allow(clippy::should_implement_trait, reason = "more may come after None")]
    pub fn next(&mut self) -> Option<Message> {
        loop {
            // Some end a counted message with a line's end, too.
            let skip = self.buffer.iter().take_while(|byte| matches!(byte, b'\n' | b'\r' | 0 | b' ')).count();
            self.buffer.drain(..skip);
            let message = match self.counted()? {
                Some((start, length)) => self.cut_counted(start, length)?,
                None => self.cut_line()?,
            };
            if !message.bytes.is_empty() {
                return Some(message);
            }
        }
    }

    /// The stream has ended: what there is.
    pub fn finish(&mut self) -> Option<Message> {
        let bytes = std::mem::take(&mut self.buffer);
        let bytes = bytes.trim_ascii().to_vec();
        (!bytes.is_empty()).then_some(Message { bytes, is_cut: false })
    }

    /// Where a message with its length in front begins, and that length; inside `None` for one without. Outside `None`: it cannot be told yet.
    #[allow(clippy::option_option, reason = "it cannot be told, there is none, there is one")]
    fn counted(&self) -> Option<Option<(usize, usize)>> {
        let first = self.buffer.first()?;
        if !first.is_ascii_digit() || *first == b'0' {
            return Some(None);
        }
        let digits = self.buffer.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits > MOST_DIGITS {
            return Some(None);
        }
        match self.buffer.get(digits) {
            None => None,
            Some(b' ') => {
                let length = std::str::from_utf8(&self.buffer[..digits]).ok().and_then(|text| text.parse().ok());
                Some(length.map(|length| (digits + 1, length)))
            }
            Some(_) => Some(None),
        }
    }

    fn cut_counted(&mut self, start: usize, length: usize) -> Option<Message> {
        let there = self.buffer.len() - start;
        if length > self.most && there >= self.most {
            let bytes = self.buffer[start..start + self.most].to_vec();
            let rest = there.min(length);
            if length > rest {
                self.passing = Passing::Bytes(length - rest);
            }
            self.buffer.drain(..start + rest);
            return Some(Message { bytes, is_cut: true });
        }
        if length > self.most || there < length {
            return None;
        }
        let bytes = trimmed(&self.buffer[start..start + length]).to_vec();
        self.buffer.drain(..start + length);
        Some(Message { bytes, is_cut: false })
    }

    fn cut_line(&mut self) -> Option<Message> {
        let end = self.buffer.iter().position(|byte| *byte == b'\n');
        match end {
            Some(end) if end <= self.most => {
                let bytes = trimmed(&self.buffer[..end]).to_vec();
                self.buffer.drain(..=end);
                Some(Message { bytes, is_cut: false })
            }
            None if self.buffer.len() <= self.most => None,
            _ => {
                let bytes = self.buffer[..self.most].to_vec();
                match end {
                    Some(end) => drop(self.buffer.drain(..=end)),
                    None => {
                        self.buffer.clear();
                        self.passing = Passing::Line;
                    }
                }
                Some(Message { bytes, is_cut: true })
            }
        }
    }
}

/// Without what some programs end a message with.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |at| at + 1);
    &bytes[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(most: usize, text: &[u8], portion: usize) -> (Vec<String>, usize) {
        let mut framing = Framing::new(most);
        let (mut found, mut cut) = (Vec::new(), 0);
        let mut take = |message: Message| {
            cut += usize::from(message.is_cut);
            found.push(String::from_utf8(message.bytes).unwrap());
        };
        for bytes in text.chunks(portion) {
            framing.push(bytes);
            while let Some(message) = framing.next() {
                take(message);
            }
        }
        framing.finish().into_iter().for_each(take);
        (found, cut)
    }

    /// Scenario: messages with their length, with a line's end, with both, and ones that are too long, in portions of every size.
    /// Guarantees: each comes once, whatever the portions; what is cut is told, and what follows is whole (P1).
    #[test]
    fn both_framings_are_read() {
        let text = b"5 <1>ab<2>line\n6 <3>a\nb\n<4>crlf\r\n\n0123 is no length\n40 <5>0123456789012345678901234567890123456<6>x\n\
                     <7>0123456789012345678901234567890\n<8>last";
        let expected = [
            "<1>ab",
            "<2>line",
            "<3>a\nb",
            "<4>crlf",
            "<5>01234567890123456",
            "<6>x",
            "<7>01234567890123456",
            "<8>last",
        ];
        for portion in 1..text.len() {
            let (found, cut) = all(20, text, portion);
            let found: Vec<&str> = found.iter().map(String::as_str).filter(|text| text.starts_with('<')).collect();
            assert_eq!((found, cut), (expected.to_vec(), 2), "{portion}");
        }
    }
}
