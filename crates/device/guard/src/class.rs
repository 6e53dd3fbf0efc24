//! The classes of values that are found by their form.

/// A class of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Class {
    /// Numbers of payment cards, with the tracks of their magnetic stripes.
    Pan,
    /// JSON web tokens.
    Jwt,
    /// What follows `Bearer`, `Basic` and the like.
    Authorization,
    /// Keys of cloud providers and well-known services, by their prefixes.
    CloudKey,
    /// PEM blocks.
    Pem,
    /// What is assigned to a name that looks secret: `password=...`, `"api_key": "..."`.
    Assignment,
    /// User and password of a URL.
    UrlUserInfo,
    /// International bank account numbers.
    Iban,
    /// E-mail addresses.
    Email,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// MAC addresses.
    Mac,
    /// Phone numbers in international form.
    Phone,
    /// Values in the query of a URL.
    UrlQuery,
    /// Literals of SQL statements.
    Sql,
    /// Long runs of hexadecimal or base64: raw payloads.
    Dump,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 16] = [
        Class::Pan,
        Class::Jwt,
        Class::Authorization,
        Class::CloudKey,
        Class::Pem,
        Class::Assignment,
        Class::UrlUserInfo,
        Class::Iban,
        Class::Email,
        Class::Ipv4,
        Class::Ipv6,
        Class::Mac,
        Class::Phone,
        Class::UrlQuery,
        Class::Sql,
        Class::Dump,
    ];

    /// Those that are masked where nothing else is said: what nobody wants in telemetry, and what is told from everything else by its
    /// form alone.
    pub const DEFAULT: [Class; 7] = [
        Class::Pan,
        Class::Jwt,
        Class::Authorization,
        Class::CloudKey,
        Class::Pem,
        Class::Assignment,
        Class::UrlUserInfo,
    ];

    /// Its name in configuration, counters and tokens.
    pub fn name(self) -> &'static str {
        match self {
            Class::Pan => "pan",
            Class::Jwt => "jwt",
            Class::Authorization => "authorization",
            Class::CloudKey => "cloud_key",
            Class::Pem => "pem",
            Class::Assignment => "assignment",
            Class::UrlUserInfo => "url_user_info",
            Class::Iban => "iban",
            Class::Email => "email",
            Class::Ipv4 => "ipv4",
            Class::Ipv6 => "ipv6",
            Class::Mac => "mac",
            Class::Phone => "phone",
            Class::UrlQuery => "url_query",
            Class::Sql => "sql",
            Class::Dump => "dump",
        }
    }
}
