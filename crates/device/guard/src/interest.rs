//! What a text is made of, told in one pass: most texts have nothing that any rule looks for, and end here.

use crate::class::Class;
use crate::detect::Runs;

/// What a text is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Interest {
    bits: u16,
    length: usize,
}

const DIGIT: u16 = 1;
const AT: u16 = 2;
const PERCENT: u16 = 4;
/// `=` or `:`
const ASSIGN: u16 = 8;
const DASH: u16 = 16;
const NUL: u16 = 32;
const SPACE: u16 = 64;
/// A letter in upper case.
const UPPER: u16 = 128;
const UNDERSCORE: u16 = 256;

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut digit = b'0';
    while digit <= b'9' {
        table[digit as usize] = DIGIT;
        digit += 1;
    }
    table[b'@' as usize] = AT;
    table[b'%' as usize] = PERCENT;
    table[b'=' as usize] = ASSIGN;
    table[b':' as usize] = ASSIGN;
    table[b'-' as usize] = DASH;
    table[0] = NUL;
    table[b' ' as usize] = SPACE;
    table[b'_' as usize] = UNDERSCORE;
    let mut letter = b'A';
    while letter <= b'Z' {
        table[letter as usize] = UPPER;
        letter += 1;
    }
    table
};

impl Interest {
    /// Of a text.
    #[inline(always)]
    pub(crate) fn of(text: &[u8]) -> Self {
        let of = |bits, byte: &u8| bits | TABLE[usize::from(*byte)];
        let (eights, rest) = text.as_chunks::<8>();
        // Eight at once: their loop is laid out.
        let bits = eights.iter().fold(0, |bits, eight| eight.iter().fold(bits, of));
        let bits = rest.iter().fold(bits, of);
        Self { bits, length: text.len() }
    }

    /// Whether a text may hold a value of one of [`Class::DEFAULT`], or of one in another clothing. Most texts end here.
    #[inline(always)]
    pub(crate) fn may_hold_usual(self, text: &[u8]) -> bool {
        if self.bits & (AT | PERCENT | ASSIGN | NUL) != 0 {
            return true;
        }
        // The shortest that is left: "Bearer 123456".
        if self.length < 12 || self.bits & (DIGIT | UPPER | SPACE) == 0 {
            return false;
        }
        self.has_number(text)
            || self.has_token(text)
            || self.has_pairs(text)
            || self.has(SPACE) && (self.has(DASH | UPPER) || has_scheme(text))
    }

    fn has(self, bits: u16) -> bool {
        self.bits & bits == bits
    }

    /// Whether a text with these runs may hold a value of this class.
    pub(crate) fn may_hold(self, class: Class, text: &[u8], runs: &Runs) -> bool {
        match class {
            Class::Pan => self.has(DIGIT) && self.length >= 13,
            // `eyJ` has one.
            Class::Jwt => !runs.is_empty() && self.has(UPPER),
            Class::CloudKey => !runs.is_empty(),
            Class::Dump => !runs.is_empty() || self.has_pairs(text),
            Class::Authorization => self.has(SPACE) && self.length >= 12 && has_scheme(text),
            Class::Pem => self.has(DASH | SPACE | UPPER) && self.length >= 12,
            Class::Assignment => self.has(ASSIGN) && self.length >= 5,
            Class::UrlUserInfo => self.has(AT | ASSIGN),
            Class::Email => self.has(AT),
            Class::Iban => self.has(DIGIT) && self.length >= 15,
            Class::Ipv4 => self.has(DIGIT) && self.length >= 7,
            Class::Ipv6 => self.has(ASSIGN),
            Class::Mac => (self.has(ASSIGN) || self.has(DASH)) && self.length >= 17,
            Class::Phone => self.has(DIGIT) && self.length >= 8,
            Class::UrlQuery => self.has(ASSIGN),
            Class::Sql => true,
        }
    }

    /// Whether it may have the number of a card, in groups with separators or without.
    #[inline]
    fn has_number(self, text: &[u8]) -> bool {
        self.has(DIGIT) && (has_long_number(text) || self.has(UNDERSCORE) && has_underscored_number(text))
    }

    /// Whether it has a capital letter.
    pub(crate) fn has_capital(self) -> bool {
        self.has(UPPER)
    }

    /// Whether some of it is written in percent.
    pub(crate) fn has_percent(self) -> bool {
        self.has(PERCENT)
    }

    /// Whether it may be UTF-16.
    pub(crate) fn has_nul(self) -> bool {
        self.has(NUL)
    }

    /// Whether it has a run that may be a token, or bytes written in hexadecimal or base64.
    #[inline(always)]
    pub(crate) fn has_token(self, text: &[u8]) -> bool {
        self.may_have_runs(text) && Runs::are_in(text)
    }

    /// The runs of a text that may be so.
    pub(crate) fn runs(self, text: &[u8]) -> Runs {
        if self.may_have_runs(text) { Runs::of(text) } else { Runs::default() }
    }

    #[inline(always)]
    fn may_have_runs(self, text: &[u8]) -> bool {
        self.length >= 16 && self.bits & (DIGIT | UPPER) > 0 && has_long_word(text)
    }

    /// Whether bytes may be written in it as pairs of hexadecimal digits, each by itself.
    pub(crate) fn has_pairs(self, text: &[u8]) -> bool {
        self.length >= 38 && self.has(DIGIT) && has_row(text)
    }
}

/// Whether eight bytes beside each other are digits and what stands between them. A number of 11 characters or more holds such eight at
/// a multiple of four.
fn has_long_number(text: &[u8]) -> bool {
    any_two_fours(text, |four| four & 0xe0e0_e0e0 == 0x2020_2020)
}

/// Whether eight bytes beside each other are digits, underscores and what stands among them in ASCII. A number of 13 digits in groups takes
/// 14 and more, and holds such eight at a multiple of four.
fn has_underscored_number(text: &[u8]) -> bool {
    // 0x10 to 0x1f, 0x30 to 0x3f, 0x50 to 0x5f; not 0x70 to 0x7f.
    any_two_fours(text, |four| four & 0x9090_9090 == 0x1010_1010 && four & four << 1 & 0x4040_4040 == 0)
}

/// Whether four bytes at a multiple of four fit, and the four behind them: of two such fours one stands at a multiple of eight.
#[inline(always)]
fn any_two_fours(text: &[u8], fits: impl Fn(u32) -> bool) -> bool {
    let (eights, rest) = text.as_chunks::<8>();
    let mut before = 0;
    for eight in eights {
        let eight = u64::from_le_bytes(*eight);
        let (low, high) = (eight as u32, (eight >> 32) as u32);
        if fits(low) && (fits(before) || fits(high)) {
            return true;
        }
        before = high;
    }
    rest.first_chunk().is_some_and(|low| fits(u32::from_le_bytes(*low)) && fits(before))
}

/// Whether eight bytes beside each other may be of a row of pairs, with the same separator behind each two. A row of 13 pairs holds such
/// eight at a multiple of 24.
#[inline(never)]
fn has_row(text: &[u8]) -> bool {
    let is_of_row = |eight: &[u8; 8]| {
        let separates = |first: usize| {
            let separator = eight[first];
            matches!(separator, b' ' | b':' | b',' | b'-')
                && eight[first + 3] == separator
                && eight.get(first + 6).is_none_or(|byte| *byte == separator)
        };
        separates(0) || separates(1) || separates(2)
    };
    text.as_chunks::<8>().0.iter().step_by(3).any(is_of_row)
}

/// Whether a space stands behind the last four letters of a scheme of authorization.
fn has_scheme(text: &[u8]) -> bool {
    const ENDS: [u32; 4] = [
        u32::from_le_bytes(*b"arer"),
        u32::from_le_bytes(*b"asic"),
        u32::from_le_bytes(*b"iate"),
        u32::from_le_bytes(*b"oken"),
    ];
    const SPACES: u64 = 0x2020_2020_2020_2020;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let ends_before = |place: usize| {
        let word = text.get(..place).and_then(|before| before.last_chunk::<4>());
        word.is_some_and(|word| ENDS.contains(&(u32::from_le_bytes(*word) | 0x2020_2020)))
    };
    let (eights, rest) = text.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let odd = u64::from_le_bytes(*eight) ^ SPACES;
        // The highest bit of each byte that is a space.
        let mut spaces = !(((odd & LOW) + LOW) | odd | LOW);
        while spaces != 0 {
            if ends_before(index * 8 + spaces.trailing_zeros() as usize / 8) {
                return true;
            }
            spaces &= spaces - 1;
        }
    }
    let start = text.len() - rest.len();
    rest.iter().enumerate().any(|(place, byte)| *byte == b' ' && ends_before(start + place))
}

/// Whether eight bytes beside each other are letters, digits or what stands among them in ASCII. A run of 15 holds such eight at a
/// multiple of eight.
fn has_long_word(text: &[u8]) -> bool {
    const HIGH: u64 = 0x4040_4040_4040_4040;
    text.as_chunks::<8>().0.iter().any(|eight| {
        let word = u64::from_le_bytes(*eight);
        // Above 0x3f, or from 0x30 to 0x3f.
        (word | word << 1 & word << 2) & HIGH == HIGH
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a number of 13 to 19 digits with and without separators at every offset in texts. Guarantees: none is passed over (P10).
    #[test]
    fn no_number_is_passed_over() {
        for before in 0..20 {
            for number in [
                "4222222222222",
                "4111 1111 1111 1111",
                "3782-822463-10005",
                "6011000990139424123",
                "4111_1111_1111_1111",
                "4222_222_222_222",
            ] {
                let text = format!("{}{number}{}", "x".repeat(before), "y".repeat(before % 5));
                let text = text.as_bytes();
                assert!(Interest::of(text).has_number(text), "{text:?}");
            }
        }
        for plain in ["GET /api/orders, 200 in 12.5 ms", "queue_17_of_gate_3 at 12_500"] {
            assert!(!Interest::of(plain.as_bytes()).has_number(plain.as_bytes()), "{plain}");
        }
    }

    /// Scenario: a value of each usual class, at every offset. Guarantees: the one look at a text passes over none of them (P10).
    #[test]
    fn no_usual_value_is_passed_over() {
        for before in 0..12 {
            for value in [
                "4222222222222",
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
                "Bearer 123456",
                "BASIC dXNlcjpw",
                "negotiate 123456789",
                "AKIAIOSFODNN7EXAMPLE",
                "-----BEGIN X",
                "pwd=1",
                "a://b@c",
                "%40",
            ] {
                let text = format!("{}{value}", ".".repeat(before));
                assert!(Interest::of(text.as_bytes()).may_hold_usual(text.as_bytes()), "{text}");
            }
        }
        for plain in ["user-012345", "/api/v1/cargo/498", "cargo 17 was weighed at gate 3", "cargo.vessel.local"] {
            assert!(!Interest::of(plain.as_bytes()).may_hold_usual(plain.as_bytes()), "{plain}");
        }
    }

    /// Scenario: rows of 13 pairs of hexadecimal digits with every separator at every offset, of which most are letters. Guarantees: none is
    /// passed over; prose is (P10).
    #[test]
    fn no_row_of_pairs_is_passed_over() {
        for before in 0..30 {
            for separator in [" ", ":", ",", "-"] {
                let text = format!("{}{}", "x".repeat(before), ["6f"; 13].join(separator));
                let interest = Interest::of(text.as_bytes());
                assert!(interest.has_pairs(text.as_bytes()), "{text}");
                assert!(interest.may_hold(Class::Dump, text.as_bytes(), &Runs::default()), "{text}");
                assert!(Interest::of(text.as_bytes()).may_hold_usual(text.as_bytes()), "{text}");
            }
        }
        let plain = b"cargo 17 was weighed at gate 3 of the port, and then moved on";
        assert!(!Interest::of(plain).has_pairs(plain));
    }

    /// Scenario: runs of 16 letters and digits at every offset. Guarantees: none is passed over; short words are (P10).
    #[test]
    fn no_token_is_passed_over() {
        for before in 0..20 {
            for run in ["AKIAIOSFODNN7EXAMPLE", "0123456789abcdef", "eyJhbGciOiJIUzI1NiJ9"] {
                let text = format!("{}{run}", "-".repeat(before));
                assert!(Interest::of(text.as_bytes()).has_token(text.as_bytes()), "{text}");
            }
        }
        assert!(!Interest::of(b"a few short words, no more of it").has_token(b"a few short words, no more of it"));
    }
}
