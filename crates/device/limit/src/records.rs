//! Log records and data points, by token buckets.

use model::Signal;
use model::otlp::{LogView, PointView, ScopeGroup, Selection, for_each_scope};
use model::proto::ProtoError;
use query::{View, What};

use crate::bucket::Buckets;
use crate::points::without;
use crate::rule::{Most, Rule, Tally};

/// A request of which something was taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limited {
    /// What is left of it.
    pub request: Vec<u8>,
    /// Records that were taken out, by the rule's position; each with one at least.
    pub by_rule: Vec<(u16, u64)>,
}

impl Limited {
    /// How many records were taken out.
    pub fn records(&self) -> u64 {
        self.by_rule.iter().map(|(_, records)| records).sum()
    }
}

/// Rates of log records and data points.
#[derive(Debug, Default)]
pub struct RecordLimits {
    device: String,
    rules: Vec<(Rule, Buckets)>,
    /// Records that each rule took out of requests that came in.
    counts: Vec<u64>,
    /// Tokens of the last request, by rule and bucket, to be given back where it does not come in.
    taken: Vec<(u16, u64, f64)>,
}

impl RecordLimits {
    /// Limits of a device of this name. Rules for traces, and shares, are none of these: they are left out.
    pub fn new(device: String, rules: &[Rule]) -> Self {
        let rules: Vec<(Rule, Buckets)> = rules
            .iter()
            .filter(|rule| rule.signal != Signal::Traces)
            .filter_map(|rule| match rule.most {
                Most::Rate { per_second, burst } => Some((rule.clone(), Buckets::new(per_second, burst))),
                Most::Share(_) => None,
            })
            .collect();
        Self { device, counts: vec![0; rules.len()], rules, taken: Vec::new() }
    }

    /// Whether a rule speaks of this signal.
    pub fn speaks_of(&self, signal: Signal) -> bool {
        self.rules.iter().any(|(rule, _)| rule.signal == signal)
    }

    /// What is left of a request; `None` where all of it passes. Records for which `exempt` says so pass in any case, and use nothing up.
    ///
    /// # Errors
    /// [`ProtoError`] where the bytes do not walk.
    pub fn admit(
        &mut self,
        signal: Signal,
        request: &[u8],
        now_ns: u64,
        mut exempt: impl FnMut(&ScopeGroup<'_>, &[u8]) -> Result<bool, ProtoError>,
    ) -> Result<Option<Limited>, ProtoError> {
        self.taken.clear();
        if signal == Signal::Traces || !self.speaks_of(signal) {
            return Ok(None);
        }
        let (mut left, mut by_rule) = (Selection::default(), Vec::new());
        for_each_scope::<ProtoError>(request, |scope| {
            for item in scope.items() {
                let item = item?;
                if exempt(&scope, item)? {
                    left.push(&scope, item);
                    continue;
                }
                let view =
                    |what| View { device: "", resource: scope.resource.resource, scope: scope.scope, item, what };
                if signal == Signal::Logs {
                    if self.passes(view(What::Log(LogView::read(item)?)), now_ns, &mut by_rule) {
                        left.push(&scope, item);
                    }
                    continue;
                }
                let (mut all, mut dropped) = (0usize, Vec::new());
                PointView::for_each::<ProtoError>(item, |point| {
                    if !self.passes(view(What::Point(point)), now_ns, &mut by_rule) {
                        dropped.push(all);
                    }
                    all += 1;
                    Ok(())
                })?;
                if dropped.is_empty() {
                    left.push(&scope, item);
                } else if dropped.len() < all {
                    left.push(&scope, &without(item, &dropped)?);
                }
            }
            Ok(())
        })?;
        if by_rule.is_empty() {
            return Ok(None);
        }
        let mut request = Vec::with_capacity(left.bytes());
        left.write(&mut request);
        Ok(Some(Limited { request, by_rule }))
    }

    /// Whether every rule that means a record has a token for it; they are used up then.
    fn passes(&mut self, view: View<'_>, now_ns: u64, by_rule: &mut Vec<(u16, u64)>) -> bool {
        let view = View { device: &self.device, ..view };
        let first = self.taken.len();
        let signal = view.signal();
        for (index, (rule, buckets)) in (0u16..).zip(&mut self.rules) {
            if rule.signal != signal || !rule.means(&view) {
                continue;
            }
            let (bucket, has_token) = buckets.look(rule.key(&view), now_ns);
            if !has_token {
                self.taken.truncate(first);
                match by_rule.iter_mut().find(|(other, _)| *other == index) {
                    Some((_, records)) => *records += 1,
                    None => by_rule.push((index, 1)),
                }
                return false;
            }
            self.taken.push((index, bucket, 1.0));
        }
        // Only now it is known that all of them let it pass.
        let news = self.taken.split_off(first);
        for (index, bucket, tokens) in news {
            if let Some((_, buckets)) = self.rules.get_mut(usize::from(index)) {
                buckets.take(bucket, tokens);
            }
            match self.taken.last_mut() {
                Some((rule, key, sum)) if *rule == index && *key == bucket => *sum += tokens,
                _ => self.taken.push((index, bucket, tokens)),
            }
        }
        true
    }

    /// The request that was looked at last does not come in: what it used up is there again.
    pub fn give_back(&mut self) {
        for (index, bucket, tokens) in std::mem::take(&mut self.taken) {
            if let Some((_, buckets)) = self.rules.get_mut(usize::from(index)) {
                buckets.take(bucket, -tokens);
            }
        }
    }

    /// A request came in of which these were taken out.
    pub fn count(&mut self, by_rule: &[(u16, u64)]) {
        for (index, records) in by_rule {
            if let Some(count) = self.counts.get_mut(usize::from(*index)) {
                *count += records;
            }
        }
    }

    /// What each rule has taken out.
    pub fn tallies(&self) -> impl Iterator<Item = Tally<'_>> {
        let rules = self.rules.iter().zip(&self.counts);
        rules.map(|((rule, _), records)| Tally { rule: &rule.name, signal: rule.signal, records: *records })
    }
}
