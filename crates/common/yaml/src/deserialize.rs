//! A tree as serde reads it.

use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};

use crate::error::Error;
use crate::scalar;
use crate::spanned::{NAME, Place};
use crate::tree::{Content, Node};

/// Reads a node.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a Node);

impl<'a> Reader<'a> {
    /// The text of a scalar, where one is asked for.
    fn text<'de, V: Visitor<'de>>(self, visitor: &V) -> Result<&'a str, Error> {
        match &self.0.content {
            Content::Scalar { text, .. } => Ok(text),
            _ => Err(self.mismatch(visitor)),
        }
    }

    fn mismatch<'de, V: Visitor<'de>>(self, visitor: &V) -> Error {
        let found = match &self.0.content {
            Content::Scalar { text, .. } if self.0.is_null() => match text.is_empty() {
                true => Unexpected::Other("nothing"),
                false => Unexpected::Other("null"),
            },
            Content::Scalar { text, .. } => Unexpected::Str(text),
            Content::Sequence(_) => Unexpected::Seq,
            Content::Mapping(_) => Unexpected::Map,
        };
        Error::invalid_type(found, visitor).at(self.0.place)
    }

    fn visit_integer<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let Some(number) = scalar::integer(self.text(&visitor)?) else { return Err(self.mismatch(&visitor)) };
        match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn visit_float<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match scalar::float(self.text(&visitor)?) {
            Some(number) => visitor.visit_f64(number),
            None => Err(self.mismatch(&visitor)),
        }
    }

    fn visit_any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = match &self.0.content {
            Content::Sequence(all) => return visitor.visit_seq(Sequence(all.iter())),
            Content::Mapping(all) => return visitor.visit_map(Mapping { entries: all.iter(), value: None }),
            Content::Scalar { text, is_plain: false } => return visitor.visit_str(text),
            Content::Scalar { text, is_plain: true } => text,
        };
        if scalar::is_null(text) {
            return visitor.visit_unit();
        }
        if let Some(boolean) = scalar::core_boolean(text) {
            return visitor.visit_bool(boolean);
        }
        match scalar::integer(text) {
            Some(number) if u64::try_from(number).is_ok() || i64::try_from(number).is_ok() => {
                self.visit_integer(visitor)
            }
            _ => match scalar::float(text) {
                Some(number) => visitor.visit_f64(number),
                None => visitor.visit_str(text),
            },
        }
    }

    fn visit_map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.content {
            Content::Mapping(all) => visitor.visit_map(Mapping { entries: all.iter(), value: None }),
            _ if self.0.is_null() => visitor.visit_map(Mapping { entries: [].iter(), value: None }),
            _ => Err(self.mismatch(&visitor)),
        }
    }
}

/// Those of `Deserializer` that all do one thing; what goes wrong in them is at the node's place where it has no other.
macro_rules! to {
    ($method:ident: $($name:ident)*) => {
        $(fn $name<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$method(visitor).map_err(|error| error.at(self.0.place))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    to!(visit_any: deserialize_any deserialize_ignored_any);
    to!(visit_map: deserialize_map);
    to!(visit_float: deserialize_f32 deserialize_f64);
    to!(visit_integer: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match scalar::boolean(self.text(&visitor)?) {
            Some(boolean) => visitor.visit_bool(boolean),
            None => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() {
            return Err(self.mismatch(&visitor));
        }
        let text = self.text(&visitor)?;
        visitor.visit_str(text).map_err(|error: Error| error.at(self.0.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let text = self.text(&visitor)?;
        visitor.visit_str(text).map_err(|error: Error| error.at(self.0.place))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_unit() } else { Err(self.mismatch(&visitor)) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match name {
            NAME => visitor.visit_seq(WithPlace { node: self.0, part: 0 }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.content {
            Content::Sequence(all) => visitor.visit_seq(Sequence(all.iter())).map_err(|error| error.at(self.0.place)),
            _ if self.0.is_null() => visitor.visit_seq(Sequence([].iter())),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let done = match &self.0.content {
            Content::Scalar { text, .. } => {
                let variant: StrDeserializer<'_, Error> = (&**text).into_deserializer();
                visitor.visit_enum(variant)
            }
            Content::Mapping(all) => match &**all {
                [(variant, content)] => visitor.visit_enum(Variant { variant, content }),
                _ => Err(Error::custom("one key says which kind this is")),
            },
            Content::Sequence(_) => Err(self.mismatch(&visitor)),
        };
        done.map_err(|error| error.at(self.0.place))
    }
}

struct Sequence<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Sequence<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.0.next() else { return Ok(None) };
        seed.deserialize(Reader(node)).map(Some).map_err(|error| error.at(node.place))
    }
}

struct Mapping<'a> {
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
}

impl<'de> MapAccess<'de> for Mapping<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Reader(key)).map(Some).map_err(|error| error.at(key.place))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let node = self.value.take().ok_or_else(|| Error::new("a value before its key", Place::UNKNOWN))?;
        seed.deserialize(Reader(node)).map_err(|error| error.at(node.place))
    }
}

/// A value, its line, its column.
struct WithPlace<'a> {
    node: &'a Node,
    part: u8,
}

impl<'de> SeqAccess<'de> for WithPlace<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.part += 1;
        let number = |number: u32| -> U32Deserializer<Error> { number.into_deserializer() };
        match self.part {
            1 => seed.deserialize(Reader(self.node)).map(Some).map_err(|error| error.at(self.node.place)),
            2 => seed.deserialize(number(self.node.place.line())).map(Some),
            3 => seed.deserialize(number(self.node.place.column())).map(Some),
            _ => Ok(None),
        }
    }
}

/// A kind and what it holds.
struct Variant<'a> {
    variant: &'a Node,
    content: &'a Node,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(Reader(self.variant)).map_err(|error| error.at(self.variant.place))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content.is_null() {
            true => Ok(()),
            false => Err(Error::new("this kind holds nothing", self.content.place)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(Reader(self.content)).map_err(|error| error.at(self.content.place))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        Reader(self.content).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        Reader(self.content).deserialize_map(visitor)
    }
}
