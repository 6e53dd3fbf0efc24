//! The labels of one series while it is worked on, in one buffer that is used again.

use std::ops::Range;

/// The name of a series stands under this label.
pub(crate) const METRIC_NAME: &str = "__name__";

/// Names and values in one text.
#[derive(Debug, Default, Clone)]
pub struct Labels {
    text: String,
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone, Copy)]
struct Pair {
    name: (u32, u32),
    value: (u32, u32),
}

impl Labels {
    /// Labels of these pairs.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels = Self::default();
        pairs.into_iter().for_each(|(name, value)| labels.push(name, value));
        labels
    }

    /// Begins anew, and keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.pairs.clear();
    }

    /// Takes over others, and keeps the memory.
    pub(crate) fn copy(&mut self, other: &Labels) {
        self.text.clone_from(&other.text);
        self.pairs.clone_from(&other.pairs);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The memory that they hold.
    pub(crate) fn capacity(&self) -> usize {
        self.text.capacity() + self.pairs.capacity() * size_of::<Pair>()
    }

    /// Adds a label without looking whether it is there.
    pub fn push(&mut self, name: &str, value: &str) {
        self.push_with(|out| out.push_str(name), |out| out.push_str(value));
    }

    /// Adds a label whose name and value are written.
    pub(crate) fn push_with(&mut self, name: impl FnOnce(&mut String), value: impl FnOnce(&mut String)) {
        let name = self.write(name);
        let value = self.write(value);
        self.pairs.push(Pair { name, value });
    }

    /// The value of a label, where there is one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.place(name).map(|at| self.part(self.pairs[at].value))
    }

    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) {
        match self.place(name) {
            Some(at) if value.is_empty() => _ = self.pairs.remove(at),
            Some(at) => self.pairs[at].value = self.write(|out| out.push_str(value)),
            None if value.is_empty() => {}
            None => self.push(name, value),
        }
    }

    /// Gives a label another name.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if let Some(at) = self.place(from) {
            self.pairs[at].name = self.write(|out| out.push_str(to));
        }
    }

    /// Keeps those for which this is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let Self { text, pairs } = self;
        pairs.retain(|pair| keep(part(text, pair.name), part(text, pair.value)));
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.range(0..self.pairs.len())
    }

    /// Some of them, in their order.
    pub(crate) fn range(&self, range: Range<usize>) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.pairs.get(range).unwrap_or_default();
        pairs.iter().map(|pair| (self.part(pair.name), self.part(pair.value)))
    }

    /// Puts them in the order of their names.
    pub(crate) fn sort(&mut self) {
        let Self { text, pairs } = self;
        pairs.sort_unstable_by(|one, other| part(text, one.name).cmp(part(text, other.name)));
    }

    /// A name that stands twice in sorted labels.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let twice = self.pairs.windows(2).find(|pair| self.part(pair[0].name) == self.part(pair[1].name))?;
        Some(self.part(twice[0].name))
    }

    fn place(&self, name: &str) -> Option<usize> {
        self.pairs.iter().position(|pair| self.part(pair.name) == name)
    }

    fn write(&mut self, write: impl FnOnce(&mut String)) -> (u32, u32) {
        let start = self.text.len();
        write(&mut self.text);
        (start as u32, self.text.len() as u32)
    }

    fn part(&self, range: (u32, u32)) -> &str {
        part(&self.text, range)
    }
}

fn part(text: &str, (start, end): (u32, u32)) -> &str {
    text.get(start as usize..end as usize).unwrap_or_default()
}
