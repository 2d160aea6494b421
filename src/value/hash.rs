//! The hash of key columns, seeded per database so that keys from outside cannot be chosen to collide.
//!
//! foldhash in its quality form, whose low bits are as good as its high ones: buckets take the ones, tags the others.
//! Values that compare equal hash equal: -0 is hashed as 0. NaN, which no key holds, hashes as it is.

use std::hash::{BuildHasher, Hasher};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use super::types::{Scalar, Type};

/// What makes one database's hashes differ from another's.
#[derive(Debug, Clone)]
pub(crate) struct HashSeed {
    hasher: u64,
    shared: SharedSeed,
}

impl HashSeed {
    /// A seed from the operating system's randomness.
    pub(crate) fn random() -> HashSeed {
        HashSeed::fixed(std::collections::hash_map::RandomState::new().hash_one(0u8))
    }

    /// A seed for tests and for runs that must repeat.
    pub(crate) fn fixed(seed: u64) -> HashSeed {
        let shared = SharedSeed::from_u64(seed);
        let mut hasher = FoldHasher::with_seed(seed, &shared);
        hasher.write_u64(seed);
        HashSeed { hasher: hasher.finish(), shared }
    }

    #[inline]
    fn hasher(&self) -> FoldHasher<'_> {
        FoldHasher::with_seed(self.hasher, &self.shared)
    }
}

/// The hash of a key: for each of its columns the type and the packed bytes, `None` for null.
#[inline]
pub(crate) fn hash_packed<'a>(seed: &HashSeed, parts: impl IntoIterator<Item = (Type, Option<&'a [u8]>)>) -> u64 {
    let mut hasher = seed.hasher();
    for (ty, bytes) in parts {
        let Some(bytes) = bytes else {
            hasher.write_u8(0xFF);
            continue;
        };
        match (ty, bytes.try_into()) {
            (Type::I64 | Type::U64 | Type::Timestamp, Ok(word)) => hasher.write_u64(u64::from_le_bytes(word)),
            _ => hasher = hash_part(hasher, ty, bytes),
        }
    }
    hasher.finish()
}

/// The same of a key of one integer of eight bytes.
#[inline(always)]
pub(crate) fn hash_word(seed: &HashSeed, word: u64) -> u64 {
    let mut hasher = seed.hasher();
    hasher.write_u64(word);
    hasher.finish()
}

/// Out of line, and the hasher handed over, so that keys of one integer are hashed in registers.
#[inline(never)]
fn hash_part<'s>(mut hasher: FoldHasher<'s>, ty: Type, bytes: &[u8]) -> FoldHasher<'s> {
    match ty {
        Type::F32 | Type::F64 => hash_float(&mut hasher, bytes),
        Type::Array(array) if matches!(array.element(), Scalar::F32 | Scalar::F64) => {
            bytes.chunks_exact(array.element().width()).for_each(|bytes| hash_float(&mut hasher, bytes));
        }
        // A length, so that ("ab", "c") is not ("a", "bc").
        Type::String | Type::Bytes | Type::Json => {
            hasher.write(bytes);
            hasher.write_usize(bytes.len());
        }
        _ => hasher.write(bytes),
    }
    hasher
}

fn hash_float(hasher: &mut FoldHasher<'_>, bytes: &[u8]) {
    let negative_zero =
        bytes.split_last().is_some_and(|(sign, rest)| *sign == 0x80 && rest.iter().all(|byte| *byte == 0));
    match negative_zero {
        true => hasher.write([0; 8].get(..bytes.len()).unwrap_or_default()),
        false => hasher.write(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_keys_hash_equal_and_seeds_tell_databases_apart() {
        let (one, two) = (HashSeed::fixed(1), HashSeed::fixed(2));
        let of = |seed: &HashSeed| hash_packed(seed, [(Type::U64, Some(42u64.to_le_bytes().as_slice()))]);
        assert_eq!(of(&one), of(&HashSeed::fixed(1)));
        assert_ne!(of(&one), of(&two));
        assert_ne!(of(&HashSeed::random()), of(&HashSeed::random()));
        let (zero, minus) = (0f64.to_le_bytes(), (-0f64).to_le_bytes());
        for ty in [Type::U64, Type::I64] {
            let packed = hash_packed(&one, [(ty, Some(42u64.to_le_bytes().as_slice()))]);
            assert_eq!(hash_word(&one, 42), packed);
        }
        let hash = |bytes| hash_packed(&one, [(Type::F64, Some(bytes))]);
        assert_eq!(hash(zero.as_slice()), hash(minus.as_slice()));
    }

    #[test]
    fn where_one_string_ends_counts() {
        let seed = HashSeed::fixed(1);
        let hash =
            |a: &'static [u8], b: &'static [u8]| hash_packed(&seed, [(Type::String, Some(a)), (Type::String, Some(b))]);
        assert_ne!(hash(b"ab", b"c"), hash(b"a", b"bc"));
        assert_ne!(hash(b"", b"abc"), hash(b"abc", b""));
    }
}
