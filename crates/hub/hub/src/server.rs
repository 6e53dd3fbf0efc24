//! Listening, accepting with a bound on connections, TLS, time limits, and a graceful stop. Both ports use it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use model::Refusal as Reason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::app::App;
use crate::linger::Lingering;
use crate::log::Kind;
use crate::places::{Peer, Places, Seat};

/// Connections of one port at one time; beyond them the one that has been idle longest makes room.
const CONNECTIONS: usize = 1024;
/// How long a request's head may take; also how long an idle connection is kept.
const HEAD_TIME: Duration = Duration::from_secs(75);
/// How long a TLS handshake may take, on a slow link.
const HANDSHAKE_TIME: Duration = Duration::from_secs(30);
/// How long requests in flight may take after a stop was asked for.
const STOP_TIME: Duration = Duration::from_secs(3);
/// Between two tries to accept after the system refused one (it is out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The limits of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: CONNECTIONS, idle: HEAD_TIME }
    }
}

/// Serves `router` until `stop` turns true, then lets requests in flight end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<watch::Receiver<Arc<rustls::ServerConfig>>>,
    app: Arc<App>,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let places = Arc::new(Places::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, address)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let peer = match places.take(address) {
            Seat::Free(peer) => peer,
            Seat::Instead(peer) => {
                app.refused(Reason::IdleConnection);
                app.log.say_of(
                    Kind::Crowded,
                    "idle",
                    &format!("all {} connections of a port are taken: idle ones make room", limits.connections),
                );
                peer
            }
            Seat::None => {
                app.refused(Reason::TooManyConnections);
                app.log.say_of(
                    Kind::Crowded,
                    "full",
                    &format!("all {} connections of a port work: {address} is turned away", limits.connections),
                );
                continue;
            }
        };
        // A connection whose delays cannot be set works all the same.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: router.clone(),
            watcher: graceful.watcher(),
            peer: Arc::clone(&peer),
            app: Arc::clone(&app),
            limits,
        };
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(Arc::clone(&tls.borrow())));
        let (places, stop) = (Arc::clone(&places), stop.clone());
        tokio::spawn(async move {
            connection.run(stream, acceptor, stop).await;
            places.leave(&peer);
        });
    }
    drop(listener);
    // What is not done by then is cut off: its sender got no answer and sends it again.
    let _ = tokio::time::timeout(STOP_TIME, graceful.shutdown()).await;
}

struct Connection {
    router: Router,
    watcher: Watcher,
    peer: Arc<Peer>,
    app: Arc<App>,
    limits: Limits,
}

impl Connection {
    async fn run(self, stream: TcpStream, acceptor: Option<TlsAcceptor>, mut stop: watch::Receiver<bool>) {
        let Some(acceptor) = acceptor else { return self.talk(stream).await };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIME, acceptor.accept(stream)) => handshake,
            () = self.peer.is_over(self.limits.idle) => return,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match handshake {
            Ok(Ok(stream)) => self.talk(stream).await,
            Ok(Err(error)) => {
                let address = self.peer.address.ip();
                let line =
                    format!("{address}: no TLS: {error} (devices must trust the hub's ca.pem and use a name in it)");
                self.app.log.say_of(Kind::Identity, &address.to_string(), &line);
            }
            Err(_) => self.app.refused(Reason::TooSlow),
        }
    }

    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { router, watcher, peer, app, limits } = self;
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.idle);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.idle)
            .max_concurrent_streams(64)
            .max_header_list_size(16 << 10);
        let of_requests = Arc::clone(&peer);
        let service = tower_service_fn(router, of_requests);
        let stream = Watched { stream, peer: Arc::clone(&peer) };
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        tokio::select! {
            // How a connection ends is the peer's business; what it brought was answered.
            _ = watcher.watch(connection) => {}
            () = peer.is_over(limits.idle) => app.refused(Reason::IdleConnection),
        }
    }
}

/// The router with what each request needs to know of its connection.
fn tower_service_fn(router: Router, peer: Arc<Peer>) -> PeerService {
    PeerService { router, peer }
}

#[derive(Clone)]
struct PeerService {
    router: Router,
    peer: Arc<Peer>,
}

impl<B> tower_service::Service<axum::http::Request<B>> for PeerService
where
    B: http_body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = axum::response::Response;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: axum::http::Request<B>) -> Self::Future {
        let in_flight = self.peer.request();
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(Arc::clone(&self.peer));
        // A client that waits for "100 Continue" sends nothing after a refusal.
        let waits = parts.headers.contains_key(axum::http::header::EXPECT);
        let is_http1 = parts.version <= axum::http::Version::HTTP_11;
        let body = Body::new(Lingering::new(body, is_http1 && !waits));
        let request = axum::http::Request::from_parts(parts, body);
        let mut router = self.router.clone();
        Box::pin(async move {
            let answer = tower_service::Service::call(&mut router, request).await;
            drop(in_flight);
            answer
        })
    }
}

/// A stream that notes when bytes move.
struct Watched<S> {
    stream: S,
    peer: Arc<Peer>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.peer.moved();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        if matches!(polled, Poll::Ready(Ok(1..))) {
            self.peer.moved();
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
