//! What opens doors: tokens, keys, passwords.

use std::ops::Range;

use super::encoded::decode_base64;
use super::runs::{Runs, table};
use super::{at, before, find, run_end, run_start};

#[inline(always)]
fn is_word(byte: u8) -> bool {
    const WORD: [bool; 256] = table(b"_-");
    WORD[usize::from(byte)]
}

/// Calls `found` with the start of each word in a run of at least so many characters of words and dots.
fn each_word(text: &[u8], runs: &Runs, least: usize, mut found: impl FnMut(usize)) {
    runs.each(text, least, is_name, |run| {
        let mut start = run.start;
        while start < run.end {
            if is_word(at(text, start)) {
                found(start);
            }
            start = run_end(text, start, is_word) + 1;
        }
    });
}

/// A character of base64 in either alphabet, of a token of RFC 6750, or of a URL.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// The shortest header of a token, and the shortest token.
const JWT_HEADER: usize = 10;
const JWT: usize = JWT_HEADER + 3;

/// JSON web tokens (RFC 7519): a header that begins as `{"` does in base64, and more parts behind dots.
pub(super) fn each_jwt(text: &[u8], runs: &Runs, found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    each_word(text, runs, JWT, |start| {
        if start < from || !text.get(start..).is_some_and(|rest| rest.starts_with(b"eyJ")) {
            return;
        }
        let header = run_end(text, start, is_word);
        if header - start < JWT_HEADER || at(text, header) != b'.' {
            return;
        }
        let mut end = header;
        while at(text, end) == b'.' {
            let part = run_end(text, end + 1, is_word);
            if part == end + 1 && end > header {
                break;
            }
            end = part;
        }
        if end > header + 2 {
            found(start..end);
            from = end;
        }
    });
}

/// Schemes of the header `Authorization` with the least length of what follows them.
const SCHEMES: [&str; 4] = ["bearer", "basic", "negotiate", "token"];

/// What follows `Bearer`, `Basic` and the like.
pub(super) fn each_authorization(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    while let Some(space) = text.get(from..).and_then(|rest| rest.iter().position(|byte| *byte == b' ')) {
        let space = from + space;
        from = space + 1;
        // The last letters of the schemes: most words end otherwise.
        if !matches!(before(text, space) | 0x20, b'r' | b'c' | b'e' | b'n') {
            continue;
        }
        let word = text.get(run_start(text, space, is_word)..space).unwrap_or_default();
        let Some(scheme) = SCHEMES.iter().find(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes())) else { continue };
        let start = run_end(text, space, |byte| byte == b' ');
        let end = run_end(text, start, is_token);
        let value = text.get(start..end).unwrap_or_default();
        let is_secret = match *scheme {
            "basic" => decode_base64(value).is_some_and(|pair| pair.contains(&b':')),
            // A token of SPNEGO; "action=negotiate remip=8.8.8.8" is none.
            "negotiate" => value.len() >= 16 && decode_base64(value).is_some(),
            // "token" is a word of prose as well.
            "token" => value.len() >= 16 && value.iter().any(u8::is_ascii_digit),
            _ => value.len() >= 24 || value.len() >= 6 && value.iter().any(u8::is_ascii_digit),
        };
        if is_secret {
            found(start..end);
            from = end;
        }
    }
}

/// Beginnings of keys, with how many characters follow at least.
const PREFIXES: [(&[u8], usize); 27] = [
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"AROA", 16),
    (b"AIDA", 16),
    (b"AGPA", 16),
    (b"ABIA", 16),
    (b"ACCA", 16),
    (b"ghp_", 36),
    (b"gho_", 36),
    (b"ghu_", 36),
    (b"ghs_", 36),
    (b"ghr_", 36),
    (b"github_pat_", 22),
    (b"glpat-", 20),
    (b"xoxb-", 10),
    (b"xoxp-", 10),
    (b"xoxa-", 10),
    (b"xoxs-", 10),
    (b"AIza", 35),
    (b"ya29.", 20),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"sk-", 32),
    (b"SG.", 40),
    (b"npm_", 36),
    (b"hvs.", 24),
    (b"dop_v1_", 40),
];

/// The shortest key: prefix and what follows.
const CLOUD_KEY: usize = {
    let (mut least, mut index) = (usize::MAX, 0);
    while index < PREFIXES.len() {
        let length = PREFIXES[index].0.len() + PREFIXES[index].1;
        least = if length < least { length } else { least };
        index += 1;
    }
    least
};

/// Which bytes stand in each of the first two places of a prefix.
const BEGINS: [[bool; 256]; 2] = {
    let mut tables = [[false; 256]; 2];
    let mut index = 0;
    while index < PREFIXES.len() {
        let mut place = 0;
        while place < tables.len() {
            tables[place][PREFIXES[index].0[place] as usize] = true;
            place += 1;
        }
        index += 1;
    }
    tables
};

/// Keys of cloud providers and well-known services.
pub(super) fn each_cloud_key(text: &[u8], runs: &Runs, found: &mut dyn FnMut(Range<usize>)) {
    let mut from = 0;
    each_word(text, runs, CLOUD_KEY, |start| {
        let rest = text.get(start..).unwrap_or_default();
        let [firsts, seconds] = &BEGINS;
        if !matches!(rest, [first, second, ..] if firsts[usize::from(*first)] && seconds[usize::from(*second)]) {
            return;
        }
        let known = PREFIXES.iter().find(|(prefix, _)| rest.starts_with(prefix));
        let Some((prefix, least)) = known.filter(|_| start >= from) else { return };
        let body = start + prefix.len();
        // Keys of AWS are upper case and exactly so long.
        let end = match prefix.first() {
            Some(b'A') if *prefix != b"AIza" => {
                run_end(text, body, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
            _ => run_end(text, body, |byte| is_word(byte) || byte == b'.'),
        };
        let is_aws = prefix.starts_with(b"A") && *prefix != b"AIza";
        let fits = if is_aws { end - body == *least && !is_word(at(text, end)) } else { end - body >= *least };
        if fits {
            found(start..end);
            from = end;
        }
    });
}

/// PEM blocks (RFC 7468), to their end or to the end of the text.
pub(super) fn each_pem(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    const DASHES: &[u8] = b"-----";
    // One in five bytes tells whether five dashes stand beside each other: one of them that is not alone.
    let is_of_row =
        |place: usize| at(text, place) == b'-' && (at(text, place - 1) == b'-' || at(text, place + 1) == b'-');
    if !(DASHES.len() - 1..text.len()).step_by(DASHES.len()).any(is_of_row) {
        return;
    }
    let mut from = 0;
    while let Some(start) = find(text, from, b"-----BEGIN ") {
        let end = find(text, start, b"-----END ").and_then(|end| find(text, end + DASHES.len(), DASHES));
        let end = end.map_or(text.len(), |end| end + DASHES.len());
        found(start..end);
        from = end;
    }
}

/// Parts of names that look secret. They are compared without case and with `-` and `.` as `_`.
const SECRET: [&[u8]; 13] = [
    b"password",
    b"passwd",
    b"passphrase",
    b"secret",
    b"api_key",
    b"apikey",
    b"access_key",
    b"accesskey",
    b"private_key",
    b"privatekey",
    b"authorization",
    b"credential",
    b"cookie",
];
/// Names, or their last part.
const SECRET_ENDS: [&[u8]; 13] = [
    b"token",
    b"pwd",
    b"cvv",
    b"cvc",
    b"cvv2",
    b"cvc2",
    b"card_number",
    b"cardnumber",
    b"track_data",
    b"track1",
    b"track2",
    b"pin_block",
    b"account_key",
];
/// Last parts of names that say something about a secret, but not the secret; of files of code in stack traces, and of SELinux's types.
const ABOUT: [&[u8]; 24] = [
    b"name", b"count", b"type", b"length", b"size", b"policy", b"status", b"result", b"age", b"expiry", b"expires",
    b"enabled", b"version", b"id", b"url", b"java", b"scala", b"kt", b"go", b"py", b"js", b"ts", b"rb", b"t",
];

/// The longest name that is looked at; longer ones are looked at from their end.
const NAME: usize = 96;

/// Letters without which a name is none of [`SECRET`] and [`SECRET_ENDS`]: all those of one of these words.
const LETTERS: [u32; 12] = [
    letters(b"pas"),
    letters(b"secrt"),
    letters(b"key"),
    letters(b"authoriz"),
    letters(b"credntial"),
    letters(b"coki"),
    letters(b"token"),
    letters(b"pwd"),
    letters(b"cv"),
    letters(b"cardnumbe"),
    letters(b"track"),
    letters(b"pinblock"),
];

/// A bit for each letter of a word, whatever its case; other characters share the bits of some letters.
#[inline]
const fn letters(word: &[u8]) -> u32 {
    let (mut bits, mut place) = (0, 0);
    while place < word.len() {
        bits |= 1 << (word[place] & 31);
        place += 1;
    }
    bits
}

/// Letters of which each of [`LETTERS`] has one, or one of the two pairs: most names are told by these.
const RARE: u32 = letters(b"kwz");
const PAIRS: [u32; 3] = [letters(b"cr"), letters(b"cv"), letters(b"hr")];

/// Whether a name with these letters may be a secret's: nearly all names end here.
#[inline(always)]
fn may_be_secret(bits: u32) -> bool {
    (bits & RARE != 0 || PAIRS.iter().any(|pair| bits & pair == *pair))
        && LETTERS.iter().any(|needed| bits & needed == *needed)
}

/// The letters of the name that ends before a sign, with quotes and spaces between them.
#[inline(always)]
fn letters_before(text: &[u8], sign: usize) -> u32 {
    let before = text.get(..sign).unwrap_or_default();
    let before = if before.last().is_some_and(|byte| is_name(*byte)) {
        before
    } else {
        before.get(..run_start(before, sign, is_gap)).unwrap_or_default()
    };
    let mut bits = 0;
    for byte in before.iter().rev() {
        if !is_name(*byte) {
            break;
        }
        bits |= 1 << (byte & 31);
    }
    bits
}

/// Whether a name looks like that of a secret.
pub(crate) fn is_secret_name(name: &[u8]) -> bool {
    let name = name.get(name.len().saturating_sub(NAME)..).unwrap_or(name);
    let mut folded = [0; NAME];
    let mut length = 0;
    for byte in name {
        let byte = match byte.to_ascii_lowercase() {
            b'-' | b'.' | b' ' => b'_',
            byte => byte,
        };
        if let Some(place) = folded.get_mut(length) {
            *place = byte;
            length += 1;
        }
    }
    let folded = folded.get(..length).unwrap_or_default();
    let last = folded.rsplit(|byte| *byte == b'_').next().unwrap_or_default();
    if ABOUT.contains(&last) || ABOUT.contains(&last_word(name, folded)) {
        return false;
    }
    let ends = |part: &&[u8]| folded.ends_with(part) && !before(folded, folded.len() - part.len()).is_ascii_digit();
    // `accessToken` ends with it as well; `tokens` are counted by language models.
    SECRET_ENDS.iter().any(ends) || SECRET.iter().any(|part| folded.windows(part.len()).any(|window| window == *part))
}

/// The last word of a name in which words begin with a capital: of `accessKeyId`, `id`.
fn last_word<'f>(name: &[u8], folded: &'f [u8]) -> &'f [u8] {
    let begins = |two: &[u8; 2]| !two[0].is_ascii_uppercase() && two[1].is_ascii_uppercase();
    let start = name.array_windows::<2>().rposition(begins).map_or(0, |place| place + 1);
    folded.get(start..).unwrap_or_default()
}

#[inline(always)]
fn is_name(byte: u8) -> bool {
    const NAME: [bool; 256] = table(b"_-.");
    NAME[usize::from(byte)]
}

/// What may stand between a name and its sign: a quote, escaped or not, or a space.
fn is_gap(byte: u8) -> bool {
    is_quote(byte) || matches!(byte, b' ' | b'\\')
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// Values that say that there is none; `chauthtok` is what PAM does for the service `passwd`.
const NONE: [&[u8]; 11] =
    [b"true", b"false", b"yes", b"no", b"null", b"none", b"nil", b"undefined", b"-", b"***", b"chauthtok"];

/// What is assigned to names that look secret.
pub(super) fn each_assignment(text: &[u8], found: &mut dyn FnMut(Range<usize>)) {
    let (eights, rest) = text.as_chunks::<8>();
    let mut from = 0;
    for (index, eight) in eights.iter().enumerate() {
        let mut signs = may_be_signs(u64::from_le_bytes(*eight));
        while signs != 0 {
            let sign = index * 8 + signs.trailing_zeros() as usize / 8;
            signs &= signs - 1;
            if may_assign(text, sign) {
                from = assignment(text, sign, from, found);
            }
        }
    }
    for sign in text.len() - rest.len()..text.len() {
        if may_assign(text, sign) {
            from = assignment(text, sign, from, found);
        }
    }
}

/// The highest bit of each byte from `8` to `?`, among which are `=` and `:`.
#[inline(always)]
fn may_be_signs(eight: u64) -> u64 {
    const COLONS: u64 = 0x3a3a_3a3a_3a3a_3a3a;
    const MIDDLE: u64 = 0x7878_7878_7878_7878;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let odd = eight ^ COLONS;
    !(((odd & MIDDLE) + MIDDLE) | odd) & HIGH
}

/// Whether a sign stands at a place, behind a name that has the letters of a secret's or before another sign.
#[inline(always)]
fn may_assign(text: &[u8], sign: usize) -> bool {
    match text.get(sign..) {
        Some([b':', b':', ..]) => true,
        Some([b'=' | b':', ..]) => may_be_secret(letters_before(text, sign)),
        _ => false,
    }
}

/// Calls `found` with the value that a sign at or behind `from` assigns to a name that looks secret. Returns where the next sign may be.
#[inline(never)]
fn assignment(text: &[u8], sign: usize, from: usize, found: &mut dyn FnMut(Range<usize>)) -> usize {
    if sign < from {
        return from;
    }
    // A path of a program.
    if at(text, sign + 1) == b':' {
        return sign + 2;
    }
    let name_end = run_start(text, sign, is_gap);
    let name = text.get(run_start(text, name_end, is_name)..name_end).unwrap_or_default();
    if sign - name_end > 4 || name.len() < 3 || !is_secret_name(name) {
        return sign + 1;
    }
    // `=>`, `:=` and `==` assign, too.
    let after = run_end(text, sign + 1, |byte| matches!(byte, b'=' | b'>'));
    match assigned(text, name, sign, after) {
        Some(value) => {
            let end = value.end;
            found(value);
            end
        }
        None => sign + 1,
    }
}

/// The value that stands at or behind `from`.
fn assigned(text: &[u8], name: &[u8], sign: usize, from: usize) -> Option<Range<usize>> {
    let start = run_end(text, from, |byte| matches!(byte, b' ' | b'\t' | b'\\'));
    // The first of a list.
    let start = if at(text, start) == b'[' && is_quote(at(text, start + 1)) { start + 1 } else { start };
    let quote = at(text, start);
    if is_quote(quote) {
        let end = run_end(text, start + 1, |byte| byte != quote && byte != b'\n');
        // A quote that was escaped ends behind a backslash.
        let end = if before(text, end) == b'\\' && before(text, start) == b'\\' { end - 1 } else { end };
        return is_value(text.get(start + 1..end)?).then_some(start + 1..end);
    }
    // Headers have spaces in their values.
    let is_header = [b"authorization".as_slice(), b"cookie"]
        .iter()
        .any(|header| name.len() >= header.len() && name[name.len() - header.len()..].eq_ignore_ascii_case(header));
    let end = match is_header {
        true => run_end(text, start, |byte| !is_quote(byte) && !matches!(byte, b'\n' | b'\r' | b',' | b'}' | b']')),
        false => run_end(text, start, |byte| {
            !is_quote(byte)
                && !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b';' | b'&' | b'|' | b')' | b'}' | b']')
        }),
    };
    let value = text.get(start..end)?;
    // "wrong password: user unknown" is prose.
    let is_prose = !is_header
        && at(text, sign) == b':'
        && start > sign + 1
        && at(text, end) == b' '
        && value.iter().all(u8::is_ascii_alphabetic);
    // Where a shell works: "sudo: bob : PWD=/home/bob ; USER=root".
    let is_directory =
        name.ends_with(b"PWD") && value.starts_with(b"/") && matches!(at(text, end), 0 | b' ' | b'\n' | b'\t');
    (!is_prose && !is_directory && is_value(value)).then_some(start..end)
}

/// Whether it says something, and is not a place for it.
fn is_value(value: &[u8]) -> bool {
    !value.is_empty()
        && !NONE.iter().any(|none| value.eq_ignore_ascii_case(none))
        && !matches!(value, [b'$' | b'{' | b'<' | b'[' | b'%', ..])
        && value.iter().any(|byte| *byte != b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Class;

    fn found(class: Class, text: &str) -> Vec<&str> {
        let mut all = Vec::new();
        super::super::each(class, text.as_bytes(), &Runs::of(text.as_bytes()), &mut |range| all.push(&text[range]));
        all
    }

    /// Scenario: credentials of every kind in the texts that they come in. Guarantees: each is found, and no more of the text (P10).
    #[test]
    fn credentials_are_found() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_x";
        assert_eq!(found(Class::Jwt, &format!("token {jwt}, next")), [jwt]);
        assert_eq!(found(Class::Jwt, &format!("a={jwt}&b=1")), [jwt]);
        assert_eq!(found(Class::Authorization, "Authorization: Bearer abc123def rest"), ["abc123def"]);
        assert_eq!(found(Class::Authorization, "BASIC dXNlcjpwYXNz"), ["dXNlcjpwYXNz"]);
        assert_eq!(found(Class::CloudKey, "id AKIAIOSFODNN7EXAMPLE."), ["AKIAIOSFODNN7EXAMPLE"]);
        let github = format!("ghp_{}", "a1B2".repeat(9));
        assert_eq!(found(Class::CloudKey, &format!("x={github} y")), [github.as_str()]);
        let pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----";
        assert_eq!(found(Class::Pem, &format!("a\n{pem}\nb")), [pem]);
        assert_eq!(found(Class::Pem, "-----BEGIN RSA PRIVATE KEY-----\nMII"), ["-----BEGIN RSA PRIVATE KEY-----\nMII"]);
        for (text, value) in [
            ("password=hunter2", "hunter2"),
            ("login user=bob password: hunter2 ok", "hunter2"),
            (r#"{"user":"bob","password":"correct horse"}"#, "correct horse"),
            (r#"{\"api_key\": \"k1\", "a":1}"#, "k1"),
            ("db_password => 's3', x", "s3"),
            (
                "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            ),
            ("GET /x?access_token=abc&y=2", "abc"),
            ("Cookie: a=b; c=d", "a=b; c=d"),
            ("Driver={x};UID=root;PWD=/s3;DATABASE=test", "/s3"),
        ] {
            assert_eq!(found(Class::Assignment, text), [value], "{text}");
        }
    }

    /// Scenario: words that look like credentials but are none. Guarantees: they stay.
    #[test]
    fn prose_is_none() {
        for (class, text) in [
            (Class::Jwt, "eyJ is how they begin"),
            (Class::Jwt, "keyJungle.and.more"),
            (Class::Authorization, "Bearer token missing"),
            (Class::Authorization, "basic authentication failed"),
            (Class::CloudKey, "AKIA is a prefix, ASIA a continent"),
            (Class::CloudKey, "sk-learn"),
            (Class::Assignment, "wrong password: user unknown"),
            (Class::Assignment, "password=, secret=null token=<none> passwd=***"),
            (Class::Assignment, "time=10:20:30 url=http://host:80/path"),
            (Class::Assignment, "sudo: bob : TTY=pts/0 ; PWD=/home/bob ; USER=root"),
            (Class::Assignment, "at x.Authorizer.run(AuthorizationUtils.java:109) ~[?:?]"),
            (Class::Assignment, "{\"CredentialType\": 2, \"accessKeyId\":\"EXAMPLE\"}"),
            (
                Class::Assignment,
                "(using password: YES) pam_unix(passwd:chauthtok) cookie=\"-\" r:systemd_passwd_agent_exec_t:s0",
            ),
            (Class::Authorization, "action=negotiate remip=8.8.8.8"),
            (Class::Assignment, "input_tokens=120 secret.name=db, Secret::new() PASSWORD::A"),
        ] {
            assert_eq!(found(class, text), Vec::<&str>::new(), "{text}");
        }
    }

    /// Scenario: every part of a secret's name, in every case, behind and before others. Guarantees: the look at its letters passes over none
    /// (P10); it ends names as they come in lines.
    #[test]
    fn the_letters_of_a_secret_are_known() {
        for part in SECRET.into_iter().chain(SECRET_ENDS) {
            let upper = part.to_ascii_uppercase();
            for name in [part, &upper] {
                assert!(may_be_secret(letters(name)), "{}", name.escape_ascii());
                for gap in ["", " ", "\"", "\\\" "] {
                    let text = [b"db-", name, gap.as_bytes()].concat();
                    assert!(may_be_secret(letters_before(&text, text.len())), "{}", text.escape_ascii());
                }
                assert!(is_secret_name(name), "{}", name.escape_ascii());
            }
        }
        for name in ["level", "msg", "duration_ms", "user.id", "path", "time", "rows", "gate", "bytes", "hostname"] {
            assert!(!may_be_secret(letters(name.as_bytes())), "{name}");
        }
    }

    /// Scenario: names of attributes. Guarantees: what names a secret is told from what names something about one.
    #[test]
    fn secret_names_are_told() {
        for name in
            ["password", "db.password", "http.request.header.authorization", "X-Api-Key", "accessToken", "token"]
        {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in ["user.name", "gen_ai.usage.input_tokens", "k8s.secret.name", "token_count", "cookie.policy", ""] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }
}
