//! Relabelling as Prometheus does it (`relabel_config`): rules that keep, drop and rewrite the labels of targets and series.

use md5::{Digest, Md5};
use regex_lite::Regex;

use crate::labels::Labels;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Action {
    /// Sets the target label to the replacement where the regular expression matches.
    #[default]
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops what is not equal to the target label.
    KeepEqual,
    /// Drops what is equal to the target label.
    DropEqual,
    /// Sets the target label to a hash modulo a number.
    HashMod,
    /// Copies labels whose names match to names made of the replacement.
    LabelMap,
    /// Removes labels whose names match.
    LabelDrop,
    /// Removes labels whose names do not match.
    LabelKeep,
    /// Sets the target label to the text in lower case.
    Lowercase,
    /// Sets the target label to the text in upper case.
    Uppercase,
}

/// A rule as it is configured; what is absent is Prometheus' default.
#[derive(Debug, Clone, Default)]
pub struct RuleOptions {
    /// Labels whose values are looked at, joined.
    pub source_labels: Vec<String>,
    /// What stands between them; `;`.
    pub separator: Option<String>,
    /// The label that is set.
    pub target_label: String,
    /// Anchored at both ends; `(.*)`.
    pub regex: Option<String>,
    /// For `hashmod`.
    pub modulus: u64,
    /// What is set, with `$1` or `${name}` for groups; `$1`.
    pub replacement: Option<String>,
    /// What is done.
    pub action: Action,
}

/// The largest compiled regular expression, bytes.
const MAX_REGEX: usize = 1 << 20;
/// What matches where nothing is said.
const EVERYTHING: &str = "(.*)";

#[derive(Debug)]
struct Rule {
    source_labels: Vec<String>,
    separator: String,
    target_label: String,
    /// `None` matches everything, and is its first group.
    regex: Option<Regex>,
    modulus: u64,
    replacement: String,
    action: Action,
}

/// Rules, one after the other.
#[derive(Debug, Default)]
pub struct Relabel {
    rules: Vec<Rule>,
}

/// What rules work with, used again.
#[derive(Debug, Default)]
pub struct RelabelScratch {
    joined: String,
    target: String,
    value: String,
}

impl Relabel {
    /// Checks and compiles rules.
    ///
    /// # Errors
    /// Which rule, from 1, and what is wrong with it.
    pub fn new(rules: &[RuleOptions]) -> Result<Self, String> {
        let compiled = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(rule).map_err(|why| format!("rule {}: {why}", index + 1)));
        Ok(Self { rules: compiled.collect::<Result<_, _>>()? })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies all of them; false where one drops what has these labels.
    pub fn apply(&self, labels: &mut Labels, scratch: &mut RelabelScratch) -> bool {
        self.rules.iter().all(|rule| rule.apply(labels, scratch))
    }
}

impl Rule {
    fn new(options: &RuleOptions) -> Result<Self, String> {
        let RuleOptions { source_labels, separator, target_label, regex, modulus, replacement, action } = options;
        let by_names = matches!(action, Action::LabelMap | Action::LabelDrop | Action::LabelKeep);
        let equal = matches!(action, Action::KeepEqual | Action::DropEqual);
        let sets = matches!(action, Action::Replace | Action::HashMod | Action::Lowercase | Action::Uppercase);
        if (sets || equal) && target_label.is_empty() {
            return Err("this action needs a target_label".into());
        }
        if *action == Action::HashMod && *modulus == 0 {
            return Err("action hashmod needs a modulus above 0".into());
        }
        if equal && (regex.is_some() || separator.is_some() || replacement.is_some() || *modulus > 0) {
            return Err("keepequal and dropequal take source_labels and target_label only".into());
        }
        let only_regex = matches!(action, Action::LabelDrop | Action::LabelKeep);
        let more = !source_labels.is_empty() || separator.is_some() || !target_label.is_empty();
        if only_regex && (more || replacement.is_some() || *modulus > 0) {
            return Err("labeldrop and labelkeep take a regex only".into());
        }
        let regex = match regex.as_deref() {
            None | Some(EVERYTHING) if !by_names => None,
            text => {
                let text = text.unwrap_or(EVERYTHING);
                // Parentheses alone could be closed by the text itself: it has to be one by itself, too.
                Regex::new(text).map_err(|error| format!("regex '{text}': {error}"))?;
                let mut builder = regex_lite::RegexBuilder::new(&format!("^(?s:{text})$"));
                let built = builder.size_limit(MAX_REGEX).build();
                Some(built.map_err(|error| format!("regex '{text}': {error}"))?)
            }
        };
        Ok(Self {
            source_labels: source_labels.clone(),
            separator: separator.clone().unwrap_or_else(|| ";".into()),
            target_label: target_label.clone(),
            regex,
            modulus: *modulus,
            replacement: replacement.clone().unwrap_or_else(|| "$1".into()),
            action: *action,
        })
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }

    fn apply(&self, labels: &mut Labels, scratch: &mut RelabelScratch) -> bool {
        let RelabelScratch { joined, target, value } = scratch;
        joined.clear();
        for (index, name) in self.source_labels.iter().enumerate() {
            if index > 0 {
                joined.push_str(&self.separator);
            }
            joined.push_str(labels.get(name).unwrap_or_default());
        }
        match self.action {
            Action::Keep => return self.matches(joined),
            Action::Drop => return !self.matches(joined),
            Action::KeepEqual => return labels.get(&self.target_label).unwrap_or_default() == joined,
            Action::DropEqual => return labels.get(&self.target_label).unwrap_or_default() != joined,
            Action::Replace => self.replace(labels, joined, target, value),
            Action::HashMod => {
                let hash = Md5::digest(joined.as_bytes());
                // The last eight of its bytes, as Prometheus takes them.
                let last = hash.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                labels.set(&self.target_label, &(last % self.modulus.max(1)).to_string());
            }
            Action::Lowercase => labels.set(&self.target_label, &joined.to_lowercase()),
            Action::Uppercase => labels.set(&self.target_label, &joined.to_uppercase()),
            Action::LabelDrop => labels.retain(|name, _| !self.matches(name)),
            Action::LabelKeep => labels.retain(|name, _| self.matches(name)),
            Action::LabelMap => {
                let Some(regex) = &self.regex else { return true };
                let found: Vec<(String, String)> = labels
                    .iter()
                    .filter(|(name, _)| regex.is_match(name))
                    .map(|(name, value)| {
                        (regex.replace(name, self.replacement.as_str()).into_owned(), value.to_owned())
                    })
                    .collect();
                // A name of which nothing is left is none.
                found.iter().filter(|(name, _)| !name.is_empty()).for_each(|(name, value)| labels.set(name, value));
            }
        }
        true
    }

    fn replace(&self, labels: &mut Labels, joined: &str, target: &mut String, value: &mut String) {
        target.clear();
        value.clear();
        match &self.regex {
            None if self.replacement == "$1" && !self.target_label.contains('$') => {
                labels.set(&self.target_label, joined);
                return;
            }
            None => {
                // The whole of it is the first group.
                expand(&self.target_label, joined, target);
                expand(&self.replacement, joined, value);
            }
            Some(regex) => {
                let Some(groups) = regex.captures(joined) else { return };
                groups.expand(&self.target_label, target);
                groups.expand(&self.replacement, value);
            }
        }
        if !target.is_empty() {
            labels.set(target, value);
        }
    }
}

/// Expands a template by the groups of an expression that matches everything.
fn expand(template: &str, whole: &str, out: &mut String) {
    if !template.contains('$') {
        out.push_str(template);
        return;
    }
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(more) = behind.strip_prefix('$') {
            out.push('$');
            rest = more;
            continue;
        }
        let (name, more) = match behind.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some(parts) => parts,
            None => {
                let end = behind.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(behind.len());
                behind.split_at(end)
            }
        };
        if name.is_empty() {
            out.push('$');
            rest = behind;
            continue;
        }
        if matches!(name, "0" | "1") {
            out.push_str(whole);
        }
        rest = more;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(rules: &[RuleOptions], labels: &[(&str, &str)]) -> Option<String> {
        let mut labels = Labels::of(labels.iter().copied());
        let kept = Relabel::new(rules).unwrap().apply(&mut labels, &mut RelabelScratch::default());
        labels.sort();
        let texts: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        kept.then(|| texts.join(","))
    }

    fn rule(action: Action, source: &[&str], regex: &str) -> RuleOptions {
        let source_labels = source.iter().map(|name| (*name).to_owned()).collect();
        let regex = (!regex.is_empty()).then(|| regex.to_owned());
        RuleOptions { source_labels, regex, action, ..RuleOptions::default() }
    }

    /// Scenario: each action as Prometheus' documentation tells it, with and without a match. Guarantees: labels as Prometheus leaves them:
    /// expressions are anchored, an empty replacement removes the label, absent labels are empty texts.
    #[test]
    fn every_action_does_what_prometheus_does() {
        let all = [("a", "foo"), ("b", "bar"), ("c", "baz")];
        let to = |mut rule: RuleOptions, target: &str, replacement: Option<&str>| {
            rule.target_label = target.into();
            rule.replacement = replacement.map(str::to_owned);
            rule
        };
        let replace = |source: &[&str], regex: &str, target: &str, replacement| {
            applied(&[to(rule(Action::Replace, source, regex), target, replacement)], &all).unwrap()
        };
        assert_eq!(replace(&["a"], "f(.*)", "d", Some("ch${1}-ch${1}")), "a=foo,b=bar,c=baz,d=choo-choo");
        assert_eq!(replace(&["a", "b"], "(f).*;(.*)r", "a", Some("b${1}${2}m")), "a=bfbam,b=bar,c=baz");
        assert_eq!(replace(&["a"], "", "d", None), "a=foo,b=bar,c=baz,d=foo");
        assert_eq!(replace(&["a"], ".*(b).*", "d", Some("x")), "a=foo,b=bar,c=baz");
        assert_eq!(replace(&["a"], "f", "d", Some("x")), "a=foo,b=bar,c=baz");
        assert_eq!(replace(&[], "", "b", Some("")), "a=foo,c=baz");
        assert_eq!(replace(&["a"], "(f)(o+)", "${1}_$2", Some("$2")), "a=foo,b=bar,c=baz,f_oo=oo");
        assert_eq!(replace(&["none"], "", "d", Some("$0-$$-$x-$")), "a=foo,b=bar,c=baz,d=-$--$");
        assert_eq!(replace(&["none"], "none", "d", Some("x")), "a=foo,b=bar,c=baz");
        assert_eq!(applied(&[rule(Action::Drop, &["a"], "f.*")], &all), None);
        assert!(applied(&[rule(Action::Drop, &["a"], "f")], &all).is_some());
        assert!(applied(&[rule(Action::Keep, &["a"], "f.*|x")], &all).is_some());
        assert_eq!(applied(&[rule(Action::Keep, &["a", "b"], "foobar")], &all), None);
        for (action, target, kept) in
            [(Action::KeepEqual, "b", false), (Action::DropEqual, "b", true), (Action::KeepEqual, "a", true)]
        {
            assert_eq!(applied(&[to(rule(action, &["a"], ""), target, None)], &all).is_some(), kept);
        }
        let hash = RuleOptions { modulus: 1000, ..to(rule(Action::HashMod, &["c"], ""), "d", None) };
        assert_eq!(applied(&[hash], &all).unwrap(), "a=foo,b=bar,c=baz,d=976");
        let hash = RuleOptions { modulus: 1000, ..to(rule(Action::HashMod, &["a"], ""), "d", None) };
        assert_eq!(applied(&[hash], &[("a", "foo\nbar")]).unwrap(), "a=foo\nbar,d=734");
        assert_eq!(applied(&[rule(Action::LabelDrop, &[], "a|b")], &all).unwrap(), "c=baz");
        assert_eq!(applied(&[rule(Action::LabelKeep, &[], "a|b")], &all).unwrap(), "a=foo,b=bar");
        let map = to(rule(Action::LabelMap, &[], "meta_(.*)"), "", Some("x_$1"));
        assert_eq!(applied(&[map], &[("meta_a", "1"), ("b", "2")]).unwrap(), "b=2,meta_a=1,x_a=1");
        let map = to(rule(Action::LabelMap, &[], "(.)"), "", Some("$none"));
        assert_eq!(applied(&[map], &[("a", "1")]).unwrap(), "a=1");
        let upper = to(rule(Action::Uppercase, &["a"], ""), "u", None);
        let lower = to(rule(Action::Lowercase, &["u"], ""), "l", None);
        assert_eq!(applied(&[upper, lower], &[("a", "Foo\u{e9}")]).unwrap(), "a=Foo\u{e9},l=foo\u{e9},u=FOO\u{c9}");
        assert_eq!(applied(&[rule(Action::Drop, &["a"], "foo.bar")], &[("a", "foo\nbar")]), None);
    }

    /// Scenario: rules that Prometheus refuses. Guarantees: refused, with the rule's number and what is wrong.
    #[test]
    fn bad_rules_are_refused() {
        for (options, says) in [
            (rule(Action::Replace, &["a"], "x"), "target_label"),
            (rule(Action::HashMod, &["a"], "x"), "target_label"),
            (RuleOptions { target_label: "t".into(), ..rule(Action::HashMod, &["a"], "x") }, "modulus"),
            (RuleOptions { target_label: "t".into(), ..rule(Action::KeepEqual, &["a"], "x") }, "only"),
            (rule(Action::LabelDrop, &["a"], "x"), "only"),
            (rule(Action::Keep, &["a"], "("), "regex '('"),
            (rule(Action::Keep, &["a"], "a)(b"), "regex 'a)(b'"),
            (rule(Action::Keep, &["a"], "(a{1000}){1000}"), "regex"),
        ] {
            let why = Relabel::new(&[options]).unwrap_err();
            assert!(why.starts_with("rule 1: ") && why.contains(says), "{why}");
        }
    }
}
