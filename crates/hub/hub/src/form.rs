//! The parameters of a request as other tools' APIs take them: those of the address, and of a posted form.

use axum::extract::Request;
use store::query::Scope;

use crate::app::App;
use crate::refusal::Refusal;

/// The bytes of a posted form.
const MAX_FORM: usize = 1 << 20;

/// Names and values, which may repeat. Whoever asks sees what the scope allows.
#[derive(Debug)]
pub(crate) struct Form {
    pairs: Vec<(String, String)>,
    scope: Scope,
}

impl Form {
    /// The parameters of a request.
    ///
    /// # Errors
    /// [`Refusal`] when the body cannot be read or is too large.
    pub(crate) async fn read(request: Request, app: &App) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        let mut add = |bytes: &[u8]| pairs.extend(form_urlencoded::parse(bytes).into_owned());
        if let Some(query) = request.uri().query() {
            add(query.as_bytes());
        }
        let form = request.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        if form
            .is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
        {
            add(&app.read_body(request, MAX_FORM).await?.bytes);
        }
        // Who may ask at all sees everything, as in the hub's own API.
        Ok(Self { pairs, scope: Scope::whole_store() })
    }

    /// What may be seen by whoever asks.
    pub(crate) fn scope(&self) -> Scope {
        self.scope.clone()
    }

    /// The value of a parameter; an empty one counts as not given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may repeat.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.pairs.iter().filter(|(key, value)| key == name && !value.is_empty()).map(|(_, v)| v.as_str()).collect()
    }
}
