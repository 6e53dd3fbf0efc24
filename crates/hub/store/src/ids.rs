//! The identity of a frame as a key: device number, epoch, lane, sequence.

use std::fmt;

use model::{Epoch, Lane};

/// The number of a device within one database: given out at first sight, never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct DeviceNumber(pub(crate) u32);

/// One lane of one life of a device: what sequences count in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Stream {
    /// The device.
    pub(crate) device: DeviceNumber,
    /// The life of its data directory.
    pub(crate) epoch: Epoch,
    /// The delivery class.
    pub(crate) lane: Lane,
}

/// The identity under which a frame is stored at most once (P8).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct FrameKey {
    /// Where the sequence counts.
    pub(crate) stream: Stream,
    /// The sequence.
    pub(crate) seq: u64,
}

impl fmt::Display for FrameKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { device, epoch, lane } = self.stream;
        write!(f, "device #{} epoch {epoch} lane {lane} sequence {}", device.0, self.seq)
    }
}

impl Stream {
    /// All streams of a device, in their order.
    pub(crate) fn of_device(device: DeviceNumber) -> std::ops::RangeInclusive<Self> {
        let (first, last) = (Lane::ALL.iter().min(), Lane::ALL.iter().max());
        let lane = |lane: Option<&Lane>| lane.copied().unwrap_or(Lane::Traces);
        Self { device, epoch: Epoch(0), lane: lane(first) }..=Self { device, epoch: Epoch(u64::MAX), lane: lane(last) }
    }

    /// Bytes of a stream's key.
    pub(crate) const LEN: usize = 4 + 8 + 1;

    /// The key: big-endian, so that keys sort like streams.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut key = [0; Self::LEN];
        key[..4].copy_from_slice(&self.device.0.to_be_bytes());
        key[4..12].copy_from_slice(&self.epoch.0.to_be_bytes());
        key[12] = self.lane.number();
        key
    }

    /// Reads a key; `None` when it is not one.
    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        let key: &[u8; Self::LEN] = key.try_into().ok()?;
        Some(Self {
            device: DeviceNumber(u32::from_be_bytes(key[..4].try_into().ok()?)),
            epoch: Epoch(u64::from_be_bytes(key[4..12].try_into().ok()?)),
            lane: Lane::from_number(u64::from(key[12]))?,
        })
    }
}

impl FrameKey {
    /// Bytes of a frame's key.
    pub(crate) const LEN: usize = Stream::LEN + 8;

    /// The key: big-endian, so that the frames of a stream lie in order.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut key = [0; Self::LEN];
        key[..Stream::LEN].copy_from_slice(&self.stream.to_bytes());
        key[Stream::LEN..].copy_from_slice(&self.seq.to_be_bytes());
        key
    }

    /// Reads a key; `None` when it is not one.
    pub(crate) fn from_bytes(key: &[u8]) -> Option<Self> {
        if key.len() != Self::LEN {
            return None;
        }
        let (stream, seq) = key.split_at(Stream::LEN);
        Some(Self { stream: Stream::from_bytes(stream)?, seq: u64::from_be_bytes(seq.try_into().ok()?) })
    }
}
