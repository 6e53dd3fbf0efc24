//! Gathering records of many requests into one, under their resources and scopes.

use super::views::ScopeGroup;
use crate::proto::{put_bytes, put_head, varint_len};

struct Scope {
    scope: Vec<u8>,
    schema_url: Vec<u8>,
    /// Spans, log records or metrics, each with its key and length.
    items: Vec<u8>,
}

struct Resource {
    resource: Vec<u8>,
    schema_url: Vec<u8>,
    scopes: Vec<Scope>,
}

/// Records of one signal that were taken out of requests. Records of equal resources and scopes stand together, in the
/// order in which they were taken.
#[derive(Default)]
pub struct Selection {
    resources: Vec<Resource>,
    records: u64,
    bytes: usize,
    item_bytes: usize,
}

impl Selection {
    /// Takes a record (the bytes of its message) from under its resource and scope.
    pub fn push(&mut self, from: &ScopeGroup<'_>, item: &[u8]) {
        self.push_many(from, item, 1);
    }

    /// Takes a metric with so many points.
    pub fn push_many(&mut self, from: &ScopeGroup<'_>, item: &[u8], records: u64) {
        let group = from.resource;
        let matches = |one: &Resource| one.resource == group.resource && one.schema_url == group.schema_url;
        // Most come under the one that came last.
        let last = self.resources.len().checked_sub(1).filter(|last| matches(&self.resources[*last]));
        let position = last.or_else(|| self.resources.iter().position(matches)).unwrap_or_else(|| {
            self.resources.push(Resource {
                resource: group.resource.to_vec(),
                schema_url: group.schema_url.to_vec(),
                scopes: Vec::new(),
            });
            self.bytes += group.resource.len();
            self.resources.len() - 1
        });
        let Some(resource) = self.resources.get_mut(position) else { return };
        let matches = |one: &Scope| one.scope == from.scope && one.schema_url == from.schema_url;
        let position = resource.scopes.iter().position(matches).unwrap_or_else(|| {
            resource.scopes.push(Scope {
                scope: from.scope.to_vec(),
                schema_url: from.schema_url.to_vec(),
                items: Vec::new(),
            });
            self.bytes += from.scope.len();
            resource.scopes.len() - 1
        });
        let Some(scope) = resource.scopes.get_mut(position) else { return };
        put_bytes(&mut scope.items, 2, item);
        self.records += records;
        self.bytes += item.len() + 4;
        self.item_bytes += item.len();
    }

    /// How many records were taken.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// About how many bytes [`Selection::write`] will append.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes the records alone have.
    pub fn item_bytes(&self) -> usize {
        self.item_bytes
    }

    /// Appends everything as an OTLP export request (`TracesData`, `LogsData` or `MetricsData`: the same bytes).
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve_exact(self.resources.iter().map(|resource| in_field(resource.length())).sum());
        for resource in &self.resources {
            put_head(out, 1, resource.length());
            put_part(out, 1, &resource.resource);
            for scope in &resource.scopes {
                put_head(out, 2, scope.length());
                put_part(out, 1, &scope.scope);
                out.extend_from_slice(&scope.items);
                put_part(out, 3, &scope.schema_url);
            }
            put_part(out, 3, &resource.schema_url);
        }
    }
}

impl Scope {
    fn length(&self) -> usize {
        part_len(&self.scope) + self.items.len() + part_len(&self.schema_url)
    }
}

impl Resource {
    fn length(&self) -> usize {
        let scopes: usize = self.scopes.iter().map(|scope| in_field(scope.length())).sum();
        part_len(&self.resource) + scopes + part_len(&self.schema_url)
    }
}

/// What so many bytes take as a field with a number below 16.
fn in_field(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// The same of what is left out where it is empty.
fn part_len(bytes: &[u8]) -> usize {
    if bytes.is_empty() { 0 } else { in_field(bytes.len()) }
}

fn put_part(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_bytes(out, number, bytes);
    }
}
