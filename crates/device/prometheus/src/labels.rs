//! Labels of a resource, of a point and of an exemplar.

use model::otlp::attributes;
use model::proto::Reader;
use otlp::json::put_value_text;

use crate::names::{Translation, own_name};
use crate::symbols::Symbols;

/// Resource attributes that become `job` and `instance`.
pub(crate) const IDENTIFYING: [&str; 3] = ["service.namespace", "service.name", "service.instance.id"];
/// The name of a series stands under this label.
pub(crate) const METRIC_NAME: &str = "__name__";
/// What tells targets apart.
const JOB: &str = "job";
/// Labels of a scope begin so.
const SCOPE: &str = "otel_scope_";
const INSTANCE: &str = "instance";
/// The most characters of an exemplar's labels (OpenMetrics 1.0, "Exemplars").
const EXEMPLAR_CHARACTERS: usize = 128;

/// Labels, names and values as symbols, while they are put together.
#[derive(Default)]
pub(crate) struct Labels {
    pairs: Vec<(u32, u32)>,
    name: String,
    value: String,
}

impl Labels {
    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.pairs.clear();
    }

    /// What there is.
    pub(crate) fn pairs(&self) -> &[(u32, u32)] {
        &self.pairs
    }

    /// Adds the attributes of a message but for some, under their translated names, or under their own where they came from Prometheus. Names
    /// that become the same share a label, with their values in the order of their names.
    ///
    /// # Errors
    /// The attribute of whose name nothing is left.
    pub(crate) fn add_attributes<'a>(
        &mut self,
        symbols: &mut Symbols,
        (translation, own): (Translation, bool),
        (message, number): (&'a [u8], u32),
        but: &[&str],
    ) -> Result<(), &'a [u8]> {
        let mut found: Vec<(&[u8], &[u8])> =
            attributes(message, number).filter(|(key, _)| !but.iter().any(|name| name.as_bytes() == *key)).collect();
        found.sort_by_key(|(key, _)| *key);
        for (key, any) in found {
            let text = String::from_utf8_lossy(key);
            if own && !text.is_empty() {
                own_name(translation, &text, &mut self.name);
            } else if !translation.label_name(&text, &mut self.name) {
                return Err(key);
            }
            let name = symbols.add(self.name.as_bytes());
            self.value.clear();
            if let (true, Some(before)) = (translation.escapes(), self.get(name)) {
                self.value.push_str(&String::from_utf8_lossy(symbols.get(before)));
                self.value.push(';');
            }
            put_value_text(&mut self.value, any);
            let value = symbols.add(self.value.as_bytes());
            self.set(name, value);
        }
        Ok(())
    }

    /// Adds the scope of what came from Prometheus, as the labels that it had.
    pub(crate) fn add_scope(&mut self, symbols: &mut Symbols, scope: &[u8], schema_url: &[u8]) {
        let text = |number| Reader::new(scope).last_bytes(number).ok().flatten().unwrap_or_default();
        for (name, value) in [("name", text(1)), ("version", text(2)), ("schema_url", schema_url)] {
            let pair = (symbols.add([SCOPE, name].concat().as_bytes()), symbols.add(value));
            self.set(pair.0, pair.1);
        }
        for (key, any) in attributes(scope, 3) {
            self.value.clear();
            put_value_text(&mut self.value, any);
            let name = symbols.add([SCOPE.as_bytes(), key].concat().as_slice());
            let value = symbols.add(self.value.as_bytes());
            self.set(name, value);
        }
    }

    /// Sets a label; one without a value is none.
    pub(crate) fn set(&mut self, name: u32, value: u32) {
        let empty = value == 0;
        match self.pairs.iter_mut().find(|pair| pair.0 == name) {
            Some(_) if empty => self.pairs.retain(|pair| pair.0 != name),
            Some(pair) => pair.1 = value,
            None if empty => {}
            None => self.pairs.push((name, value)),
        }
    }

    /// Sets a label that is not there yet.
    pub(crate) fn set_missing(&mut self, name: u32, value: u32) {
        if self.get(name).is_none() {
            self.set(name, value);
        }
    }

    /// Whether they say of which target they are.
    pub(crate) fn are_identified(&self, symbols: &Symbols) -> bool {
        self.pairs.iter().any(|(name, _)| [JOB, INSTANCE].iter().any(|known| known.as_bytes() == symbols.get(*name)))
    }

    /// Puts them in the order of their names.
    pub(crate) fn sort(&mut self, symbols: &Symbols) {
        self.pairs.sort_by(|one, other| symbols.get(one.0).cmp(symbols.get(other.0)));
    }

    /// Makes the labels of an exemplar: its trace and span, and its attributes as they are where there is room for all of them.
    pub(crate) fn of_exemplar(&mut self, symbols: &mut Symbols, trace: &[u8], span: &[u8], exemplar: (&[u8], u32)) {
        self.clear();
        let mut characters = 0;
        for (name, id) in [("trace_id", trace), ("span_id", span)] {
            if id.iter().any(|byte| *byte != 0) {
                self.value.clear();
                id.iter().for_each(|byte| push_hex(&mut self.value, *byte));
                characters += name.len() + self.value.len();
                let pair = (symbols.add(name.as_bytes()), symbols.add(self.value.as_bytes()));
                self.pairs.push(pair);
            }
        }
        let ids = self.pairs.len();
        for (key, any) in attributes(exemplar.0, exemplar.1) {
            let name = symbols.add(key);
            if self.get(name).is_some() || key.is_empty() {
                continue;
            }
            self.value.clear();
            put_value_text(&mut self.value, any);
            characters += String::from_utf8_lossy(key).chars().count() + self.value.chars().count();
            let value = symbols.add(self.value.as_bytes());
            self.set(name, value);
        }
        if characters > EXEMPLAR_CHARACTERS {
            self.pairs.truncate(ids);
        }
        self.sort(symbols);
    }

    fn get(&self, name: u32) -> Option<u32> {
        self.pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1)
    }
}

fn push_hex(out: &mut String, byte: u8) {
    for nibble in [byte >> 4, byte & 15] {
        out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
    }
}

/// Labels that every series of a resource has.
#[derive(Default)]
pub(crate) struct ResourceLabels {
    /// Attributes that are promoted: they yield to a point's own.
    promoted: Vec<(u32, u32)>,
    /// `job` and `instance`: a point's own yield to them.
    identity: Vec<(u32, u32)>,
}

impl ResourceLabels {
    /// Reads a `Resource` message.
    pub(crate) fn read(symbols: &mut Symbols, translation: Translation, resource: &[u8], promote: &[String]) -> Self {
        let text = |key: &str| {
            let any = model::otlp::attribute(resource, 1, key)?;
            let mut text = String::new();
            put_value_text(&mut text, any);
            Some(text)
        };
        let job = text("service.name").map(|name| match text("service.namespace") {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name,
        });
        let mut identity = Vec::new();
        for (name, value) in [(JOB, job), (INSTANCE, text("service.instance.id"))] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                identity.push((symbols.add(name.as_bytes()), symbols.add(value.as_bytes())));
            }
        }
        let mut promoted = Labels::default();
        for (key, any) in attributes(resource, 1) {
            let key = String::from_utf8_lossy(key);
            if promote.iter().any(|name| *name == *key) && translation.label_name(&key, &mut promoted.name) {
                promoted.value.clear();
                put_value_text(&mut promoted.value, any);
                let (name, value) = (symbols.add(promoted.name.as_bytes()), symbols.add(promoted.value.as_bytes()));
                promoted.set(name, value);
            }
        }
        Self { promoted: promoted.pairs, identity }
    }

    /// Adds what points get of their resource.
    pub(crate) fn add_to(&self, labels: &mut Labels) {
        self.promoted.iter().for_each(|(name, value)| labels.set_missing(*name, *value));
        self.add_identity_to(labels);
    }

    /// Adds `job` and `instance` alone.
    pub(crate) fn add_identity_to(&self, labels: &mut Labels) {
        self.identity.iter().for_each(|(name, value)| labels.set(*name, *value));
    }
}
