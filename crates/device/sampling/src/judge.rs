//! Who decides: temporary orders, shares of routes, policies, and the volume budget.

use crate::adapt::{Budget, KeptShare, Threshold};
use crate::conditions::Conditions;
use crate::decisions::Verdict;
use crate::options::{Options, RouteShare};
use crate::policy::{Circumstances, Evidence, Policy, Vote};
use crate::probability::{ALWAYS, NEVER, hash, hash_bound, probability, threshold};

/// What was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) verdict: Option<Verdict>,
    pub(crate) policy: Option<u16>,
    pub(crate) threshold: u64,
}

const DROP: Judgement = Judgement { verdict: Some(Verdict::Drop), policy: None, threshold: NEVER };

fn keep(policy: usize, threshold: u64) -> Judgement {
    Judgement { verdict: Some(Verdict::Keep), policy: u16::try_from(policy).ok(), threshold }
}

/// Reasons beside the configured policies, numbered behind them.
const BUILT_IN: [&str; 4] = ["keep_route", "incident", "route_share", "every_trace"];
const KEEP_ROUTE: usize = 0;
const INCIDENT: usize = 1;
const ROUTE_SHARE: usize = 2;
const EVERY_TRACE: usize = 3;

/// The threshold of what passed two of them. Where both look at the same randomness, the stricter one is all there is; a hash of its own
/// is a second draw.
fn joint(one: u64, other: u64, same_randomness: bool) -> u64 {
    if one == ALWAYS || other == ALWAYS || same_randomness {
        return one.max(other);
    }
    threshold(probability(one) * probability(other))
}

/// The salts of shares that are ours.
const ROUTE_SALT: &[u8] = b"lightship-route";
const INCIDENT_SALT: &[u8] = b"lightship-incident";
const BUDGET_SALT: &[u8] = b"lightship-budget";

/// Routes that are kept for a time.
const MAX_KEPT_ROUTES: usize = 16;

/// Until when who keeps an incident window open, monotonic nanoseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Incident {
    /// Somebody on this machine.
    pub(crate) command: u64,
    /// An alert.
    pub(crate) alert: u64,
    /// The hub.
    pub(crate) remote: u64,
    /// Since when the hub wants one without a break; 0 when it does not.
    pub(crate) remote_since: u64,
}

impl Incident {
    /// Somebody on this machine wants one until this moment; whether that has passed, so that every window is closed.
    pub(crate) fn order(&mut self, until_ns: u64, now_ns: u64) -> bool {
        self.command = until_ns;
        let closes = until_ns <= now_ns;
        if closes {
            (self.alert, self.remote) = (0, 0);
        }
        closes
    }

    /// The hub wants one for so long from now, for `longest_ns` without a break at most; 0: none.
    pub(crate) fn want(&mut self, for_ns: u64, longest_ns: u64, now_ns: u64) {
        if for_ns == 0 {
            (self.remote, self.remote_since) = (0, 0);
            return;
        }
        if self.remote_since == 0 {
            self.remote_since = now_ns.max(1);
        }
        let latest = self.remote_since.saturating_add(longest_ns);
        self.remote = now_ns.saturating_add(for_ns).min(latest);
    }

    fn until_ns(self) -> u64 {
        self.command.max(self.alert).max(self.remote)
    }
}

#[derive(Debug)]
pub(crate) struct Judge {
    policies: Vec<Policy>,
    /// Those that can drop come first.
    order: Vec<usize>,
    conditions: Conditions,
    first_match: bool,
    latency: Option<Threshold>,
    budget: Option<Budget>,
    share: KeptShare,
    routes: Vec<RouteShare>,
    incident_share: f64,
    incident: Incident,
    /// At the last tick.
    incident_open: bool,
    kept_routes: Vec<(String, u64)>,
}

impl Judge {
    /// Takes what it needs out of the options.
    pub(crate) fn new(options: &mut Options) -> Self {
        let policies = std::mem::take(&mut options.policies);
        let mut order: Vec<usize> = (0..policies.len()).collect();
        order.sort_by_key(|position| !policies.get(*position).is_some_and(|policy| policy.rule.can_drop()));
        Self {
            policies,
            order,
            conditions: std::mem::take(&mut options.conditions),
            first_match: options.first_match,
            latency: options.adaptive.map(Threshold::new),
            budget: (options.bytes_per_hour > 0).then(|| Budget::new(options.bytes_per_hour)),
            share: KeptShare::default(),
            routes: std::mem::take(&mut options.route_shares),
            incident_share: options.incident_share,
            incident: Incident::default(),
            incident_open: false,
            kept_routes: Vec::new(),
        }
    }

    pub(crate) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    pub(crate) fn name(&self, position: u16) -> Option<&str> {
        let position = usize::from(position);
        match self.policies.get(position) {
            Some(policy) => Some(&policy.name),
            None => BUILT_IN.get(position - self.policies.len()).copied(),
        }
    }

    fn built_in(&self, reason: usize) -> usize {
        self.policies.len() + reason
    }

    /// Decides a trace, and counts it.
    pub(crate) fn decide(&mut self, evidence: &Evidence, now_ns: u64) -> Judgement {
        if let Some(latency) = &mut self.latency {
            latency.observe(evidence.duration_ns());
        }
        let judgement = self.judge(evidence, now_ns, true);
        self.count(evidence, &judgement, now_ns);
        judgement
    }

    /// Whether a dropped trace would be kept as it is now. Rates are left alone.
    pub(crate) fn would_keep(&mut self, evidence: &Evidence, now_ns: u64) -> bool {
        self.judge(evidence, now_ns, false).verdict == Some(Verdict::Keep)
    }

    /// Judges a trace that is kept after all.
    pub(crate) fn recall(&mut self, evidence: &Evidence, now_ns: u64) -> Judgement {
        let judgement = self.judge(evidence, now_ns, false);
        self.count(evidence, &judgement, now_ns);
        judgement
    }

    fn count(&mut self, evidence: &Evidence, judgement: &Judgement, now_ns: u64) {
        let kept = judgement.verdict == Some(Verdict::Keep);
        self.share.count(u64::from(evidence.spans), kept, now_ns);
        if let (true, Some(budget)) = (kept, &mut self.budget) {
            budget.kept(evidence.bytes);
        }
    }

    fn judge(&mut self, evidence: &Evidence, now_ns: u64, first_time: bool) -> Judgement {
        match evidence.limit {
            ALWAYS => self.judge_freely(evidence, now_ns, first_time),
            NEVER.. => DROP,
            limit => {
                let judgement = self.judge_freely(evidence, now_ns, first_time);
                Judgement { threshold: joint(judgement.threshold, limit, evidence.sampled_before), ..judgement }
            }
        }
    }

    fn judge_freely(&mut self, evidence: &Evidence, now_ns: u64, first_time: bool) -> Judgement {
        let at = Circumstances { now_ns, latency_ns: self.latency_ns(), tightened: self.tightened(), first_time };
        let mut found: Option<(usize, u64)> = None;
        let special = self.special(evidence, now_ns);
        for position in &self.order {
            let Some(policy) = self.policies.get_mut(*position) else { continue };
            if special.is_some() && !policy.rule.can_drop() {
                break;
            }
            match policy.rule.vote(evidence, &at) {
                Vote::Drop => return Judgement { policy: u16::try_from(*position).ok(), ..DROP },
                Vote::Keep { threshold } => {
                    // The first one is the reason; the most generous one tells the probability.
                    let (first, least) = found.unwrap_or((*position, threshold));
                    found = Some((first, least.min(threshold)));
                    if self.first_match {
                        break;
                    }
                }
                Vote::Pass => {}
            }
        }
        if let Some(special) = special {
            return special;
        }
        match found {
            Some((position, threshold)) => self.within_budget(evidence, keep(position, threshold)),
            None if self.policies.is_empty() => keep(self.built_in(EVERY_TRACE), ALWAYS),
            None => DROP,
        }
    }

    /// How each policy votes, by its name: `keep`, `drop` or `pass`. Rates are left alone.
    pub(crate) fn votes(&mut self, evidence: &Evidence, now_ns: u64) -> Vec<(String, &'static str)> {
        let at =
            Circumstances { now_ns, latency_ns: self.latency_ns(), tightened: self.tightened(), first_time: false };
        let vote = |policy: &mut Policy| match policy.rule.vote(evidence, &at) {
            Vote::Keep { .. } => "keep",
            Vote::Drop => "drop",
            Vote::Pass => "pass",
        };
        self.policies.iter_mut().map(|policy| (policy.name.clone(), vote(policy))).collect()
    }

    /// What is decided before the policies are asked: only a drop policy stands above it.
    fn special(&self, evidence: &Evidence, now_ns: u64) -> Option<Judgement> {
        let kept_routes = self.conditions.temporary_bit();
        if evidence.conditions & kept_routes != 0 && self.kept_routes.iter().any(|(_, until)| *until > now_ns) {
            return Some(keep(self.built_in(KEEP_ROUTE), ALWAYS));
        }
        let share_keeps = |salt, share: f64| share > 0.0 && hash(salt, &evidence.trace) <= hash_bound(share);
        if now_ns < self.incident.until_ns() && share_keeps(INCIDENT_SALT, self.incident_share) {
            return Some(keep(self.built_in(INCIDENT), threshold(self.incident_share)));
        }
        let route = self.routes.iter().find(|route| evidence.conditions & route.bit != 0)?;
        if route.keep_errors && evidence.has_error() {
            return Some(keep(self.built_in(ROUTE_SHARE), ALWAYS));
        }
        let kept = share_keeps(ROUTE_SALT, route.share);
        Some(if kept { keep(self.built_in(ROUTE_SHARE), threshold(route.share)) } else { DROP })
    }

    /// Thins what is kept when probabilistic policies alone do not hold the budget; never what failed.
    fn within_budget(&self, evidence: &Evidence, judgement: Judgement) -> Judgement {
        let others = self.budget.as_ref().map_or(1.0, |budget| budget.others);
        if others >= 1.0 || evidence.has_error() || hash(BUDGET_SALT, &evidence.trace) <= hash_bound(others) {
            let budget = if evidence.has_error() { ALWAYS } else { threshold(others) };
            return Judgement { threshold: judgement.threshold.max(budget), ..judgement };
        }
        DROP
    }

    pub(crate) fn tick(&mut self, now_ns: u64) {
        let incident = now_ns < self.incident.until_ns();
        self.incident_open = incident;
        if let Some(latency) = &mut self.latency {
            latency.tick(now_ns, incident);
        }
        if let Some(budget) = &mut self.budget {
            budget.tick(now_ns);
        }
        if self.kept_routes.iter().any(|(_, until)| *until <= now_ns) {
            self.kept_routes.retain(|(_, until)| *until > now_ns);
            self.set_temporary();
        }
    }

    fn set_temporary(&mut self) {
        self.conditions.set_temporary(self.kept_routes.iter().map(|(route, _)| route.clone()).collect());
    }

    pub(crate) fn incident(&mut self) -> &mut Incident {
        &mut self.incident
    }

    pub(crate) fn incident_open(&self) -> bool {
        self.incident_open
    }

    pub(crate) fn keep_route(&mut self, route: &str, until_ns: u64, now_ns: u64) -> bool {
        self.kept_routes.retain(|(kept, until)| kept != route && *until > now_ns);
        let room = self.kept_routes.len() < MAX_KEPT_ROUTES;
        if room && until_ns > now_ns {
            self.kept_routes.push((route.to_owned(), until_ns));
        }
        self.set_temporary();
        room
    }

    pub(crate) fn kept_share(&self) -> f64 {
        self.share.share().unwrap_or(-1.0)
    }

    pub(crate) fn latency_ns(&self) -> u64 {
        self.latency.as_ref().map_or(0, |latency| latency.ns)
    }

    pub(crate) fn tightened(&self) -> f64 {
        self.budget.as_ref().map_or(1.0, |budget| budget.probabilistic)
    }
}
