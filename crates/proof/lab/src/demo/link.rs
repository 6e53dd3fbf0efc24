//! The link between agent and hub: a TCP proxy on loopback that can be cut and restored.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up,
    /// Open connections are closed, and new ones at once.
    Refusing,
    /// Open connections are closed; new ones are taken and never answered, as by a network that loses every packet.
    Silent,
}

/// How a cut link treats new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Cut {
    /// They are closed at once
    Refuse,
    /// They are taken and never answered
    Silent,
}

/// A running link; it ends when it is dropped.
pub(crate) struct Link {
    /// Where the agent dials.
    pub(crate) address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    /// Opens a link to `far` on a free loopback port.
    pub(crate) async fn open(far: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot open a port for the link")?;
        let address = listener.local_addr()?;
        let (state, watched) = watch::channel(State::Up);
        let task = tokio::spawn(async move {
            loop {
                // A connection that could not be taken is the agent's to try again.
                if let Ok((near, _)) = listener.accept().await {
                    tokio::spawn(carry(near, far, watched.clone()));
                }
            }
        });
        Ok(Self { address, state, task })
    }

    /// Closes all connections, and treats new ones as told.
    pub(crate) fn cut(&self, how: Cut) {
        self.state.send_replace(match how {
            Cut::Refuse => State::Refusing,
            Cut::Silent => State::Silent,
        });
    }

    /// Lets connections through again. Those that got no answer are closed, as their packets would have expired.
    pub(crate) fn restore(&self) {
        self.state.send_replace(State::Up);
    }
}

async fn carry(mut near: TcpStream, far: SocketAddr, mut state: watch::Receiver<State>) {
    let at_first = *state.borrow_and_update();
    let exchange = async {
        match at_first {
            State::Up => {
                if let Ok(mut far) = TcpStream::connect(far).await {
                    // How the connection ends is the two programs' affair.
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                }
            }
            State::Refusing => {}
            State::Silent => std::future::pending().await,
        }
    };
    tokio::select! {
        () = exchange => {}
        _ = state.changed() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        address
    }

    /// Sends a byte and waits for it to come back; `None` when the connection is closed, an error when nothing comes.
    async fn ask(stream: &mut TcpStream) -> Result<Option<u8>, tokio::time::error::Elapsed> {
        // A closed connection shows when reading.
        let _ = stream.write_all(&[7]).await;
        timeout(Duration::from_millis(500), stream.read_u8()).await.map(Result::ok)
    }

    /// Scenario: bytes go through the link; it is cut in both ways and restored. Guarantees: a cut closes what is open;
    /// new connections are closed or get no answer, as told; after that they get through again.
    #[tokio::test]
    async fn a_cut_link_carries_nothing() {
        let link = Link::open(echo().await).await.unwrap();
        let mut before = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut before).await.unwrap(), Some(7));
        link.cut(Cut::Refuse);
        assert_eq!(ask(&mut before).await.unwrap(), None);
        let mut during = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut during).await.unwrap(), None);
        link.cut(Cut::Silent);
        let mut silent = TcpStream::connect(link.address).await.unwrap();
        assert!(ask(&mut silent).await.is_err());
        link.restore();
        assert_eq!(ask(&mut silent).await.unwrap(), None);
        let mut after = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(ask(&mut after).await.unwrap(), Some(7));
    }
}
