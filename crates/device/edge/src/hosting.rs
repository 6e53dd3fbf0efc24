//! The source of the host from its configuration.

use std::rc::Rc;

use ::host::Filter;
use config::{Config, HostPart};
use sources::host::{HostOptions, HostParts};

use crate::clock::Clock;
use crate::feeds::Starting;

/// Starts it, where it is configured.
pub(crate) fn start(config: &Config, clock: &Clock, starting: &mut Starting<'_>) {
    let Some(source) = &config.sources.host else { return };
    let clock = clock.clone();
    let resource = [
        ("service.name", "host".to_owned()),
        ("service.instance.id", config.device.id.clone()),
        ("host.name", rustix::system::uname().nodename().to_string_lossy().into_owned()),
        ("os.type", "linux".to_owned()),
    ];
    let options = HostOptions {
        interval: source.interval.0,
        root: source.root.clone(),
        parts: HostParts {
            cpu: source.has(HostPart::Cpu),
            load: source.has(HostPart::Load),
            memory: source.has(HostPart::Memory),
            paging: source.has(HostPart::Paging),
            disk: source.has(HostPart::Disk),
            filesystem: source.has(HostPart::Filesystem),
            network: source.has(HostPart::Network),
            processes: source.has(HostPart::Processes),
            uptime: source.has(HostPart::Uptime),
            pressure: source.has(HostPart::Pressure),
            temperature: source.has(HostPart::Temperature),
            power: source.has(HostPart::Power),
            flash: source.has(HostPart::Flash),
        },
        exclude_disks: Filter::new(source.exclude_disks.iter()),
        exclude_interfaces: Filter::new(source.exclude_interfaces.iter()),
        exclude_filesystem_types: Filter::new(source.exclude_filesystem_types.iter()),
        exclude_mount_points: Filter::new(source.exclude_mount_points.iter()),
        processes: source.processes.clone(),
        resource: resource.map(|(key, value)| (key.to_owned(), value)).to_vec(),
        wall_ns: Rc::new(move || clock.wall_ns()),
        page: rustix::param::page_size() as u64,
    };
    let feed = starting.feed("host".to_owned());
    starting.spawn(sources::host::run(options, feed));
}
