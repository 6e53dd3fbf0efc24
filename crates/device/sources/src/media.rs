//! Media types of OTLP/HTTP (RFC 9110 section 8.3.1): without regard to case, parameters do not matter.

/// In which form a request came; its answer goes in the same one (OTLP 1.11, "OTLP/HTTP Response").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Protobuf.
    Protobuf,
    /// Protobuf's JSON mapping, as OTLP has it.
    Json,
}

impl Form {
    /// The form of a `Content-Type`.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        [Form::Protobuf, Form::Json].into_iter().find(|form| name.eq_ignore_ascii_case(form.name()))
    }

    /// The form's media type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }
}
