//! Values that nobody has, in the shapes in which people write them.

use std::fmt::Write as _;

/// Shapes of a value. More than 40 of them are those of card numbers.
pub const SHAPES: u64 = 51;

/// Numbers by chance, the same each time.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn text(&mut self, length: usize, of: &str) -> String {
        let all: Vec<char> = of.chars().collect();
        (0..length).map(|_| all[self.next() as usize % all.len()]).collect()
    }

    /// The number of a card that nobody has.
    fn card(&mut self) -> String {
        let (start, length) = [
            ("4", 16),
            ("51", 16),
            ("2221", 16),
            ("37", 15),
            ("6011", 16),
            ("3530", 16),
            ("36", 14),
            ("62", 19),
            ("4", 13),
        ][self.next() as usize % 9];
        let body = self.text(length - 1 - start.len(), "0123456789");
        let digits = format!("{start}{body}");
        let sum: u32 = (digits.bytes().rev().enumerate())
            .map(|(place, digit)| match u32::from(digit - b'0') {
                digit if place % 2 == 0 => digit * 2 / 10 + digit * 2 % 10,
                digit => digit,
            })
            .sum();
        format!("{digits}{}", (10 - sum % 10) % 10)
    }

    /// An account that nobody has.
    fn account(&mut self) -> String {
        let body = self.text(18, "0123456789");
        // DE00 behind the number, letters as 13 and 14.
        let rest = format!("{body}131400").bytes().fold(0u32, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
        format!("DE{:02}{body}", 98 - rest)
    }
}

const LETTERS: &str = "abcdefghijkmnopqrstuvwxyz";
const TOKEN: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _written = write!(out, "{byte:02x}");
        out
    })
}

pub fn base64(bytes: &[u8]) -> String {
    const ALL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let shown = place <= three.len();
            out.push(if shown { char::from(ALL[(bits >> (18 - 6 * place) & 63) as usize]) } else { '=' });
        }
    }
    out
}

/// Each byte as two hexadecimal digits, with this between them.
fn pairs(text: &str, separator: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(separator)
}

/// A text with a value in it, and what must not be found of it.
pub fn planted(shape: u64, chance: &mut Chance) -> (String, Vec<String>) {
    let card = chance.card();
    let groups = |separator: &str| match card.len() {
        16 => [&card[..4], &card[4..8], &card[8..12], &card[12..]].join(separator),
        15 => [&card[..4], &card[4..10], &card[10..]].join(separator),
        _ => card.clone(),
    };
    let with_card = |text: String| (text, vec![card.clone()]);
    let clothed = |text: String, clothing: String| (text, vec![clothing, card.clone()]);
    match shape {
        0 => with_card(card.clone()),
        1 => (groups(" "), vec![groups(" "), card.clone()]),
        2 => (groups("-"), vec![groups("-"), card.clone()]),
        3 => (groups("."), vec![groups("."), card.clone()]),
        4 => with_card(format!("paid {card} twice")),
        5 => with_card(format!("{{\"card\":\"{card}\",\"n\":1}}")),
        6 => with_card(format!("card={card}&x=1")),
        7 => with_card(format!(";{card}=25121010000012300001?")),
        8 => with_card(format!("%B{card}^DOE/J^25121010000000123?")),
        9 => with_card(format!("({card})")),
        10 => with_card(format!("pan:{card},")),
        11 => with_card(format!("/pay/{card}/done")),
        12 => clothed(format!("x {} y", hex(card.as_bytes())), hex(card.as_bytes())),
        13 => clothed(format!("dump {}", pairs(&card, " ")), pairs(&card, " ")),
        14 => {
            let percent = format!("%{}", pairs(&card, "%"));
            clothed(format!("/p?c={percent}"), percent)
        }
        15 => {
            let text = base64(format!("{{\"pan\":\"{card}\"}}").as_bytes());
            clothed(format!("body {text} end"), text)
        }
        16 => {
            let wide: String = card.chars().flat_map(|digit| [digit, '\0']).collect();
            clothed(wide.clone(), wide)
        }
        17 => (format!("/p?c={}", groups("%20")), vec![groups("%20"), groups(" ")]),
        18 => with_card(format!("\u{201e}{card}\u{201c}")),
        19 => with_card(format!("line one\n{card}\nline two")),
        20 => {
            let name = chance.text(14, LETTERS);
            (format!("to {name}@example.org now"), vec![format!("{name}@")])
        }
        21 => {
            let name = chance.text(14, LETTERS);
            (format!("/u?mail={name}%40example.org"), vec![format!("{name}%40")])
        }
        22 => {
            let body = chance.text(30, TOKEN);
            let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{body}.{}", chance.text(20, TOKEN));
            (format!("token {jwt}"), vec![body])
        }
        23 => {
            let key = format!("AKIA{}", chance.text(16, TOKEN));
            (format!("key {key};"), vec![key])
        }
        24 => {
            let word = chance.text(20, TOKEN);
            (format!("password={word} ok"), vec![word])
        }
        25 => {
            let word = chance.text(20, TOKEN);
            (format!("Authorization: Bearer {word}"), vec![word])
        }
        26 => {
            let word = base64(format!("user:{}", chance.text(15, LETTERS)).as_bytes());
            (format!("Basic {word}"), vec![word])
        }
        27 => {
            let word = chance.text(16, LETTERS);
            (format!("postgres://app:{word}@db:5432/x"), vec![word])
        }
        28 => {
            let account = chance.account();
            (format!("iban {account}."), vec![account])
        }
        29 => {
            let body = chance.text(40, TOKEN);
            (format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----"), vec![body])
        }
        30 => with_card(format!("a\t{card}\tb")),
        31 => with_card(format!("'{card}'")),
        32 => with_card(format!("`{card}`")),
        33 => with_card(format!("[{card}]")),
        34 => with_card(format!("<pan>{card}</pan>")),
        35 => with_card(format!("a;{card};b")),
        36 => with_card(format!("{card}\r\n")),
        37 => (groups("/"), vec![groups("/"), card.clone()]),
        38 => (groups("_"), vec![groups("_"), card.clone()]),
        39 => with_card(format!("{{\\\"pan\\\":\\\"{card}\\\"}}")),
        40 => with_card(format!("https://shop.example/pay#pan={card}")),
        41 => with_card(format!("INSERT INTO t VALUES ('{card}', 1)")),
        42 => clothed(format!("0x{}", hex(card.as_bytes())), hex(card.as_bytes())),
        43 => clothed(format!("raw:{}", pairs(&card, "")), pairs(&card, "")),
        44 => {
            let text = base64(format!("pan={card}?>~").as_bytes()).replace('+', "-").replace('/', "_");
            let text = text.trim_end_matches('=').to_owned();
            clothed(format!("q={text}"), text)
        }
        45 => {
            let wide: String = format!("pan {card}").chars().flat_map(|character| ['\0', character]).collect();
            clothed(wide.clone(), wide)
        }
        46 => {
            let twice = format!("%25{}", pairs(&card, "%25"));
            clothed(format!("/p?u={twice}"), twice)
        }
        47 => {
            let separator = [":", ",", "-"][chance.next() as usize % 3];
            clothed(pairs(&card, separator), pairs(&card, separator))
        }
        48 => with_card(format!("{card}D25121010000012300001")),
        49 => with_card(format!("{card}|12/29|123")),
        _ => {
            let other = chance.card();
            (format!("{card},{other}"), vec![card.clone(), other])
        }
    }
}
