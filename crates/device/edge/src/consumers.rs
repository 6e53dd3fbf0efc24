//! Who reads the journal: a hub as a whole, and of every other destination each signal by itself, so that what holds one signal up does not
//! hold up the others. Each has a cursor, a task, a connection and a row of the books.

use config::Config;
use drain::consumer_name;
use model::{Signal, Signals};

/// A destination, or one signal of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Consumer {
    /// The destination's position in the configuration.
    pub(crate) destination: usize,
    /// The signal; `None` for a hub.
    pub(crate) signal: Option<Signal>,
    /// Its name on disk, in the books and for operators.
    pub(crate) name: String,
}

/// All of them, in the order of the configuration.
pub(crate) fn consumers(config: &Config) -> Vec<Consumer> {
    let of = |(destination, one): (usize, &config::Destination)| {
        let signals = match one.separate_signals() {
            None => vec![None],
            Some(signals) => signals.into_iter().map(Some).collect(),
        };
        let consumer = |signal| Consumer { destination, signal, name: consumer_name(&one.name, signal) };
        signals.into_iter().map(consumer).collect::<Vec<_>>()
    };
    config.destinations.iter().enumerate().flat_map(of).collect()
}

impl Consumer {
    /// The signals that its cursor is for; `None` for everything, gap records too.
    pub(crate) fn takes(&self) -> Option<Signals> {
        self.signal.map(Signals::of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a hub, an OTLP endpoint for everything, and one for two signals. Guarantees: a hub has one cursor and the others one
    /// for each signal, under names that cannot be those of a destination.
    #[test]
    fn d1_each_signal_goes_its_own_way() {
        let text = "version: 0\ndevice: { id: d }\ndata_dir: /d\ndestinations:\n\
                    - { name: hub, type: hub, url: 'http://localhost:1' }\n\
                    - { name: all, type: otlp, url: 'http://localhost:2' }\n\
                    - { name: some, type: otlp, url: 'http://localhost:3', signals: [metrics, traces] }\n";
        let consumers = consumers(&config::parse(text).unwrap());
        let names: Vec<&str> = consumers.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["hub", "all.traces", "all.logs", "all.metrics", "some.metrics", "some.traces"]);
        assert_eq!(consumers.iter().map(|one| one.destination).collect::<Vec<_>>(), [0, 1, 1, 1, 2, 2]);
        assert_eq!(consumers[0].takes(), None);
        assert_eq!(consumers[4].takes(), Some(Signals::of(Signal::Metrics)));
    }
}
