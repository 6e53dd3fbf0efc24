//! Which stream a resource's records belong to.

use crate::pairs::Pairs;

/// Resource attributes that Loki's own OTLP endpoint makes labels of by default (`default_resource_attributes_as_index_labels`).
pub const INDEX_LABELS: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];
/// The most labels of a stream, Loki's default `max_label_names_per_series`; what is more is metadata.
pub const MAX_LABELS: usize = 15;
/// What Loki calls a service without a name: a stream has at least one label.
const UNKNOWN: &str = "unknown_service";

/// Splits the attributes of a `Resource` into the labels of its stream, as Loki writes them, and the rest. Attributes in `more` are
/// labels beside the usual ones.
pub(crate) fn stream_of(resource: &[u8], more: &[String]) -> (String, Pairs) {
    let is_index = |key: &str| INDEX_LABELS.contains(&key) || more.iter().any(|name| name == key);
    let (mut index, mut rest) = (Pairs::default(), Pairs::default());
    index.add_attributes(resource, 1, |key| !is_index(key));
    rest.add_attributes(resource, 1, is_index);
    let mut labels: Vec<(&str, &str)> = Vec::new();
    if !index.has("service_name") {
        labels.push(("service_name", UNKNOWN));
    }
    for (name, value) in index.iter() {
        if labels.iter().any(|(known, _)| *known == name) {
            continue;
        }
        if labels.len() < MAX_LABELS {
            labels.push((name, value));
        } else {
            rest.add(name, |out| out.push_str(value));
        }
    }
    labels.sort_unstable();
    let mut written = String::from("{");
    for (name, value) in labels {
        if written.len() > 1 {
            written.push_str(", ");
        }
        written.push_str(name);
        written.push('=');
        put_quoted(&mut written, value);
    }
    written.push('}');
    (written, rest)
}

/// Appends a text as Go quotes it.
fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}
