//! What callgrind writes (valgrind manual, "Callgrind Format Specification"), as far as costs by function need it.

use std::collections::HashMap;

/// A call from one function to another: how often, and the instructions of all that it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Arc {
    pub(super) calls: u64,
    pub(super) instructions: u64,
}

/// A profile: functions by number.
#[derive(Debug, Default)]
pub(super) struct Profile {
    /// Names.
    pub(super) functions: Vec<String>,
    /// Instructions of each function itself.
    pub(super) own: Vec<u64>,
    /// (caller, callee).
    pub(super) arcs: HashMap<(usize, usize), Arc>,
    numbers: HashMap<String, usize>,
}

impl Profile {
    /// Reads a profile. Lines that it does not know are passed over, as the format asks for.
    pub(super) fn read(text: &str) -> Self {
        let mut profile = Self::default();
        // Names are written once, and then told by their number.
        let mut named: HashMap<&str, usize> = HashMap::new();
        let (mut caller, mut callee, mut calls) = (0, 0, None);
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("fn=") {
                caller = profile.function(name, &mut named);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                callee = profile.function(name, &mut named);
            } else if let Some(counts) = line.strip_prefix("calls=") {
                calls = counts.split_ascii_whitespace().next().and_then(|count| count.parse::<u64>().ok());
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let cost = line.split_ascii_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok()).unwrap_or(0);
                match calls.take() {
                    Some(count) => {
                        let arc = profile.arcs.entry((caller, callee)).or_default();
                        arc.calls += count;
                        arc.instructions += cost;
                    }
                    None => {
                        if let Some(own) = profile.own.get_mut(caller) {
                            *own += cost;
                        }
                    }
                }
            }
        }
        profile
    }

    /// The number of a function, told as `(number) name` or `(number)`.
    fn function<'t>(&mut self, told: &'t str, named: &mut HashMap<&'t str, usize>) -> usize {
        let (number, name) = told.split_once(' ').unwrap_or((told, ""));
        if name.is_empty() {
            return named.get(number).copied().unwrap_or(0);
        }
        let next = self.functions.len();
        let function = *self.numbers.entry(name.to_owned()).or_insert(next);
        if function == next {
            self.functions.push(name.to_owned());
            self.own.push(0);
        }
        named.insert(number, function);
        function
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a profile with names told once, inlined lines of another file, and calls. Guarantees: own costs and those of calls are
    /// kept apart, and a function told twice is one.
    #[test]
    fn a_profile_is_read() {
        let text = "version: 1\nevents: Ir\nfl=(1) a.rs\nfn=(1) main\n10 5\nfi=(2) b.rs\n+3 7\ncfn=(2) work\ncalls=4 20\n\
                    * 400\nfe=(1)\n11 1\n\nfn=(2)\n20 300\ncfn=(3) malloc\ncalls=2 0\n20 100\n\nfn=(3)\n0 100\ntotals: 413\n";
        let profile = Profile::read(text);
        assert_eq!(profile.functions, ["main", "work", "malloc"]);
        assert_eq!(profile.own, [13, 300, 100]);
        assert_eq!(profile.arcs[&(0, 1)], Arc { calls: 4, instructions: 400 });
        assert_eq!(profile.arcs[&(1, 2)], Arc { calls: 2, instructions: 100 });
    }
}
