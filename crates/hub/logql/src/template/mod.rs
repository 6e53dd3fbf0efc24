//! Go's templates, as far as `line_format` and `label_format` need them: labels, pipes, `if`, `with`, variables, functions.

mod functions;
mod read;
mod value;

use std::cell::RefCell;
use std::collections::HashMap;

use regex::Regex;

use functions::MAX_TEXT;
use read::{Argument, Call, Node, Pipe};
use value::Value;

/// Compiled expressions that a template keeps.
const KEPT_EXPRESSIONS: usize = 16;

/// A template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    nodes: Vec<Node>,
    expressions: RefCell<HashMap<String, Regex>>,
}

/// What a template is filled with.
pub(crate) struct Filling<'a> {
    pub(crate) label: &'a dyn Fn(&str) -> String,
    pub(crate) line: &'a str,
    pub(crate) time_ns: i64,
}

struct Run<'a> {
    filling: &'a Filling<'a>,
    template: &'a Template,
    variables: Vec<(String, Value)>,
    dot: Option<Value>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let nodes = read::read(text)?;
        Ok(Self { nodes, expressions: RefCell::default() })
    }

    /// Fills it.
    ///
    /// # Errors
    /// What a function cannot do.
    pub(crate) fn fill(&self, filling: &Filling<'_>) -> Result<String, String> {
        let mut out = String::new();
        let mut run = Run { filling, template: self, variables: Vec::new(), dot: None };
        run.write(&self.nodes, &mut out)?;
        Ok(out)
    }

    fn expression(&self, text: &str) -> Result<Regex, String> {
        let mut known = self.expressions.borrow_mut();
        if let Some(regex) = known.get(text) {
            return Ok(regex.clone());
        }
        let regex = promql::expression(text)?;
        if known.len() < KEPT_EXPRESSIONS {
            known.insert(text.to_owned(), regex.clone());
        }
        Ok(regex)
    }
}

impl Run<'_> {
    fn write(&mut self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Output(pipe) => out.push_str(&self.pipe(pipe)?.text()),
                Node::Set(name, pipe) => {
                    let value = self.pipe(pipe)?;
                    self.variables.push((name.clone(), value));
                }
                Node::If(condition, then, otherwise, is_with) => {
                    let value = self.pipe(condition)?;
                    let (known, dot) = (self.variables.len(), self.dot.clone());
                    if value.is_true() {
                        if *is_with {
                            self.dot = Some(value);
                        }
                        self.write(then, out)?;
                    } else {
                        self.write(otherwise, out)?;
                    }
                    self.dot = dot;
                    self.variables.truncate(known);
                }
            }
            if out.len() > MAX_TEXT {
                return Err(format!("a text of more than {MAX_TEXT} bytes"));
            }
        }
        Ok(())
    }

    fn pipe(&self, pipe: &Pipe) -> Result<Value, String> {
        let mut last = None;
        for call in pipe {
            last = Some(match call {
                Call::Value(argument) => self.argument(argument)?,
                Call::Function(name, arguments) => {
                    let mut values: Vec<Value> = Vec::with_capacity(arguments.len() + 1);
                    for argument in arguments {
                        values.push(self.argument(argument)?);
                    }
                    values.extend(last.take());
                    if !functions::takes(name, values.len()) {
                        return Err(format!("wrong number of args for {name}: {}", values.len()));
                    }
                    match name.as_str() {
                        "__line__" => Value::Text(self.filling.line.to_owned()),
                        "__timestamp__" => Value::Time(self.filling.time_ns),
                        _ => functions::call(name, &values, &|text| self.template.expression(text))?,
                    }
                }
            });
        }
        last.ok_or_else(|| "missing value for command".to_owned())
    }

    fn argument(&self, argument: &Argument) -> Result<Value, String> {
        Ok(match argument {
            Argument::Label(name) => Value::Text((self.filling.label)(name)),
            Argument::Dot => self.dot.clone().unwrap_or(Value::Text(String::new())),
            Argument::Variable(name) => {
                let found = self.variables.iter().rev().find(|(own, _)| own == name);
                found.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable ${name}"))?
            }
            Argument::Text(text) => Value::Text(text.clone()),
            Argument::Int(value) => Value::Int(*value),
            Argument::Float(value) => Value::Float(*value),
            Argument::Bool(value) => Value::Bool(*value),
            Argument::Pipe(pipe) => self.pipe(pipe)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str) -> Result<String, String> {
        let label = |name: &str| match name {
            "app" => "web".to_owned(),
            "status" => "503".to_owned(),
            "took" => "1.5s".to_owned(),
            _ => String::new(),
        };
        Template::new(text)?.fill(&Filling { label: &label, line: "the line", time_ns: 1_700_000_000_123_456_789 })
    }

    /// Scenario: templates with everything that is built. Promise: they say what Go's say.
    #[test]
    fn templates_are_filled() {
        for (text, wanted) in [
            ("{{.app}}-{{ .status }}", "web-503"),
            ("a {{- .app -}} b", "awebb"),
            ("{{ .missing }}", ""),
            ("{{ .app | ToUpper | printf \"%5s|%-4d|\" | trim }}", "WEB|%!d(MISSING)|"),
            ("{{ printf \"%s=%04d %.1f %q\" .app 7 2.25 \"x\" }}", "web=0007 2.2 \"x\""),
            ("{{ if eq .status \"503\" }}bad{{ else }}good{{ end }}", "bad"),
            ("{{ if .missing }}a{{ else if .app }}b{{ else }}c{{ end }}", "b"),
            ("{{ with .app }}<{{ . }}>{{ end }}", "<web>"),
            ("{{ $x := .app }}{{ $x }}{{ $x | upper }}", "webWEB"),
            ("{{ regexReplaceAll \"(w)(e)\" .app \"${2}$1\" }}", "ewb"),
            ("{{ __line__ | trunc 3 }} {{ __timestamp__ | unixEpoch }}", "the 1700000000"),
            ("{{ duration .took }} {{ bytes \"2KB\" }} {{ div (mul 7 6) 4 }}", "1.5 2000 10"),
            ("{{ substr 1 3 .app }} {{ .app | default \"x\" }} {{ .missing | default \"x\" }}", "eb web x"),
            (
                "{{ \"a b&c\" | urlencode }} {{ \"a+b%26c\" | urldecode }} {{ b64enc .app }} {{ b64dec \"d2Vi\" }}",
                "a+b%26c a b&c d2Vi web",
            ),
            ("{{/* nothing */}}{{ alignLeft 5 .app }}|{{ alignRight 2 .app }}", "web  |eb"),
            ("{{ if and (gt (int .status) 500) (hasPrefix \"w\" .app) (not false) }}yes{{ end }}", "yes"),
        ] {
            assert_eq!(fill(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    /// Scenario: templates that are none, that do what cannot be done, and that would grow without end. Promise: an error each, no panic.
    #[test]
    fn bad_templates_are_errors() {
        for text in [
            "{{",
            "{{ .a",
            "{{ unknown }}",
            "{{ end }}",
            "{{ if .a }}",
            "{{ \"a }}",
            "{{ ( .a }}",
            "{{ .a .b }}",
            "{{ range .a }}{{ end }}",
            "{{ div 1 0 }}",
            "{{ add }}",
            "{{ $x }}",
            "{{ regexReplaceAll \"(\" .app \"\" }}",
            "{{ repeat 1000000000 .app }}",
            "{{ alignLeft 9000000000000000000 .app }}",
            "{{ printf \"%99999999d\" 1 }}",
            "{{ unixToTime .app }}",
            "{{ b64dec \"!\" }}",
            "{{}}",
        ] {
            assert!(fill(text).is_err(), "{text}: {:?}", fill(text));
        }
        assert!(fill(&"{{ if .app }}".repeat(100)).is_err());
    }
}
