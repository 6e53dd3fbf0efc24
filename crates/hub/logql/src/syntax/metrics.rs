//! Expressions of numbers.

use super::ast::{AggregateOp, Conversion, Grouping, LogRange, Matching, MetricExpr, RangeOp, Unwrap};
use super::cursor::Cursor;
use super::error::ParseError;
use super::lexer::Token;
use super::logs;

pub(crate) const RANGES: [(&str, RangeOp); 15] = [
    ("rate", RangeOp::Rate),
    ("rate_counter", RangeOp::RateCounter),
    ("count_over_time", RangeOp::Count),
    ("bytes_rate", RangeOp::BytesRate),
    ("bytes_over_time", RangeOp::Bytes),
    ("sum_over_time", RangeOp::Sum),
    ("avg_over_time", RangeOp::Avg),
    ("min_over_time", RangeOp::Min),
    ("max_over_time", RangeOp::Max),
    ("stddev_over_time", RangeOp::Stddev),
    ("stdvar_over_time", RangeOp::Stdvar),
    ("quantile_over_time", RangeOp::Quantile),
    ("first_over_time", RangeOp::First),
    ("last_over_time", RangeOp::Last),
    ("absent_over_time", RangeOp::Absent),
];

pub(crate) const AGGREGATES: [(&str, AggregateOp); 11] = [
    ("sum", AggregateOp::Sum),
    ("avg", AggregateOp::Avg),
    ("min", AggregateOp::Min),
    ("max", AggregateOp::Max),
    ("count", AggregateOp::Count),
    ("stddev", AggregateOp::Stddev),
    ("stdvar", AggregateOp::Stdvar),
    ("topk", AggregateOp::Topk),
    ("bottomk", AggregateOp::Bottomk),
    ("sort", AggregateOp::Sort),
    ("sort_desc", AggregateOp::SortDesc),
];

pub(crate) const CONVERSIONS: [(&str, Conversion); 3] = [
    ("bytes", Conversion::Bytes),
    ("duration", Conversion::Duration),
    ("duration_seconds", Conversion::DurationSeconds),
];

/// Operators by how much they bind, the least first.
const BINARY: [(&str, u8); 15] = [
    ("or", 1),
    ("and", 2),
    ("unless", 2),
    ("==", 3),
    ("!=", 3),
    (">", 3),
    (">=", 3),
    ("<", 3),
    ("<=", 3),
    ("+", 4),
    ("-", 4),
    ("*", 5),
    ("/", 5),
    ("%", 5),
    ("^", 6),
];

/// An expression of operators that bind at least so much.
pub(crate) fn metric_expr(cursor: &mut Cursor<'_>, least: u8) -> Result<MetricExpr, ParseError> {
    let depth = cursor.depth();
    cursor.enter()?;
    let mut left = primary(cursor)?;
    while let Some((op, binds)) =
        BINARY.into_iter().find(|(op, binds)| *binds >= least && (cursor.is_sign(op) || cursor.is_word(op)))
    {
        cursor.next();
        cursor.enter()?;
        let matching = matching(cursor, op)?;
        // Powers bind from the right.
        let right = metric_expr(cursor, if op == "^" { binds } else { binds + 1 })?;
        let is_number = |side: &MetricExpr| matches!(side, MetricExpr::Number(_));
        if matches!(op, "or" | "and" | "unless") && (is_number(&left) || is_number(&right)) {
            return Err(cursor.error(format!("unexpected literal for a side of logical/set binary operation ({op})")));
        }
        left = MetricExpr::Binary { op, left: Box::new(left), right: Box::new(right), matching };
    }
    cursor.back_to(depth);
    Ok(left)
}

fn matching(cursor: &mut Cursor<'_>, op: &str) -> Result<Matching, ParseError> {
    let is_compare = matches!(op, "==" | "!=" | ">" | ">=" | "<" | "<=");
    let return_bool = is_compare && cursor.take_word("bool");
    let mut out = Matching { return_bool, ..Matching::default() };
    for (word, ignoring) in [("on", false), ("ignoring", true)] {
        if out.labels.is_none() && cursor.take_word(word) {
            out.labels = Some((ignoring, names(cursor)?));
        }
    }
    for (word, right) in [("group_left", false), ("group_right", true)] {
        if out.labels.is_some() && out.group.is_none() && cursor.take_word(word) {
            let more = if cursor.is_sign("(") { names(cursor)? } else { Vec::new() };
            out.group = Some((right, more));
        }
    }
    Ok(out)
}

/// `(a, b)`
fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, ParseError> {
    cursor.expect_sign("(")?;
    let mut out = Vec::new();
    while !cursor.take_sign(")") {
        if !out.is_empty() {
            cursor.expect_sign(",")?;
            if cursor.take_sign(")") {
                break;
            }
        }
        out.push(cursor.expect_word("IDENTIFIER or )")?);
    }
    Ok(out)
}

fn grouping(cursor: &mut Cursor<'_>) -> Result<Option<Grouping>, ParseError> {
    let without = cursor.is_word("without");
    if !without && !cursor.is_word("by") {
        return Ok(None);
    }
    cursor.next();
    Ok(Some(Grouping { without, labels: names(cursor)? }))
}

fn primary(cursor: &mut Cursor<'_>) -> Result<MetricExpr, ParseError> {
    if cursor.take_sign("(") {
        let inner = metric_expr(cursor, 0)?;
        cursor.expect_sign(")")?;
        return Ok(inner);
    }
    if matches!(cursor.peek(), Some(Token::Number(_) | Token::Sign("-" | "+"))) {
        return Ok(MetricExpr::Number(cursor.expect_number()?));
    }
    let word = cursor.expect_word("an expression")?;
    if let Some((_, op)) = RANGES.into_iter().find(|(name, _)| *name == word) {
        return range_expr(cursor, op);
    }
    if let Some((_, op)) = AGGREGATES.into_iter().find(|(name, _)| *name == word) {
        return aggregate_expr(cursor, op);
    }
    match word.as_str() {
        "vector" => {
            cursor.expect_sign("(")?;
            let value = cursor.expect_number()?;
            cursor.expect_sign(")")?;
            Ok(MetricExpr::Vector(value))
        }
        "label_replace" => {
            cursor.expect_sign("(")?;
            let inner = Box::new(metric_expr(cursor, 0)?);
            let mut texts: [String; 4] = Default::default();
            for text in &mut texts {
                cursor.expect_sign(",")?;
                *text = cursor.expect_text()?;
            }
            cursor.expect_sign(")")?;
            promql::expression(&texts[3]).map_err(|what| cursor.error(what))?;
            Ok(MetricExpr::LabelReplace { inner, texts })
        }
        "approx_topk" | "variants" => Err(cursor.error(format!("{word} is not built"))),
        _ => Err(cursor.error(format!("syntax error: unexpected {word}"))),
    }
}

fn aggregate_expr(cursor: &mut Cursor<'_>, op: AggregateOp) -> Result<MetricExpr, ParseError> {
    let mut by = grouping(cursor)?;
    cursor.expect_sign("(")?;
    let counts = matches!(op, AggregateOp::Topk | AggregateOp::Bottomk);
    let has_number =
        matches!(cursor.peek(), Some(Token::Number(_))) && matches!(cursor.ahead(1), Some(Token::Sign(",")));
    let mut parameter = None;
    if counts != has_number {
        let message = if counts {
            "parameter required for operation topk or bottomk"
        } else {
            "unsupported parameter for operation"
        };
        return Err(cursor.error(message));
    }
    if counts {
        let number = cursor.expect_number()?;
        if number < 1.0 || number.fract() != 0.0 || number > 1e9 {
            return Err(cursor.error(format!("invalid parameter (must be greater than 0) {number}")));
        }
        parameter = Some(number as u64);
        cursor.expect_sign(",")?;
    }
    let inner = Box::new(metric_expr(cursor, 0)?);
    cursor.expect_sign(")")?;
    if by.is_none() {
        by = grouping(cursor)?;
    }
    if matches!(op, AggregateOp::Sort | AggregateOp::SortDesc) && by.is_some() {
        return Err(cursor.error("sort and sort_desc don't support grouping"));
    }
    Ok(MetricExpr::Aggregate { op, parameter, inner, grouping: by })
}

fn range_expr(cursor: &mut Cursor<'_>, op: RangeOp) -> Result<MetricExpr, ParseError> {
    cursor.expect_sign("(")?;
    let mut parameter = None;
    if matches!(cursor.peek(), Some(Token::Number(_) | Token::Sign("-" | "+"))) {
        parameter = Some(cursor.expect_number()?);
        cursor.expect_sign(",")?;
    }
    if parameter.is_some() != (op == RangeOp::Quantile) {
        return Err(cursor.error(if parameter.is_some() {
            "parameter not supported for this operation"
        } else {
            "parameter required for operation quantile_over_time"
        }));
    }
    let range = Box::new(log_range(cursor)?);
    cursor.expect_sign(")")?;
    let by = grouping(cursor)?;
    let name = RANGES.iter().find(|(_, own)| *own == op).map_or("", |(name, _)| *name);
    let counts = matches!(op, RangeOp::Count | RangeOp::BytesRate | RangeOp::Bytes);
    let needs = !counts && !matches!(op, RangeOp::Rate | RangeOp::Absent);
    match range.unwrap {
        Some(_) if counts => return Err(cursor.error(format!("invalid aggregation {name} with unwrap"))),
        None if needs => return Err(cursor.error(format!("invalid aggregation {name} without unwrap"))),
        _ => {}
    }
    let may_group = needs && !matches!(op, RangeOp::Sum | RangeOp::RateCounter);
    if by.is_some() && !may_group {
        return Err(cursor.error(format!("grouping not allowed for {name} aggregation")));
    }
    Ok(MetricExpr::Range { op, parameter, range, grouping: by })
}

/// Selector, stages, length, offset and unwrap, in any of the orders in which Loki takes them.
fn log_range(cursor: &mut Cursor<'_>) -> Result<LogRange, ParseError> {
    if cursor.take_sign("(") {
        cursor.enter()?;
        let mut inner = range_parts(cursor, true)?;
        cursor.expect_sign(")")?;
        cursor.leave();
        if inner.range_ns == 0 {
            (inner.range_ns, inner.offset_ns) = length(cursor)?;
        }
        return Ok(inner);
    }
    range_parts(cursor, false)
}

/// `[5m] offset 1h`
fn length(cursor: &mut Cursor<'_>) -> Result<(i64, i64), ParseError> {
    cursor.expect_sign("[")?;
    let range_ns = match cursor.next() {
        Some(Token::Duration(ns)) if ns > 0 => ns,
        _ => return Err(cursor.error("expecting a duration, as in [5m]")),
    };
    cursor.expect_sign("]")?;
    let mut offset_ns = 0;
    if cursor.take_word("offset") {
        let negative = cursor.take_sign("-");
        match cursor.next() {
            Some(Token::Duration(ns)) => offset_ns = if negative { -ns } else { ns },
            _ => return Err(cursor.error("expecting a duration, as in offset 5m")),
        }
    }
    Ok((range_ns, offset_ns))
}

/// The parts between parentheses; the length may come behind them.
fn range_parts(cursor: &mut Cursor<'_>, may_lack_length: bool) -> Result<LogRange, ParseError> {
    if cursor.is_sign("(") {
        return log_range(cursor);
    }
    let matchers = logs::selector(cursor)?;
    let mut out = LogRange {
        logs: super::ast::LogExpr { matchers, stages: logs::stages(cursor)? },
        range_ns: 0,
        offset_ns: 0,
        unwrap: unwrap_stage(cursor)?,
    };
    if cursor.is_sign("[") {
        (out.range_ns, out.offset_ns) = length(cursor)?;
        if out.logs.stages.is_empty() && out.unwrap.is_none() {
            out.logs.stages = logs::stages(cursor)?;
            out.unwrap = unwrap_stage(cursor)?;
        }
    } else if !may_lack_length {
        return Err(cursor.unexpected("expecting [ and a duration"));
    }
    Ok(out)
}

fn unwrap_stage(cursor: &mut Cursor<'_>) -> Result<Option<Unwrap>, ParseError> {
    let comes = cursor.is_sign("|") && matches!(cursor.ahead(1), Some(Token::Word(word)) if word == "unwrap");
    if !comes {
        return Ok(None);
    }
    cursor.next();
    cursor.next();
    let word = cursor.expect_word("IDENTIFIER")?;
    let conversion = CONVERSIONS.into_iter().find(|(name, _)| *name == word && cursor.is_sign("("));
    let (label, conversion) = match conversion {
        None => (word, Conversion::Number),
        Some((_, conversion)) => {
            cursor.expect_sign("(")?;
            let label = cursor.expect_word("IDENTIFIER")?;
            cursor.expect_sign(")")?;
            (label, conversion)
        }
    };
    let mut filters = Vec::new();
    while cursor.take_sign("|") {
        filters.push(logs::label_filter(cursor)?);
    }
    Ok(Some(Unwrap { label, conversion, filters }))
}
