//! The host's own metrics: files of `/proc` and `/sys`, read at an interval into buffers that are used again; what they mean is the
//! crate `host`.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use host::{FileSystem, Filter, Power, Programs, Round, Sensor};
use model::{Answer, Signal};
use tokio::time::{MissedTickBehavior, interval};

use crate::Feed;

/// Sensors, power supplies and flash are looked for again after so many rounds.
const LOOK_AGAIN: u32 = 60;
/// The most bytes of one file.
const MAX_FILE: u64 = 1 << 20;
/// The most of each: sensors, power supplies, file systems.
const MOST: usize = 256;

/// What is looked at.
pub struct HostOptions {
    /// How often.
    pub interval: Duration,
    /// Where the host's file system is.
    pub root: PathBuf,
    /// Which parts.
    pub parts: HostParts,
    /// Disks that are left out.
    pub exclude_disks: Filter,
    /// Interfaces that are left out.
    pub exclude_interfaces: Filter,
    /// Types of file systems that are left out.
    pub exclude_filesystem_types: Filter,
    /// Mount points that are left out.
    pub exclude_mount_points: Filter,
    /// Names of programs whose processes are summed up.
    pub processes: Vec<String>,
    /// Attributes of the host.
    pub resource: Vec<(String, String)>,
    /// Wall time, Unix nanoseconds.
    pub wall_ns: Rc<dyn Fn() -> u64>,
    /// The size of a page, bytes.
    pub page: u64,
}

/// Which parts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is what its name says")]
#[allow(clippy::struct_excessive_bools, reason = "each is a part by itself")]
pub struct HostParts {
    pub cpu: bool,
    pub load: bool,
    pub memory: bool,
    pub paging: bool,
    pub disk: bool,
    pub filesystem: bool,
    pub network: bool,
    pub processes: bool,
    pub uptime: bool,
    pub pressure: bool,
    pub temperature: bool,
    pub power: bool,
    pub flash: bool,
}

/// Looks at the host at its interval until it is ended.
pub async fn run(options: HostOptions, feed: Feed) {
    let mut looker = Looker::new(options);
    let mut rounds = interval(looker.options.interval);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        rounds.tick().await;
        let (request, points) = looker.look(&feed);
        let time = (looker.options.wall_ns)();
        if let Answer::Wait(_) = feed.give(Signal::Metrics, request, points, time).await {
            feed.state().error("refused", points, "there is no room for what the host tells; the round is left out");
        }
    }
}

/// What is kept from one round to the next.
struct Looker {
    options: HostOptions,
    round: Round,
    programs: Programs,
    sensors: Vec<Sensor>,
    sensor_files: Vec<PathBuf>,
    powers: Vec<Power>,
    flash: Vec<(String, PathBuf)>,
    file_systems: Vec<FileSystem>,
    rounds: u32,
    text: String,
    more: String,
    path: PathBuf,
}

impl Looker {
    fn new(options: HostOptions) -> Self {
        let resource: Vec<_> = options.resource.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let round = Round::new(&resource);
        let programs = Programs::new(&options.processes, options.page);
        Self {
            options,
            round,
            programs,
            sensors: Vec::new(),
            sensor_files: Vec::new(),
            powers: Vec::new(),
            flash: Vec::new(),
            file_systems: Vec::new(),
            rounds: 0,
            text: String::new(),
            more: String::new(),
            path: PathBuf::new(),
        }
    }

    /// One round: the request, and how many points it has.
    fn look(&mut self, feed: &Feed) -> (Vec<u8>, u64) {
        if self.rounds.is_multiple_of(LOOK_AGAIN) {
            self.find();
        }
        self.rounds = self.rounds.wrapping_add(1);
        let parts = self.options.parts;
        if let Err(error) = self.read("proc/stat") {
            let why = format!("{}: {error}", self.path.display());
            feed.state().error("unreadable", 1, &why);
        }
        self.round.begin((self.options.wall_ns)(), &self.text);
        self.round.stat(&self.text, parts.cpu, parts.processes);
        // What a kernel has not is left out.
        if parts.load && self.read("proc/loadavg").is_ok() {
            self.round.load(&self.text);
        }
        if parts.memory && self.read("proc/meminfo").is_ok() {
            self.round.memory(&self.text);
        }
        if parts.uptime && self.read("proc/uptime").is_ok() {
            self.round.uptime(&self.text);
        }
        if parts.disk && self.read("proc/diskstats").is_ok() {
            self.round.disks(&self.text, &self.options.exclude_disks);
        }
        if parts.network && (self.read("proc/1/net/dev").is_ok() || self.read("proc/net/dev").is_ok()) {
            self.round.network(&self.text, &self.options.exclude_interfaces);
        }
        if parts.paging && self.read("proc/vmstat").is_ok() {
            std::mem::swap(&mut self.text, &mut self.more);
            if self.read("proc/swaps").is_err() {
                self.text.clear();
            }
            self.round.paging(&self.more, &self.text);
        }
        if parts.pressure {
            for name in ["cpu", "memory", "io"] {
                if self.read(&["proc/pressure/", name].concat()).is_ok() {
                    self.round.pressure(&[(name, &self.text)]);
                }
            }
        }
        if parts.filesystem && (self.read("proc/1/mounts").is_ok() || self.read("proc/mounts").is_ok()) {
            self.measure_file_systems();
            self.round.file_systems(&self.file_systems);
        }
        self.hardware();
        if !self.programs.is_empty() {
            self.sum_programs();
            self.round.programs(&self.programs);
        }
        let (bytes, points) = self.round.finish();
        (bytes.to_vec(), points)
    }

    /// Reads a file below the root into `text`.
    fn read(&mut self, file: &str) -> std::io::Result<()> {
        self.path.clear();
        self.path.push(&self.options.root);
        self.path.push(file);
        read_into(&self.path, &mut self.text)
    }

    fn hardware(&mut self) {
        for (sensor, file) in self.sensors.iter_mut().zip(&self.sensor_files) {
            let read = read_into(file, &mut self.text);
            sensor.value = read.ok().and_then(|()| self.text.trim().parse().ok());
        }
        self.round.sensors(&self.sensors);
        for power in &mut self.powers {
            self.path.clear();
            self.path.extend([self.options.root.as_path(), Path::new("sys/class/power_supply")]);
            self.path.extend([power.name.as_str(), "uevent"]);
            if read_into(&self.path, &mut power.uevent).is_err() {
                power.uevent.clear();
            }
        }
        self.round.power(&self.powers);
        for (name, file) in &self.flash {
            if read_into(file, &mut self.text).is_ok() {
                self.round.flash(name, &self.text);
            }
        }
    }

    /// Looks which sensors, power supplies and flash devices there are.
    fn find(&mut self) {
        self.sensors.clear();
        self.sensor_files.clear();
        self.powers.clear();
        self.flash.clear();
        let root = self.options.root.clone();
        let parts = self.options.parts;
        if parts.temperature {
            for chip in entries(&root.join("sys/class/hwmon")) {
                let name = line(&chip.join("name"));
                for file in entries(&chip) {
                    let own = file_name(&file);
                    let Some(input) = own.strip_suffix("_input") else { continue };
                    let is_fan = input.starts_with("fan");
                    if !is_fan && !input.starts_with("temp") {
                        continue;
                    }
                    let label = line(&chip.join(format!("{input}_label")));
                    let name = if label.is_empty() { name.clone() } else { format!("{name} {label}") };
                    self.add_sensor(format!("{}/{input}", file_name(&chip)), name, is_fan, file);
                }
            }
            for zone in entries(&root.join("sys/class/thermal")) {
                let file = zone.join("temp");
                if file_name(&zone).starts_with("thermal_zone") && fs::metadata(&file).is_ok() {
                    self.add_sensor(file_name(&zone), line(&zone.join("type")), false, file);
                }
            }
        }
        if parts.power {
            let supplies = entries(&root.join("sys/class/power_supply")).into_iter().take(MOST);
            self.powers = supplies.map(|path| Power { name: file_name(&path), uevent: String::new() }).collect();
        }
        if parts.flash {
            for disk in entries(&root.join("sys/block")) {
                let file = disk.join("device/life_time");
                if file_name(&disk).starts_with("mmcblk") && fs::metadata(&file).is_ok() {
                    self.flash.push((file_name(&disk), file));
                }
            }
        }
    }

    fn add_sensor(&mut self, id: String, name: String, is_fan: bool, file: PathBuf) {
        if self.sensors.len() < MOST {
            self.sensors.push(Sensor { id, name, is_fan, value: None });
            self.sensor_files.push(file);
        }
    }

    /// Measures the file systems of the mounts in `text`; each device once.
    fn measure_file_systems(&mut self) {
        let mut used = 0;
        for line in self.text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(device), Some(mount), Some(kind), Some(how)) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                continue;
            };
            self.more.clear();
            unescape(mount, &mut self.more);
            let options = &self.options;
            let known = self.file_systems.iter().take(used).any(|one| one.device == device && device.starts_with('/'));
            if known
                || used >= MOST
                || options.exclude_filesystem_types.has(kind)
                || options.exclude_mount_points.has(&self.more)
            {
                continue;
            }
            self.path.clear();
            self.path.push(&options.root);
            self.path.push(self.more.trim_start_matches('/'));
            let Ok(told) = rustix::fs::statvfs(&self.path) else { continue };
            if used == self.file_systems.len() {
                self.file_systems.push(FileSystem::default());
            }
            let one = &mut self.file_systems[used];
            used += 1;
            for (place, text) in
                [(&mut one.device, device), (&mut one.mount_point, self.more.as_str()), (&mut one.kind, kind)]
            {
                place.clear();
                place.push_str(text);
            }
            one.writable = how.split(',').next() == Some("rw");
            let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
            (one.size, one.free, one.available) = (bytes(told.f_blocks), bytes(told.f_bfree), bytes(told.f_bavail));
            (one.inodes, one.inodes_free) = (told.f_files, told.f_ffree);
        }
        self.file_systems.truncate(used);
    }

    fn sum_programs(&mut self) {
        self.programs.clear();
        let Ok(all) = fs::read_dir(self.options.root.join("proc")) else { return };
        for entry in all.flatten() {
            let name = entry.file_name();
            let Some(id) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else {
                continue;
            };
            self.more.clear();
            // Writing into a String cannot fail.
            let _written = write!(self.more, "proc/{id}/stat");
            let file = std::mem::take(&mut self.more);
            if self.read(&file).is_ok() {
                self.programs.add(&self.text);
            }
            self.more = file;
        }
    }
}

/// A mount point without its escapes: blanks and backslashes stand as octal numbers.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let octal = behind.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                out.push(char::from(byte));
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                out.push('\\');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
}

fn read_into(path: &Path, out: &mut String) -> std::io::Result<()> {
    out.clear();
    File::open(path)?.take(MAX_FILE).read_to_string(out)?;
    Ok(())
}

fn line(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(directory) else { return Vec::new() };
    let mut found: Vec<PathBuf> = all.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
