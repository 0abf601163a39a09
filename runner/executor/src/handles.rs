//! Handles of one container on what it holds: numbers that mean nothing outside it.
//!
//! A handle is a place in a table of fixed size and a count of how often that place was used. A container that makes one up
//! reaches at most another thing of the same kind that it holds itself, and one that it gave back names nothing, also when its
//! place was taken again.

/// Bits of a handle that name the place, plus one; the rest count.
const PLACE_BITS: u32 = 8;

/// The most places of a table: each place plus one fits [`PLACE_BITS`].
const MAX_PLACES: usize = (1 << PLACE_BITS) - 1;

/// Counts run in what is left, so that no handle is negative where `wit-bindgen` takes it for a signed number.
const COUNT_MASK: u32 = (1 << (31 - PLACE_BITS)) - 1;

#[derive(Clone, Copy, Debug)]
struct Place<T> {
    held: Option<T>,
    /// How often it was given back.
    count: u32,
}

/// Up to `N` things by handle. Handles count from 1: `wit-bindgen` takes 0 for none.
#[derive(Debug)]
pub(crate) struct Handles<T, const N: usize> {
    places: [Place<T>; N],
}

impl<T: Copy, const N: usize> Default for Handles<T, N> {
    fn default() -> Self {
        const { assert!(N <= MAX_PLACES) };
        Self { places: [Place { held: None, count: 0 }; N] }
    }
}

impl<T: Copy, const N: usize> Handles<T, N> {
    pub(crate) fn has_room(&self) -> bool {
        self.places.iter().any(|place| place.held.is_none())
    }

    /// What is held, in no order.
    pub(crate) fn held(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.held.as_ref())
    }

    /// The handle of a new thing; `None` where the table is full.
    pub(crate) fn insert(&mut self, thing: T) -> Option<u32> {
        let (index, place) = self.places.iter_mut().enumerate().find(|(_, place)| place.held.is_none())?;
        place.held = Some(thing);
        Some(place.count << PLACE_BITS | u32::try_from(index + 1).ok()?)
    }

    pub(crate) fn get(&self, handle: u32) -> Option<&T> {
        let place = self.places.get(index(handle)?)?;
        place.held.as_ref().filter(|_| place.count == handle >> PLACE_BITS)
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> Option<&mut T> {
        let place = self.places.get_mut(index(handle)?)?;
        place.held.as_mut().filter(|_| place.count == handle >> PLACE_BITS)
    }

    /// Forgets a handle and answers what it named.
    pub(crate) fn remove(&mut self, handle: u32) -> Option<T> {
        let thing = *self.get(handle)?;
        let place = self.places.get_mut(index(handle)?)?;
        (place.held, place.count) = (None, place.count.wrapping_add(1) & COUNT_MASK);
        Some(thing)
    }

    /// Forgets any one handle and answers what it named; `None` where nothing is held.
    pub(crate) fn take_any(&mut self) -> Option<T> {
        self.places.iter_mut().find_map(|place| place.held.take())
    }
}

fn index(handle: u32) -> Option<usize> {
    usize::try_from((handle & ((1 << PLACE_BITS) - 1)).checked_sub(1)?).ok()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn what_was_given_back_names_nothing_any_more() {
        let mut handles = Handles::<char, 2>::default();
        let first = handles.insert('a').unwrap();
        assert_eq!((first, handles.get(first)), (1, Some(&'a')));
        assert_eq!(handles.remove(first), Some('a'));
        assert_eq!(handles.get(first), None);
        assert_eq!(handles.remove(first), None);
        let second = handles.insert('b').unwrap();
        assert_ne!(first, second);
        assert_eq!(handles.get(first), None);
        assert_eq!(handles.get_mut(first), None);
        assert_eq!(handles.remove(first), None);
        assert_eq!(handles.get(second), Some(&'b'));
    }

    #[test]
    fn made_up_handles_name_nothing() {
        let mut handles = Handles::<char, 2>::default();
        handles.insert('a').unwrap();
        for wrong in [0, 2, 3, 255, 256, 257, 1 << 31 | 1, u32::MAX] {
            assert_eq!(handles.get(wrong), None, "{wrong}");
            assert_eq!(handles.remove(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_full_table_takes_no_more_until_something_is_given_back() {
        let mut handles = Handles::<usize, MAX_PLACES>::default();
        let given: Vec<u32> = (0..MAX_PLACES).map(|number| handles.insert(number).unwrap()).collect();
        assert!(!handles.has_room());
        assert_eq!(handles.insert(0), None);
        assert!(given.iter().enumerate().all(|(number, handle)| handles.get(*handle) == Some(&number)));
        assert_eq!(handles.remove(given[7]), Some(7));
        assert!(handles.has_room() && handles.insert(1000).is_some());
        assert_eq!(handles.held().count(), MAX_PLACES);
        while handles.take_any().is_some() {}
        assert_eq!(handles.held().count(), 0);
    }

    #[test]
    fn the_count_comes_round_within_its_bits() {
        let mut handles = Handles::<char, 1>::default();
        handles.places[0].count = COUNT_MASK;
        let last = handles.insert('a').unwrap();
        assert!(last.cast_signed() > 0);
        assert_eq!(handles.remove(last), Some('a'));
        assert_eq!(handles.insert('b'), Some(1));
    }
}
