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
    /// Whether base64 of its values has a capital letter. Without one, each group of three bytes begins with one of `jknorsvwz`, goes on with
    /// one whose lower four bits are above 6, and ends with none of `@A`-`Y` (of ASCII). Digits, spaces, `://`, `eyJ`, the schemes and prefixes never fit; but for `gho_`, `ghs_`, `ghr_`,
    /// `AIza`, `sk-` and `hvs.`, whose random characters would have to, with a chance below 1 in 10,000,000,000 (docs/masking.md).
    pub(crate) fn has_capital(self) -> bool {
        !matches!(self, Self::Email | Self::Assignment | Self::Phone | Self::UrlQuery | Self::Sql | Self::Dump)
    }

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
