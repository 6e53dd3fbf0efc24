//! The types of a query's parts, and what the grammar alone does not rule out.

use crate::labels::NAME;
use crate::syntax::ast::{
    Aggregate, AggregateOp, Binary, Call, Cardinality, Expr, MatrixSelector, Span, ValueType, VectorSelector,
};
use crate::syntax::error::ParseError;
use crate::text::quote;

type Result<T> = std::result::Result<T, ParseError>;

/// Checks an expression and all below it; sets what follows from types.
pub(super) fn check(query: &str, expr: &mut Expr) -> Result<()> {
    // `info` may be asked for labels with a selector that would match everything.
    let skip = matches!(expr, Expr::Call(call) if call.function.name == "info").then_some(1);
    for (at, child) in expr.children_mut().into_iter().enumerate() {
        if skip != Some(at) || !matches!(child, Expr::Vector(_)) {
            check(query, child)?;
        }
    }
    let fault = |span: Span, message: String| Err(ParseError::new(query, span, message));
    let span = expr.span();
    match expr {
        Expr::Binary(binary) => check_binary(binary).or_else(|message| fault(span, message)),
        Expr::Call(call) => check_call(call).or_else(|(span, message)| fault(span, message)),
        Expr::Aggregate(aggregate) => check_aggregate(aggregate).or_else(|(span, message)| fault(span, message)),
        Expr::Vector(selector) | Expr::Matrix(MatrixSelector { selector, .. }) => {
            check_selector(selector).or_else(|message| fault(span, message))
        }
        Expr::Subquery(subquery) if subquery.expr.value_type() != ValueType::Vector => {
            let got = subquery.expr.value_type().name();
            fault(span, format!("subquery is only allowed on instant vector, got {got} instead"))
        }
        Expr::Unary(_, inner, _) if !matches!(inner.value_type(), ValueType::Scalar | ValueType::Vector) => {
            let got = quote(inner.value_type().documented());
            let message = "unary expression only allowed on expressions of type scalar or instant vector";
            fault(span, format!("{message}, got {got}"))
        }
        _ => Ok(()),
    }
}

fn check_selector(selector: &VectorSelector) -> std::result::Result<(), String> {
    if let Some(name) = &selector.name {
        let (_, others) = selector.matchers.split_last().unzip();
        let others: &[_] = others.unwrap_or_default();
        if let Some(twice) = others.iter().find(|matcher| matcher.name == NAME) {
            return Err(format!("metric name must not be set twice: {} or {}", quote(name), quote(&twice.value)));
        }
        return Ok(());
    }
    if selector.matchers.iter().all(|matcher| matcher.matches("")) {
        return Err("vector selector must contain at least one non-empty matcher".into());
    }
    Ok(())
}

fn check_aggregate(aggregate: &Aggregate) -> std::result::Result<(), (Span, String)> {
    let expected = |expr: &Expr, want: ValueType, context: &str| {
        let got = expr.value_type();
        if got == want {
            return Ok(());
        }
        let message = format!("expected type {} in {context}, got {}", want.documented(), got.documented());
        Err((expr.span(), message))
    };
    expected(&aggregate.expr, ValueType::Vector, "aggregation expression")?;
    if let Some(param) = &aggregate.param {
        let want = if aggregate.op == AggregateOp::CountValues { ValueType::String } else { ValueType::Scalar };
        expected(param, want, "aggregation parameter")?;
    }
    Ok(())
}

fn check_call(call: &Call) -> std::result::Result<(), (Span, String)> {
    let (function, got) = (call.function, call.args.len());
    let (types, name) = (function.args, quote(function.name));
    let wrong =
        |wanted: String| Err((call.span, format!("expected {wanted} argument(s) in call to {name}, got {got}")));
    let least = types.len().saturating_sub(1);
    match function.variadic {
        0 if types.len() != got => return wrong(types.len().to_string()),
        0 => {}
        _ if got < least => return wrong(format!("at least {least}")),
        more => {
            let most = least + usize::try_from(more).unwrap_or(usize::MAX - least);
            if got > most {
                return wrong(format!("at most {most}"));
            }
        }
    }
    if function.name == "info"
        && let Some(labels) = call.args.get(1)
    {
        match labels {
            Expr::Vector(selector) if selector.name.is_none() => {}
            Expr::Vector(selector) => {
                return Err((selector.span, "expected label selectors only, got vector selector instead".into()));
            }
            other => return Err((other.span(), "expected label selectors only".into())),
        }
    }
    for (at, arg) in call.args.iter().enumerate() {
        let Some(want) = types.get(at).or(types.last()) else { continue };
        let got = arg.value_type();
        if got != *want {
            let (want, got) = (want.documented(), got.documented());
            return Err((arg.span(), format!("expected type {want} in call to function {name}, got {got}")));
        }
        // Texts are taken as they are written.
        if *want == ValueType::String && !matches!(arg.bare(), Expr::String(..)) {
            return Err((arg.span(), format!("expected a string literal in call to function {name}")));
        }
    }
    Ok(())
}

fn check_binary(binary: &mut Binary) -> std::result::Result<(), String> {
    let (op, lhs, rhs) = (binary.op, binary.lhs.value_type(), binary.rhs.value_type());
    let symbol = quote(op.symbol());
    if binary.return_bool && !op.compares() {
        return Err("bool modifier can only be used on comparison operators".into());
    }
    let scalar = |side| side == ValueType::Scalar;
    if op.compares() && !binary.return_bool && scalar(lhs) && scalar(rhs) {
        return Err("comparisons between scalars must use BOOL modifier".into());
    }
    for side in [lhs, rhs] {
        if !matches!(side, ValueType::Scalar | ValueType::Vector) {
            return Err("binary expression must contain only scalar and instant vector types".into());
        }
    }
    if op.is_set() && (scalar(lhs) || scalar(rhs)) {
        return Err(format!("set operator {symbol} not allowed in binary scalar expression"));
    }
    let Some(matching) = &mut binary.matching else { return Ok(()) };
    if let Some(label) = matching.labels.iter().find(|label| matching.on && matching.include.contains(label)) {
        return Err(format!("label {} must not occur in ON and GROUP clause at once", quote(label)));
    }
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    if scalar(lhs) || scalar(rhs) {
        if !matching.labels.is_empty() {
            return Err("vector matching only allowed between instant vectors".into());
        }
        if fills {
            return Err("filling in missing series only allowed between instant vectors".into());
        }
        binary.matching = None;
    } else if op.is_set() {
        if matching.cardinality != Cardinality::OneToOne {
            return Err(format!("no grouping allowed for {symbol} operation"));
        }
        if fills {
            return Err("filling in missing series not allowed for set operators".into());
        }
        matching.cardinality = Cardinality::ManyToMany;
    }
    Ok(())
}
