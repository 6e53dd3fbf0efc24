//! The grammar: from text to words and their places. What the words mean is for `resolve`.

use std::ops::Range;

use winnow::combinator::{alt, cut_err, delimited, eof, opt, peek, preceded, repeat, separated};
use winnow::error::{ContextError, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, none_of, one_of, take_while};

use crate::error::ParseError;
use crate::{MAX_PARENTHESES, MAX_QUERY};

type Input<'a> = LocatingSlice<&'a str>;

/// A query in words.
pub(crate) struct Raw<'a> {
    pub(crate) text: &'a str,
    pub(crate) filter: RawFilter,
    pub(crate) pipes: Vec<RawPipe>,
}

/// A word or a quoted text.
#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) quoted: bool,
    pub(crate) at: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Is,
    IsNot,
    Matches,
    MatchesNot,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug)]
pub(crate) enum RawFilter {
    And(Vec<RawFilter>),
    Or(Vec<RawFilter>),
    Not(Box<RawFilter>),
    Text(Word),
    Exists(Word),
    Last(Word),
    Field { key: Word, operator: Operator, value: Word },
}

#[derive(Debug)]
pub(crate) struct RawAggregate {
    pub(crate) function: Word,
    pub(crate) field: Option<Word>,
}

#[derive(Debug)]
pub(crate) enum RawPipe {
    Stats { aggregates: Vec<RawAggregate>, by: Vec<Word> },
    Top { count: Word, by: Option<Word> },
    Sort { by: Word, descending: bool },
    Limit(Word),
    Fields(Vec<Word>),
}

/// Reads a text.
pub(crate) fn parse(text: &str) -> Result<Raw<'_>, ParseError> {
    if text.len() > MAX_QUERY {
        return Err(ParseError::new(
            text,
            text.floor_char_boundary(MAX_QUERY)..text.len(),
            format!("a query has at most {MAX_QUERY} bytes"),
        ));
    }
    if let Some(at) = parentheses(text).nth(MAX_PARENTHESES) {
        return Err(ParseError::new(text, at..at + 1, format!("a query has at most {MAX_PARENTHESES} parentheses")));
    }
    let (filter, pipes) =
        whole.parse(LocatingSlice::new(text)).map_err(|error| explain(text, error.offset(), error.inner()))?;
    Ok(Raw { text, filter, pipes })
}

/// Where parentheses open, outside quotes.
fn parentheses(text: &str) -> impl Iterator<Item = usize> + '_ {
    let (mut quote, mut escaped) = (None, false);
    text.char_indices().filter_map(move |(at, c)| {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None => return (c == '(').then_some(at),
        }
        None
    })
}

fn explain(text: &str, offset: usize, error: &ContextError) -> ParseError {
    let mut expected: Vec<String> = Vec::new();
    for context in error.context() {
        if let StrContext::Expected(value) = context {
            let value = match value {
                StrContextValue::CharLiteral(c) => format!("'{c}'"),
                StrContextValue::StringLiteral(text) => format!("'{text}'"),
                StrContextValue::Description(text) => (*text).to_owned(),
                other => other.to_string(),
            };
            if !expected.contains(&value) {
                expected.push(value);
            }
        }
    }
    let start = text.floor_char_boundary(offset.min(text.len()));
    let found = text[start..].chars().next();
    let what = match found {
        None => "the query ends here".to_owned(),
        Some(c) => format!("'{}' does not fit here", c.escape_debug()),
    };
    let message = match expected.is_empty() {
        true => what,
        false => format!("{what}; expected {}", expected.join(" or ")),
    };
    ParseError::new(text, start..start + found.map_or(0, char::len_utf8), message)
}

fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

fn whole(input: &mut Input<'_>) -> ModalResult<(RawFilter, Vec<RawPipe>)> {
    spaces.parse_next(input)?;
    let empty = peek(opt(alt(("|".void(), eof.void())))).parse_next(input)?.is_some();
    let filter = if empty { RawFilter::And(Vec::new()) } else { either.parse_next(input)? };
    let pipes = repeat(0.., preceded((spaces, '|', spaces), cut_err(pipe))).parse_next(input)?;
    spaces.parse_next(input)?;
    eof.context(expected("a term")).context(expected("'|'")).context(expected("the end")).parse_next(input)?;
    Ok((filter, pipes))
}

fn spaces(input: &mut Input<'_>) -> ModalResult<()> {
    take_while(0.., char::is_whitespace).void().parse_next(input)
}

/// A word of the language itself, whatever its case.
fn keyword<'a>(word: &'static str) -> impl ModalParser<Input<'a>, (), ContextError> {
    bare.verify(move |found: &Word| found.text.eq_ignore_ascii_case(word)).void()
}

fn either(input: &mut Input<'_>) -> ModalResult<RawFilter> {
    let mut parts: Vec<RawFilter> = separated(1.., all, (spaces, keyword("or"), spaces)).parse_next(input)?;
    Ok(if parts.len() == 1 { parts.swap_remove(0) } else { RawFilter::Or(parts) })
}

fn all(input: &mut Input<'_>) -> ModalResult<RawFilter> {
    let mut parts = vec![cut_err(unary).parse_next(input)?];
    loop {
        let next = preceded(spaces, peek(opt(alt((eof.void(), one_of([')', '|']).void(), keyword("or"))))));
        if { next }.parse_next(input)?.is_some() {
            break;
        }
        opt((keyword("and"), spaces)).parse_next(input)?;
        parts.push(cut_err(unary).parse_next(input)?);
    }
    Ok(if parts.len() == 1 { parts.swap_remove(0) } else { RawFilter::And(parts) })
}

fn unary(input: &mut Input<'_>) -> ModalResult<RawFilter> {
    let negations: usize = repeat(0.., (alt((one_of(['-', '!']).void(), keyword("not"))), spaces)).parse_next(input)?;
    let group = delimited(('(', spaces), either, (spaces, cut_err(')').context(expected("')'"))));
    let filter = alt((group, term)).context(expected("a term (word, \"text\", key=value)")).parse_next(input)?;
    Ok(if negations % 2 == 1 { RawFilter::Not(Box::new(filter)) } else { filter })
}

fn term(input: &mut Input<'_>) -> ModalResult<RawFilter> {
    let reserved = |word: &Word| ["and", "or", "not"].iter().any(|one| word.text.eq_ignore_ascii_case(one));
    let word = alt((quoted, bare.verify(move |word| !reserved(word)))).parse_next(input)?;
    if word.quoted {
        return Ok(RawFilter::Text(word));
    }
    if word.text.eq_ignore_ascii_case("last")
        && let Some(span) = opt(preceded(spaces, bare.verify(is_span))).parse_next(input)?
    {
        return Ok(RawFilter::Last(span));
    }
    if opt((take_while(1.., char::is_whitespace), keyword("exists"))).parse_next(input)?.is_some() {
        return Ok(RawFilter::Exists(word));
    }
    let Some(operator) = opt(alt((':'.value(Operator::Is), preceded(spaces, operator)))).parse_next(input)? else {
        return Ok(RawFilter::Text(word));
    };
    let value = preceded(spaces, alt((quoted, value)));
    let value = cut_err(value).context(expected("a value")).parse_next(input)?;
    Ok(RawFilter::Field { key: word, operator, value })
}

fn is_span(word: &Word) -> bool {
    crate::literal::duration_ns(&word.text).is_some()
}

fn operator(input: &mut Input<'_>) -> ModalResult<Operator> {
    alt((
        "!=".value(Operator::IsNot),
        "!~".value(Operator::MatchesNot),
        "=~".value(Operator::Matches),
        ">=".value(Operator::GreaterOrEqual),
        "<=".value(Operator::LessOrEqual),
        ('=', opt('=')).value(Operator::Is),
        "~".value(Operator::Matches),
        ">".value(Operator::Greater),
        "<".value(Operator::Less),
    ))
    .parse_next(input)
}

fn is_bare(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '"' | '\'' | '(' | ')' | '|' | '=' | ':' | '<' | '>' | '~' | '!' | ',')
}

fn is_value(c: char) -> bool {
    !c.is_whitespace() && !matches!(c, '"' | '\'' | '(' | ')' | '|')
}

fn bare(input: &mut Input<'_>) -> ModalResult<Word> {
    let (text, at) = take_while(1.., is_bare).with_span().parse_next(input)?;
    Ok(Word { text: text.to_owned(), quoted: false, at })
}

fn value(input: &mut Input<'_>) -> ModalResult<Word> {
    let (text, at) = take_while(1.., is_value).with_span().parse_next(input)?;
    Ok(Word { text: text.to_owned(), quoted: false, at })
}

fn quoted(input: &mut Input<'_>) -> ModalResult<Word> {
    let (text, at) = quoted_text.with_span().parse_next(input)?;
    Ok(Word { text, quoted: true, at })
}

fn quoted_text(input: &mut Input<'_>) -> ModalResult<String> {
    let quote = one_of(['"', '\'']).parse_next(input)?;
    let character = alt((preceded('\\', cut_err(any).context(expected("a character after '\\'"))), none_of(quote)));
    let text = repeat(0.., character)
        .fold(String::new, |mut text, character| {
            text.push(character);
            text
        })
        .parse_next(input)?;
    cut_err(one_of(quote)).context(expected("the closing quote")).parse_next(input)?;
    Ok(text)
}

fn pipe(input: &mut Input<'_>) -> ModalResult<RawPipe> {
    const NAMES: &str = "stats, top, sort, limit or fields";
    let start = *input;
    let name = bare.context(expected(NAMES)).parse_next(input)?;
    spaces.parse_next(input)?;
    match name.text.to_ascii_lowercase().as_str() {
        "stats" => {
            let aggregates = separated(1.., aggregate, comma).parse_next(input)?;
            let by = opt(preceded((spaces, keyword("by"), spaces), cut_err(words))).parse_next(input)?;
            Ok(RawPipe::Stats { aggregates, by: by.unwrap_or_default() })
        }
        "top" => {
            let count = bare.context(expected("how many")).parse_next(input)?;
            let by = opt(preceded((spaces, keyword("by"), spaces), cut_err(column))).parse_next(input)?;
            Ok(RawPipe::Top { count, by })
        }
        "sort" => {
            let minus = opt('-').parse_next(input)?.is_some();
            let by = column.parse_next(input)?;
            let order = opt(preceded(spaces, alt((keyword("desc").value(true), keyword("asc").value(false)))));
            Ok(RawPipe::Sort { by, descending: { order }.parse_next(input)?.unwrap_or(minus) })
        }
        "limit" | "head" => Ok(RawPipe::Limit(bare.context(expected("how many")).parse_next(input)?)),
        "fields" => Ok(RawPipe::Fields(words.parse_next(input)?)),
        _ => {
            *input = start;
            winnow::combinator::fail.context(expected(NAMES)).parse_next(input)
        }
    }
}

fn comma(input: &mut Input<'_>) -> ModalResult<()> {
    (spaces, ',', spaces).void().parse_next(input)
}

fn words(input: &mut Input<'_>) -> ModalResult<Vec<Word>> {
    separated(1.., bare.context(expected("a field")), comma).parse_next(input)
}

fn aggregate(input: &mut Input<'_>) -> ModalResult<RawAggregate> {
    let function =
        bare.context(expected("count, rate, sum(..), avg(..), min(..), max(..) or p95(..)")).parse_next(input)?;
    let field = opt(delimited('(', opt(delimited(spaces, bare, spaces)), cut_err(')').context(expected("')'"))));
    Ok(RawAggregate { function, field: { field }.parse_next(input)?.flatten() })
}

/// The name of a column: a field, or an aggregate as it is written.
fn column(input: &mut Input<'_>) -> ModalResult<Word> {
    // A minus in front of it is an order.
    let name = bare.verify(|word: &Word| !word.text.starts_with('-'));
    let whole = (name, opt(('(', take_while(0.., is_bare), ')'))).take().with_span();
    let (text, at) = whole.context(expected("a field or column")).parse_next(input)?;
    Ok(Word { text: text.to_owned(), quoted: false, at })
}
