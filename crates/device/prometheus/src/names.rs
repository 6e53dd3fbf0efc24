//! Names of metrics, labels and units, as Prometheus' OTLP endpoint translates them ("Prometheus and OpenMetrics Compatibility" of
//! the OpenTelemetry specification; `translation_strategy` of Prometheus).

/// The key in a metric's metadata that says that it came from Prometheus, and its type there ("Prometheus and OpenMetrics
/// Compatibility", "Metric Metadata").
pub const TYPE: &str = "prometheus.type";

/// What becomes of names that come from OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Translation {
    /// Characters beyond `[a-zA-Z0-9_:]` become underscores; unit and `_total` are put behind. Prometheus' default.
    #[default]
    UnderscoreEscapingWithSuffixes,
    /// Characters beyond `[a-zA-Z0-9_:]` become underscores.
    UnderscoreEscapingWithoutSuffixes,
    /// Names stay as they are; unit and `_total` are put behind.
    NoUtf8EscapingWithSuffixes,
    /// Names stay as they are.
    NoTranslation,
}

/// What of a metric's kind its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedAs {
    /// `_ratio` where its unit is 1.
    Gauge,
    /// `_total`.
    Counter,
    /// Neither.
    Other,
}

impl Translation {
    /// Whether names are made of ASCII letters, digits, underscores and colons.
    pub fn escapes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::UnderscoreEscapingWithoutSuffixes)
    }

    fn has_suffixes(self) -> bool {
        matches!(self, Self::UnderscoreEscapingWithSuffixes | Self::NoUtf8EscapingWithSuffixes)
    }

    /// The name of a metric; `None` where nothing of it is left.
    pub fn metric_name(self, name: &str, unit: &str, kind: NamedAs) -> Option<String> {
        let translated = match (self.escapes(), self.has_suffixes()) {
            (true, true) => escaped_with_suffixes(name, unit, kind),
            (true, false) => {
                let parts: Vec<&str> =
                    name.split(|c| !is_metric_char(c) && c != '_').filter(|part| !part.is_empty()).collect();
                not_a_digit_first(parts.join("_"))
            }
            (false, true) => with_suffixes(name, unit, kind),
            (false, false) => name.to_owned(),
        };
        let only_underscores = self.escapes() && translated != name && translated.bytes().all(|byte| byte == b'_');
        (!translated.is_empty() && !only_underscores).then_some(translated)
    }

    /// Writes the name of a label over `out`, as Prometheus does it by default; false where nothing of it is left.
    pub fn label_name(self, name: &str, out: &mut String) -> bool {
        out.clear();
        if self.escapes() {
            out.extend(name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
            if out.starts_with(|c: char| c.is_ascii_digit()) {
                out.insert_str(0, "key_");
            } else if out.starts_with('_') && !out.starts_with("__") {
                out.insert_str(0, "key");
            }
            !out.bytes().all(|byte| byte == b'_')
        } else {
            out.push_str(name);
            !out.is_empty()
        }
    }
}

/// The name of a metric, or of a label, that came from Prometheus, written over `out`: as it is, but for characters that the strategy does
/// not have; no suffix is put behind it.
pub fn own_name(translation: Translation, name: &str, out: &mut String) {
    out.clear();
    for (at, c) in name.chars().enumerate() {
        let fits = c.is_ascii_alphabetic() || c == '_' || c == ':' || (at > 0 && c.is_ascii_digit());
        out.push(if fits || !translation.escapes() { c } else { '_' });
    }
}

/// The unit as Prometheus' metadata tells it: `milliseconds`, `bytes_per_second`.
pub fn unit_name(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (escaped_unit(&main), escaped_unit(&per));
    let both = if main.is_empty() || per.is_empty() { main + &per } else { format!("{main}_{per}") };
    let both = both.strip_prefix('_').unwrap_or(&both);
    both.strip_suffix('_').unwrap_or(both).to_owned()
}

fn is_metric_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

fn not_a_digit_first(name: String) -> String {
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn escaped_with_suffixes(name: &str, unit: &str, kind: NamedAs) -> String {
    let mut tokens: Vec<&str> = name.split(|c| !is_metric_char(c)).filter(|token| !token.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let (main, per) = (escaped_unit(&main), escaped_unit(&per));
    let mut main = if tokens.contains(&main.as_str()) { "" } else { main.as_str() };
    let mut per = if per == "per_" { "" } else { per.strip_suffix('_').unwrap_or(&per) };
    if tokens.contains(&per) {
        per = "";
    }
    if !per.is_empty() {
        main = main.strip_suffix('_').unwrap_or(main);
    }
    tokens.extend([main, per].into_iter().filter(|token| !token.is_empty()));
    let last = last_suffix(unit, kind);
    if let Some(last) = last {
        tokens.retain(|token| *token != last);
        tokens.push(last);
    }
    not_a_digit_first(tokens.join("_"))
}

fn with_suffixes(name: &str, unit: &str, kind: NamedAs) -> String {
    let without = |name: &str, suffix: &str| match name.strip_suffix(suffix) {
        // With the character in front of it.
        Some(rest) if rest.len() > 1 => {
            let end = rest.char_indices().next_back().map_or(0, |(start, _)| start);
            rest.get(..end).unwrap_or_default().to_owned()
        }
        _ => name.to_owned(),
    };
    let last = last_suffix(unit, kind);
    let mut name = last.map_or(name.to_owned(), |last| without(name, last));
    let (main, per) = unit_suffixes(unit);
    if !per.is_empty() {
        name = without(&name, &per);
    }
    if !main.is_empty() && !name.ends_with(&main) {
        name.push('_');
        name.push_str(&main);
    }
    for suffix in [per.as_str(), last.unwrap_or_default()].into_iter().filter(|suffix| !suffix.is_empty()) {
        name.push('_');
        name.push_str(suffix);
    }
    name
}

fn last_suffix(unit: &str, kind: NamedAs) -> Option<&'static str> {
    match kind {
        NamedAs::Counter => Some("total"),
        NamedAs::Gauge if unit == "1" => Some("ratio"),
        _ => None,
    }
}

/// What of a unit is put behind a name: of `By/s` it is `bytes` and `per_second`. Annotations in braces are no unit.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let told = |part: &str| !part.is_empty() && !part.contains(['{', '}']);
    let (main, per) = (main.trim(), per.trim());
    let main = if told(main) { unit_word(main) } else { "" };
    let per = if told(per) { format!("per_{}", per_unit_word(per)) } else { String::new() };
    (main.to_owned(), per)
}

fn escaped_unit(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if is_metric_char(c) { c } else { '_' };
        if c != '_' || !out.ends_with('_') {
            out.push(c);
        }
    }
    out.strip_prefix('_').map_or_else(|| out.clone(), str::to_owned)
}

fn unit_word(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn per_unit_word(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}
