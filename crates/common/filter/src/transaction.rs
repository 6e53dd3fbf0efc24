//! `tx`: the transaction that a record is of, wherever it says so: an attribute, a header, or a member of W3C Baggage.

use regex_lite::{Regex, escape};

use crate::field::Field;
use crate::query::{Filter, Test};

/// Attributes that name a transaction.
pub const TRANSACTION_KEYS: [&str; 5] = ["flux_id", "flux.id", "transaction.id", "transaction_id", "tx_id"];
/// Headers that do, as OpenTelemetry names the attributes that hold them.
const HEADERS: [&str; 2] = ["http.request.header.x-flux-id", "http.request.header.x-transaction-id"];
/// Attributes that hold baggage.
const BAGGAGE: [&str; 2] = ["baggage", "http.request.header.baggage"];

/// Whether `tx` looks at an attribute.
pub fn is_transaction_key(key: &str) -> bool {
    TRANSACTION_KEYS.iter().chain(&HEADERS).chain(&BAGGAGE).any(|one| *one == key)
}

/// What records of a transaction pass: one with this id under `keys`, or under the usual ones where there are none.
pub fn transaction(id: &str, keys: &[&str]) -> Filter {
    let usual = keys.is_empty();
    let keys = if usual { &TRANSACTION_KEYS[..] } else { keys };
    let attribute = |key: &&str| Filter::Field(Field::Attribute((*key).to_owned()), Test::Equals(id.to_owned()));
    let mut ways: Vec<Filter> = keys.iter().map(attribute).collect();
    let id = escape(id);
    let names = keys.iter().map(|key| escape(key)).collect::<Vec<_>>().join("|");
    // A header's attribute is a list of its values.
    let header = format!("(^|\"){id}(\"|$)");
    let member = format!("(^|[,\"\\s])({names})\\s*=\\s*{id}\\s*([,;\"]|$)");
    let headers = HEADERS.iter().filter(|_| usual).map(|key| (*key, &header));
    for (key, pattern) in headers.chain(BAGGAGE.iter().map(|key| (*key, &member))) {
        // Escaped texts of bounded length always compile.
        if let Ok(pattern) = Regex::new(pattern) {
            ways.push(Filter::Field(Field::Attribute(key.to_owned()), Test::Matches(pattern)));
        }
    }
    Filter::Or(ways)
}

/// Records that name a transaction.
pub(crate) fn any_transaction() -> Filter {
    let keys = TRANSACTION_KEYS.iter().chain(&HEADERS);
    Filter::Or(keys.map(|key| Filter::Exists(Field::Attribute((*key).to_owned()))).collect())
}
