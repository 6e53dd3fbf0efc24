//! A row of the intake keyspace: a frame as it came, with its place in the order of intake.

/// A row of the intake keyspace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IntakeRow<'a> {
    pub(crate) order: u64,
    pub(crate) received_ns: u64,
    pub(crate) digest: [u8; 16],
    pub(crate) frame: &'a [u8],
}

const INTAKE_VERSION: u8 = 0;

impl<'a> IntakeRow<'a> {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut row = Vec::with_capacity(1 + 8 + 8 + 16 + self.frame.len());
        row.push(INTAKE_VERSION);
        row.extend_from_slice(&self.order.to_be_bytes());
        row.extend_from_slice(&self.received_ns.to_be_bytes());
        row.extend_from_slice(&self.digest);
        row.extend_from_slice(self.frame);
        row
    }

    pub(crate) fn from_bytes(row: &'a [u8]) -> Option<Self> {
        let (version, row) = row.split_first()?;
        let (order, row) = row.split_first_chunk::<8>()?;
        let (received, row) = row.split_first_chunk::<8>()?;
        let (digest, frame) = row.split_first_chunk::<16>()?;
        (*version == INTAKE_VERSION).then(|| Self {
            order: u64::from_be_bytes(*order),
            received_ns: u64::from_be_bytes(*received),
            digest: *digest,
            frame,
        })
    }
}
