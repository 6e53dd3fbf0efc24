//! Prints the reference of the configuration, made of its types: a page for people, or with `--schema` the JSON schema.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

fn main() {
    let schema = config::schema().to_value();
    match std::env::args().nth(1).as_deref() {
        Some("--schema") => println!("{schema:#}"),
        _ => print!("{}", page(&schema)),
    }
}

const HEAD: &str = "\
# Configuration reference

Every key of `lightship.yaml`, made of the types that read it (`cargo xtask reference`). Unknown keys are errors with their
line and column, and all mistakes are told at once. The same as a JSON schema for editors:
[configuration.schema.json](configuration.schema.json). `lightship init` writes a commented file to begin with.

Values may come from elsewhere: `${NAME}` and `${env:NAME}` stand for an environment variable, `${NAME:-DEFAULT}` for one that
may be missing, `${file:/path}` for the text of a file, and `$${` for `${` itself. The configuration is the one of
`--config FILE`, else of the variable `LIGHTSHIP_CONFIG`, else `/etc/lightship/lightship.yaml`.
";

fn page(schema: &Value) -> String {
    let mut out = HEAD.to_owned();
    let mut shown = BTreeSet::new();
    section(&mut out, schema, schema, "The whole file", &mut shown);
    out
}

/// What a `$ref` points to.
fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    let target = value["$ref"].as_str().and_then(|path| path.strip_prefix('#')).and_then(|path| root.pointer(path));
    target.unwrap_or(value)
}

/// The parts of a value that may be absent, a list or one of several.
fn inner<'a>(root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
    let value = resolve(root, value);
    if let Some(any) = value["anyOf"].as_array() {
        return any.iter().filter(|one| one["type"] != "null").flat_map(|one| inner(root, one)).collect();
    }
    if let Some(items) = value.get("items") {
        return inner(root, items);
    }
    vec![value]
}

fn kind(root: &Value, value: &Value) -> String {
    let value = resolve(root, value);
    if let Some(any) = value["anyOf"].as_array() {
        let kinds: Vec<String> = any.iter().filter(|one| one["type"] != "null").map(|one| kind(root, one)).collect();
        return kinds.join(" or ");
    }
    let names = |list: &Value| -> String {
        let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
        texts.map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
    };
    if value["enum"].is_array() {
        return names(&value["enum"]);
    }
    if let Some(one) = value["oneOf"].as_array() {
        let texts = one.iter().filter_map(|one| one["const"].as_str());
        return texts.map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ");
    }
    let of = |name: &str| match name {
        "array" => format!("list of {}", kind(root, &value["items"])),
        "object" => "mapping".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        _ => value["format"].as_str().unwrap_or("text").to_owned(),
    };
    match &value["type"] {
        Value::String(name) => of(name),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| *name != "null")
            .map(of)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "value".to_owned(),
    }
}

/// A table of a mapping's keys, then those of the mappings in it.
fn section(out: &mut String, root: &Value, value: &Value, path: &str, shown: &mut BTreeSet<String>) {
    let Some(properties) = value["properties"].as_object() else { return };
    let title = value["title"].as_str().unwrap_or_default().to_owned();
    let cell = |text: &str| text.replace('\n', " ").replace('|', "\\|");
    // Writing into a String cannot fail.
    let _written = writeln!(out, "\n## {path}\n");
    if let (Some(about), true) = (value["description"].as_str(), path != "The whole file") {
        let _written = writeln!(out, "{}\n", cell(about));
    }
    out.push_str("| key | type | default | meaning |\n|---|---|---|---|\n");
    let required: Vec<&str> = value["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut below = Vec::new();
    for (key, field) in properties {
        let default = match &field["default"] {
            _ if required.contains(&key.as_str()) => "must be given".to_owned(),
            Value::Null | Value::Object(_) => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let about = field["description"].as_str().unwrap_or_default();
        let _written = writeln!(out, "| `{key}` | {} | {default} | {} |", kind(root, field), cell(about));
        let nested = inner(root, field).into_iter().filter(|one| one["properties"].is_object());
        below.extend(nested.map(|one| (key, kind(root, field).starts_with("list"), one)));
    }
    // A type that holds itself, such as a policy of policies, is described once.
    if !title.is_empty() {
        shown.insert(title);
    }
    for (key, list, nested) in below {
        let name = format!("{nested:?}");
        if shown.insert(name) {
            let path = if path == "The whole file" { key.clone() } else { format!("{path}.{key}") };
            section(out, root, nested, &if list { format!("{path}[]") } else { path }, shown);
        }
    }
}
