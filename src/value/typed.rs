//! A value as its column has it, for serializers of users.

use super::types::{Scalar, Type};
use super::value_ref::ValueRef;
use serde_core::{Serialize, Serializer};

/// A value together with its column's type, which knows what the value alone does not: that a float has 32 bits.
pub(crate) struct Typed<'a>(pub(crate) Type, pub(crate) ValueRef<'a>);

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(ty, value) = self;
        match (ty, value) {
            (Type::F32, ValueRef::Float(value)) => serializer.serialize_f32(*value as f32),
            (Type::Array(array), ValueRef::Array(values)) if array.element() == Scalar::F32 => {
                serializer.collect_seq(values.iter().map(|value| Self(Type::F32, value)))
            }
            (_, value) => value.serialize(serializer),
        }
    }
}
