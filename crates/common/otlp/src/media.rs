//! Media types of OTLP/HTTP (RFC 9110 section 8.3.1): without regard to case, parameters do not matter.

/// In which form a request came; its answer goes in the same one (OTLP 1.11, "OTLP/HTTP Response").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Protobuf.
    Protobuf,
    /// Protobuf's JSON mapping, as OTLP has it.
    Json,
}

impl Form {
    /// The form of a `Content-Type`.
    pub fn of(content_type: &str) -> Option<Self> {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        match () {
            // The second name is the one that IANA registered (RFC 9880); some proxies write it.
            () if name.eq_ignore_ascii_case(Form::Protobuf.name())
                || name.eq_ignore_ascii_case("application/protobuf") =>
            {
                Some(Form::Protobuf)
            }
            () if name.eq_ignore_ascii_case(Form::Json.name()) => Some(Form::Json),
            () => None,
        }
    }

    /// The form's media type.
    pub fn name(self) -> &'static str {
        match self {
            Form::Protobuf => "application/x-protobuf",
            Form::Json => "application/json",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: media types in other letters, with parameters, under their registered name, and others (fault I6). Guarantees: each
    /// known one is read, nothing else.
    #[test]
    fn i6_media_types_are_read_as_they_are_written() {
        for name in [
            "application/x-protobuf",
            "Application/X-Protobuf",
            "application/protobuf",
            " application/x-protobuf ; v=1",
        ] {
            assert_eq!(Form::of(name), Some(Form::Protobuf), "{name}");
        }
        for name in ["application/json", "APPLICATION/JSON; charset=utf-8"] {
            assert_eq!(Form::of(name), Some(Form::Json), "{name}");
        }
        for name in ["", "text/json", "application/jsonp", "application/x-protobuf2"] {
            assert_eq!(Form::of(name), None, "{name}");
        }
    }
}
