//! StatsD, from its configuration.

use std::rc::Rc;

use config::Config;
use sources::statsd::StatsdSettings;

use crate::clock::Clock;
use crate::feeds::Starting;
use crate::lines::pairs;
use crate::sockets::Datagrams;

/// Starts it, where it is configured.
pub(crate) fn start(config: &Config, clock: &Clock, socket: Option<Datagrams>, starting: &mut Starting<'_>) {
    if let Some((settings, socket)) = settings(config).zip(socket) {
        let feed = starting.feed("statsd".to_owned());
        let clock = clock.clone();
        starting.spawn(sources::statsd::serve(socket.socket, settings, feed, Rc::new(move || clock.wall_ns())));
    }
}

/// How it gathers, where it is configured.
pub(crate) fn settings(config: &Config) -> Option<StatsdSettings> {
    let source = config.sources.statsd.as_ref()?;
    let mut resource = pairs(&source.resource);
    for (key, value) in [("service.name", "statsd"), ("service.instance.id", config.device.id.as_str())] {
        if !source.resource.contains_key(key) {
            resource.push((key.to_owned(), value.to_owned()));
        }
    }
    Some(StatsdSettings {
        interval: source.interval.0,
        idle: source.idle.0,
        memory: usize::try_from(source.memory.0).unwrap_or(usize::MAX),
        resource,
    })
}
