//! Fields of log records that mean a level or a duration beside the ready-made names, as an operator wrote them.

/// What a field means.
#[derive(Debug, Clone, PartialEq)]
pub enum Means {
    /// A level: these values, without case, with their `SeverityNumber`; others as ready-made ones are read.
    Level(Vec<(String, u8)>),
    /// A duration: so many milliseconds is one of a number without a unit.
    Duration(f64),
}

/// The fields that an operator named. Names are compared as ready-made ones are: without case, `_`, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FieldNames {
    all: Vec<(Vec<u8>, Means)>,
}

impl FieldNames {
    /// Of names with what each means.
    pub fn new(fields: impl IntoIterator<Item = (String, Means)>) -> Self {
        let plain = |name: &str| {
            name.bytes().filter(|byte| !is_passed_over(*byte)).map(|byte| byte.to_ascii_lowercase()).collect()
        };
        Self { all: fields.into_iter().map(|(name, means)| (plain(&name), means)).collect() }
    }

    /// What a field means; `None` where nobody named it.
    pub(crate) fn of(&self, key: &[u8]) -> Option<&Means> {
        let is = |name: &[u8]| {
            let mut bytes = key.iter().filter(|byte| !is_passed_over(**byte)).map(u8::to_ascii_lowercase);
            name.iter().all(|byte| bytes.next() == Some(*byte)) && bytes.next().is_none()
        };
        self.all.iter().find(|(name, _)| is(name)).map(|(_, means)| means)
    }

    /// Whether nobody named one.
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

impl Means {
    /// The `SeverityNumber` of a text that has a value of its own.
    pub(crate) fn level_of(&self, text: &[u8]) -> Option<u8> {
        let Self::Level(values) = self else { return None };
        let text = text.trim_ascii();
        values.iter().find(|(value, _)| value.as_bytes().eq_ignore_ascii_case(text)).map(|(_, level)| *level)
    }
}

fn is_passed_over(byte: u8) -> bool {
    matches!(byte, b'_' | b'.' | b'-')
}
