//! A JSON object as the fields of a record.

use model::otlp::json::{JsonError, Lexer, Scalar};
use model::otlp::schema::{any_value, key_value};
use model::proto::{put_bytes, put_message, put_uint};

use crate::fields::{Fields, Value, put_number};

/// How deep values may nest; what nests deeper is no object to us.
const MAX_DEPTH: usize = 32;

/// Reads the object that a line is; `false` when it is none: then `fields` holds what came before the fault.
pub(crate) fn parse(line: &[u8], fields: &mut Fields) -> bool {
    read(line, fields).is_ok()
}

fn read(line: &[u8], fields: &mut Fields) -> Result<(), JsonError> {
    let mut lexer = Lexer::new(line)?;
    lexer.expect(b'{')?;
    let mut first = true;
    while lexer.more(first, b'}')? {
        first = false;
        let key = lexer.string()?;
        lexer.expect(b':')?;
        match lexer.peek() {
            b'{' | b'[' => {
                let mut any = Vec::new();
                put_value(&mut lexer, 0, &mut any)?;
                fields.any(&key, &any);
            }
            _ if lexer.null() => fields.any(&key, &[]),
            _ => match lexer.scalar()? {
                Scalar::Text(text) => fields.field(&key, Value::Text(&text)),
                Scalar::Bool(value) => fields.field(&key, Value::Bool(value)),
                Scalar::Number(number) => fields.field(&key, Value::Number(number)),
            },
        }
    }
    lexer.end()
}

/// Writes a value as the content of an `AnyValue`.
fn put_value(lexer: &mut Lexer<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    let opens = lexer.peek();
    if opens == b'{' || opens == b'[' {
        lexer.expect(opens)?;
        let mut list = Vec::new();
        let mut first = true;
        while lexer.more(first, if opens == b'{' { b'}' } else { b']' })? {
            first = false;
            let mut any = Vec::new();
            if opens == b'{' {
                let key = lexer.string()?;
                lexer.expect(b':')?;
                put_value(lexer, depth + 1, &mut any)?;
                put_message(&mut list, 1, |out| {
                    put_bytes(out, key_value::KEY, key.as_bytes());
                    put_bytes(out, key_value::VALUE, &any);
                });
            } else {
                put_value(lexer, depth + 1, &mut any)?;
                put_bytes(&mut list, 1, &any);
            }
        }
        put_bytes(out, if opens == b'{' { any_value::KVLIST } else { any_value::ARRAY }, &list);
    } else if !lexer.null() {
        match lexer.scalar()? {
            Scalar::Text(text) => put_bytes(out, any_value::STRING, text.as_bytes()),
            Scalar::Bool(value) => put_uint(out, any_value::BOOL, u64::from(value)),
            Scalar::Number(number) => put_number(number, out),
        }
    }
    Ok(())
}
