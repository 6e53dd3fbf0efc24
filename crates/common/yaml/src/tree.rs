//! A document as a tree with places.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag};

use crate::error::Error;
use crate::spanned::Place;

/// How deep a document may be.
const MOST_DEPTH: usize = 128;
/// Most nodes, those that aliases stand for counted each time.
const MOST_NODES: usize = 250_000;

/// A node and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) place: Place,
    /// It and what is below it.
    nodes: usize,
}

/// What a node is. What an anchor names is shared by its aliases.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A text; plain ones may be numbers, booleans or null.
    Scalar {
        text: Rc<str>,
        is_plain: bool,
    },
    Sequence(Rc<[Node]>),
    Mapping(Rc<[(Node, Node)]>),
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, is_plain: true } if crate::scalar::is_null(text))
    }
}

struct Builder<'input> {
    events: Parser<'input, granit_parser::StrInput<'input>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

fn place(marker: Marker) -> Place {
    Place::new(marker.line(), marker.col() + 1)
}

/// Reads a text with one document.
pub(crate) fn parse(text: &str) -> Result<Node, Error> {
    let mut builder = Builder { events: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0 };
    let mut root = None;
    loop {
        let (event, at) = builder.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) if root.is_some() => {
                return Err(Error::new("a second document; there is one in a file", at));
            }
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => {
                root = Some(builder.node(event, at, 0)?);
            }
            _ => {}
        }
    }
    let nothing =
        Node { content: Content::Scalar { text: "".into(), is_plain: true }, place: Place::UNKNOWN, nodes: 1 };
    Ok(root.unwrap_or(nothing))
}

/// Whether a tag says that a scalar is a text. Other tags of the core schema say what is found all the same.
fn is_text(tag: Option<&Tag>, at: Place) -> Result<bool, Error> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.suffix() == "str"),
        Some(tag) if tag.suffix().is_empty() => Ok(true),
        Some(tag) => Err(Error::new(format!("the tag {tag} is not known here"), at)),
    }
}

impl<'input> Builder<'input> {
    fn next(&mut self) -> Result<(Event<'input>, Place), Error> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, place(span.start))),
            Some(Err(error)) => Err(Error::new(error.info(), place(*error.marker()))),
            None => Ok((Event::StreamEnd, Place::UNKNOWN)),
        }
    }

    fn count(&mut self, nodes: usize, at: Place) -> Result<(), Error> {
        self.nodes += nodes;
        if self.nodes > MOST_NODES {
            return Err(Error::new(format!("more than {MOST_NODES} values, with those that aliases stand for"), at));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'input>, at: Place, depth: usize) -> Result<Node, Error> {
        if depth > MOST_DEPTH {
            return Err(Error::new(format!("deeper than {MOST_DEPTH}"), at));
        }
        let (content, anchor) = match event {
            Event::Alias(anchor) => {
                let named = self.anchors.get(&anchor).cloned();
                let named = named.ok_or_else(|| Error::new("an alias inside of what it names", at))?;
                self.count(named.nodes, at)?;
                return Ok(Node { place: at, ..named });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && !is_text(tag.as_deref(), at)?;
                (Content::Scalar { text: text.into(), is_plain }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                is_text(tag.as_deref(), at)?;
                (Content::Sequence(self.sequence(depth)?.into()), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                is_text(tag.as_deref(), at)?;
                (Content::Mapping(self.mapping(depth)?.into()), anchor)
            }
            _ => return Err(Error::new("a value is missing here", at)),
        };
        let below: usize = match &content {
            Content::Scalar { .. } => 0,
            Content::Sequence(all) => all.iter().map(|one| one.nodes).sum(),
            Content::Mapping(all) => all.iter().map(|(key, value)| key.nodes + value.nodes).sum(),
        };
        self.count(1, at)?;
        let node = Node { content, place: at, nodes: below + 1 };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Error> {
        let mut all = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(all),
                (event, at) => all.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(Node, Node)>, Error> {
        let (mut all, mut merged) = (Vec::<(Node, Node)>::new(), Vec::new());
        let mut seen = HashSet::new();
        loop {
            let (event, at) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, at, depth + 1)?;
            let Content::Scalar { text, is_plain } = &key.content else {
                return Err(Error::new("a key is a text here", at));
            };
            let (text, is_merge) = (Rc::clone(text), *is_plain && &**text == "<<");
            let (event, value_at) = self.next()?;
            let value = self.node(event, value_at, depth + 1)?;
            if is_merge {
                merged.push(value);
            } else if seen.insert(Rc::clone(&text)) {
                all.push((key, value));
            } else {
                return Err(Error::new(format!("duplicate key `{text}`"), at));
            }
        }
        // What a mapping takes from another stands behind its own (https://yaml.org/type/merge.html).
        for node in merged {
            self.merge(&node, &mut all, &mut seen)?;
        }
        Ok(all)
    }

    fn merge(&mut self, node: &Node, all: &mut Vec<(Node, Node)>, seen: &mut HashSet<Rc<str>>) -> Result<(), Error> {
        match &node.content {
            Content::Mapping(entries) => {
                for (key, value) in entries.iter() {
                    let Content::Scalar { text, .. } = &key.content else { continue };
                    if seen.insert(Rc::clone(text)) {
                        self.count(key.nodes + value.nodes, node.place)?;
                        all.push((key.clone(), value.clone()));
                    }
                }
                Ok(())
            }
            Content::Sequence(nodes) if nodes.iter().all(|one| matches!(one.content, Content::Mapping(_))) => {
                nodes.iter().try_for_each(|one| self.merge(one, all, seen))
            }
            _ => Err(Error::new("`<<` takes a mapping or a list of mappings", node.place)),
        }
    }
}
