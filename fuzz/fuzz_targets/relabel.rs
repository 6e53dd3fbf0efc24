//! Any rule on any labels: it is refused or applied, without a panic and in bounded time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scrape::{Action, Labels, Relabel, RelabelScratch, RuleOptions};

const ACTIONS: [Action; 11] = [
    Action::Replace,
    Action::Keep,
    Action::Drop,
    Action::KeepEqual,
    Action::DropEqual,
    Action::HashMod,
    Action::LabelMap,
    Action::LabelDrop,
    Action::LabelKeep,
    Action::Lowercase,
    Action::Uppercase,
];

fuzz_target!(|input: &[u8]| {
    let Some((action, rest)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let mut parts = text.split('\n');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let action = ACTIONS[usize::from(*action) % ACTIONS.len()];
    let (regex, target_label, replacement, value) = (next(), next(), next(), next());
    let only_names = matches!(action, Action::LabelDrop | Action::LabelKeep);
    let options = RuleOptions {
        source_labels: if only_names { Vec::new() } else { vec!["a".into(), "b".into()] },
        separator: None,
        target_label: if only_names { String::new() } else { target_label },
        regex: (!regex.is_empty()).then_some(regex),
        modulus: u64::from(action == Action::HashMod) * 7,
        replacement: (!replacement.is_empty() && !only_names).then_some(replacement),
        action,
    };
    let Ok(rules) = Relabel::new(&[options]) else { return };
    let mut labels = Labels::of([("a", value.as_str()), ("b", "x"), ("__name__", "n")]);
    let _kept = rules.apply(&mut labels, &mut RelabelScratch::default());
    assert!(labels.iter().all(|(name, _)| !name.is_empty()), "a label has a name");
});
