//! The way to each destination, step by step, and whether it takes what would come.

use std::net::IpAddr;

use config::Config;
use drain::SendError;
use model::Refusal;
use sinks::{Access, Knock, Route, Tls, file_valid_until, knock};

use super::finding::Diagnosis;
use crate::consumers::{Consumer, consumers};
use crate::outlets::{Outlet, Sink, outlets};

/// Certificates that end within so many days are told.
const SOON_DAYS: u64 = 14;
const DAY_S: u64 = 86_400;

/// Looks at one destination, the only one of this configuration; the ways of its signals that take what comes.
pub(super) async fn look(config: &Config, now_s: u64, all: &mut Diagnosis) -> Vec<(Consumer, Outlet)> {
    let outlets = match outlets(config) {
        Ok(outlets) => outlets,
        Err(error) => {
            all.bad(
                "configuration",
                error.to_string(),
                "correct the key, or put the file there and let the agent's user read it",
            );
            return Vec::new();
        }
    };
    let (mut seen, mut good): (Vec<(String, bool)>, _) = (Vec::new(), Vec::new());
    for (consumer, mut outlet) in consumers(config).into_iter().zip(outlets) {
        let about = format!("destination {}", consumer.name);
        if let Some(access) = &outlet.access {
            let (place, route) = place(access);
            let known = seen.iter().find(|(known, _)| *known == place).map(|(_, is_open)| *is_open);
            let is_open = match known {
                Some(is_open) => is_open,
                None => {
                    let about = format!("destination {}", config.destinations[consumer.destination].name);
                    all.good(&about, route);
                    let is_open = way(&about, &knock(access).await, now_s, all);
                    seen.push((place, is_open));
                    is_open
                }
            };
            if !is_open {
                continue;
            }
        }
        let outcome = match (&mut outlet.sink, consumer.signal) {
            (Sink::Hub(sink), _) => sink.probe().await,
            #[cfg(feature = "signal-sinks")]
            (Sink::Exporter(sink), Some(signal)) => sink.export(signal, &[]).await.map(drop),
            #[cfg(feature = "signal-sinks")]
            (Sink::Exporter(_), None) => Ok(()),
        };
        match outcome {
            Ok(()) => {
                all.good(&about, "answers, and takes what this device sends");
                good.push((consumer, outlet));
            }
            Err(error) => all.bad(&about, error.to_string(), fix(&error)),
        }
    }
    for destination in config.destinations.iter().filter(|one| one.cert_file.is_some()) {
        let Some(Ok(Some(until))) = destination.cert_file.as_deref().map(file_valid_until) else { continue };
        let about = format!("destination {}: cert_file", destination.name);
        dates(&about, "this device's certificate", until, now_s, all);
    }
    good
}

/// Where it goes, and through what, in words.
fn place(access: &Access) -> (String, String) {
    let scheme = if access.endpoint.tls { "https" } else { "http" };
    let there = format!("{scheme}://{}", access.endpoint.authority());
    let route = match &access.route {
        Route::Direct => format!("{there}, without a proxy"),
        Route::Proxy(proxy) => format!("{there} through the proxy {proxy}"),
        Route::Unusable(_) => there.clone(),
    };
    (format!("{there} {route}"), route)
}

/// Tells how far a knock went; whether to the end.
fn way(about: &str, knock: &Knock, now_s: u64, all: &mut Diagnosis) -> bool {
    let Knock { host, addresses, connected, tls } = knock;
    match addresses {
        Ok(addresses) if host.parse::<IpAddr>().is_err() => all.good(about, format!("{host} is {}", addresses.join(", "))),
        Ok(_) => {}
        Err(why) => all.bad(
            about,
            format!("the name {host} cannot be looked up: {why}"),
            "check the name, /etc/resolv.conf and whether the network is up; where only a proxy knows the name, set proxy",
        ),
    }
    match connected {
        Some(Ok(())) => all.good(about, "a connection comes about"),
        Some(Err(error)) => all.bad(about, error.to_string(), fix(error)),
        None => {}
    }
    match tls {
        Some(Ok(Tls { version, valid_until })) => {
            all.good(about, format!("TLS: {version}, {} certificates, of this name and trusted", valid_until.len()));
            if let Some(until) = valid_until.iter().flatten().min() {
                dates(about, "the server's certificate", *until, now_s, all);
            }
        }
        Some(Err(error)) => all.bad(about, error.to_string(), fix(error)),
        None => {}
    }
    matches!(connected, Some(Ok(()))) && !matches!(tls, Some(Err(_)))
}

/// Tells how long a certificate is valid.
fn dates(about: &str, what: &str, until_s: u64, now_s: u64, all: &mut Diagnosis) {
    let day = query::time::rfc3339(until_s.saturating_mul(1_000_000_000), 0);
    let renew = "renew it; a file that is replaced is read again by itself";
    match until_s.saturating_sub(now_s) / DAY_S {
        _ if until_s <= now_s => all.bad(about, format!("{what} ended on {day}"), renew),
        left if left < SOON_DAYS => all.warning(about, format!("{what} ends in {left} days, on {day}"), renew),
        left => all.good(about, format!("{what} is valid for {left} more days, until {day}")),
    }
}

/// What to do about a failure.
pub(super) fn fix(error: &SendError) -> &'static str {
    match error.reason() {
        Refusal::DestinationUnauthorized => {
            "give it what the server knows: token_file, headers, cert_file and key_file; or the proxy its user"
        }
        Refusal::SignalNotTaken => "correct url, signal_urls or protocol, or take this signal out of signals",
        Refusal::NotAnExportResponse => {
            "something else answers: a captive portal (log in), a proxy (set proxy), or another server (correct url); curl -v shows it"
        }
        Refusal::Redirected => "set url to where the server sends; a portal that redirects wants somebody to log in",
        Refusal::Throttled | Refusal::FailedStatus => "wait, and look at the server; the agent tries again by itself",
        Refusal::TimedOut | Refusal::CutOff => {
            "look for a firewall or a full link on the way; raise timeout where the link is slow"
        }
        Refusal::Unreachable => {
            "see whether the server listens there and a firewall lets this device through; for certificates ca_file, the name in url, and \
             this machine's clock"
        }
        _ => "correct url and protocol; the server's own log says more",
    }
}
