//! A file that is waited for, as a pipe or a device, read by a thread of its own: its mode stays as it is, since other programs may have
//! it open, too.

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;
use rustix::io::Errno;
use tokio::sync::mpsc;

/// The thread has one buffer, on the heap.
const STACK: usize = 64 << 10;
/// How often an idle thread looks whether anybody still waits.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// What is read, in the order in which it comes.
pub(crate) struct Waiting(mpsc::Receiver<io::Result<Vec<u8>>>);

impl Waiting {
    /// Reads `file`, at most so many bytes at once, until nobody waits any more. One read more than was asked for is ahead.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(file: impl AsFd + Send + 'static, name: &str, most: usize) -> io::Result<Self> {
        let (says, hears) = mpsc::channel(1);
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
        let _detached = thread.spawn(move || read(&file, &says, most))?;
        Ok(Self(hears))
    }

    /// What came next; nothing at the end.
    ///
    /// # Errors
    /// What the system says: nothing follows, unless it is that something was overwritten, or is not there yet.
    pub(crate) async fn next(&mut self) -> io::Result<Vec<u8>> {
        self.0.recv().await.unwrap_or_else(|| Ok(Vec::new()))
    }
}

fn read(file: &impl AsFd, says: &mpsc::Sender<io::Result<Vec<u8>>>, most: usize) {
    let mut buffer = vec![0; most];
    while !says.is_closed() {
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&LOOK)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => {
                let _gone = says.blocking_send(Err(error.into()));
                return;
            }
        }
        let read = rustix::io::read(file, &mut buffer).map(|length| buffer[..length].to_vec());
        let is_end = match &read {
            Ok(bytes) => bytes.is_empty(),
            // The kernel's log says so when records were overwritten, and goes on; others say that there is nothing after all.
            Err(error) => !matches!(*error, Errno::PIPE | Errno::AGAIN | Errno::INTR),
        };
        if says.blocking_send(read.map_err(Into::into)).is_err() || is_end {
            return;
        }
    }
}
