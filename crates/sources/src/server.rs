//! Accepting connections, never more than allowed.

use std::rc::Rc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::Limits;

/// A connection's place in the count; given back when dropped.
pub(crate) struct Place(Rc<Limits>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
    }
}

/// The next connection. While all places are taken, producers wait in the kernel's queue.
pub(crate) async fn accept(listener: &TcpListener, limits: &Rc<Limits>) -> (TcpStream, Place) {
    loop {
        if limits.open.get() >= limits.connections {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                limits.open.set(limits.open.get() + 1);
                // Small answers must not wait for more; a socket that cannot do it still works.
                let _nagle_stays_on = stream.set_nodelay(true);
                return (stream, Place(Rc::clone(limits)));
            }
            // Out of file descriptors, or the peer is gone: neither ends the source.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
