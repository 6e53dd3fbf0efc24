//! One line: `name:value[:value...]|type[|@rate][|#tag:value,tag]`, as StatsD and DogStatsD write it.

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `c`: what is added up.
    Counter,
    /// `g`: what goes up and down.
    Gauge,
    /// `ms`: a time in milliseconds.
    Timer,
    /// `h` and `d`: values whose distribution counts.
    Histogram,
    /// `s`: how many different ones there are.
    Set,
}

/// A line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line<'a> {
    /// The metric.
    pub name: &'a str,
    /// What is measured.
    pub kind: Kind,
    /// The share of the values that is sent, above 0 and at most 1.
    pub rate: f64,
    /// `key:value` or `key`, between commas.
    tags: &'a str,
    values: &'a str,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is none.
    Malformed,
    /// It is an event or a service check of DogStatsD, or of a type that is not known.
    Unsupported,
}

/// The longest name, bytes.
const LONGEST_NAME: usize = 256;
/// The most bytes of tags.
const MOST_TAGS: usize = 2048;

impl<'a> Line<'a> {
    /// Its values, as they stand there: of a set any text, else numbers, of a gauge with a sign where it changes.
    pub fn values(&self) -> impl Iterator<Item = &'a str> {
        // A set's value may have a colon.
        let is_set = self.kind == Kind::Set;
        let whole = is_set.then_some(self.values);
        let split = (!is_set).then(|| self.values.split(':'));
        whole.into_iter().chain(split.into_iter().flatten())
    }

    /// Its tags, as keys and values; of one without a value that is empty.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let tags = self.tags.split(',').filter(|tag| !tag.is_empty());
        tags.map(|tag| tag.split_once(':').unwrap_or((tag, ""))).filter(|(key, _)| !key.is_empty())
    }
}

/// Reads a line without its end.
///
/// # Errors
/// [`Fault`].
pub fn read_line(line: &[u8]) -> Result<Line<'_>, Fault> {
    let text = std::str::from_utf8(line).map_err(|_| Fault::Malformed)?.trim_end();
    if text.starts_with("_e{") || text.starts_with("_sc|") {
        return Err(Fault::Unsupported);
    }
    let (head, rest) = text.split_once('|').ok_or(Fault::Malformed)?;
    let (name, values) = head.split_once(':').ok_or(Fault::Malformed)?;
    if name.is_empty() || name.len() > LONGEST_NAME || values.is_empty() || name.contains(char::is_control) {
        return Err(Fault::Malformed);
    }
    let mut sections = rest.split('|');
    let kind = match sections.next().unwrap_or_default() {
        "c" => Kind::Counter,
        "g" => Kind::Gauge,
        "ms" => Kind::Timer,
        "h" | "d" => Kind::Histogram,
        "s" => Kind::Set,
        "" => return Err(Fault::Malformed),
        _ => return Err(Fault::Unsupported),
    };
    let mut line = Line { name, kind, rate: 1.0, tags: "", values };
    for section in sections {
        if let Some(rate) = section.strip_prefix('@') {
            line.rate = rate.parse().ok().filter(|rate| *rate > 0.0 && *rate <= 1.0).ok_or(Fault::Malformed)?;
        } else if let Some(tags) = section.strip_prefix('#') {
            line.tags = Some(tags).filter(|tags| tags.len() <= MOST_TAGS).ok_or(Fault::Malformed)?;
        }
        // Containers and times of DogStatsD say nothing here.
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: lines of both dialects and ones that are none. Guarantees: each part is read, and what is not is told.
    #[test]
    fn lines_are_read() {
        let line = read_line(b"pump.starts:1:2|c|@0.5|#deck:main,spare|c:abc|T1656581400").unwrap();
        assert_eq!((line.name, line.kind, line.rate), ("pump.starts", Kind::Counter, 0.5));
        assert_eq!(line.values().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(line.tags().collect::<Vec<_>>(), [("deck", "main"), ("spare", "")]);
        assert_eq!(read_line(b"users:a:b|s").unwrap().values().collect::<Vec<_>>(), ["a:b"]);
        for (text, fault) in [
            (&b""[..], Fault::Malformed),
            (b"a", Fault::Malformed),
            (b"a:1", Fault::Malformed),
            (b":1|c", Fault::Malformed),
            (b"a:|c", Fault::Malformed),
            (b"a:1|", Fault::Malformed),
            (b"a:1|c|@0", Fault::Malformed),
            (b"a:1|c|@2", Fault::Malformed),
            (b"a:\xff|c", Fault::Malformed),
            (b"a:1|kv", Fault::Unsupported),
            (b"_e{1,1}:a|b", Fault::Unsupported),
            (b"_sc|a|0", Fault::Unsupported),
        ] {
            assert_eq!(read_line(text), Err(fault), "{text:?}");
        }
    }
}
