//! The page's way in and out: a form that takes a token, and a session in a cookie that no script can read.

use std::sync::Arc;

use ::access::audit::Kind;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};

use super::SignInError;
use super::doors::is_same_origin;
use crate::app::App;
use crate::places::Peer;
use crate::refusal::Refusal;

/// Largest form.
const MAX_FORM: usize = 4 << 10;

const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The routes of it.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/sign-in", get(form).post(enter)).route("/sign-out", post(leave))
}

fn page(status: StatusCode, said: &str) -> Response {
    let said = if said.is_empty() { String::new() } else { format!("<p role=\"alert\"><strong>{said}</strong></p>") };
    let text = format!(
        "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">
<title>Sign in to Lightship</title></head>
<body style=\"font: 16px/1.5 sans-serif; max-width: 28em; margin: 4em auto; padding: 0 1em\">
<h1>Lightship hub</h1>{said}
<form method=\"post\" action=\"/sign-in\">
<p><label for=\"token\">Your token</label><br>
<input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus
 style=\"font: inherit; width: 100%; box-sizing: border-box\"></p>
<p><button style=\"font: inherit\">Sign in</button></p></form>
<p>An operator of the hub makes tokens: <code>lightship-hub token add --data-dir DIR --name YOU --role viewer</code></p>
</body></html>
"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (status, headers, text).into_response()
}

fn go_to(place: &'static str, cookie: Option<String>) -> Response {
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

async fn form(State(app): State<Arc<App>>) -> Response {
    if app.doors.is_open() { go_to("/", None) } else { page(StatusCode::OK, "") }
}

/// A browser says where a form comes from; another page's would sign somebody in as somebody else.
fn is_foreign(request: &Request) -> bool {
    request.headers().contains_key(header::ORIGIN) && !is_same_origin(request.headers())
}

async fn enter(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    if is_foreign(&request) {
        return page(StatusCode::FORBIDDEN, "Another web page sent this form.");
    }
    let address = peer.address.ip();
    let body = match app.read_body(request, MAX_FORM).await {
        Ok(body) => body,
        Err(refusal) => {
            app.turn_away(&refusal, &peer, "/sign-in", None).await;
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            return page(status, "That form cannot be read.");
        }
    };
    let token = form_urlencoded::parse(&body.bytes).find(|(name, _)| name == "token").map(|(_, value)| value);
    let token = token.unwrap_or_default();
    match app.doors.sign_in(token.trim().as_bytes(), address) {
        Ok((secret, identity)) => {
            let said = format!("signed in as {}", identity.role.name());
            match app.doors.record(Kind::SignIn, (Some(&identity.name), address), said).await {
                Ok(()) => go_to("/", Some(app.doors.set_cookie(Some(&secret)))),
                Err(refusal) => page(StatusCode::SERVICE_UNAVAILABLE, &refusal.to_string()),
            }
        }
        Err(why) => {
            app.turn_away(&Refusal::Token, &peer, "/sign-in", None).await;
            let SignInError::Wait(wait_s) = why else {
                return page(StatusCode::UNAUTHORIZED, "This token is not known, has ended, or may not read.");
            };
            let mut response =
                page(StatusCode::TOO_MANY_REQUESTS, &format!("Too many wrong tokens. Try again in {wait_s} s."));
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
            response
        }
    }
}

async fn leave(State(app): State<Arc<App>>, Extension(peer): Extension<Arc<Peer>>, request: Request) -> Response {
    if is_foreign(&request) {
        return page(StatusCode::FORBIDDEN, "Another web page sent this form.");
    }
    if let Some(name) = app.doors.sign_out(request.headers()) {
        let done = app.doors.record(Kind::SignOut, (Some(&name), peer.address.ip()), "signed out".into()).await;
        if let Err(error) = done {
            app.log.say(crate::log::Kind::Disk, &error.to_string());
        }
    }
    go_to("/sign-in", Some(app.doors.set_cookie(None)))
}
