//! The sockets of the program: bound before the disk is touched, so that a port in use is found first.

use std::net::SocketAddr;
use std::rc::Rc;

use config::Config;
use sources::{Intake, Limits};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::{StartError, start_error};

/// What is taken on the port of OTLP over HTTP beside it.
#[cfg(feature = "source-otlp-http")]
pub(crate) use sources::Beside;

/// This build has no such port.
#[cfg(not(feature = "source-otlp-http"))]
pub(crate) type Beside = ();

/// A bound socket, and where it listens.
pub(crate) type Bound = (TcpListener, SocketAddr);

/// The sockets, bound.
pub(crate) struct Listeners {
    admin: Bound,
    grpc: Option<Bound>,
    http: Option<Bound>,
}

/// Sources that serve.
pub(crate) struct Serving {
    /// Their tasks.
    pub(crate) tasks: Vec<JoinHandle<()>>,
    /// Where OTLP over gRPC is taken.
    pub(crate) grpc: Option<SocketAddr>,
    /// Where OTLP over HTTP is taken.
    pub(crate) http: Option<SocketAddr>,
    /// The socket of the admin endpoint, which does not serve yet.
    pub(crate) admin: Bound,
}

impl Listeners {
    /// Binds what the configuration names.
    pub(crate) async fn bind(config: &Config) -> Result<Self, StartError> {
        let admin = bind("admin.listen", config.admin.listen).await?;
        let (mut grpc, mut http) = (None, None);
        if let Some(otlp) = &config.sources.otlp {
            if let Some(address) = otlp.grpc {
                grpc = Some(bind("sources.otlp.grpc", address).await?);
            }
            if let Some(address) = otlp.http {
                http = Some(bind("sources.otlp.http", address).await?);
            }
        }
        Ok(Self { admin, grpc, http })
    }

    /// Lets requests in.
    pub(crate) fn serve(self, intake: &Intake, limits: &Rc<Limits>, beside: Beside) -> Result<Serving, StartError> {
        let address = |bound: &Option<Bound>| bound.as_ref().map(|(_, address)| *address);
        let (grpc, http) = (address(&self.grpc), address(&self.http));
        let mut tasks = Vec::new();
        if let Some((listener, _)) = self.grpc {
            tasks.push(serve_grpc(listener, intake, limits)?);
        }
        if let Some((listener, _)) = self.http {
            tasks.push(serve_http(listener, intake, limits, beside)?);
        }
        Ok(Serving { tasks, grpc, http, admin: self.admin })
    }
}

/// Binds one.
pub(crate) async fn bind(what: &str, address: SocketAddr) -> Result<Bound, StartError> {
    let fail = |error: std::io::Error| {
        start_error(format!(
            "{what}: cannot listen on {address}: {error}; is another program there? choose another port"
        ))
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let bound = listener.local_addr().map_err(fail)?;
    Ok((listener, bound))
}

#[cfg(feature = "source-otlp-grpc")]
fn serve_grpc(listener: TcpListener, intake: &Intake, limits: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Ok(tokio::task::spawn_local(sources::serve_grpc(listener, Rc::clone(intake), Rc::clone(limits))))
}

#[cfg(not(feature = "source-otlp-grpc"))]
fn serve_grpc(_: TcpListener, _: &Intake, _: &Rc<Limits>) -> Result<JoinHandle<()>, StartError> {
    Err(start_error("sources.otlp.grpc: this build has no OTLP/gRPC intake (cargo feature source-otlp-grpc)"))
}

#[cfg(feature = "source-otlp-http")]
fn serve_http(
    listener: TcpListener,
    intake: &Intake,
    limits: &Rc<Limits>,
    beside: Beside,
) -> Result<JoinHandle<()>, StartError> {
    Ok(tokio::task::spawn_local(sources::serve_http(listener, Rc::clone(intake), Rc::clone(limits), beside)))
}

#[cfg(not(feature = "source-otlp-http"))]
fn serve_http(_: TcpListener, _: &Intake, _: &Rc<Limits>, (): Beside) -> Result<JoinHandle<()>, StartError> {
    Err(start_error("sources.otlp.http: this build has no OTLP/HTTP intake (cargo feature source-otlp-http)"))
}
