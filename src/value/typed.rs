//! A value as its column has it, for serializers of users.

use super::types::Type;
use super::value_ref::ValueRef;
use serde_core::{Serialize, Serializer};

/// A value together with its column's type, which knows what the value alone does not: how wide a number is. So that formats
/// which write no types, and so have widths and optional values spelt out by whoever reads them, are read back.
pub(crate) struct Typed<'a> {
    pub(crate) ty: Type,
    pub(crate) nullable: bool,
    pub(crate) value: ValueRef<'a>,
}

impl Serialize for Typed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.nullable, self.value) {
            (true, ValueRef::Null) => serializer.serialize_none(),
            (true, _) => serializer.serialize_some(&Typed { nullable: false, ..*self }),
            (false, value) => serialize(self.ty, value, serializer),
        }
    }
}

fn serialize<S: Serializer>(ty: Type, value: ValueRef<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    // The numbers are of their column's type, so that none is cut off.
    match (ty, value) {
        (Type::I8, ValueRef::Int(value)) => serializer.serialize_i8(value as i8),
        (Type::I16, ValueRef::Int(value)) => serializer.serialize_i16(value as i16),
        (Type::I32, ValueRef::Int(value)) => serializer.serialize_i32(value as i32),
        (Type::U8, ValueRef::UInt(value)) => serializer.serialize_u8(value as u8),
        (Type::U16, ValueRef::UInt(value)) => serializer.serialize_u16(value as u16),
        (Type::U32, ValueRef::UInt(value)) => serializer.serialize_u32(value as u32),
        (Type::F32, ValueRef::Float(value)) => serializer.serialize_f32(value as f32),
        (Type::Array(array), ValueRef::Array(values)) => {
            let ty = array.element().into();
            serializer.collect_seq(values.iter().map(|value| Typed { ty, nullable: false, value }))
        }
        (_, value) => value.serialize(serializer),
    }
}
