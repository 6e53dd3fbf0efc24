//! Metric families: their kinds, and which series belong to them.

/// The type of a family, as `# TYPE` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// Nothing is told of it, or that nothing is known.
    #[default]
    Unknown,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

/// What a series is of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A number by itself.
    Single,
    Bucket,
    Sum,
    Count,
    Quantile,
    /// When the other series of the same labels began.
    Created,
}

impl Kind {
    /// By the word of `# TYPE`.
    pub(crate) fn of(word: &str, openmetrics: bool) -> Option<Self> {
        Some(match word {
            "counter" => Self::Counter,
            "gauge" => Self::Gauge,
            "histogram" => Self::Histogram,
            "summary" => Self::Summary,
            "untyped" if !openmetrics => Self::Unknown,
            "unknown" => Self::Unknown,
            "gaugehistogram" => Self::GaugeHistogram,
            "info" => Self::Info,
            "stateset" => Self::StateSet,
            _ => return None,
        })
    }

    /// The word that OTLP's metadata has for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Summary => "summary",
            Self::Info => "info",
            Self::StateSet => "stateset",
        }
    }

    /// What a series is of a family of this kind; `None` where it is of another one. `behind` is what its name has behind the family's.
    pub(crate) fn part(self, behind: &str, openmetrics: bool) -> Option<Part> {
        Some(match (self, behind) {
            (Self::Histogram, "_bucket") => Part::Bucket,
            (Self::Histogram | Self::Summary, "_sum") => Part::Sum,
            (Self::Histogram | Self::Summary, "_count") => Part::Count,
            (Self::Summary, "") => Part::Quantile,
            (Self::Histogram | Self::Summary | Self::Counter, "_created") if openmetrics => Part::Created,
            (Self::Counter, "_total") if openmetrics => Part::Single,
            (Self::Info, "_info") => Part::Single,
            (Self::GaugeHistogram, "_bucket" | "_gsum" | "_gcount" | "_sum" | "_count") => Part::Single,
            (_, "") => Part::Single,
            _ => return None,
        })
    }
}

/// The family whose lines are read.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) help: String,
    pub(crate) unit: String,
}

impl Family {
    /// Begins another one.
    pub(crate) fn begin(&mut self, name: &str) {
        self.name.clear();
        self.name.push_str(name);
        self.kind = Kind::Unknown;
        self.help.clear();
        self.unit.clear();
    }

    /// What a series is of it; `None` where it is of another one.
    pub(crate) fn part(&self, series: &str, openmetrics: bool) -> Option<Part> {
        self.kind.part(series.strip_prefix(self.name.as_str())?, openmetrics)
    }
}
