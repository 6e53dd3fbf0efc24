//! Runs scripts against the evaluator and counts.

use crate::compare;
use crate::script::{Command, Eval, Load, When, parse_script};
use crate::series::{Item, base_of};
use crate::skips;
use promql::ast::{At, Expr};
use promql::{
    BUCKET, CUSTOM_BUCKETS, Histogram, Labels, NAME, Options, Query, ResetHint, Samples, Select, SeriesSource,
    SourceError, SourceSeries, Value, evaluate, parse,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Series in memory.
#[derive(Default)]
pub(crate) struct Store {
    series: BTreeMap<Labels, BTreeMap<i64, (Item, i64)>>,
}

impl SeriesSource for Store {
    fn select(&self, select: &Select<'_>) -> Result<Vec<SourceSeries>, SourceError> {
        let mut out = Vec::new();
        for (labels, samples) in &self.series {
            if !select.matchers.iter().all(|matcher| matcher.matches_labels(labels)) {
                continue;
            }
            let mut own = Samples::default();
            for (time, (item, start)) in samples.range(select.start..=select.end.max(select.start)) {
                match item {
                    Item::Nothing => {}
                    Item::Float(value) => {
                        own.floats.push((*time, *value));
                        own.float_starts.push(*start);
                    }
                    Item::Histogram(histogram, _) => {
                        own.histograms.push((*time, histogram.clone()));
                        own.histogram_starts.push(*start);
                    }
                }
            }
            if own.weight() > 0 {
                out.push(SourceSeries { labels: labels.clone(), samples: own });
            }
        }
        Ok(out)
    }
}

/// A store of two histograms, `a` and `b`.
pub(crate) fn two(a: Histogram, b: Histogram) -> Store {
    let mut store = Store::default();
    for (name, histogram) in [("a", a), ("b", b)] {
        store.put(Labels::new([(NAME, name)]), 0, Item::Histogram(Arc::new(histogram), false), 0);
    }
    store
}

impl Store {
    fn put(&mut self, labels: Labels, time: i64, item: Item, start: i64) {
        self.series.entry(labels).or_default().insert(time, (item, start));
    }

    fn load(&mut self, load: &Load) -> Result<(), String> {
        for (labels, items, starts) in &load.series {
            for (at, item) in items.iter().enumerate() {
                let time = load.step * at as i64;
                if !matches!(item, Item::Nothing) {
                    let start = starts.get(at).copied().flatten().map_or(0, |before| time + before);
                    self.put(labels.clone(), time, item.clone(), start);
                }
            }
        }
        if load.custom_buckets {
            self.load_custom_buckets(load)?;
        }
        for samples in self.series.values_mut() {
            set_hints(samples);
        }
        Ok(())
    }

    /// Classic histograms as native ones with bounds of their own.
    fn load_custom_buckets(&mut self, load: &Load) -> Result<(), String> {
        #[derive(Default)]
        struct Classic {
            buckets: Vec<(f64, f64)>,
            count: Option<f64>,
            sum: f64,
        }
        let mut all: BTreeMap<(Labels, i64), Classic> = BTreeMap::new();
        for (labels, items, _) in &load.series {
            let name = labels.name();
            for (at, item) in items.iter().enumerate() {
                let Item::Float(value) = item else { continue };
                let time = load.step * at as i64;
                if let Some(base) = name.strip_suffix("_bucket") {
                    let Ok(bound) = labels.get(BUCKET).parse::<f64>() else { continue };
                    if !bound.is_nan() {
                        all.entry((base_of(labels, base), time)).or_default().buckets.push((bound, *value));
                    }
                } else if let Some(base) = name.strip_suffix("_count") {
                    all.entry((base_of(labels, base), time)).or_default().count = Some(*value);
                } else if let Some(base) = name.strip_suffix("_sum") {
                    all.entry((base_of(labels, base), time)).or_default().sum = *value;
                }
            }
        }
        for ((labels, time), mut classic) in all {
            classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let last = classic.buckets.last().map_or(0.0, |(_, count)| *count);
            let count = classic.count.unwrap_or(last);
            if classic.buckets.last().is_none_or(|(bound, _)| *bound != f64::INFINITY) {
                classic.buckets.push((f64::INFINITY, count));
            }
            let mut before = 0.0;
            let mut positive = Vec::new();
            for (at, (_, cumulated)) in (0..).zip(&classic.buckets) {
                if *cumulated < before {
                    return Err(format!("{labels}: counts are not cumulated"));
                }
                if *cumulated != before {
                    positive.push((at, cumulated - before));
                }
                before = *cumulated;
            }
            let bounds: Vec<f64> = classic.buckets.iter().map(|(bound, _)| *bound).filter(|b| b.is_finite()).collect();
            let histogram = Histogram {
                schema: CUSTOM_BUCKETS,
                count,
                sum: classic.sum,
                positive,
                bounds: bounds.into(),
                ..Histogram::default()
            };
            self.put(labels, time, Item::Histogram(Arc::new(histogram), false), 0);
        }
        Ok(())
    }
}

/// Sets on histograms what Prometheus' storage knows of resets when it reads them: whether one follows the one before.
fn set_hints(samples: &mut BTreeMap<i64, (Item, i64)>) {
    let mut before: Option<Arc<Histogram>> = None;
    for (item, _) in samples.values_mut() {
        let Item::Histogram(own, set) = item else { continue };
        let stored = own.clone();
        if !own.is_stale() && !matches!(own.hint, ResetHint::Gauge | ResetHint::Reset) {
            let hint = match &before {
                None => ResetHint::Unknown,
                Some(last) if last.is_stale() || last.hint == ResetHint::Gauge => ResetHint::Unknown,
                // A reset is not told (prometheus/prometheus#15346): the evaluator finds it.
                Some(last) if is_reset(last, own) => ResetHint::Unknown,
                Some(_) => ResetHint::NotReset,
            };
            let mut hinted = (**own).clone();
            hinted.hint = hint;
            *item = Item::Histogram(Arc::new(hinted), *set);
        }
        before = Some(stored);
    }
}

/// Whether a counter was reset between two histograms: asked of the evaluator.
fn is_reset(before: &Histogram, now: &Histogram) -> bool {
    let plain =
        |own: &Histogram| Item::Histogram(Arc::new(Histogram { hint: ResetHint::Unknown, ..own.clone() }), false);
    let mut store = Store::default();
    let labels = Labels::new([(NAME, "a")]);
    store.put(labels.clone(), 0, plain(before), 0);
    store.put(labels, 1, plain(now), 0);
    let answer = parse("resets(a[1s]) > 0").ok().and_then(|e| evaluate(&store, &e, Query::Instant(1), &options()).ok());
    answer.is_some_and(|answer| matches!(answer.value, Value::Vector(all) if !all.is_empty()))
}

/// What Prometheus' own tests are run with.
fn options() -> Options<'static> {
    Options { delayed_name_removal: true, start_times: true, max_samples: 1_000_000, ..Options::default() }
}

/// One instant query, and the same as the middle of a range.
fn instant(store: &Store, eval: &Eval, expr: &Expr, time: i64) -> Result<(), String> {
    let expected = &eval.expected;
    let answer = match evaluate(store, expr, Query::Instant(time), &options()) {
        Err(error) => return failed(eval, &error.to_string()),
        Ok(_) if expected.fail.is_some() => return Err("it did not fail".into()),
        Ok(answer) => answer,
    };
    compare::annotations(expected, &answer.annotations, &eval.query)?;
    let own = match expected.range_vector {
        Some((from, _, step)) => (from, step),
        None => (time, 0),
    };
    let value = answer.value;
    compare::value(expected, &value, own)?;
    let context = ["start()", "end()", "range()", "step()"].iter().any(|word| eval.query.contains(word));
    if expected.range_vector.is_some() || expected.text.is_some() || context || expected.ordered {
        return Ok(());
    }
    let query = Query::Range { start: time - 60_000, end: time + 60_000, step: 60_000 };
    let answer = evaluate(store, expr, query, &options()).map_err(|e| format!("as a range: {e}"))?;
    let Value::Matrix(mut series) = answer.value else { return Err("a range gave no matrix".into()) };
    for (_, samples) in &mut series {
        samples.floats.retain(|(t, _)| *t == time);
        samples.histograms.retain(|(t, _)| *t == time);
    }
    series.retain(|(_, samples)| samples.weight() > 0);
    let middle = match (&value, series.first()) {
        (Value::Scalar(..), Some((_, samples))) => {
            Value::Scalar(time, samples.floats.first().map_or(f64::NAN, |s| s.1))
        }
        _ => Value::Vector(series),
    };
    compare::value(expected, &middle, (time, 0)).map_err(|e| format!("in the middle of a range: {e}"))
}

fn failed(eval: &Eval, error: &str) -> Result<(), String> {
    match &eval.expected.fail {
        Some(wanted) if wanted.matches(error) => Ok(()),
        Some(wanted) => Err(format!("failed as expected, but with {error:?} instead of {wanted:?}")),
        None => Err(format!("failed: {error}")),
    }
}

/// Sets `@` on all selectors that have none. False where the expression depends on the time all the same.
fn fix_time(expr: &mut Expr, time: i64) -> bool {
    const OF_TIME: [&str; 15] = [
        "days_in_month",
        "day_of_month",
        "day_of_week",
        "day_of_year",
        "end",
        "hour",
        "minute",
        "month",
        "year",
        "predict_linear",
        "range",
        "start",
        "step",
        "time",
        "timestamp",
    ];
    let fixed = Some(At::Time(time));
    match expr {
        Expr::Vector(selector) => selector.at = selector.at.or(fixed),
        Expr::Matrix(matrix) => matrix.selector.at = matrix.selector.at.or(fixed),
        Expr::Subquery(subquery) => {
            // What is inside looks back from the subquery's steps.
            subquery.at = subquery.at.or(fixed);
            return !calls_any(&subquery.expr, &OF_TIME);
        }
        Expr::Call(call) if OF_TIME.contains(&call.function.name) => return false,
        _ => {}
    }
    expr.children_mut().into_iter().all(|child| fix_time(child, time))
}

fn calls_any(expr: &Expr, names: &[&str]) -> bool {
    matches!(expr, Expr::Call(call) if names.contains(&call.function.name))
        || expr.children().into_iter().any(|child| calls_any(child, names))
}

fn run_eval(store: &Store, eval: &Eval) -> Result<(), String> {
    let expr = match parse(&eval.query) {
        Ok(expr) => expr,
        Err(error) => return failed(eval, &error.to_string()),
    };
    let printed = parse(&expr.to_string()).map_err(|e| format!("printed as {expr}, it is no query: {e}"))?;
    if printed.to_string() != expr.to_string() {
        return Err(format!("printed as {expr}, it is another query: {printed}"));
    }
    match eval.when {
        When::Range(start, end, step) => {
            let answer = match evaluate(store, &expr, Query::Range { start, end, step }, &options()) {
                Err(error) => return failed(eval, &error.to_string()),
                Ok(_) if eval.expected.fail.is_some() => return Err("it did not fail".into()),
                Ok(answer) => answer,
            };
            compare::annotations(&eval.expected, &answer.annotations, &eval.query)?;
            compare::value(&eval.expected, &answer.value, (start, step))
        }
        When::Instant(time) => {
            let time = eval.expected.range_vector.map_or(time, |(_, to, _)| to);
            instant(store, eval, &expr, time)?;
            let mut fixed = expr.clone();
            if !fix_time(&mut fixed, time) {
                return Ok(());
            }
            let others = if time == 0 { vec![-1000, 0, 1000] } else { vec![-10 * time, 0, time / 5, time, 10 * time] };
            for other in others {
                instant(store, eval, &fixed, other).map_err(|e| format!("with @ {time} at {other}: {e}"))?;
            }
            Ok(())
        }
    }
}

/// How many of a kind passed, and were skipped.
#[derive(Clone, Copy, Default)]
struct Count {
    evaluations: usize,
    passed: usize,
    skipped: usize,
}

/// What came of all scripts.
#[derive(Default)]
pub(crate) struct Report {
    files: BTreeMap<String, [Count; 2]>,
    failures: Vec<String>,
    unexpected: bool,
    skipped: Vec<serde_json::Value>,
}

impl Report {
    fn total(&self, kind: usize) -> Count {
        self.files.values().fold(Count::default(), |sum, counts| Count {
            evaluations: sum.evaluations + counts[kind].evaluations,
            passed: sum.passed + counts[kind].passed,
            skipped: sum.skipped + counts[kind].skipped,
        })
    }

    /// Whether everything passed but what is known not to.
    pub(crate) fn holds(&self) -> bool {
        !self.unexpected && !self.files.is_empty()
    }

    /// The counts, as they are kept.
    pub(crate) fn json(&self) -> String {
        let count = |count: Count| {
            let share = (10_000.0 * count.passed as f64 / count.evaluations.max(1) as f64).floor() / 100.0;
            serde_json::json!({
                "evaluations": count.evaluations,
                "passed": count.passed,
                "skipped": count.skipped,
                "passed_percent": share,
            })
        };
        let files: serde_json::Map<String, serde_json::Value> = self
            .files
            .iter()
            .map(|(name, counts)| {
                let kinds = ["float", "native_histogram"].into_iter().zip(*counts);
                let some = kinds.filter(|(_, count)| count.evaluations > 0);
                (name.clone(), some.map(|(kind, own)| (kind.to_owned(), count(own))).collect())
            })
            .collect();
        let report = serde_json::json!({
            "float": count(self.total(0)),
            "native_histogram": count(self.total(1)),
            "skips": self.skipped,
            "failures": self.failures,
            "files": files,
        });
        serde_json::to_string_pretty(&report).unwrap_or_default()
    }
}

/// All scripts of a directory.
pub(crate) fn directory(directory: &str, only: &str, verbose: bool) -> Result<Report, String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .map_err(|e| format!("{directory}: {e}"))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    names.sort();
    let mut report = Report::default();
    for path in names {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !only.is_empty() && name != only {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        file(&name, &text, verbose, &mut report);
    }
    Ok(report)
}

fn file(name: &str, text: &str, verbose: bool, report: &mut Report) {
    let mut store = Store::default();
    // Whether a histogram has been loaded: an evaluation over such data, or that expects one, is one of histograms.
    let mut histograms: Vec<String> = Vec::new();
    for command in parse_script(text) {
        let eval = match command {
            Ok(Command::Clear) => {
                store = Store::default();
                histograms.clear();
                continue;
            }
            Ok(Command::Load(load)) => {
                for (labels, items, _) in &load.series {
                    if items.iter().any(|item| matches!(item, Item::Histogram(..))) {
                        histograms.push(labels.name().to_owned());
                    } else if load.custom_buckets {
                        let base = ["_bucket", "_count", "_sum"].iter().find_map(|s| labels.name().strip_suffix(s));
                        histograms.extend(base.map(str::to_owned));
                    }
                }
                if let Err(message) = store.load(&load) {
                    report.unexpected = true;
                    report.failures.push(format!("{name}: load: {message}"));
                }
                continue;
            }
            Ok(Command::Eval(eval)) => eval,
            Err((line, message)) => {
                report.unexpected = true;
                report.failures.push(format!("{name}:{line}: cannot be read: {message}"));
                continue;
            }
        };
        let kind = usize::from(of_histograms(&eval, &histograms));
        let outcome = run_eval(&store, &eval);
        let counts = &mut report.files.entry(name.to_owned()).or_default()[kind];
        counts.evaluations += 1;
        let reason = skips::reason(name, &eval.query);
        match (outcome, reason) {
            (Ok(()), None) => counts.passed += 1,
            (Ok(()), Some(reason)) => {
                counts.passed += 1;
                report.unexpected = true;
                report.failures.push(format!("{name}:{}: passes though it is to be skipped: {reason}", eval.line));
            }
            (Err(_), Some(reason)) => {
                counts.skipped += 1;
                let entry = serde_json::json!({ "file": name, "query": eval.query, "reason": reason });
                report.skipped.push(entry);
            }
            (Err(message), None) => {
                report.unexpected = true;
                let message: String = message.chars().take(if verbose { 4000 } else { 300 }).collect();
                report.failures.push(format!("{name}:{}: {}: {message}", eval.line, eval.query));
            }
        }
    }
}

/// Whether an evaluation is one of native histograms: it expects one, or names a metric that has some.
fn of_histograms(eval: &Eval, histograms: &[String]) -> bool {
    let expected = eval.expected.series.iter().flat_map(|(_, items)| items);
    if expected.into_iter().any(|item| matches!(item, Item::Histogram(..))) {
        return true;
    }
    let Ok(expr) = parse(&eval.query) else { return false };
    expr.selectors().iter().any(|selector| {
        let names: Vec<_> = selector.matchers.iter().filter(|m| m.name == NAME).collect();
        !names.is_empty() && histograms.iter().any(|name| names.iter().all(|matcher| matcher.matches(name)))
    })
}
