//! What a target is asked for, and what it answers in.

use crate::line::Grammar;

/// A form of exposition, by the name that Prometheus' configuration has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `PrometheusProto`
    PrometheusProto,
    /// `PrometheusText0.0.4`
    PrometheusText0_0_4,
    /// `PrometheusText1.0.0`
    PrometheusText1_0_0,
    /// `OpenMetricsText0.0.1`
    OpenMetricsText0_0_1,
    /// `OpenMetricsText1.0.0`
    OpenMetricsText1_0_0,
    /// `OpenMetricsText2.0.0`, which is a draft.
    OpenMetricsText2_0_0,
}

/// What Prometheus 3 asks for by default.
pub const DEFAULT_PROTOCOLS: [Protocol; 4] = [
    Protocol::OpenMetricsText1_0_0,
    Protocol::OpenMetricsText0_0_1,
    Protocol::PrometheusText1_0_0,
    Protocol::PrometheusText0_0_4,
];

/// How names are to come that are more than ASCII letters, digits, underscores and colons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Escaping {
    /// As they are.
    #[default]
    AllowUtf8,
    /// With underscores.
    Underscores,
    /// With dots as `_dot_`.
    Dots,
    /// With code points as `_2E_`.
    Values,
}

impl Escaping {
    fn word(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }
}

impl Protocol {
    /// By its name in the configuration.
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "PrometheusProto" => Self::PrometheusProto,
            "PrometheusText0.0.4" => Self::PrometheusText0_0_4,
            "PrometheusText1.0.0" => Self::PrometheusText1_0_0,
            "OpenMetricsText0.0.1" => Self::OpenMetricsText0_0_1,
            "OpenMetricsText1.0.0" => Self::OpenMetricsText1_0_0,
            "OpenMetricsText2.0.0" => Self::OpenMetricsText2_0_0,
            _ => return None,
        })
    }

    fn media(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            Self::OpenMetricsText2_0_0 => "application/openmetrics-text;version=2.0.0",
        }
    }

    fn is_escaped(self) -> bool {
        matches!(self, Self::PrometheusText1_0_0 | Self::OpenMetricsText1_0_0 | Self::OpenMetricsText2_0_0)
    }

    /// How the body of this form is read.
    pub(crate) fn form(self) -> Form {
        match self {
            Self::PrometheusProto => Form::Protobuf,
            Self::PrometheusText0_0_4 | Self::PrometheusText1_0_0 => Form::Lines(Grammar::Text),
            Self::OpenMetricsText0_0_1 | Self::OpenMetricsText1_0_0 => Form::Lines(Grammar::OpenMetrics),
            Self::OpenMetricsText2_0_0 => Form::Lines(Grammar::OpenMetrics2),
        }
    }
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Lines(Grammar),
    Protobuf,
}

/// The `Accept` header: protocols in the order of preference, as Prometheus 3 weighs them.
pub fn accept(protocols: &[Protocol], escaping: Escaping) -> String {
    let mut out = String::new();
    let mut weight = protocols.len() + 1;
    for protocol in protocols {
        out.push_str(protocol.media());
        if protocol.is_escaped() {
            out.push_str(";escaping=");
            out.push_str(escaping.word());
        }
        out.push_str(&format!(";q=0.{weight},"));
        weight -= 1;
    }
    out.push_str(&format!("*/*;q=0.{weight}"));
    out
}

/// What a `Content-Type` says; one that says nothing known is the fallback.
///
/// # Errors
/// In the target's own words, where there is no fallback.
pub fn answered(content_type: &str, fallback: Option<Protocol>) -> Result<Protocol, String> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let mut version = "";
    let mut is_family = false;
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "version" => version = value,
            "proto" => is_family = value == "io.prometheus.client.MetricFamily",
            _ => {}
        }
    }
    let known = match (essence.as_str(), version) {
        ("application/openmetrics-text", "2.0.0") => Some(Protocol::OpenMetricsText2_0_0),
        ("application/openmetrics-text", "0.0.1") => Some(Protocol::OpenMetricsText0_0_1),
        ("application/openmetrics-text", _) => Some(Protocol::OpenMetricsText1_0_0),
        ("text/plain", "1.0.0") => Some(Protocol::PrometheusText1_0_0),
        ("text/plain", _) => Some(Protocol::PrometheusText0_0_4),
        ("application/vnd.google.protobuf", _) if is_family => Some(Protocol::PrometheusProto),
        _ => None,
    };
    known.or(fallback).ok_or_else(|| match essence.is_empty() {
        true => "the target tells no Content-Type, and there is no fallback_scrape_protocol".to_owned(),
        false => {
            let shown = crate::shown::quoted(content_type);
            format!("the target answers in {shown}, which is no exposition, and there is no fallback_scrape_protocol")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the default protocols, and answers in every form, in none and in a page. Guarantees: the header of Prometheus 3; what is
    /// no exposition is the fallback or a fault.
    #[test]
    fn negotiation_is_that_of_prometheus_3() {
        assert_eq!(
            accept(&DEFAULT_PROTOCOLS, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
        for (text, protocol) in [
            ("text/plain", Protocol::PrometheusText0_0_4),
            ("text/plain; version=0.0.4; charset=utf-8", Protocol::PrometheusText0_0_4),
            ("Text/Plain;version=\"1.0.0\"", Protocol::PrometheusText1_0_0),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Protocol::OpenMetricsText1_0_0),
            ("application/openmetrics-text;version=2.0.0", Protocol::OpenMetricsText2_0_0),
            (Protocol::PrometheusProto.media(), Protocol::PrometheusProto),
        ] {
            assert_eq!(answered(text, None), Ok(protocol), "{text}");
        }
        assert_eq!(answered("", Some(Protocol::PrometheusText0_0_4)), Ok(Protocol::PrometheusText0_0_4));
        for none in ["", "text/html", "application/vnd.google.protobuf"] {
            assert!(answered(none, None).unwrap_err().contains("fallback_scrape_protocol"), "{none}");
        }
    }
}
