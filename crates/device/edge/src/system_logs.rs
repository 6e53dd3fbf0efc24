//! Logs of the system, from their configuration: syslog from the network, the kernel's log, the journal of systemd.

use std::rc::Rc;

use config::Config;
use sources::ReadTo;

use crate::clock::Clock;
use crate::feeds::Starting;
use crate::sockets::Sockets;

/// Wall time for a source.
fn wall(clock: &Clock) -> Rc<dyn Fn() -> u64> {
    let clock = clock.clone();
    Rc::new(move || clock.wall_ns())
}

#[cfg_attr(
    not(all(feature = "source-syslog", feature = "source-kernel")),
    allow(unused_variables, clippy::needless_pass_by_value, reason = "this build has not all of them")
)]
/// Starts what the configuration names; `sockets` are bound, `read_to` is how far each was in an earlier life.
pub(crate) fn start(config: &Config, clock: &Clock, sockets: Sockets, read_to: &[ReadTo], starting: &mut Starting<'_>) {
    #[cfg(feature = "source-syslog")]
    if let Some(settings) = syslog(config).map(Rc::new) {
        if let Some(socket) = sockets.syslog_udp {
            let feed = starting.feed("syslog/udp".to_owned());
            starting.spawn(sources::syslog::serve_udp(socket.socket, Rc::clone(&settings), feed, wall(clock)));
        }
        if let Some((listener, _)) = sockets.syslog_tcp {
            let feed = starting.feed("syslog/tcp".to_owned());
            starting.spawn(sources::syslog::serve_tcp(listener, settings, feed, wall(clock)));
        }
    }
    #[cfg(feature = "source-kernel")]
    if let Some(source) = &config.sources.kernel {
        let settings = sources::kernel::KernelSettings {
            path: source.path.clone(),
            resource: crate::lines::pairs(&source.resource),
        };
        let feed = starting.feed("kernel".to_owned());
        starting.spawn(sources::kernel::run(settings, feed, wall(clock), read_to.to_vec()));
    }
    #[cfg(feature = "source-journald")]
    if let Some(settings) = journald(config) {
        let feed = starting.feed("journald".to_owned());
        starting.spawn(sources::journald::run(settings, feed, wall(clock), read_to.to_vec()));
    }
}

/// What syslog's source takes, where it is configured.
#[cfg(feature = "source-syslog")]
fn syslog(config: &Config) -> Option<sources::syslog::SyslogSettings> {
    config.sources.syslog.as_ref().map(|source| sources::syslog::SyslogSettings {
        max_message: usize::try_from(source.max_message.0).unwrap_or(usize::MAX),
        connections: usize::from(source.connections),
        rate: source.rate,
        resource: crate::lines::pairs(&source.resource),
    })
}

/// How the journal of systemd is read, where it is configured.
#[cfg(feature = "source-journald")]
fn journald(config: &Config) -> Option<sources::journald::JournaldSettings> {
    config.sources.journald.as_ref().map(|source| sources::journald::JournaldSettings {
        command: source.command.clone(),
        start: match source.start {
            config::FileStart::End => sources::journald::Start::End,
            config::FileStart::Beginning => sources::journald::Start::Beginning,
            config::FileStart::Time(time_ns) => sources::journald::Start::Time(time_ns),
        },
        max_entry: usize::try_from(source.max_entry.0).unwrap_or(usize::MAX),
        resource: crate::lines::pairs(&source.resource),
    })
}

/// The most memory that they take, by name, bytes (P9).
pub(crate) fn budgets(config: &Config) -> [(&'static str, u64); 3] {
    #[cfg(feature = "source-syslog")]
    let syslog = syslog(config).zip(config.sources.syslog.as_ref()).map_or(0, |(settings, source)| {
        let (udp, tcp) = source.addresses();
        settings.budget(udp.is_some(), tcp.is_some())
    });
    #[cfg(not(feature = "source-syslog"))]
    let syslog = 0;
    #[cfg(feature = "source-kernel")]
    let kernel = config.sources.kernel.as_ref().map_or(0, |_| sources::kernel::KernelSettings::BUDGET);
    #[cfg(not(feature = "source-kernel"))]
    let kernel = 0;
    #[cfg(feature = "source-journald")]
    let journald = journald(config).map_or(0, |settings| settings.budget());
    #[cfg(not(feature = "source-journald"))]
    let journald = 0;
    [("sources.syslog", syslog), ("sources.kernel", kernel), ("sources.journald", journald)]
}
