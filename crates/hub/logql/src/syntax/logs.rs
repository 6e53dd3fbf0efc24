//! Selectors and pipelines.

use super::ast::{Compare, Extraction, LabelFilter, LabelFormat, LineFilter, LineOp, LineValue, LogExpr, MatchOp};
use super::ast::{Matcher, Named, Stage};
use super::cursor::Cursor;
use super::error::ParseError;
use super::lexer::Token;

const LINE_OPS: [(&str, LineOp); 6] = [
    ("|=", LineOp::Contains),
    ("!=", LineOp::ContainsNot),
    ("|~", LineOp::Matches),
    ("!~", LineOp::MatchesNot),
    ("|>", LineOp::Pattern),
    ("!>", LineOp::PatternNot),
];

/// A selector with its stages, perhaps in parentheses.
pub(crate) fn log_expr(cursor: &mut Cursor<'_>) -> Result<LogExpr, ParseError> {
    if cursor.take_sign("(") {
        cursor.enter()?;
        let inner = log_expr(cursor)?;
        cursor.expect_sign(")")?;
        cursor.leave();
        return Ok(inner);
    }
    let matchers = selector(cursor)?;
    Ok(LogExpr { matchers, stages: stages(cursor)? })
}

/// `{a="b"}`; one condition has to be that a label has a value.
pub(crate) fn selector(cursor: &mut Cursor<'_>) -> Result<Vec<Matcher>, ParseError> {
    let begin = cursor.error("");
    cursor.expect_sign("{")?;
    let mut matchers = Vec::new();
    while !cursor.take_sign("}") {
        if !matchers.is_empty() {
            cursor.expect_sign(",")?;
            if cursor.take_sign("}") {
                break;
            }
        }
        let name = cursor.expect_word("IDENTIFIER or }")?;
        matchers.push(matcher(cursor, &name)?);
    }
    if matchers.iter().all(|matcher| matcher.matches("")) {
        let message = "queries require at least one regexp or equality matcher that does not have an empty-compatible value. For instance, \
                       app=~\".*\" does not meet this requirement, but app=~\".+\" will";
        return Err(ParseError { message: message.to_owned(), ..begin });
    }
    Ok(matchers)
}

/// What comes after the name of a label in a selector.
fn matcher(cursor: &mut Cursor<'_>, name: &str) -> Result<Matcher, ParseError> {
    let op = match cursor.peek() {
        Some(Token::Sign("=")) => MatchOp::Equal,
        Some(Token::Sign("!=")) => MatchOp::NotEqual,
        Some(Token::Sign("=~")) => MatchOp::Regex,
        Some(Token::Sign("!~")) => MatchOp::NotRegex,
        _ => return Err(cursor.unexpected("expecting =, !=, =~ or !~")),
    };
    cursor.next();
    let value = cursor.expect_text()?;
    Matcher::new(name, op, &value).map_err(|what| cursor.error(what))
}

/// Stages, as long as they come; `| unwrap` is none.
pub(crate) fn stages(cursor: &mut Cursor<'_>) -> Result<Vec<Stage>, ParseError> {
    let mut out = Vec::new();
    loop {
        if let Some((sign, op)) = LINE_OPS.into_iter().find(|(sign, _)| cursor.is_sign(sign)) {
            cursor.take_sign(sign);
            out.push(Stage::Line(line_filter(cursor, op)?));
            continue;
        }
        let is_unwrap = matches!(cursor.ahead(1), Some(Token::Word(word)) if word == "unwrap");
        if !cursor.is_sign("|") || is_unwrap {
            return Ok(out);
        }
        cursor.take_sign("|");
        out.push(stage(cursor)?);
    }
}

fn line_filter(cursor: &mut Cursor<'_>, op: LineOp) -> Result<LineFilter, ParseError> {
    let mut values = vec![line_value(cursor)?];
    while cursor.take_word("or") {
        values.push(line_value(cursor)?);
    }
    let has_ip = values.iter().any(|value| matches!(value, LineValue::Ip(_)));
    if has_ip && !matches!(op, LineOp::Contains | LineOp::ContainsNot) {
        return Err(cursor.error("ip() filters lines with |= and != only"));
    }
    Ok(LineFilter { op, values })
}

fn line_value(cursor: &mut Cursor<'_>) -> Result<LineValue, ParseError> {
    if cursor.take_word("ip") {
        return Ok(LineValue::Ip(in_parentheses(cursor)?));
    }
    Ok(LineValue::Text(cursor.expect_text()?))
}

fn in_parentheses(cursor: &mut Cursor<'_>) -> Result<String, ParseError> {
    cursor.expect_sign("(")?;
    let text = cursor.expect_text()?;
    cursor.expect_sign(")")?;
    Ok(text)
}

fn stage(cursor: &mut Cursor<'_>) -> Result<Stage, ParseError> {
    let Some(Token::Word(word)) = cursor.peek().cloned() else {
        return Ok(Stage::Label(label_filter(cursor)?));
    };
    // A keyword may be the name of a label, too: then an operator comes.
    let is_label =
        matches!(cursor.ahead(1), Some(Token::Sign("=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=")));
    let is_keyword = !is_label || matches!(cursor.ahead(1), Some(Token::Sign("!=" | "!~"))) && is_parser(&word);
    if !is_keyword {
        return Ok(Stage::Label(label_filter(cursor)?));
    }
    match word.as_str() {
        "json" => {
            cursor.next();
            Ok(Stage::Json(extractions(cursor)?))
        }
        "logfmt" => {
            cursor.next();
            let (mut strict, mut keep_empty) = (false, false);
            while let Some(Token::Flag(flag)) = cursor.peek() {
                match flag.as_str() {
                    "strict" => strict = true,
                    "keep-empty" => keep_empty = true,
                    _ => return Err(cursor.unexpected("expecting --strict or --keep-empty")),
                }
                cursor.next();
            }
            Ok(Stage::Logfmt { strict, keep_empty, fields: extractions(cursor)? })
        }
        "regexp" => {
            cursor.next();
            Ok(Stage::Regexp(cursor.expect_text()?))
        }
        "pattern" => {
            cursor.next();
            Ok(Stage::Pattern(cursor.expect_text()?))
        }
        "unpack" => {
            cursor.next();
            Ok(Stage::Unpack)
        }
        "decolorize" => {
            cursor.next();
            Ok(Stage::Decolorize)
        }
        "line_format" => {
            cursor.next();
            Ok(Stage::LineFormat(cursor.expect_text()?))
        }
        "label_format" => {
            cursor.next();
            Ok(Stage::LabelFormat(label_formats(cursor)?))
        }
        "drop" => {
            cursor.next();
            Ok(Stage::Drop(named(cursor)?))
        }
        "keep" => {
            cursor.next();
            Ok(Stage::Keep(named(cursor)?))
        }
        _ => Ok(Stage::Label(label_filter(cursor)?)),
    }
}

/// Parsers without arguments, after which a line filter may come.
fn is_parser(word: &str) -> bool {
    matches!(word, "json" | "logfmt" | "unpack" | "decolorize")
}

/// `a, b="c"` after a parser, as long as they come.
fn extractions(cursor: &mut Cursor<'_>) -> Result<Vec<Extraction>, ParseError> {
    let mut out = Vec::new();
    if !matches!(cursor.peek(), Some(Token::Word(_))) {
        return Ok(out);
    }
    loop {
        let name = cursor.expect_word("IDENTIFIER")?;
        let path = if cursor.take_sign("=") { cursor.expect_text()? } else { name.clone() };
        out.push(Extraction { name, path });
        if !cursor.take_sign(",") {
            return Ok(out);
        }
    }
}

fn label_formats(cursor: &mut Cursor<'_>) -> Result<Vec<(String, LabelFormat)>, ParseError> {
    let mut out: Vec<(String, LabelFormat)> = Vec::new();
    loop {
        let name = cursor.expect_word("IDENTIFIER")?;
        if out.iter().any(|(known, _)| *known == name) {
            return Err(cursor.error(format!("multiple label name '{name}' not allowed in a single format operation")));
        }
        cursor.expect_sign("=")?;
        let format = match cursor.peek() {
            Some(Token::Word(_)) => LabelFormat::Rename(cursor.expect_word("IDENTIFIER")?),
            _ => LabelFormat::Template(cursor.expect_text()?),
        };
        out.push((name, format));
        if !cursor.take_sign(",") {
            return Ok(out);
        }
    }
}

fn named(cursor: &mut Cursor<'_>) -> Result<Vec<Named>, ParseError> {
    let mut out = Vec::new();
    loop {
        let name = cursor.expect_word("IDENTIFIER")?;
        let has_value = matches!(cursor.peek(), Some(Token::Sign("=" | "!=" | "=~" | "!~")));
        // `| drop a != "text"` is a filter of lines where no comma says otherwise; as in Loki it belongs to the label.
        out.push(if has_value { Named::Matcher(matcher(cursor, &name)?) } else { Named::Name(name) });
        if !cursor.take_sign(",") {
            return Ok(out);
        }
    }
}

/// `a="b" and c>5 or d<2s`: `or` binds less than `and`, a comma, and nothing at all.
pub(crate) fn label_filter(cursor: &mut Cursor<'_>) -> Result<LabelFilter, ParseError> {
    let depth = cursor.depth();
    let mut left = label_filter_all(cursor)?;
    while cursor.take_word("or") {
        cursor.enter()?;
        left = LabelFilter::Or(Box::new(left), Box::new(label_filter_all(cursor)?));
    }
    cursor.back_to(depth);
    Ok(left)
}

fn label_filter_all(cursor: &mut Cursor<'_>) -> Result<LabelFilter, ParseError> {
    let depth = cursor.depth();
    let mut left = label_filter_one(cursor)?;
    loop {
        let follows = cursor.take_word("and") || cursor.take_sign(",") || {
            let is_operator =
                matches!(cursor.ahead(1), Some(Token::Sign("=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=")));
            let is_label = matches!(cursor.peek(), Some(Token::Word(word)) if word != "or") && is_operator;
            is_label || cursor.is_sign("(")
        };
        if !follows {
            cursor.back_to(depth);
            return Ok(left);
        }
        cursor.enter()?;
        left = LabelFilter::And(Box::new(left), Box::new(label_filter_one(cursor)?));
    }
}

fn label_filter_one(cursor: &mut Cursor<'_>) -> Result<LabelFilter, ParseError> {
    if cursor.take_sign("(") {
        cursor.enter()?;
        let inner = label_filter(cursor)?;
        cursor.expect_sign(")")?;
        cursor.leave();
        return Ok(inner);
    }
    let name = cursor.expect_word("IDENTIFIER")?;
    let value = cursor.ahead(1).cloned();
    if let (Some(Token::Sign(sign @ ("=" | "!="))), Some(Token::Word(word))) = (cursor.peek().cloned(), &value)
        && word == "ip"
    {
        cursor.next();
        cursor.next();
        return Ok(LabelFilter::Ip(name, sign == "!=", in_parentheses(cursor)?));
    }
    if matches!(value, Some(Token::Text(_))) {
        return Ok(LabelFilter::Matcher(matcher(cursor, &name)?));
    }
    let compare = match cursor.peek() {
        Some(Token::Sign("=" | "==")) => Compare::Equal,
        Some(Token::Sign("!=")) => Compare::NotEqual,
        Some(Token::Sign(">")) => Compare::Greater,
        Some(Token::Sign(">=")) => Compare::GreaterEqual,
        Some(Token::Sign("<")) => Compare::Less,
        Some(Token::Sign("<=")) => Compare::LessEqual,
        _ => return Err(cursor.unexpected("expecting an operator")),
    };
    cursor.next();
    match cursor.peek().cloned() {
        Some(Token::Duration(ns)) => {
            cursor.next();
            Ok(LabelFilter::Duration(name, compare, ns))
        }
        Some(Token::Bytes(bytes, text)) => {
            cursor.next();
            Ok(LabelFilter::Bytes(name, compare, bytes, text))
        }
        _ => Ok(LabelFilter::Number(name, compare, cursor.expect_number()?)),
    }
}
