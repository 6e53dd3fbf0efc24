//! Any text as a query: nothing panics, an error points into the text, and what is shown of a query means the same.
#![no_main]

use filter::{Field, Record, Value};
use libfuzzer_sys::fuzz_target;

/// A record whose every field is the query's own text.
struct Echo<'a>(&'a str);

impl Record for Echo<'_> {
    fn time_ns(&self) -> u64 {
        0
    }
    fn field(&self, _: &Field) -> Value<'_> {
        Value::from(self.0)
    }
}

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    match filter::parse(text, 1_800_000_000_000_000_000) {
        Ok(query) => {
            let shown = query.to_string();
            // What is shown has parentheses of its own, and may be too long or too deep to be read.
            let readable = shown.len() <= filter::MAX_QUERY && shown.matches('(').count() <= filter::MAX_PARENTHESES;
            if readable && !shown.starts_with("(everything)") {
                let again = filter::parse(&shown, 0).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
                let echo = Echo(text);
                assert_eq!(again.filter.matches(&echo), query.filter.matches(&echo), "{text:?} is shown as {shown:?}");
            }
        }
        Err(error) => {
            assert!(error.column() <= text.chars().count() + 1, "{error}");
            assert!(!error.to_string().is_empty() && !error.pointed().to_string().is_empty());
        }
    }
});
