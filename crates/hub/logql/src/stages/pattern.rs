//! Patterns: `<ip> - <_> "<method> <path>"`, texts with names for what stands between them.

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What is taken out, under a name; nothing: it is passed over.
    Capture(Option<String>),
}

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl Pattern {
    /// A pattern that takes something out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn captures_of(text: &str) -> Result<Self, String> {
        let pattern = Self::read(text);
        let names: Vec<&String> = pattern.names().collect();
        if names.is_empty() {
            return Err("at least one capture is required".into());
        }
        if names.iter().enumerate().any(|(place, name)| names[..place].contains(name)) {
            return Err("duplicate capture name".into());
        }
        pattern.in_order()?;
        Ok(pattern)
    }

    /// A pattern that lines are looked at for: it takes nothing out.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn filter_of(text: &str) -> Result<Self, String> {
        let pattern = Self::read(text);
        if pattern.names().next().is_some() {
            return Err("named captures are not allowed: use <_>".into());
        }
        pattern.in_order()?;
        Ok(pattern)
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|part| match part {
            Part::Capture(name) => name.as_ref(),
            Part::Text(_) => None,
        })
    }

    /// Between two captures has to be a text.
    fn in_order(&self) -> Result<(), String> {
        let is_capture = |part: &Part| matches!(part, Part::Capture(_));
        match self.0.windows(2).any(|two| two.iter().all(is_capture)) {
            true => Err("found consecutive capture: a text has to stand between two".into()),
            false => Ok(()),
        }
    }

    fn read(text: &str) -> Self {
        let mut parts = Vec::new();
        let mut own = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let name = rest.strip_prefix('<').and_then(|inner| inner.split_once('>')).map(|(name, _)| name);
            if let Some(name) = name.filter(|name| is_name(name)) {
                if !own.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut own)));
                }
                parts.push(Part::Capture((name != "_").then(|| name.to_owned())));
                rest = &rest[name.len() + 2..];
            } else {
                own.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
        if !own.is_empty() {
            parts.push(Part::Text(own));
        }
        Self(parts)
    }

    /// Shows what a line has under each name. Where the line ends before the pattern does, the last of them is its rest.
    pub(crate) fn captures<'l>(&self, line: &'l str, mut show: impl FnMut(&str, &'l str)) {
        let mut rest = line;
        let mut open: Option<&Option<String>> = None;
        let mut first = true;
        for part in &self.0 {
            match part {
                Part::Capture(name) => open = Some(name),
                Part::Text(text) => {
                    let Some(at) = rest.find(text.as_str()).filter(|at| !first || *at == 0) else { break };
                    if let Some(Some(name)) = open.take() {
                        show(name, &rest[..at]);
                    }
                    rest = &rest[at + text.len()..];
                }
            }
            first = false;
        }
        if let Some(Some(name)) = open
            && !rest.is_empty()
        {
            show(name, rest);
        }
    }

    /// Whether a line is like this: a capture stands for at least one character.
    pub(crate) fn fits(&self, line: &str) -> bool {
        if line.is_empty() || self.0.is_empty() {
            return line.is_empty() && self.0.is_empty();
        }
        let mut rest = line;
        for (place, part) in self.0.iter().enumerate() {
            let Part::Text(text) = part else { continue };
            match rest.find(text.as_str()) {
                None => return false,
                // Where no capture stands before it, it has to be here; else not.
                Some(at) if (at == 0) == (place == 0) => rest = &rest[at + text.len()..],
                Some(_) => return false,
            }
        }
        matches!(self.0.last(), Some(Part::Capture(_))) != rest.is_empty()
    }
}
