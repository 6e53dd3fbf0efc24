//! The web UI: embedded when it was built before the hub, else a page that says how to build it.

use std::sync::Arc;

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::app::App;

#[cfg(has_ui)]
static DIST: include_dir::Dir<'_> = include_dir::include_dir!("$CARGO_MANIFEST_DIR/../../../ui/dist");

/// What `GET /` answers in a hub that was built without the UI.
#[cfg(not(has_ui))]
const NO_UI: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Lightship hub</title></head>
<body style=\"font: 16px/1.5 sans-serif; max-width: 40em; margin: 4em auto\">
<h1>Lightship hub</h1>
<p>This hub runs, but it was built without its web page. To have it:</p>
<pre>cargo xtask ui
cargo build -p lightship-hub</pre>
<p>The API works without it: <a href=\"/api/v0/devices\">/api/v0/devices</a>,
<a href=\"/api/v0/traces\">/api/v0/traces</a>, <a href=\"/metrics\">/metrics</a>; docs/hub-api.md lists all of it.</p>
</body></html>
";

/// The routes of the UI.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page)).route("/{*path}", get(page).fallback(no_such_path))
}

/// Everything but styles, scripts and pictures of our own is forbidden to the page.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'";

#[cfg(not(has_ui))]
async fn page(uri: Uri) -> Response {
    if uri.path() == "/" { html(NO_UI.as_bytes()) } else { no_such_path().await }
}

/// Whether a path is a place inside the page: it has no dot and no slash, so that an API that is not here says so.
#[cfg(has_ui)]
fn is_place(path: &str) -> bool {
    !path.contains(['.', '/']) && !matches!(path, "api" | "loki" | "metrics" | "v1" | "healthz" | "readyz")
}

#[cfg(has_ui)]
async fn page(uri: Uri) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = DIST.get_file(path).filter(|_| path != "index.html") {
        // Vite puts a hash of the content into the names below assets/.
        let cache =
            if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "public, max-age=300" };
        let headers = [
            (header::CONTENT_TYPE, content_type(path)),
            (header::CACHE_CONTROL, cache),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        return (headers, file.contents()).into_response();
    }
    // Paths without a file are places inside the page.
    match DIST.get_file("index.html") {
        Some(index) if is_place(path) => html(index.contents()),
        _ => no_such_path().await,
    }
}

async fn no_such_path() -> Response {
    let body =
        json!({"error": "no such path", "hint": "docs/hub-api.md lists the paths of this API; the page is at /"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

fn html(content: &'static [u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content).into_response()
}

#[cfg(any(has_ui, test))]
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "wasm" => "application/wasm",
        "txt" => "text/plain; charset=utf-8",
        "webmanifest" => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::content_type;

    /// Scenario: what Vite puts into `dist`. Guarantees: browsers take scripts and styles for what they are.
    #[test]
    fn assets_have_their_types() {
        assert_eq!(content_type("assets/index-BxZ1.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("assets/index-3f.css"), "text/css; charset=utf-8");
        assert_eq!(content_type("favicon.svg"), "image/svg+xml");
        assert_eq!(content_type("LICENSE"), "application/octet-stream");
    }
}
