//! What sensors and batteries tell.

use crate::writer::{Shape, Writer};

/// A sensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sensor {
    /// What names it on this host: `hwmon0/temp1`.
    pub id: String,
    /// What it is called: the chip, and the sensor's own label where it has one.
    pub name: String,
    /// Whether it counts the turns of a fan; else it tells a temperature.
    pub is_fan: bool,
    /// What it reads: thousandths of a degree Celsius, or turns a minute; `None` where it tells nothing now.
    pub value: Option<i64>,
}

/// A power supply.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Power {
    /// Its name: `BAT0`.
    pub name: String,
    /// `/sys/class/power_supply/NAME/uevent`
    pub uevent: String,
}

impl Power {
    fn field(&self, name: &str) -> Option<&str> {
        self.uevent.lines().find_map(|line| {
            let (key, value) = line.strip_prefix("POWER_SUPPLY_")?.split_once('=')?;
            (key == name).then_some(value)
        })
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.field(name)?.parse().ok()
    }
}

pub(crate) fn sensors(out: &mut Writer, all: &[Sensor]) {
    for (name, unit, is_fan, factor) in [("hw.temperature", "Cel", false, 0.001), ("hw.fan.speed", "rpm", true, 1.0)] {
        out.metric(name, unit, Shape::Gauge);
        for one in all.iter().filter(|one| one.is_fan == is_fan) {
            if let Some(value) = one.value {
                out.point(&[("hw.id", &one.id), ("hw.name", &one.name)], value as f64 * factor);
            }
        }
    }
}

pub(crate) fn power(out: &mut Writer, all: &[Power]) {
    out.metric("hw.battery.charge", "1", Shape::Gauge);
    for one in all {
        if let Some(percent) = one.number("CAPACITY") {
            out.point(&[("hw.id", &one.name), ("hw.type", "battery")], percent / 100.0);
        }
    }
    for (metric, unit, field) in [("hw.voltage", "V", "VOLTAGE_NOW"), ("hw.power", "W", "POWER_NOW")] {
        out.metric(metric, unit, Shape::Gauge);
        for one in all {
            if let Some(micro) = one.number(field) {
                out.point(&[("hw.id", &one.name), ("hw.type", kind(one))], micro / 1e6);
            }
        }
    }
    out.metric("hw.status", "1", Shape::UpDown);
    for one in all {
        let states: &[(&str, bool)] = match (one.number("ONLINE"), one.field("STATUS")) {
            (Some(online), _) => &[("ok", online > 0.0), ("failed", online <= 0.0)],
            (None, Some(status)) => &[
                ("charging", status == "Charging"),
                ("discharging", status == "Discharging"),
                ("full", status == "Full"),
            ],
            (None, None) => &[],
        };
        for (state, is) in states {
            out.point(&[("hw.id", &one.name), ("hw.type", kind(one)), ("hw.state", state)], u64::from(*is));
        }
    }
}

fn kind(power: &Power) -> &'static str {
    if power.field("TYPE") == Some("Battery") { "battery" } else { "power_supply" }
}

/// `life_time` of an eMMC tells tenths, of two kinds of its cells.
pub(crate) fn flash(out: &mut Writer, name: &str, life_time: &str) {
    let tenths = |word: &str| {
        u8::from_str_radix(word.trim_start_matches("0x"), 16).ok().filter(|tenth| (1..=11).contains(tenth))
    };
    if let Some(worst) = life_time.split_ascii_whitespace().filter_map(tenths).max() {
        out.metric("hw.physical_disk.endurance_utilization", "1", Shape::Gauge);
        out.point(&[("hw.id", name), ("hw.type", "physical_disk")], f64::from(worst) / 10.0);
    }
}
