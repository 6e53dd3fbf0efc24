//! Certificates and tokens that are renewed on disk while a sink uses them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/proxy.rs"]
mod proxy;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use drain::SendError;
use model::{Refusal, Signal};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sinks::{Access, CredentialFiles, Credentials, HubSink, OtlpSink, Proxy, Route, file_valid_until, knock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// An authority, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.clone().self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for `localhost` and its key.
    fn signed(&self) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    /// A server that shows a certificate of this authority, and wants one of `clients`.
    fn server(&self, clients: &Authority) -> Arc<ServerConfig> {
        let (certificate, key) = self.signed();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(clients.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        Arc::new(config)
    }
}

/// Answers each connection's one request: a hub's greeting with 400, as a hub does that is told nothing, all else with success.
async fn serve(listener: TcpListener, config: Rc<RefCell<Arc<ServerConfig>>>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&config.borrow()));
        let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { break };
            head.push(byte);
        }
        let answer = if head.windows(5).any(|part| part == b"hello") { "400 x" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _gone = stream.write_all(answer.as_bytes()).await;
        let _gone = stream.shutdown().await;
    }
}

fn write(directory: &Path, name: &str, text: &str) {
    let beside = directory.join("beside");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, directory.join(name)).unwrap();
}

/// Tries until it is as wanted: files are looked at every few seconds.
async fn until(wanted: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("not in 10 s: {wanted}");
}

/// Scenario: a server that wants client certificates gets a certificate of another authority, and wants clients of another one; the files
/// are replaced one after the other, with junk and a key that does not fit in between. Guarantees: what does not fit holds the records
/// and is told; the next handshake uses what is on disk; what cannot be used leaves what was read before (D8, P3).
#[test]
fn d8_certificates_are_read_again() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let (old, new) = (Authority::new("old"), Authority::new("new"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint: sinks::Endpoint = format!("https://localhost:{}", address.port()).parse().unwrap();
        let server = Rc::new(RefCell::new(old.server(&old)));
        tokio::task::spawn_local(serve(listener, Rc::clone(&server)));

        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let show = |authority: &Authority| {
            let (certificate, key) = authority.signed();
            write(directory, "cert.pem", &certificate);
            write(directory, "key.pem", &key);
        };
        write(directory, "ca.pem", &old.pem);
        show(&old);
        let files = CredentialFiles {
            ca_file: Some(directory.join("ca.pem")),
            client: Some((directory.join("cert.pem"), directory.join("key.pem"))),
            ..CredentialFiles::default()
        };
        let credentials = Rc::new(Credentials::read(&files, true).unwrap());
        let access = Access {
            endpoint,
            credentials: Rc::clone(&credentials),
            route: Default::default(),
            timeout: Duration::from_secs(10),
        };
        let (mut sink, mut hub) = (OtlpSink::http(access.clone(), false, None), HubSink::new(access.clone()));
        sink.export(Signal::Logs, &[]).await.unwrap();
        hub.probe().await.unwrap();

        *server.borrow_mut() = new.server(&old);
        let error = sink.export(Signal::Logs, &[]).await.unwrap_err();
        assert!(matches!(error, SendError::Blocked { reason: Refusal::Unreachable, .. }), "{error}");
        assert!(error.to_string().contains("ca_file"), "{error}");
        write(directory, "ca.pem", "junk");
        until("junk is found", async || {
            let _still_blocked = sink.export(Signal::Logs, &[]).await.unwrap_err();
            credentials.faults().contains("ca.pem")
        })
        .await;
        write(directory, "ca.pem", &new.pem);
        until("the new authority is trusted", async || sink.export(Signal::Logs, &[]).await.is_ok()).await;
        assert_eq!(credentials.faults(), "");
        hub.probe().await.unwrap();

        *server.borrow_mut() = new.server(&new);
        let (direct, mut grpc) = (access.clone(), OtlpSink::grpc(access, None));
        for error in [sink.export(Signal::Logs, &[]).await.unwrap_err(), hub.probe().await.unwrap_err()] {
            assert!(matches!(error, SendError::Blocked { reason: Refusal::DestinationUnauthorized, .. }), "{error}");
            assert!(error.to_string().contains("cert_file"), "{error}");
        }
        let error = grpc.export(Signal::Logs, &[]).await.unwrap_err();
        assert!(error.to_string().contains("cert_file"), "{error}");
        // Between its two writes a renewer leaves a pair that does not fit.
        let (certificate, key) = new.signed();
        write(directory, "cert.pem", &certificate);
        until("the pair is found", async || {
            let _still_blocked = sink.export(Signal::Logs, &[]).await.unwrap_err();
            credentials.faults().contains("key.pem")
        })
        .await;
        write(directory, "key.pem", &key);
        until("the new certificate is shown", async || sink.export(Signal::Logs, &[]).await.is_ok()).await;
        hub.probe().await.unwrap();
        assert_eq!(credentials.faults(), "");

        // The same through a proxy, which sees nothing of it.
        let (proxy, _) = proxy::start(address).await;
        let route = Route::Proxy(Proxy::parse(&proxy.to_string(), "proxy").unwrap());
        let proxied = Access { route, ..direct };
        HubSink::new(proxied.clone()).probe().await.unwrap();
        let way = knock(&proxied).await;
        assert_eq!((way.host.as_str(), way.connected), ("127.0.0.1", Some(Ok(()))));
        let tls = way.tls.unwrap().unwrap();
        assert!(
            tls.version == "TLSv1_3" && matches!(tls.valid_until[..], [Some(until)] if until > 2_000_000_000),
            "{tls:?}"
        );
        assert!(file_valid_until(&directory.join("cert.pem")).unwrap().is_some());

        show(&old);
        until("the old one is shown again", async || sink.export(Signal::Logs, &[]).await.is_err()).await;
    });
}
