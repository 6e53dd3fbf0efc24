//! Compressed request bodies, by gzip (RFC 1952) or zstd (RFC 8878), with one compressor of a kind that stays while any sink has something to
//! send: its tables are 300 KiB, which would have to be cleared, and faulted in page by page, for each request, and held once for each sink.

use std::cell::RefCell;
use std::rc::Rc;

use flate2::{Compress, Compression, FlushCompress, Status};
use zstd::zstd_safe::{CCtx, CParameter};

/// No name, no time, the fastest compression, an unknown system (RFC 1952 section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 0xff];
/// Output grows by so much where the first guess was too small.
const MORE: usize = 4 << 10;
/// And by so much at a time where the body does not shrink.
const STEP: usize = 32 << 10;
/// zstd's parameters: matches in the last 256 KiB, in tables of 128 KiB together.
const PARAMETERS: [CParameter; 4] =
    [CParameter::CompressionLevel(3), CParameter::WindowLog(18), CParameter::HashLog(14), CParameter::ChainLog(14)];

/// How bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As every server takes them.
    Gzip,
    /// A quarter smaller, where the server takes it.
    Zstd,
}

impl Coding {
    /// Its name in `Content-Encoding` and `grpc-encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Zstd => "zstd",
        }
    }
}

enum Tool {
    Gzip(Box<Compress>),
    Zstd(CCtx<'static>),
}

/// The compressor that sinks have in common, and how many of them have something to send.
#[derive(Default)]
struct Shared {
    /// Made when it is first needed.
    tool: Option<Tool>,
    users: usize,
}

/// A sink's hold on the compressor; a clone is another one's.
pub struct Compressor {
    coding: Coding,
    shared: Rc<RefCell<Shared>>,
    /// Whether its sink is one of the users.
    uses: bool,
}

impl Clone for Compressor {
    fn clone(&self) -> Self {
        Self { coding: self.coding, shared: Rc::clone(&self.shared), uses: false }
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        self.release();
    }
}

impl Compressor {
    /// The first hold on a compressor.
    pub fn new(coding: Coding) -> Self {
        Self { coding, shared: Rc::default(), uses: false }
    }

    /// How it compresses.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Its sink has nothing to send: the memory is given back when that is so of all, until one needs it again.
    pub(crate) fn release(&mut self) {
        if std::mem::take(&mut self.uses) {
            let mut shared = self.shared.borrow_mut();
            shared.users -= 1;
            if shared.users == 0 {
                shared.tool = None;
            }
        }
    }

    /// A body, compressed; `None` where the compressor fails.
    pub(crate) fn compressed(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        let mut shared = self.shared.borrow_mut();
        shared.users += usize::from(!std::mem::replace(&mut self.uses, true));
        let tool = match &mut shared.tool {
            Some(tool) => tool,
            none => none.insert(Tool::new(self.coding)?),
        };
        match tool {
            Tool::Gzip(compress) => by_gzip(compress, body),
            Tool::Zstd(context) => by_zstd(context, body),
        }
    }
}

impl Tool {
    fn new(coding: Coding) -> Option<Self> {
        match coding {
            Coding::Gzip => Some(Tool::Gzip(Box::new(Compress::new(Compression::fast(), false)))),
            Coding::Zstd => {
                let mut context = CCtx::try_create()?;
                PARAMETERS.into_iter().try_for_each(|one| context.set_parameter(one).map(drop)).ok()?;
                Some(Tool::Zstd(context))
            }
        }
    }
}

fn by_gzip(compress: &mut Compress, body: &[u8]) -> Option<Vec<u8>> {
    compress.reset();
    // Telemetry shrinks to less than a quarter.
    let mut out = Vec::with_capacity(HEADER.len() + body.len() / 4 + MORE);
    out.extend_from_slice(&HEADER);
    loop {
        let taken = usize::try_from(compress.total_in()).ok()?;
        match compress.compress_vec(body.get(taken..)?, &mut out, FlushCompress::Finish).ok()? {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => out.reserve_exact(STEP),
        }
    }
    out.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    // Modulo 2^32, as the format has it.
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    Some(out)
}

fn by_zstd(context: &mut CCtx<'_>, body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(zstd::zstd_safe::compress_bound(body.len()));
    context.compress2(&mut out, body).ok()?;
    // A body that shrinks does not hold the room for one that does not.
    out.shrink_to_fit();
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// Scenario: bodies that are empty, small, large, compressible and not, one after the other. Guarantees: each inflates to what it was,
    /// with the right checksum, whatever came before it.
    #[test]
    fn bodies_survive() {
        let (mut gzip, mut zstd) = (Compressor::new(Coding::Gzip), Compressor::new(Coding::Zstd));
        let noise: Vec<u8> = (0..200_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for body in [&b""[..], b"x", &[7; 100_000], &noise, b"after", &noise[..5000]] {
            let compressed = gzip.compressed(body).unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(compressed.as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == body && (body.len() < 100 || compressed.len() < body.len() + 200));
            let compressed = zstd.compressed(body).unwrap();
            assert!(compressed.len() < body.len() + 200);
            assert_eq!(zstd::bulk::decompress(&compressed, body.len()).unwrap(), body);
        }
    }

    /// Scenario: two sinks compress in turn, and rest one after the other. Guarantees: they have one compressor, which is given back when the
    /// last one rests, is there again when one goes on, and does not stay when that one ends (P12).
    #[test]
    fn one_compressor_for_all_while_one_has_something_to_send() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let mut first = Compressor::new(coding);
            let mut second = first.clone();
            let is_held = |one: &Compressor| one.shared.borrow().tool.is_some();
            for _ in 0..2 {
                assert_eq!(first.compressed(b"one"), second.compressed(b"one"));
                first.release();
                first.release();
                assert!(is_held(&second));
                second.release();
                assert!(!is_held(&second));
            }
            let _body = second.clone().compressed(b"x");
            assert!(!is_held(&second));
        }
    }
}
