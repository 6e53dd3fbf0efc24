//! Rounds over the files of a host.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use host::{FileSystem, Filter, Power, Programs, Round, Sensor};
use model::Signal;
use model::otlp::{attributes, inspect, messages};
use model::proto::{Reader, Value};

const SECOND: u64 = 1_000_000_000;
const STAT: &str = "cpu  100 5 50 1000 10 1 2 3 0 0\ncpu0 60 5 30 500 5 1 1 1 0 0\ncpu1 40 0 20 500 5 0 1 2 0 0\nintr 5 1\nctxt 9\nbtime 1700000000\nprocesses 4242\nprocs_running 3\nprocs_blocked 1\n";

/// Points by metric and attributes, as text.
fn points(request: &[u8]) -> BTreeMap<String, f64> {
    let found = inspect(Signal::Metrics, request).unwrap();
    assert!(found.is_clean(), "{found:?}");
    let mut all = BTreeMap::new();
    for scope in messages(request, 1).flat_map(|group| messages(group.unwrap(), 2)) {
        for metric in messages(scope.unwrap(), 2) {
            let metric = metric.unwrap();
            let name = String::from_utf8_lossy(Reader::new(metric).last_bytes(1).unwrap().unwrap()).into_owned();
            let unit = String::from_utf8_lossy(Reader::new(metric).last_bytes(3).unwrap().unwrap()).into_owned();
            let mut reader = Reader::new(metric);
            while let Some(field) = reader.next_field().unwrap() {
                let (5 | 7, Value::Bytes(data)) = field else { continue };
                for point in messages(data, 1) {
                    let (key, value) = read(point.unwrap());
                    let before = all.insert(format!("{name}[{unit}]{{{key}}}"), value);
                    assert!(before.is_none(), "{name} {key} comes twice");
                }
            }
        }
    }
    all
}

fn read(point: &[u8]) -> (String, f64) {
    let mut value = f64::NAN;
    let mut reader = Reader::new(point);
    while let Some(field) = reader.next_field().unwrap() {
        match field {
            (4, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            (6, Value::Fixed64(number)) => value = number as f64,
            _ => {}
        }
    }
    let text = |any: &[u8]| String::from_utf8_lossy(Reader::new(any).last_bytes(1).unwrap().unwrap()).into_owned();
    let all: Vec<String> =
        attributes(point, 7).map(|(key, any)| format!("{}={}", String::from_utf8_lossy(key), text(any))).collect();
    (all.join(","), value)
}

fn whole(round: &mut Round, programs: &Programs) -> Vec<u8> {
    round.begin(1_700_000_100 * SECOND, STAT);
    round.stat(STAT, true, true);
    round.load("0.50 1.25 2.00 3/456 789\n");
    round.memory("MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 600 kB\nBuffers: 50 kB\nCached: 300 kB\nSwapCached: 7 kB\nSReclaimable: 40 kB\nSUnreclaim: 10 kB\n");
    round.paging(
        "pgpgin 5\npgpgout 6\npswpin 1\npswpout 2\npgfault 100\npgmajfault 30\n",
        "Filename Type Size Used Priority\n/dev/zram0 partition 1000 250 100\n",
    );
    round.uptime("100.25 300.00\n");
    round.pressure(&[(
        "cpu",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0 avg60=0 avg300=0 total=0\n",
    )]);
    round.disks(
        "   8 0 sda 10 1 200 30 20 2 400 60 0 70 90 0 0 0 0 0 0\n   7 0 loop0 1 0 8 0 0 0 0 0 0 0 0\n 1 0 ram0 0 0 0 0 0 0 0 0 0 0 0\n",
        &Filter::new(["loop*"]),
    );
    round.network(
        "Inter-| Receive | Transmit\n face |bytes packets\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n",
        &Filter::new(["lo"]),
    );
    round.file_systems(&[FileSystem {
        device: "/dev/sda1".into(),
        mount_point: "/".into(),
        kind: "ext4".into(),
        writable: true,
        size: 1000,
        free: 400,
        available: 300,
        inodes: 10,
        inodes_free: 4,
    }]);
    round.sensors(&[
        Sensor { id: "hwmon0/temp1".into(), name: "cpu_thermal".into(), is_fan: false, value: Some(48_500) },
        Sensor { id: "hwmon0/fan1".into(), name: "fan".into(), is_fan: true, value: Some(1200) },
        Sensor { id: "hwmon1/temp1".into(), name: "gone".into(), is_fan: false, value: None },
    ]);
    round.power(&[
        Power { name: "BAT0".into(), uevent: "POWER_SUPPLY_NAME=BAT0\nPOWER_SUPPLY_TYPE=Battery\nPOWER_SUPPLY_STATUS=Discharging\nPOWER_SUPPLY_CAPACITY=80\nPOWER_SUPPLY_VOLTAGE_NOW=12000000\n".into() },
        Power { name: "AC".into(), uevent: "POWER_SUPPLY_TYPE=Mains\nPOWER_SUPPLY_ONLINE=0\n".into() },
    ]);
    round.flash("mmcblk0", "0x01 0x03\n");
    round.programs(programs);
    let (bytes, count) = round.finish();
    assert_eq!(count as usize, points(bytes).len());
    bytes.to_vec()
}

fn programs() -> Programs {
    let mut programs = Programs::new(&["a (b) c".into(), "sshd".into()], 4096);
    programs.add("12 (a (b) c) S 1 12 12 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 3 0 100 9999 25 184467 1 1 0\n");
    programs.add("13 (a (b) c) S 1 12 12 0 -1 4194560 1 2 3 4 50 50 7 8 20 0 1 0 100 9999 5 184467 1 1 0\n");
    programs.add("14 (other) S 1 12 12 0 -1 4194560 1 2 3 4 50 50 7 8 20 0 1 0 100 9999 5 184467 1 1 0\n");
    programs
}

/// Scenario: a host with all of it. Guarantees: each value under its name, unit and attributes; what is left out is not there.
#[test]
fn the_host_is_told_under_the_names_of_the_conventions() {
    let mut round = Round::new(&[("host.name", "gw")]);
    let found = points(&whole(&mut round, &programs()));
    for (key, value) in [
        ("system.cpu.time[s]{cpu.logical_number=1,cpu.mode=steal}", 0.02),
        ("system.cpu.time[s]{cpu.logical_number=0,cpu.mode=user}", 0.6),
        ("system.cpu.logical.count[{cpu}]{}", 2.0),
        ("system.cpu.load_average.5m[{thread}]{}", 1.25),
        ("system.process.count[{process}]{process.state=running}", 3.0),
        ("system.process.created[{process}]{}", 4242.0),
        ("system.memory.usage[By]{system.memory.state=used}", 410.0 * 1024.0),
        ("system.memory.usage[By]{system.memory.state=cached}", 340.0 * 1024.0),
        ("system.memory.utilization[1]{system.memory.state=free}", 0.2),
        ("system.linux.memory.available[By]{}", 600.0 * 1024.0),
        ("system.paging.faults[{fault}]{system.paging.fault.type=minor}", 70.0),
        ("system.paging.usage[By]{system.device=/dev/zram0,system.paging.state=free}", 750.0 * 1024.0),
        ("system.uptime[s]{}", 100.25),
        ("system.linux.pressure.time[s]{system.linux.pressure.resource=cpu,system.linux.pressure.type=some}", 1.5),
        ("system.disk.io[By]{system.device=sda,disk.io.direction=write}", 400.0 * 512.0),
        ("system.disk.operation_time[s]{system.device=sda,disk.io.direction=read}", 0.03),
        ("system.disk.io_time[s]{system.device=sda}", 0.07),
        ("system.network.io[By]{network.interface.name=eth0,network.io.direction=transmit}", 2000.0),
        ("system.network.packet.dropped[{packet}]{network.interface.name=eth0,network.io.direction=receive}", 2.0),
        ("hw.temperature[Cel]{hw.id=hwmon0/temp1,hw.name=cpu_thermal}", 48.5),
        ("hw.fan.speed[rpm]{hw.id=hwmon0/fan1,hw.name=fan}", 1200.0),
        ("hw.battery.charge[1]{hw.id=BAT0,hw.type=battery}", 0.8),
        ("hw.voltage[V]{hw.id=BAT0,hw.type=battery}", 12.0),
        ("hw.status[1]{hw.id=AC,hw.type=power_supply,hw.state=failed}", 1.0),
        ("hw.status[1]{hw.id=BAT0,hw.type=battery,hw.state=discharging}", 1.0),
        ("hw.physical_disk.endurance_utilization[1]{hw.id=mmcblk0,hw.type=physical_disk}", 0.3),
        ("process.count[{process}]{process.executable.name=a (b) c}", 2.0),
        ("process.count[{process}]{process.executable.name=sshd}", 0.0),
        ("process.cpu.time[s]{process.executable.name=a (b) c,cpu.mode=user}", 2.0),
        ("process.memory.usage[By]{process.executable.name=a (b) c}", 30.0 * 4096.0),
        ("process.thread.count[{thread}]{process.executable.name=a (b) c}", 4.0),
    ] {
        let got = found.get(key).unwrap_or_else(|| panic!("{key} is not in {found:#?}"));
        assert!((got - value).abs() < 1e-9, "{key}: {got}, not {value}");
    }
    let usage = "system.filesystem.usage[By]{system.device=/dev/sda1,system.filesystem.mountpoint=/,system.filesystem.type=ext4,system.filesystem.mode=rw,system.filesystem.state=";
    assert_eq!(
        [found[&format!("{usage}used}}")], found[&format!("{usage}free}}")], found[&format!("{usage}reserved}}")]],
        [600.0, 300.0, 100.0]
    );
    assert!(!found.keys().any(|key| key.contains("loop0") || key.contains("=lo,") || key.contains("hwmon1")));
}

/// Scenario: one round after the other, and files that are empty, cut off or nonsense. Guarantees: the same bytes from the same buffer;
/// nothing panics, and what is not understood is left out.
#[test]
fn rounds_use_their_buffer_again_and_bad_files_are_left_out() {
    let mut round = Round::new(&[]);
    let (first, programs) = (whole(&mut round, &programs()), programs());
    let buffer = round.finish().0.as_ptr();
    assert_eq!(whole(&mut round, &programs), first);
    assert_eq!(round.finish().0.as_ptr(), buffer);
    let all = String::from_utf8_lossy(&first).into_owned();
    for bad in ["", "cpu", "cpu0", "cpu0 x", "a:b", ":", "8 0 sda 1", "some total=", "\u{0}", all.as_str()] {
        round.begin(SECOND, bad);
        round.stat(bad, true, true);
        round.load(bad);
        round.memory(bad);
        round.paging(bad, bad);
        round.uptime(bad);
        round.pressure(&[(bad, bad)]);
        round.disks(bad, &Filter::default());
        round.network(bad, &Filter::default());
        round.power(&[Power { name: bad.into(), uevent: bad.into() }]);
        round.flash(bad, bad);
        let mut programs = Programs::new(&[bad.to_owned()], 1);
        programs.add(bad);
        round.programs(&programs);
        points(round.finish().0);
    }
}
