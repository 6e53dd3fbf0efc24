//! The real program where a proxy stands between it and its destinations.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Output};

use support::PROGRAM;
use support::server::Server;

/// `lightship check` with these destinations and variables.
fn check(destinations: &str, variables: &[(&str, &str)], more: &[&str]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("lightship.yaml");
    let data_dir = directory.path().join("data");
    let text = format!(
        "version: 0\ndevice: {{ id: test-1 }}\ndata_dir: {}\ndestinations:\n{destinations}",
        data_dir.display()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(PROGRAM);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_ascii_uppercase());
    }
    command.envs(variables.iter().copied()).arg("check").arg("--config").arg(&file).args(more);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// Scenario: proxies by configuration and by the environment, exceptions, none, ones that cannot be used. Guarantees: `check` says which
/// one each destination uses, without passwords; nothing is ignored without a word (D9).
#[test]
fn d9_check_says_which_proxy_is_used() {
    let destinations = "  - { name: hub, type: hub, url: 'http://hub.example' }\n  - { name: set, type: otlp, url: \
                        'http://a.example', proxy: 'http://u:unseen@p.example:3128' }\n  - { name: none, type: otlp, url: \
                        'http://b.example', proxy: none }\n  - { name: near, type: otlp, url: 'http://near.example' }\n";
    let variables = [("HTTP_PROXY", "http://me:hidden@q.example:8080"), ("NO_PROXY", "near.example")];
    let (code, said) = check(destinations, &variables, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("destination hub: hub.example:80 through the proxy http://q.example:8080 (HTTP_PROXY)"),
        "{said}"
    );
    assert!(said.contains("destination set: a.example:80 through the proxy http://p.example:3128 (proxy)"), "{said}");
    assert!(!said.contains("destination none") && !said.contains("destination near"), "{said}");
    assert!(!said.contains("unseen") && !said.contains("hidden"), "{said}");
    let (code, said) =
        check("  - { name: hub, type: hub, url: 'http://hub.example' }\n", &[("all_proxy", "socks5://s:1")], &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all_proxy: a proxy of the kind socks5 is not supported"), "{said}");
    for bad in [
        "proxy: 'socks5://s:1'",
        "proxy: 'http://'",
        "proxy_password_file: /nowhere",
        "proxy: 'http://u@p:1', proxy_password_file: /nowhere",
    ] {
        let (code, said) = check(&format!("  - {{ name: hub, type: hub, url: 'http://h', {bad} }}\n"), &[], &[]);
        assert!(code == Some(2) && said.contains("destination hub: proxy"), "{said}");
    }
}

/// Scenario: a proxy of the environment wants a password that it does not get. Guarantees: `check --connect` says that it is the proxy, and
/// what to do (D9).
#[test]
fn d9_a_proxy_of_the_environment_is_asked() {
    let proxy = Server::start(|_| (407, String::new(), b"who are you?".to_vec()));
    let destinations = "  - { name: backend, type: otlp, url: 'http://backend.invalid:4318', signals: [logs] }\n";
    let (code, said) = check(destinations, &[("http_proxy", &proxy.address.to_string())], &["--connect"]);
    assert_eq!(code, Some(1), "{said}");
    let wanted = format!("destination backend.logs: the proxy http://{} (http_proxy) answers 407", proxy.address);
    assert!(said.contains(&wanted) && said.contains("who are you?; it wants a user and a password"), "{said}");
    assert!(proxy.seen().iter().all(|seen| seen.head.starts_with("CONNECT backend.invalid:4318 HTTP/1.1")));
}
