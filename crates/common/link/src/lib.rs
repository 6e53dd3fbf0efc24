//! The messages of the link between a device and its hub (docs/link.md), as CBOR arrays.
//!
//! Sans-IO: [`encode`] and [`decode`] turn messages into bytes and back; the shells carry them over HTTPS.
//! Fields are only ever appended: a reader ignores what it does not know and takes the default for what is not there.

use minicbor::{Decode, Encode};
use model::{Epoch, Lane, Stamp};

/// Path of the hello and heartbeat request.
pub const HELLO_PATH: &str = "/link/v0/hello";
/// Path of the request that carries blocks.
pub const BLOCKS_PATH: &str = "/link/v0/blocks";
/// The most bytes that one blocks request may have.
pub const MAX_BLOCKS_REQUEST: usize = 1 << 20;
/// Media type of every link message.
pub const CONTENT_TYPE: &str = "application/cbor";

/// Opens a connection, and repeats as a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hello {
    /// The device's configured name.
    #[n(0)]
    pub device: String,
    /// The epoch of the device's data directory.
    #[n(1)]
    pub epoch: u64,
    /// The clock of the device when it sent this.
    #[n(2)]
    pub stamp: ClockStamp,
    /// One entry for each lane that exists.
    #[n(3)]
    pub lanes: Vec<LaneHead>,
    /// The agent's version, for people.
    #[n(4)]
    pub version: String,
    /// In the device's configuration, what comes in is below a watermark of a hello at most so many milliseconds later, while
    /// the device is in contact: its waits for decisions, its commit and its heartbeat, with room. Absent: not told.
    #[n(5)]
    pub settles_ms: Option<u64>,
    /// The device ends in good order behind this message: that it is silent from then on is no fault.
    #[n(6)]
    pub stops: Option<bool>,
}

/// [`Stamp`] as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(array)]
pub struct ClockStamp {
    /// See [`Stamp::boot_id`].
    #[cbor(n(0), with = "minicbor::bytes")]
    pub boot_id: [u8; 16],
    /// See [`Stamp::uptime_ns`].
    #[n(1)]
    pub uptime_ns: u64,
    /// See [`Stamp::wall_ns`].
    #[n(2)]
    pub wall_ns: u64,
    /// See [`Stamp::synchronised`].
    #[n(3)]
    pub synchronised: bool,
}

impl From<Stamp> for ClockStamp {
    fn from(stamp: Stamp) -> Self {
        Self {
            boot_id: stamp.boot_id,
            uptime_ns: stamp.uptime_ns,
            wall_ns: stamp.wall_ns,
            synchronised: stamp.synchronised,
        }
    }
}

/// What a device has of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LaneHead {
    /// [`Lane::number`].
    #[n(0)]
    pub lane: u8,
    /// The next sequence that the device will give out in this lane; the first one ever is 1.
    #[n(1)]
    pub next: u64,
    /// The oldest sequence that the device still holds; equal to `next` when it holds none.
    #[n(2)]
    pub oldest: u64,
    /// Wall nanoseconds up to which everything received for this lane is committed under a sequence below `next`. It takes the
    /// place of what an earlier hello said, also when it is less: the device's clock was put right. 0: not known yet.
    #[n(3)]
    pub watermark_ns: u64,
}

/// The hub's answer to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct HelloAck {
    /// What the device has to do about its identity.
    #[n(0)]
    pub verdict: Verdict,
    /// For each lane of the hello: how far the hub has it.
    #[n(1)]
    pub lanes: Vec<LaneConfirmed>,
    /// The hub's wall clock, nanoseconds since the Unix epoch.
    #[n(2)]
    pub hub_wall_ns: u64,
    /// For how many seconds more an operator wants an incident window open on the device; absent: not (any more).
    #[n(3)]
    pub incident_s: Option<u32>,
}

/// What the device has to do about its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// Go on.
    #[n(0)]
    Ok,
    /// The hub has more of this epoch than the device ever gave out: open a new epoch.
    #[n(1)]
    NewEpoch,
    /// The hub lost what it had confirmed: replay what is held, declare a gap for the rest.
    #[n(2)]
    Behind,
}

/// How far the hub has one lane of the device's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LaneConfirmed {
    /// [`Lane::number`].
    #[n(0)]
    pub lane: u8,
    /// Every sequence below this one is stored (or known as a gap) at the hub.
    #[n(1)]
    pub next_expected: u64,
    /// [`short_digest`] of the frame `next_expected - 1`, where the hub has that frame and knows it. The device skips what the
    /// hub has only when its own frame of that sequence is the same one: a copy of its directory may have sent other frames.
    #[n(2)]
    pub digest: Option<u64>,
}

/// The first 8 bytes of a frame's digest, as [`LaneConfirmed::digest`] has them.
pub fn short_digest(digest: &[u8; 16]) -> u64 {
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// The hub's answer to a blocks request: one entry per block, in the request's order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BlocksAck {
    /// What became of each block.
    #[n(0)]
    pub blocks: Vec<BlockAck>,
}

/// What became of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BlockAck {
    /// The epoch of its frames.
    #[n(0)]
    pub epoch: u64,
    /// [`Lane::number`] of its frames.
    #[n(1)]
    pub lane: u8,
    /// The first sequence in it.
    #[n(2)]
    pub first: u64,
    /// The last sequence in it, inclusive.
    #[n(3)]
    pub last: u64,
    /// The outcome.
    #[n(4)]
    pub outcome: Outcome,
}

/// What the hub did with a block. All but [`Outcome::Corrupt`] are durable; all but that and [`Outcome::Quarantined`] move the
/// device's cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Outcome {
    /// Every frame of it is stored, at least one of them now.
    #[n(0)]
    Stored,
    /// Every frame of it was there already, with the same digest.
    #[n(1)]
    Duplicate,
    /// A frame of it has another digest than the one stored under its identity: kept aside and alarmed (P8).
    #[n(2)]
    Quarantined,
    /// Its checksum or its frames cannot be read: send it again from disk.
    #[n(3)]
    Corrupt,
    /// A frame of it is whole, but holds what the hub cannot read or what is more than it takes: kept aside, counted as lost, and
    /// not to be sent again.
    #[n(4)]
    Unreadable,
}

impl BlockAck {
    /// The lane, when its number is one.
    pub fn lane(&self) -> Option<Lane> {
        Lane::from_number(u64::from(self.lane))
    }

    /// The epoch as a typed value.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }
}

/// Why a message could not be read.
#[derive(Debug)]
pub struct MessageError(minicbor::decode::Error);

impl std::fmt::Display for MessageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a link message: {}", self.0)
    }
}

impl std::error::Error for MessageError {}

/// The message's bytes.
pub fn encode<T: Encode<()>>(message: &T) -> Vec<u8> {
    let mut out = Vec::new();
    // Writing to a Vec cannot fail, and none of our messages has an encoder that does.
    let written = minicbor::encode(message, &mut out);
    debug_assert!(written.is_ok());
    out
}

/// Reads a message; trailing bytes are ignored.
///
/// # Errors
/// [`MessageError`] when the bytes are not this message.
pub fn decode<'b, T: Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, MessageError> {
    minicbor::decode(bytes).map_err(MessageError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: each message goes through bytes. Guarantees: what the hub reads is what the device said (P3).
    #[test]
    fn messages_survive_the_way() {
        let hello = Hello {
            device: "vessel-1".into(),
            epoch: 7,
            stamp: ClockStamp { boot_id: [3; 16], uptime_ns: 5, wall_ns: 6, synchronised: true },
            lanes: vec![LaneHead { lane: 2, next: 10, oldest: 4, watermark_ns: 99 }],
            version: "0.1.0".into(),
            settles_ms: Some(27_500),
            stops: Some(true),
        };
        assert_eq!(decode::<Hello>(&encode(&hello)).unwrap(), hello);
        let ack = BlocksAck {
            blocks: vec![BlockAck { epoch: 1, lane: 2, first: 3, last: 4, outcome: Outcome::Quarantined }],
        };
        assert_eq!(decode::<BlocksAck>(&encode(&ack)).unwrap(), ack);
    }

    /// Scenario: an answer of a hub that knows no incident windows, and of one that has none to ask for. Guarantees: both are
    /// read as "none", and the bytes are the same.
    #[test]
    fn what_an_older_hub_does_not_say_is_not_asked_for() {
        #[derive(Encode)]
        #[cbor(array)]
        struct Older(#[n(0)] Verdict, #[n(1)] Vec<LaneConfirmed>, #[n(2)] u64);
        let bytes = encode(&Older(Verdict::Ok, Vec::new(), 7));
        let ack = HelloAck { verdict: Verdict::Ok, lanes: Vec::new(), hub_wall_ns: 7, incident_s: None };
        assert_eq!(decode::<HelloAck>(&bytes).unwrap(), ack);
        assert_eq!(encode(&ack), bytes);
    }

    /// Scenario: a hello of an agent that tells neither how long its records take to settle nor that it stops, and an answer of
    /// a hub that tells no digests; then today's messages, read by those that do not know these fields. Guarantees: what is not
    /// told is absent, what is not known is passed over, and nothing else changes (P3).
    #[test]
    fn u3_messages_of_the_version_before_are_read() {
        #[derive(Debug, PartialEq, Encode, Decode)]
        #[cbor(array)]
        struct OlderHello(#[n(0)] String, #[n(1)] u64, #[n(2)] ClockStamp, #[n(3)] Vec<LaneHead>, #[n(4)] String);
        #[derive(Debug, PartialEq, Encode, Decode)]
        #[cbor(array)]
        struct OlderLane(#[n(0)] u8, #[n(1)] u64);
        let lanes = vec![LaneHead { lane: 2, next: 10, oldest: 4, watermark_ns: 99 }];
        let older = || OlderHello("d".into(), 7, ClockStamp::default(), lanes.clone(), "0.1.0".into());
        let hello = decode::<Hello>(&encode(&older())).unwrap();
        assert_eq!((hello.settles_ms, hello.stops, hello.lanes.len()), (None, None, 1));
        let newer = Hello { settles_ms: Some(9), stops: Some(true), ..hello };
        assert_eq!(decode::<OlderHello>(&encode(&newer)).unwrap(), older());
        let lane = decode::<LaneConfirmed>(&encode(&OlderLane(2, 11))).unwrap();
        assert_eq!(lane, LaneConfirmed { lane: 2, next_expected: 11, digest: None });
        let newer = LaneConfirmed { digest: Some(short_digest(&[1; 16])), ..lane };
        assert_eq!(decode::<OlderLane>(&encode(&newer)).unwrap(), OlderLane(2, 11));
    }

    /// Scenario: bytes cut off anywhere. Guarantees: an error, never a panic or a wrong message.
    #[test]
    fn a_cut_message_is_an_error() {
        let ack = HelloAck {
            verdict: Verdict::Behind,
            lanes: vec![LaneConfirmed { lane: 1, next_expected: 1 << 40, digest: Some(u64::MAX) }],
            hub_wall_ns: 1,
            incident_s: Some(600),
        };
        let bytes = encode(&ack);
        for cut in 0..bytes.len() {
            assert!(decode::<HelloAck>(&bytes[..cut]).is_err());
        }
    }
}
