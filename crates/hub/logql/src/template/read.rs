//! The text of a template as nodes.

use std::iter::Peekable;
use std::vec::IntoIter;

use super::functions::is_function;

/// How deep parentheses and blocks may stand in each other.
const MAX_DEPTH: usize = 32;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Text as it is.
    Text(String),
    /// What is written.
    Output(Pipe),
    /// A variable that is set.
    Set(String, Pipe),
    /// Whether, then, else; `true`: inside, the dot is the value.
    If(Pipe, Vec<Node>, Vec<Node>, bool),
}

/// Calls, each with the value of the one before as its last argument.
pub(super) type Pipe = Vec<Call>;

/// A function with its arguments, or a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    Function(String, Vec<Argument>),
    Value(Argument),
}

/// A value that is written, or reckoned.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    /// `.label`
    Label(String),
    /// `.`
    Dot,
    /// `$name`
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// `(..)`
    Pipe(Pipe),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Label(String),
    Variable(String),
    Text(String),
    Int(i64),
    Float(f64),
    Dot,
    Sign(char),
    Set,
}

/// Reads a template.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str) -> Result<Vec<Node>, String> {
    let mut pieces = pieces(text)?.into_iter().peekable();
    let (nodes, end) = block(&mut pieces, 0)?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(format!("template: unexpected {{{{{word}}}}}")),
    }
}

enum Piece {
    Text(String),
    Action(Vec<Token>),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let open = rest.find("{{");
        let mut plain = &rest[..open.unwrap_or(rest.len())];
        if trims {
            plain = plain.trim_start();
        }
        let Some(open) = open else {
            out.push(Piece::Text(plain.to_owned()));
            return Ok(out);
        };
        let mut action = &rest[open + 2..];
        if action.starts_with("- ") || action.starts_with("-\n") || action.starts_with("-\t") {
            plain = plain.trim_end();
            action = &action[1..];
        }
        out.push(Piece::Text(plain.to_owned()));
        let end = action_end(action)?;
        let mut inner = &action[..end];
        rest = &action[end + 2..];
        trims = inner.ends_with(" -");
        if trims {
            inner = &inner[..inner.len() - 1];
        }
        let inner = inner.trim();
        if !(inner.starts_with("/*") && inner.ends_with("*/")) {
            out.push(Piece::Action(tokens(inner)?));
        }
    }
}

/// Where `}}` stands, outside of quotes.
fn action_end(action: &str) -> Result<usize, String> {
    let bytes = action.as_bytes();
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Ok(at),
            (None, c @ (b'"' | b'`')) => quote = Some(c),
            (Some(b'"'), b'\\') => at += 1,
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        at += 1;
    }
    Err("template: unclosed action".into())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word_end = |from: &str| from.find(|c: char| !is_word(c)).unwrap_or(from.len());
        match c {
            c if c.is_whitespace() => rest = &rest[c.len_utf8()..],
            '.' => {
                let name = &rest[1..];
                let end = word_end(name);
                out.push(if end == 0 { Token::Dot } else { Token::Label(name[..end].to_owned()) });
                rest = &name[end..];
            }
            '$' => {
                let name = &rest[1..];
                let end = word_end(name);
                out.push(Token::Variable(name[..end].to_owned()));
                rest = &name[end..];
            }
            '"' | '`' => {
                let (value, length) = quoted(rest, c)?;
                out.push(Token::Text(value));
                rest = &rest[length..];
            }
            ':' if rest.starts_with(":=") => {
                out.push(Token::Set);
                rest = &rest[2..];
            }
            '=' => {
                out.push(Token::Set);
                rest = &rest[1..];
            }
            '(' | ')' | '|' => {
                out.push(Token::Sign(c));
                rest = &rest[1..];
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => {
                let end = rest[1..].find(|c: char| !is_word(c) && c != '.').map_or(rest.len(), |end| end + 1);
                let word = &rest[..end];
                let number = word.parse().map(Token::Int).or_else(|_| word.parse().map(Token::Float));
                out.push(number.map_err(|_| format!("template: bad number syntax: {word}"))?);
                rest = &rest[end..];
            }
            c if is_word(c) => {
                let end = word_end(rest);
                out.push(Token::Word(rest[..end].to_owned()));
                rest = &rest[end..];
            }
            c => return Err(format!("template: unexpected {c:?} in an action")),
        }
    }
    Ok(out)
}

fn quoted(rest: &str, quote: char) -> Result<(String, usize), String> {
    let mut out = String::new();
    let mut chars = rest[1..].char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Ok((out, at + 2)),
            '\\' if quote == '"' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err("template: unterminated quoted string".into())
}

/// Nodes up to the word that ends them.
fn block(pieces: &mut Peekable<IntoIter<Piece>>, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
    if depth > MAX_DEPTH {
        return Err(format!("template: blocks stand more than {MAX_DEPTH} deep in each other"));
    }
    let mut out = Vec::new();
    while let Some(piece) = pieces.next() {
        let tokens = match piece {
            Piece::Text(text) => {
                if !text.is_empty() {
                    out.push(Node::Text(text));
                }
                continue;
            }
            Piece::Action(tokens) => tokens,
        };
        match &tokens[..] {
            [Token::Word(word)] if word == "end" || word == "else" => return Ok((out, Some(word.clone()))),
            [Token::Word(word), Token::Word(next), ..] if word == "else" && (next == "if" || next == "with") => {
                // The `else if` is a block of its own that ends with the same `end`.
                let inner = conditional(&tokens[1..], pieces, depth + 1)?;
                out.push(inner);
                return Ok((out, Some("else if".into())));
            }
            [Token::Word(word), ..] if word == "if" || word == "with" => {
                out.push(conditional(&tokens, pieces, depth + 1)?);
            }
            [Token::Word(word), ..] if word == "range" || word == "define" || word == "template" || word == "block" => {
                return Err(format!("template: {word} is not built"));
            }
            [Token::Variable(name), Token::Set, rest @ ..] => out.push(Node::Set(name.clone(), pipe(rest)?)),
            all => out.push(Node::Output(pipe(all)?)),
        }
    }
    Ok((out, None))
}

/// `if` or `with`, up to its `end`.
fn conditional(tokens: &[Token], pieces: &mut Peekable<IntoIter<Piece>>, depth: usize) -> Result<Node, String> {
    let is_with = matches!(tokens.first(), Some(Token::Word(word)) if word == "with");
    let condition = pipe(&tokens[1..])?;
    let (then, end) = block(pieces, depth)?;
    let (then, otherwise) = match end.as_deref() {
        Some("end") => (then, Vec::new()),
        Some("else") => match block(pieces, depth)? {
            (otherwise, Some(word)) if word == "end" => (then, otherwise),
            _ => return Err("template: an if has no end".into()),
        },
        Some(_) => {
            let mut then = then;
            let otherwise = then.pop().into_iter().collect();
            (then, otherwise)
        }
        None => return Err("template: an if has no end".into()),
    };
    Ok(Node::If(condition, then, otherwise, is_with))
}

fn pipe(tokens: &[Token]) -> Result<Pipe, String> {
    let mut place = 0;
    let out = pipe_at(tokens, &mut place, 0)?;
    if place < tokens.len() {
        return Err("template: unexpected )".into());
    }
    Ok(out)
}

fn pipe_at(tokens: &[Token], place: &mut usize, depth: usize) -> Result<Pipe, String> {
    if depth > MAX_DEPTH {
        return Err(format!("template: parentheses stand more than {MAX_DEPTH} deep in each other"));
    }
    let mut out = Vec::new();
    loop {
        out.push(call(tokens, place, depth)?);
        if tokens.get(*place) != Some(&Token::Sign('|')) {
            break;
        }
        *place += 1;
    }
    if out.iter().skip(1).any(|call| matches!(call, Call::Value(_))) {
        return Err("template: a pipe goes into a function".into());
    }
    Ok(out)
}

fn call(tokens: &[Token], place: &mut usize, depth: usize) -> Result<Call, String> {
    if let Some(Token::Word(name)) = tokens.get(*place)
        && !matches!(name.as_str(), "true" | "false")
    {
        if !is_function(name) {
            return Err(format!("template: function {name:?} not defined"));
        }
        *place += 1;
        let mut arguments = Vec::new();
        while !matches!(tokens.get(*place), None | Some(Token::Sign('|' | ')'))) {
            arguments.push(argument(tokens, place, depth)?);
        }
        return Ok(Call::Function(name.clone(), arguments));
    }
    let value = argument(tokens, place, depth)?;
    if !matches!(tokens.get(*place), None | Some(Token::Sign('|' | ')'))) {
        return Err("template: a value is no function".into());
    }
    Ok(Call::Value(value))
}

fn argument(tokens: &[Token], place: &mut usize, depth: usize) -> Result<Argument, String> {
    let token = tokens.get(*place).ok_or("template: missing value for command")?;
    *place += 1;
    Ok(match token {
        Token::Label(name) => Argument::Label(name.clone()),
        Token::Dot => Argument::Dot,
        Token::Variable(name) => Argument::Variable(name.clone()),
        Token::Text(text) => Argument::Text(text.clone()),
        Token::Int(value) => Argument::Int(*value),
        Token::Float(value) => Argument::Float(*value),
        Token::Word(word) if word == "true" || word == "false" => Argument::Bool(word == "true"),
        Token::Word(word) if is_function(word) => Argument::Pipe(vec![Call::Function(word.clone(), Vec::new())]),
        Token::Sign('(') => {
            let inner = pipe_at(tokens, place, depth + 1)?;
            if tokens.get(*place) != Some(&Token::Sign(')')) {
                return Err("template: unclosed left paren".into());
            }
            *place += 1;
            Argument::Pipe(inner)
        }
        other => return Err(format!("template: unexpected {other:?}")),
    })
}
