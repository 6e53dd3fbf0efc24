//! What the words of a query mean: fields, values, times; with errors that point at the word.

use crate::engine::MAX_ROWS;
use crate::error::ParseError;
use crate::field::Field;
use crate::grammar::{Operator, Raw, RawAggregate, RawFilter, RawPipe, Word};
use crate::literal::{MOMENTS, level_number, moment, number};
use crate::query::{Aggregate, Comparison, Filter, Function, Pipe, Query, Range, Test};
use crate::transaction::{any_transaction, transaction};

/// The word for transactions: a filter, no field.
const TRANSACTION: &str = "tx";

/// Patterns larger than this are refused: they cost memory and time for every record.
const MAX_PATTERN: usize = 512;

struct Resolver<'a> {
    text: &'a str,
    now_ns: u64,
    range: Range,
}

/// Checks a query and gives its words their meaning.
pub(crate) fn query(raw: Raw<'_>, now_ns: u64) -> Result<Query, ParseError> {
    let mut resolver = Resolver { text: raw.text, now_ns, range: Range::default() };
    let filter = resolver.filter(raw.filter, true)?;
    let pipes = raw.pipes.into_iter().map(|pipe| resolver.pipe(pipe)).collect::<Result<Vec<_>, _>>()?;
    Ok(Query { filter, range: resolver.range, pipes })
}

impl Resolver<'_> {
    fn error<T>(&self, word: &Word, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.text, word.at.clone(), message))
    }

    /// `top` is true where a time range holds for the whole query: not below `or` or `not`.
    fn filter(&mut self, raw: RawFilter, top: bool) -> Result<Filter, ParseError> {
        Ok(match raw {
            RawFilter::And(parts) => Filter::And(self.filters(parts, top)?),
            RawFilter::Or(parts) => Filter::Or(self.filters(parts, false)?),
            RawFilter::Not(part) => Filter::Not(Box::new(self.filter(*part, false)?)),
            RawFilter::Text(word) => Filter::Contains(word.text.to_lowercase()),
            RawFilter::Exists(word) if word.text == TRANSACTION => any_transaction(),
            RawFilter::Exists(word) => Filter::Exists(Field::named(&word.text)),
            RawFilter::Last(word) => self.time("since", Operator::Is, &word, top)?,
            RawFilter::Field { key, operator, value } => match key.text.as_str() {
                TRANSACTION => self.transaction(operator, &value)?,
                bound @ ("since" | "until") => self.time(bound, operator, &value, top)?,
                _ => self.field(&key, operator, &value)?,
            },
        })
    }

    fn filters(&mut self, parts: Vec<RawFilter>, top: bool) -> Result<Vec<Filter>, ParseError> {
        parts.into_iter().map(|part| self.filter(part, top)).collect()
    }

    fn time(&mut self, bound: &str, operator: Operator, value: &Word, top: bool) -> Result<Filter, ParseError> {
        if !top || operator != Operator::Is {
            return self.error(value, format!("{bound}=.. holds for the whole query: not below 'or', 'not' or '-'"));
        }
        let Some(moment) = moment(&value.text, self.now_ns) else {
            return self.error(value, format!("not a time; write {MOMENTS}"));
        };
        let slot = if bound == "since" { &mut self.range.since_ns } else { &mut self.range.until_ns };
        if slot.replace(moment).is_some() {
            return self.error(value, format!("{bound} is given twice"));
        }
        if let Range { since_ns: Some(since), until_ns: Some(until) } = self.range
            && since >= until
        {
            return self.error(value, "the time range is empty: since is not before until");
        }
        Ok(Filter::And(Vec::new()))
    }

    /// `tx=ID`: a whole id, however the record names it.
    fn transaction(&self, operator: Operator, value: &Word) -> Result<Filter, ParseError> {
        let negative = match operator {
            Operator::Is => false,
            Operator::IsNot => true,
            _ => return self.error(value, "a transaction is asked for by its whole id: tx=ID"),
        };
        if value.text == "*" && !value.quoted {
            return Ok(negate(any_transaction(), negative));
        }
        if value.text.is_empty() || value.text.len() > MAX_PATTERN {
            return self.error(value, format!("the id of a transaction has 1 to {MAX_PATTERN} bytes"));
        }
        Ok(negate(transaction(&value.text, &[]), negative))
    }

    fn field(&self, key: &Word, operator: Operator, value: &Word) -> Result<Filter, ParseError> {
        let field = Field::named(&key.text);
        let comparison = match operator {
            Operator::Is | Operator::IsNot => Comparison::Equal,
            Operator::Less => Comparison::Less,
            Operator::LessOrEqual => Comparison::LessOrEqual,
            Operator::Greater => Comparison::Greater,
            Operator::GreaterOrEqual => Comparison::GreaterOrEqual,
            Operator::Matches | Operator::MatchesNot => {
                let filter = Filter::Field(field, Test::Matches(self.pattern(value)?));
                return Ok(negate(filter, operator == Operator::MatchesNot));
            }
        };
        if comparison == Comparison::Equal && !value.quoted && value.text == "*" {
            return Ok(negate(Filter::Exists(field), operator == Operator::IsNot));
        }
        let filter = match &field {
            Field::Level => self.level(comparison, value)?,
            Field::Duration => match crate::literal::duration_ns(&value.text) {
                Some(duration) => Filter::Field(field, Test::Number(comparison, duration)),
                None => return self.error(value, "not a duration; give it a unit: 200ms, 1.5s, 1m"),
            },
            Field::Trace | Field::Span | Field::Parent if comparison == Comparison::Equal => {
                Filter::Field(field, plain_or_glob(&value.text.to_ascii_lowercase(), value.quoted))
            }
            _ if comparison == Comparison::Equal => Filter::Field(field, plain_or_glob(&value.text, value.quoted)),
            _ => {
                let test = match number(&value.text).filter(|_| !value.quoted) {
                    Some(number) => Test::Number(comparison, number),
                    None => Test::Text(comparison, value.text.clone()),
                };
                Filter::Field(field, test)
            }
        };
        Ok(negate(filter, operator == Operator::IsNot))
    }

    /// `level=error` means the whole range of four numbers, `level>error` what lies beyond it.
    fn level(&self, comparison: Comparison, value: &Word) -> Result<Filter, ParseError> {
        let test = |comparison, bound: u8| Filter::Field(Field::Level, Test::Number(comparison, f64::from(bound)));
        if let Some(exact) = value.text.parse::<u8>().ok().filter(|number| (1..=24).contains(number)) {
            return Ok(test(comparison, exact));
        }
        let Some(lowest) = level_number(&value.text) else {
            return self
                .error(value, "not a level; write trace, debug, info, warn, error, fatal, or a number from 1 to 24");
        };
        let highest = lowest + 3;
        Ok(match comparison {
            Comparison::Equal => {
                Filter::And(vec![test(Comparison::GreaterOrEqual, lowest), test(Comparison::LessOrEqual, highest)])
            }
            Comparison::Less => test(comparison, lowest),
            Comparison::LessOrEqual => test(comparison, highest),
            Comparison::Greater => test(comparison, highest),
            Comparison::GreaterOrEqual => test(comparison, lowest),
        })
    }

    fn pattern(&self, value: &Word) -> Result<regex_lite::Regex, ParseError> {
        if value.text.len() > MAX_PATTERN {
            return self.error(value, format!("a pattern has at most {MAX_PATTERN} bytes"));
        }
        let built = regex_lite::RegexBuilder::new(&value.text).size_limit(64 << 10).build();
        built.or_else(|error| self.error(value, format!("not a regular expression: {error}")))
    }

    fn count(&self, word: &Word) -> Result<usize, ParseError> {
        match word.text.parse() {
            Ok(count) if (1..=MAX_ROWS).contains(&count) => Ok(count),
            _ => self.error(word, format!("not a number from 1 to {MAX_ROWS}")),
        }
    }

    fn pipe(&self, raw: RawPipe) -> Result<Pipe, ParseError> {
        let fields = |words: Vec<Word>| words.iter().map(|word| Field::named(&word.text)).collect();
        Ok(match raw {
            RawPipe::Stats { aggregates, by } => {
                let aggregates = aggregates.iter().map(|one| self.aggregate(one)).collect::<Result<_, _>>()?;
                Pipe::Stats { aggregates, by: fields(by) }
            }
            RawPipe::Top { count, by } => Pipe::Top { count: self.count(&count)?, by: by.map(|word| word.text) },
            RawPipe::Sort { by, descending } => Pipe::Sort { by: by.text, descending },
            RawPipe::Limit(count) => Pipe::Limit(self.count(&count)?),
            RawPipe::Fields(words) => Pipe::Fields(fields(words)),
        })
    }

    fn aggregate(&self, raw: &RawAggregate) -> Result<Aggregate, ParseError> {
        let name = raw.function.text.to_ascii_lowercase();
        let function = match name.as_str() {
            "count" => Function::Count,
            "rate" => Function::Rate,
            "sum" => Function::Sum,
            "avg" => Function::Avg,
            "min" => Function::Min,
            "max" => Function::Max,
            other => match other.strip_prefix('p').and_then(|number| number.parse::<u8>().ok()) {
                Some(percent @ 1..=99) => Function::Percentile(percent),
                _ => {
                    return self
                        .error(&raw.function, "not a figure; there are count, rate, sum, avg, min, max, p1 to p99");
                }
            },
        };
        let counts = matches!(function, Function::Count | Function::Rate);
        match (&raw.field, counts) {
            (None, false) => self.error(&raw.function, format!("{name} needs a field: {name}(dur)")),
            (Some(field), true) => self.error(field, format!("{name} counts records and takes no field")),
            (field, _) => Ok(Aggregate { function, field: field.as_ref().map(|word| Field::named(&word.text)) }),
        }
    }
}

fn negate(filter: Filter, negative: bool) -> Filter {
    if negative { Filter::Not(Box::new(filter)) } else { filter }
}

fn plain_or_glob(text: &str, quoted: bool) -> Test {
    match !quoted && text.contains(['*', '?']) {
        true => Test::Glob(text.to_owned()),
        false => Test::Equals(text.to_owned()),
    }
}
