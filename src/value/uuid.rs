//! A UUID: 16 bytes and their text. How a UUID is made is the user's affair.

use std::fmt;
use std::str::FromStr;

use serde_core::de::{SeqAccess, Visitor};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

use super::row_error::excerpt;

/// 16 bytes, ordered bytewise, printed as `936da01f-9abd-4d9d-80c7-02af85c822a8`.
///
/// Parses with hyphens in those places or without any, in either case of letters. Through serde it is the text in
/// human-readable formats and the bytes in others; both are read, and a sequence of 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid([u8; 16]);

impl Uuid {
    /// The UUID of these bytes, in the order of the text.
    #[inline]
    pub const fn from_bytes(bytes: [u8; 16]) -> Uuid {
        Uuid(bytes)
    }

    /// The bytes, in the order of the text.
    #[inline]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The hyphenated text, in a buffer of its own.
    fn text(&self) -> [u8; 36] {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let places = (0..36).filter(|at| !matches!(at, 8 | 13 | 18 | 23));
        let nibbles = self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        for (at, nibble) in places.zip(nibbles) {
            text[at] = HEX[usize::from(nibble)];
        }
        text
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseUuidError {
    text: Box<str>,
}

impl fmt::Display for ParseUuidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {EXPECTED}", self.text)
    }
}

impl std::error::Error for ParseUuidError {}

/// What would be right, for errors.
pub(super) const EXPECTED: &str = "a UUID such as 936da01f-9abd-4d9d-80c7-02af85c822a8";

impl FromStr for Uuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Uuid, ParseUuidError> {
        parse(text.as_bytes()).ok_or_else(|| ParseUuidError { text: excerpt(text).into() })
    }
}

fn parse(text: &[u8]) -> Option<Uuid> {
    let hyphenated = match text.len() {
        36 => true,
        32 => false,
        _ => return None,
    };
    let mut bytes = [0; 16];
    let mut digit_count = 0;
    for (at, byte) in text.iter().enumerate() {
        if hyphenated && matches!(at, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let digit = char::from(*byte).to_digit(16)? as u8;
        let place = bytes.get_mut(digit_count / 2)?;
        *place = *place << 4 | digit;
        digit_count += 1;
    }
    Some(Uuid(bytes))
}

/// The newtype name under which a UUID passes through serde, as a timestamp does under its own.
pub(super) const SERDE_NAME: &str = "$folio::Uuid";

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct TextOrBytes(Uuid);

        impl Serialize for TextOrBytes {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match serializer.is_human_readable() {
                    true => serializer.serialize_str(std::str::from_utf8(&self.0.text()).unwrap_or_default()),
                    false => serializer.serialize_bytes(self.0.as_bytes()),
                }
            }
        }

        serializer.serialize_newtype_struct(SERDE_NAME, &TextOrBytes(*self))
    }
}

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Uuid, D::Error> {
        struct TextOrBytes;

        impl<'de> Visitor<'de> for TextOrBytes {
            type Value = Uuid;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{EXPECTED}, or 16 bytes")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Uuid, D::Error> {
                match deserializer.is_human_readable() {
                    true => deserializer.deserialize_any(self),
                    false => deserializer.deserialize_bytes(self),
                }
            }

            fn visit_str<E: serde_core::de::Error>(self, text: &str) -> Result<Uuid, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_bytes<E: serde_core::de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
                bytes.try_into().map(Uuid).map_err(|_| E::invalid_length(bytes.len(), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Uuid, A::Error> {
                let mut bytes = [0; 16];
                for (at, byte) in bytes.iter_mut().enumerate() {
                    *byte = seq.next_element()?.ok_or_else(|| serde_core::de::Error::invalid_length(at, &self))?;
                }
                Ok(Uuid(bytes))
            }
        }

        deserializer.deserialize_newtype_struct(SERDE_NAME, TextOrBytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_spellings_parse_and_others_do_not() {
        let uuid = "936da01f-9abd-4d9d-80c7-02af85c822a8".parse::<Uuid>().unwrap();
        assert_eq!("936DA01F9ABD4D9D80C702AF85C822A8".parse(), Ok(uuid));
        for text in [
            "",
            "936da01f-9abd-4d9d-80c7-02af85c822a",
            "936da01f9-abd-4d9d-80c7-02af85c822a8",
            "é36da01f9abd4d9d80c702af85c822a8",
        ] {
            assert!(text.parse::<Uuid>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_uuid_prints_and_parses(bytes in any::<[u8; 16]>()) {
            let uuid = Uuid(bytes);
            prop_assert_eq!(uuid.to_string().parse(), Ok(uuid));
            prop_assert_eq!(serde_json::from_str::<Uuid>(&serde_json::to_string(&uuid).unwrap()).unwrap(), uuid);
        }
    }
}
