//! Sockets of sources beside OTLP's: bound before the disk is touched.

use std::net::SocketAddr;

use config::Config;
use tokio::net::UdpSocket;

use crate::error::{StartError, start_error};
use crate::listeners::{Bound, bind};

/// A socket for datagrams, and where it listens.
pub(crate) struct Datagrams {
    #[cfg_attr(
        not(any(feature = "source-syslog", feature = "source-statsd")),
        allow(dead_code, reason = "this build takes no datagrams")
    )]
    pub(crate) socket: UdpSocket,
    pub(crate) address: SocketAddr,
}

/// Bound sockets.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) syslog_udp: Option<Datagrams>,
    pub(crate) syslog_tcp: Option<Bound>,
    pub(crate) statsd: Option<Datagrams>,
}

impl Sockets {
    /// Binds what the configuration names.
    ///
    /// # Errors
    /// [`StartError`] with the key and the address.
    pub(crate) async fn bind(config: &Config) -> Result<Self, StartError> {
        let mut sockets = Self::default();
        if let Some(source) = &config.sources.syslog {
            let (udp, tcp) = source.addresses();
            if let Some(address) = udp {
                sockets.syslog_udp = Some(datagrams("sources.syslog.udp", address).await?);
            }
            if let Some(address) = tcp {
                sockets.syslog_tcp = Some(bind("sources.syslog.tcp", address).await?);
            }
        }
        if let Some(source) = &config.sources.statsd {
            sockets.statsd = Some(datagrams("sources.statsd.udp", source.udp).await?);
        }
        Ok(sockets)
    }

    /// Where each listens, by its name in `addresses.json`.
    pub(crate) fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let udp = self.syslog_udp.as_ref().map(|bound| ("syslog_udp", bound.address));
        let tcp = self.syslog_tcp.as_ref().map(|(_, address)| ("syslog_tcp", *address));
        let statsd = self.statsd.as_ref().map(|bound| ("statsd", bound.address));
        udp.into_iter().chain(tcp).chain(statsd).collect()
    }
}

async fn datagrams(what: &str, address: SocketAddr) -> Result<Datagrams, StartError> {
    let fail = |error: std::io::Error| {
        start_error(format!(
            "{what}: cannot listen on {address}: {error}; is another program there? choose another port"
        ))
    };
    let socket = UdpSocket::bind(address).await.map_err(fail)?;
    let address = socket.local_addr().map_err(fail)?;
    Ok(Datagrams { socket, address })
}
