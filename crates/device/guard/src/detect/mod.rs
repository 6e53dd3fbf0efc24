//! Values found by their form. Each detector calls `found` with the ranges of a text that hold a value, in ascending order.

mod card;
mod credentials;
pub(crate) mod encoded;
mod network;
mod runs;
mod structured;

use std::ops::Range;

use crate::class::Class;

pub(crate) use card::{is_card_number, is_name_of_id};
pub(crate) use credentials::is_secret_name;
pub(crate) use runs::Runs;

/// Calls `found` with every range of a text, which has these runs, that holds a value of this class.
pub(crate) fn each(class: Class, text: &[u8], runs: &Runs, found: &mut dyn FnMut(Range<usize>)) {
    match class {
        Class::Pan => card::each(text, found),
        Class::Jwt => credentials::each_jwt(text, runs, found),
        Class::Authorization => credentials::each_authorization(text, found),
        Class::CloudKey => credentials::each_cloud_key(text, runs, found),
        Class::Pem => credentials::each_pem(text, found),
        Class::Assignment => credentials::each_assignment(text, found),
        Class::UrlUserInfo => structured::each_user_info(text, found),
        Class::Iban => structured::each_iban(text, found),
        Class::Email => network::each_email(text, found),
        Class::Ipv4 => network::each_ipv4(text, found),
        Class::Ipv6 => network::each_ipv6(text, found),
        Class::Mac => network::each_mac(text, found),
        Class::Phone => network::each_phone(text, found),
        Class::UrlQuery => structured::each_query_value(text, found),
        Class::Sql => structured::each_sql_literal(text, found),
        Class::Dump => encoded::each_dump(text, runs, found),
    }
}

/// The byte at a place; 0 outside of the text.
fn at(text: &[u8], place: usize) -> u8 {
    text.get(place).copied().unwrap_or(0)
}

/// The byte before a place; 0 at the start.
fn before(text: &[u8], place: usize) -> u8 {
    place.checked_sub(1).map_or(0, |place| at(text, place))
}

/// Where the run of bytes that starts at `from` and fits ends.
fn run_end(text: &[u8], from: usize, fits: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len())
}

/// Where the run of bytes that ends before `to` and fits starts.
fn run_start(text: &[u8], to: usize, fits: impl Fn(u8) -> bool) -> usize {
    text.get(..to).unwrap_or_default().iter().rposition(|byte| !fits(*byte)).map_or(0, |place| place + 1)
}

/// Where `wanted` stands at or after `from`.
fn find(text: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let first = wanted.first()?;
    let mut place = from;
    loop {
        place += text.get(place..)?.iter().position(|byte| byte == first)?;
        if text.get(place..)?.starts_with(wanted) {
            return Some(place);
        }
        place += 1;
    }
}
