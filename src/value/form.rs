//! Forms: structs that are read from and written as JSON objects, without serde's derive macro, which takes longer to
//! build than all of them.
//!
//! An object is one of a form if it has all fields that are required, none twice, and none that the form does not know.

use serde_core::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// Implements `Deserialize` for a struct: its required fields, then those that have their type's default where they are
/// absent. What the struct borrows, it borrows from the text.
macro_rules! read_form {
    (impl<$de:lifetime> for $form:ident $(<$life:lifetime>)?, { $($field:ident: $name:literal),* $(,)? }, { $($other:ident: $other_name:literal),* $(,)? }) => {
        impl<$de> serde_core::Deserialize<$de> for $form $(<$life>)? {
            fn deserialize<D: serde_core::Deserializer<$de>>(deserializer: D) -> Result<Self, D::Error> {
                const NAMES: &[&str] = &[$($name,)* $($other_name,)*];
                struct Visitor;

                impl<$de> serde_core::de::Visitor<$de> for Visitor {
                    type Value = $form $(<$life>)?;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde_core::de::MapAccess<$de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        $(let mut $field = None;)*
                        $(let mut $other = None;)*
                        while let Some(name) = map.next_key_seed($crate::value::FieldName(NAMES))? {
                            match name {
                                $($name => $crate::value::read_once(&mut map, $name, &mut $field)?,)*
                                $($other_name => $crate::value::read_once(&mut map, $other_name, &mut $other)?,)*
                                _ => {}
                            }
                        }
                        Ok($form {
                            $($field: $field.ok_or_else(|| serde_core::de::Error::missing_field($name))?,)*
                            $($other: $other.unwrap_or_default(),)*
                        })
                    }
                }

                deserializer.deserialize_struct(stringify!($form), NAMES, Visitor)
            }
        }
    };
}

/// Implements `Serialize` for a struct: fields that are always written, then those that are left out where the condition
/// behind them holds.
macro_rules! write_form {
    ($form:ident, { $($field:ident: $name:literal),* $(,)? }, { $($other:ident: $other_name:literal unless $is_absent:expr),* $(,)? }) => {
        impl serde_core::Serialize for $form {
            fn serialize<S: serde_core::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde_core::ser::SerializeStruct;

                let all = [$($name,)* $($other_name,)*].len();
                let absent: usize = [$(usize::from($is_absent(&self.$other)),)*].iter().sum();
                let mut form = serializer.serialize_struct(stringify!($form), all - absent)?;
                $(form.serialize_field($name, &self.$field)?;)*
                $(match $is_absent(&self.$other) {
                    true => form.skip_field($other_name)?,
                    false => form.serialize_field($other_name, &self.$other)?,
                })*
                form.end()
            }
        }
    };
}

pub(crate) use {read_form, write_form};

/// Reads a key, which is one of these names.
#[derive(Clone, Copy)]
pub(crate) struct FieldName(pub(crate) &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, found: &str) -> Result<&'static str, E> {
        let known = self.0.iter().find(|name| **name == found);
        known.copied().ok_or_else(|| E::unknown_field(found, self.0))
    }
}

/// Reads the value of a field that must not have come before.
pub(crate) fn read_once<'de, A: MapAccess<'de>, T: serde_core::Deserialize<'de>>(
    map: &mut A,
    name: &'static str,
    field: &mut Option<T>,
) -> Result<(), A::Error> {
    if field.is_some() {
        return Err(A::Error::duplicate_field(name));
    }
    *field = Some(map.next_value()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    #[derive(Debug, PartialEq)]
    struct Point<'a> {
        x: u8,
        label: Option<&'a str>,
        tags: Vec<u8>,
    }

    read_form!(impl<'de> for Point<'de>, { x: "x" }, { label: "the label", tags: "tags" });

    struct Size {
        width: u8,
        depth: Option<u8>,
        is_flat: bool,
    }

    write_form!(Size, { width: "width" }, { depth: "depth" unless Option::is_none, is_flat: "flat" unless is_false });

    fn is_false(value: &bool) -> bool {
        !value
    }

    fn read(json: &str) -> Result<Point<'_>, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_read_in_any_order_and_have_defaults() {
        assert_eq!(read(r#"{"x":1}"#), Ok(Point { x: 1, label: None, tags: vec![] }));
        let whole = r#"{"tags":[2],"the label":"one","x":1}"#;
        assert_eq!(read(whole), Ok(Point { x: 1, label: Some("one"), tags: vec![2] }));
        assert_eq!(read(r#"{"x":1,"the label":null}"#), Ok(Point { x: 1, label: None, tags: vec![] }));
    }

    #[test]
    fn other_objects_are_refused() {
        let refused = |json: &str, message: &str| assert!(read(json).unwrap_err().starts_with(message), "{json}");
        refused("{}", "missing field `x`");
        refused(r#"{"x":1,"x":1}"#, "duplicate field `x`");
        refused(r#"{"x":1,"the label":null,"the label":null}"#, "duplicate field `the label`");
        refused(r#"{"x":1,"y":1}"#, "unknown field `y`, expected one of `x`, `the label`, `tags`");
        refused(r#"{"x":1,"tags":null}"#, "invalid type: null, expected a sequence");
        refused("[1,null,[]]", "invalid type: sequence, expected an object");
    }

    #[test]
    fn fields_that_say_nothing_are_left_out() {
        let json = |depth, is_flat| serde_json::to_string(&Size { width: 1, depth, is_flat }).unwrap();
        assert_eq!(json(None, false), r#"{"width":1}"#);
        assert_eq!(json(Some(2), true), r#"{"width":1,"depth":2,"flat":true}"#);
    }
}
