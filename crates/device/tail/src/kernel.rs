//! Records of the kernel's log, as `/dev/kmsg` gives them (Linux, ABI/testing/dev-kmsg): `level,sequence,microseconds,flags;text`, and lines
//! with a blank in front that say of what device it speaks.

use model::otlp::schema::{any_value, key_value};
use model::proto::{put_bytes, put_message, put_uint};

use crate::batch::Batch;
use crate::fields::{Fields, Value};
use crate::syslog::{LEVELS, severity_number};
use crate::write::{put_record, put_text};

/// A record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRecord<'a> {
    /// Its number; the next one has the next number, unless records were overwritten.
    pub sequence: u64,
    /// Microseconds since the machine started.
    pub time_us: u64,
    priority: u64,
    text: &'a str,
    properties: &'a str,
}

impl<'a> KernelRecord<'a> {
    /// Reads the first record of some, and gives what follows; `None` for what is none.
    pub fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (line, mut rest) = text.split_once('\n').unwrap_or((text, ""));
        let (head, message) = line.split_once(';')?;
        let mut parts = head.split(',');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let (priority, sequence, time_us) = (number()?, number()?, number()?);
        let properties = rest;
        while rest.starts_with(' ') {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
        let properties = &properties[..properties.len() - rest.len()];
        Some((Self { sequence, time_us, priority, text: message, properties }, rest.as_bytes()))
    }

    /// Adds it as a log record; `time_ns` is when it was written, `wall_ns` when it was read. `resource` is the body of a `Resource`.
    pub fn write(&self, resource: &[u8], time_ns: u64, wall_ns: u64, batch: &mut Batch) {
        let mut fields = Fields { time_ns, ..Fields::default() };
        let level = (self.priority & 7) as u8;
        fields.severity = severity_number(level);
        LEVELS[usize::from(level)].clone_into(&mut fields.severity_text);
        fields.message = Some(unescaped(self.text));
        let facility = (self.priority >> 3).to_string();
        fields.field("syslog.facility.code", Value::Number(&facility));
        for line in self.properties.lines() {
            if let Some((key, value)) = line.trim_start().split_once('=') {
                let mut any = Vec::new();
                put_bytes(&mut any, any_value::STRING, unescaped(value).as_bytes());
                fields.any(&format!("kernel.{}", key.to_ascii_lowercase()), &any);
            }
        }
        put_message(&mut fields.attributes, 6, |out| {
            put_bytes(out, key_value::KEY, b"kernel.sequence");
            put_message(out, key_value::VALUE, |out| put_uint(out, any_value::INT, self.sequence));
        });
        let mut record = Vec::new();
        put_record(fields, self.text.as_bytes(), 0, wall_ns, |_| {}, &mut record);
        batch.push(resource, &record);
    }
}

/// The body of the kernel's resource: `service.name=kernel`, unless that is among `resource`.
pub fn kernel_resource(resource: &[(String, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if resource.iter().all(|(key, _)| key != "service.name") {
        put_text(&mut bytes, 1, "service.name", "kernel");
    }
    resource.iter().for_each(|(key, value)| put_text(&mut bytes, 1, key, value));
    bytes
}

/// A text without the kernel's `\x1b`.
fn unescaped(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'\\', [b'x', high, low, ..]) => char::from(*high).to_digit(16).zip(char::from(*low).to_digit(16)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                out.push((high << 4 | low) as u8);
                rest = &after[3..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use model::otlp::inspect;

    use super::*;

    /// Scenario: two records as the kernel gives them, with properties and escaped bytes, and texts that are none. Guarantees: number, time,
    /// level, text and properties are read, and what is no record is told.
    #[test]
    fn records_of_the_kernel_are_read() {
        let text = "6,339,5140900,-;NET: Registered PF_INET\\x1b[0m\n SUBSYSTEM=net\n DEVICE=+net:eth0\n30,340,5140901,c,caller=T1;init\n";
        let (first, rest) = KernelRecord::read(text.as_bytes()).unwrap();
        assert_eq!((first.sequence, first.time_us), (339, 5_140_900));
        let (second, rest) = KernelRecord::read(rest).unwrap();
        assert_eq!((second.sequence, second.text, rest.len()), (340, "init", 0));
        let mut batch = Batch::default();
        for record in [first, second] {
            record.write(&kernel_resource(&[]), 7, 8, &mut batch);
        }
        let (body, records) = batch.take();
        let found = inspect(Signal::Logs, &body).unwrap();
        assert!(found.is_clean() && (found.records, records) == (2, 2));
        let has = |part: &str| body.windows(part.len()).any(|bytes| bytes == part.as_bytes());
        assert!(has("PF_INET\x1b[0m") && has("kernel.device") && has("+net:eth0") && has("info"));
        for other in ["", "x", "6,1;y", "a,1,2,-;y", "6,1,2,-"] {
            assert!(KernelRecord::read(other.as_bytes()).is_none(), "{other}");
        }
    }
}
