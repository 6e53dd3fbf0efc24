//! A word to the one who asked and got nothing: what was there, and which field no record has.

use std::collections::BTreeSet;

use filter::{Field, Filter, Pipe, Query, Record};

use crate::found::Found;
use crate::time;

/// Services that are named at most.
const SERVICES: usize = 12;

/// What is known of the records that a query could have had.
#[derive(Debug)]
pub struct Hint {
    /// Attributes that the query names, and whether a record had them.
    attributes: Vec<(Field, bool)>,
    services: BTreeSet<String>,
    more_services: bool,
    records: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Hint {
    /// Nothing is known yet.
    pub fn new(query: &Query) -> Self {
        let mut fields = Vec::new();
        of_filter(&query.filter, &mut fields);
        query.pipes.iter().for_each(|pipe| of_pipe(pipe, &mut fields));
        let mut attributes: Vec<(Field, bool)> = Vec::new();
        for field in fields {
            // `tx` looks at many, and says so as one.
            let known = |key: &str| filter::is_transaction_key(key);
            if matches!(field, Field::Attribute(key) if !known(key))
                && !attributes.iter().any(|(known, _)| known == field)
            {
                attributes.push((field.clone(), false));
            }
        }
        Self { attributes, services: BTreeSet::new(), more_services: false, records: 0, first_ns: u64::MAX, last_ns: 0 }
    }

    /// Whether the query names an attribute that no record had so far.
    pub fn misses(&self) -> bool {
        self.attributes.iter().any(|(_, had)| !had)
    }

    /// Looks at a record.
    pub fn look(&mut self, record: &Found) {
        self.records += 1;
        let time_ns = record.time_ns();
        self.first_ns = self.first_ns.min(time_ns);
        self.last_ns = self.last_ns.max(time_ns);
        for (field, had) in self.attributes.iter_mut().filter(|(_, had)| !had) {
            *had = record.field(field) != filter::Value::Absent;
        }
        let service = record.view().service();
        if !self.services.contains(service.as_ref()) {
            match self.services.len() < SERVICES {
                true => drop(self.services.insert(service.into_owned())),
                false => self.more_services = true,
            }
        }
    }

    /// What to say when nothing passed: how much was read, of which services, of which time.
    pub fn of_nothing(&self) -> String {
        if self.records == 0 {
            return "nothing passed: this device holds no record of that time\n".to_owned();
        }
        let mut services: Vec<&str> =
            self.services.iter().map(|name| if name.is_empty() { "(none)" } else { name.as_str() }).collect();
        if self.more_services {
            services.push("more");
        }
        format!(
            "nothing passed of {} records from {} to {}; services: {}\n{}",
            self.records,
            time::rfc3339(self.first_ns, 3),
            time::rfc3339(self.last_ns, 3),
            services.join(", "),
            self.of_fields()
        )
    }

    /// What to say of attributes that no record had; nothing where there is none.
    pub fn of_fields(&self) -> String {
        let missing = self.attributes.iter().filter(|(_, had)| !had).map(|(field, _)| field.name());
        missing
            .map(|name| match Field::like(name) {
                Some(known) => format!("no record has {name}; did you mean {known}?\n"),
                None => format!("no record has {name}\n"),
            })
            .collect()
    }
}

fn of_filter<'q>(filter: &'q Filter, fields: &mut Vec<&'q Field>) {
    match filter {
        Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| of_filter(part, fields)),
        Filter::Not(part) => of_filter(part, fields),
        Filter::Exists(field) | Filter::Field(field, _) => fields.push(field),
        Filter::Contains(_) => {}
    }
}

fn of_pipe<'q>(pipe: &'q Pipe, fields: &mut Vec<&'q Field>) {
    match pipe {
        Pipe::Stats { aggregates, by } => {
            fields.extend(aggregates.iter().filter_map(|aggregate| aggregate.field.as_ref()));
            fields.extend(by);
        }
        Pipe::Fields(shown) => fields.extend(shown),
        Pipe::Top { .. } | Pipe::Sort { .. } | Pipe::Limit(_) => {}
    }
}
