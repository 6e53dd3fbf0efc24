//! What sources read by themselves: log files of every format, targets that are scraped, files in Prometheus' text format.

use std::fmt::Write as _;

use crate::search::Wanted;
use crate::support::server::Server;
use crate::values::{Chance, SHAPES, planted};

/// A line around a text: what the file says, by the number of the line.
type Line = fn(&str, usize) -> String;

/// Files, their configuration, and how a text stands in them.
const FILES: [(&str, &str, Line); 10] = [
    ("plain", "format: plain", |text, _| format!("{text}\n")),
    ("cri", "format: cri", |text, number| {
        let at = "2026-11-30T00:00:00.000000001Z stdout";
        // The value itself is split, and some of them twice.
        let half = (0..=text.len() / 2).rev().find(|place| text.is_char_boundary(*place)).unwrap();
        let (first, rest) = text.split_at(half);
        let (second, third) = rest.split_at(rest.chars().next().map_or(0, char::len_utf8) * (number % 2));
        format!("{at} P {first}\n{at} P {second}\n{at} F {third}\n")
    }),
    ("docker", "format: docker", |text, _| {
        let piece = |text: &str| {
            format!("{{\"log\":{},\"stream\":\"stdout\",\"time\":\"2026-11-30T00:00:00Z\"}}\n", serde_json::json!(text))
        };
        let half = (0..=text.len() / 2).rev().find(|place| text.is_char_boundary(*place)).unwrap();
        piece(&text[..half]) + &piece(&format!("{}\n", &text[half..]))
    }),
    ("json", "format: json", |text, _| {
        serde_json::json!({"level": "info", "msg": text, "a": {"b": [text]}, "error": text}).to_string() + "\n"
    }),
    ("logfmt", "format: logfmt", |text, _| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("level=info msg=\"{text}\" other=\"{text}\"\n")
    }),
    ("csv", "format: csv, columns: [level, message, other]", |text, _| {
        let text = text.replace('"', "\"\"");
        format!("info,\"{text}\",\"{text}\"\n")
    }),
    ("syslog", "format: syslog", |text, _| format!("<34>1 2026-11-30T00:00:00Z host app 1 id - {text}\n")),
    ("regex", "format: regex, pattern: '^(?P<level>\\w+) (?P<what>.*)$'", |text, _| format!("info {text}\n")),
    ("wide", "format: plain, encoding: utf-16le", |text, _| format!("{text}\n")),
    // Nobody said that it is UTF-16.
    ("unsaid", "format: plain", |text, _| format!("{text}\n")),
];

/// Directories and a target from which an agent reads.
pub struct Reading {
    directory: tempfile::TempDir,
    target: Server,
}

impl Reading {
    /// Writes the files, and plants a value of each shape into each of them, into labels, exemplars and descriptions of a target, and into
    /// what is none of these.
    pub fn plant(chance: &mut Chance, wanted: &mut Wanted) -> (Self, u64) {
        let directory = tempfile::tempdir().unwrap();
        let mut count = 0;
        let mut plant = |what: &str, shape: u64, line: &dyn Fn(&str) -> String| {
            let (text, secrets) = planted(shape, chance);
            // A line is a record: what has several lines is planted into the one file that joins them.
            // In UTF-16 that nobody knows of, what is percent-encoded twice has three clothings: only two are taken off.
            let is_known = !(text.contains("%25") && what == "file unsaid");
            if text.contains(['\n', '\r']) && what.starts_with("file") && what != "file joined" || !is_known {
                return String::new();
            }
            secrets
                .iter()
                .for_each(|secret| wanted.add(secret.as_bytes(), &format!("{what}, shape {shape}: {text:?}")));
            count += 1;
            line(&text)
        };
        for (name, _, line) in FILES {
            let all: String = (0..SHAPES)
                .map(|shape| plant(&format!("file {name}"), shape, &|text| line(text, shape as usize)))
                .collect();
            let bytes = match name {
                "wide" | "unsaid" => all.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                _ => all.into_bytes(),
            };
            std::fs::write(directory.path().join(format!("{name}.log")), bytes).unwrap();
        }
        let joined: String =
            (0..SHAPES).map(|shape| plant("file joined", shape, &|text| format!("> {text}\n"))).collect();
        std::fs::write(directory.path().join("joined.log"), joined).unwrap();

        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let (mut metrics, mut texts) = (String::new(), String::new());
        for shape in 0..SHAPES {
            let name = format!("canary_{shape}");
            let help = plant("scraped help", shape, &|text| format!("# HELP {name} {}\n", escaped(text)));
            let label = plant("scraped label", shape, &|text| format!("{name}_total{{a=\"{}\"}} 1", escaped(text)));
            let exemplar = plant("scraped exemplar", shape, &|text| format!(" # {{user=\"{}\"}} 1\n", escaped(text)));
            write!(metrics, "# TYPE {name} counter\n{help}{label}{exemplar}").unwrap();
            let quoted = plant("scraped label name", shape, &|text| {
                format!("{{\"named_{shape}\",\"{}\"=\"x\"}} 1\n", escaped(text))
            });
            write!(metrics, "# TYPE named_{shape} gauge\n{quoted}").unwrap();
            let help = plant("text file help", shape, &|text| format!("# HELP file_{shape} {}\n", escaped(text)));
            let label = plant("text file label", shape, &|text| format!("file_{shape}{{a=\"{}\"}} 1\n", escaped(text)));
            write!(texts, "{help}# TYPE file_{shape} gauge\n{label}").unwrap();
        }
        metrics.push_str("# EOF\n");
        std::fs::write(directory.path().join("canary.prom"), texts).unwrap();
        let bad = plant("bad text file", 0, &|text| format!("bad{{a=\"{text}\"}} {text} {text} none\n"));
        std::fs::write(directory.path().join("bad.prom"), bad).unwrap();
        let bad = plant("bad exposition", 0, &|text| format!("bad{{a=\"{text}\"}} {text}x none\n# EOF\n"));
        let target = Server::start(move |seen| {
            let open = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
            let body = if seen.path == "/bad" { &bad } else { &metrics };
            (200, open.to_owned(), body.clone().into_bytes())
        });
        (Self { directory, target }, count)
    }

    /// Its part of `sources`.
    pub fn configuration(&self) -> String {
        let at = self.directory.path().display();
        let mut text = String::from("  files:\n");
        for (name, format, _) in FILES {
            writeln!(text, "    - {{ name: {name}, include: ['{at}/{name}.log'], start: beginning, {format} }}")
                .unwrap();
        }
        writeln!(
            text,
            "    - {{ name: joined, include: ['{at}/joined.log'], start: beginning, format: plain, multiline: {{ start: '^> ' }} }}"
        )
        .unwrap();
        let target = self.target.address;
        write!(
            text,
            "  prometheus:\n    global: {{ scrape_interval: 1s }}\n    text_files: {at}\n    scrape_configs:\n      \
             - {{ job_name: canary, static_configs: [{{ targets: ['{target}'] }}] }}\n      \
             - {{ job_name: bad, metrics_path: /bad, static_configs: [{{ targets: ['{target}'] }}] }}\n"
        )
        .unwrap();
        text
    }

    /// Whether all of the files were read and targets were scraped twice, as `/status` has it.
    pub fn is_read(&self, status: &serde_json::Value) -> bool {
        let sources = status["sources"].as_array().unwrap();
        let files = sources.iter().filter(|source| source["name"].as_str().unwrap().starts_with("files/"));
        let files: Vec<_> = files.map(|source| (source["records"].as_u64(), source["lag_bytes"].as_u64())).collect();
        let scrapes = self.target.seen().len();
        files.len() == FILES.len() + 1
            // Half of a character in UTF-16 that nobody knows of stands behind the last line.
            && files.iter().all(|(records, lag)| records.is_some_and(|records| records > 30) && lag.is_some_and(|lag| lag < 2))
            && scrapes >= 4
    }
}
