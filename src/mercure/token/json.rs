//! JSON objects in which no member is named twice, at any depth.
//!
//! Two readers can understand a repeated member differently: one takes the first, one the last. So
//! a token with one is refused (RFC 7515, section 4; RFC 7519, section 4).

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not such an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectError {
    /// It is not JSON, or not an object.
    Malformed,
    /// A member is named twice.
    Repeated,
}

/// Reads an object.
///
/// # Errors
/// [`ObjectError`]
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, ObjectError> {
    let is_repeated = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Unique { is_repeated: &is_repeated }.deserialize(&mut reader);
    let value = value.and_then(|value| reader.end().map(|()| value));
    match value {
        Ok(Value::Object(members)) => Ok(members),
        Err(_) if is_repeated.get() => Err(ObjectError::Repeated),
        _ => Err(ObjectError::Malformed),
    }
}

/// Reads a value, and notes a repeated member. The reader bounds the depth.
#[derive(Clone, Copy)]
struct Unique<'r> {
    is_repeated: &'r Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            let value = object.next_value_seed(self)?;
            if members.insert(name, value).is_some() {
                self.is_repeated.set(true);
                return Err(A::Error::custom("a repeated member"));
            }
        }
        Ok(members.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_is_read_as_by_any_other_reader() {
        let text = r#" {"a":[1,-1,1.5,"x\u00e9",null,true,{}],"b":{"a":1},"":"é\n"} "#;
        let expected: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(parse_object(text.as_bytes()).map(Value::Object), Ok(expected));
        for text in
            ["", "1", "null", "[]", "{", "{}x", "{}{}", "{\"a\":1,}", "{\"a\"}", "\u{0}", "{\"a\":1e999}"]
        {
            assert_eq!(parse_object(text.as_bytes()), Err(ObjectError::Malformed), "{text:?}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}"), Err(ObjectError::Malformed));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse_object(deep.as_bytes()), Err(ObjectError::Malformed));
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth_and_in_any_spelling() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"\u0061":3}"#,
            r#"{"a":null,"a":null}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[[{"b":1,"b":2}]]}"#,
        ] {
            assert_eq!(parse_object(text.as_bytes()), Err(ObjectError::Repeated), "{text}");
        }
        let distinct = parse_object(br#"{"a":1,"A":{"a":1},"b":[{"a":1},{"a":1}]}"#).map(Value::Object);
        assert_eq!(distinct, Ok(json!({"a": 1, "A": {"a": 1}, "b": [{"a": 1}, {"a": 1}]})));
    }
}
