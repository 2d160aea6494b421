//! A map whose entries stand in the order of their keys, for maps that are small and seldom change.
//!
//! One vector, searched by halves: a B-tree is the better map for many entries, and is compiled for each pair of types into
//! ten times the code. Adding or removing an entry moves those behind it.

use std::borrow::Borrow;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct SortedMap<K, V> {
    /// With rising keys, none twice.
    entries: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    /// Where the key is, or else belongs.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.entries.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|place| &self.entries[place].1)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Stores the value and returns the one that it replaced.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(place) => Some(std::mem::replace(&mut self.entries[place].1, value)),
            Err(place) => {
                self.entries.insert(place, (key, value));
                None
            }
        }
    }

    /// The value of the key, which is added if it is not there.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let place = self.find(&key).unwrap_or_else(|place| {
            self.entries.insert(place, (key, V::default()));
            place
        });
        &mut self.entries[place].1
    }

    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.find(key).ok().map(|place| self.entries.remove(place).1)
    }

    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.entries.retain(|(key, _)| keep(key));
    }
}

impl<K, V> SortedMap<K, V> {
    /// In the order of the keys, as all that follow.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().map(|(_, value)| value)
    }

    pub(crate) fn into_values(self) -> Vec<V> {
        self.entries.into_iter().map(|(_, value)| value).collect()
    }
}

type Iter<'m, K, V> = std::iter::Map<std::slice::Iter<'m, (K, V)>, fn(&'m (K, V)) -> (&'m K, &'m V)>;

impl<'m, K, V> IntoIterator for &'m SortedMap<K, V> {
    type Item = (&'m K, &'m V);
    type IntoIter = Iter<'m, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_is_the_map_that_a_b_tree_is(changes in vec((0u8..20, any::<Option<u8>>()), 0..60), kept in any::<u8>()) {
            let (mut map, mut model) = (SortedMap::<Box<str>, u8>::default(), BTreeMap::<Box<str>, u8>::new());
            for (key, value) in changes {
                let key: Box<str> = key.to_string().into();
                prop_assert_eq!(map.get(&*key), model.get(&*key));
                match value {
                    Some(0) => {
                        let (found, expected) = (map.get_or_default(key.clone()), model.entry(key).or_default());
                        prop_assert_eq!(found, expected);
                    }
                    Some(value) => prop_assert_eq!(map.insert(key.clone(), value), model.insert(key, value)),
                    None => prop_assert_eq!(map.remove(&*key), model.remove(&*key)),
                }
                prop_assert!(map.iter().eq(&model));
                prop_assert!(map.keys().eq(model.keys()) && map.values().eq(model.values()));
            }
            let kept: Box<str> = (kept % 20).to_string().into();
            map.retain(|key| *key >= kept);
            model.retain(|key, _| *key >= kept);
            prop_assert!(map.iter().eq(&model) && map.contains_key(&*kept) == model.contains_key(&*kept));
            prop_assert_eq!(map.into_values(), model.into_values().collect::<Vec<_>>());
        }
    }
}
