//! The forms of which packets are made (section 1.5), and their properties (2.2.2).

/// Behind the bytes of a packet as far as they are read. Nothing is given where they end too early.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub(crate) fn two(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(crate) fn four(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    /// A text, or binary data: both have their length before them.
    pub(crate) fn binary(&mut self) -> Option<&'a [u8]> {
        let length = self.two()?;
        self.bytes(usize::from(length))
    }

    pub(crate) fn variable(&mut self) -> Option<usize> {
        let (length, used) = variable(self.0)??;
        self.0 = self.0.get(used..)?;
        Some(length)
    }
}

/// A variable byte integer at the beginning of bytes, and how many it takes. The outer `None`: it is none; the inner one: it does not end.
pub(crate) fn variable(bytes: &[u8]) -> Option<Option<(usize, usize)>> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(Some((value, place + 1)));
        }
    }
    if bytes.len() < 4 { Some(None) } else { None }
}

/// A property that the client heeds, or one that it does not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Property<'a> {
    ReasonString(&'a [u8]),
    ReceiveMaximum(u16),
    MaximumQos(u8),
    MaximumPacketSize(u32),
    TopicAliasMaximum(u16),
    ServerKeepAlive(u16),
    Other,
}

/// The properties that come next; `None` where they are none.
pub(crate) fn properties<'a>(fields: &mut Fields<'a>) -> Option<Vec<Property<'a>>> {
    let length = fields.variable()?;
    let mut inner = Fields(fields.bytes(length)?);
    let mut all = Vec::new();
    while !inner.is_empty() {
        all.push(match inner.byte()? {
            0x1f => Property::ReasonString(inner.binary()?),
            0x21 => Property::ReceiveMaximum(inner.two().filter(|most| *most > 0)?),
            0x24 => Property::MaximumQos(inner.byte()?),
            0x27 => Property::MaximumPacketSize(inner.four().filter(|most| *most > 0)?),
            0x22 => Property::TopicAliasMaximum(inner.two()?),
            0x13 => Property::ServerKeepAlive(inner.two()?),
            id => {
                skip(id, &mut inner)?;
                Property::Other
            }
        });
    }
    Some(all)
}

/// Goes past a property that is not heeded.
fn skip(id: u8, fields: &mut Fields<'_>) -> Option<()> {
    match id {
        0x01 | 0x17 | 0x19 | 0x25 | 0x28 | 0x29 | 0x2a => fields.bytes(1)?,
        0x23 => fields.bytes(2)?,
        0x02 | 0x11 | 0x18 => fields.bytes(4)?,
        0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1a | 0x1c => fields.binary()?,
        0x0b => {
            fields.variable()?;
            &[]
        }
        0x26 => {
            fields.binary()?;
            fields.binary()?
        }
        _ => return None,
    };
    Some(())
}

pub(crate) fn put_variable(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let more = value > 0x7f;
        out.push((value & 0x7f) as u8 | if more { 0x80 } else { 0 });
        if !more {
            return;
        }
        value >>= 7;
    }
}

/// A text, or binary data. One of more than 65,535 bytes is cut there: no caller has one.
pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&bytes[..usize::from(length)]);
}

/// A packet of these contents.
pub(crate) fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 5);
    out.push(first);
    put_variable(&mut out, length);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}
