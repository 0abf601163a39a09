//! Which end of which slot each cell has.
//!
//! `admission` and the warden change it, seldom; cells ask at every call. What follows from it for a slot (who writes, who
//! is to be notified) is worked out at each change, so that no call of a cell looks through it.

use alloc::vec;
use alloc::vec::Vec;

use runner_interfaces::MAX_CELLS;
use runner_interfaces::exchange::{Binding, Direction, Kind, MAX_BINDINGS, MAX_CHANNELS, Status};

use crate::store::{CellSet, Store, slot_number};

/// One end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) slot: usize,
    pub(crate) direction: Direction,
    /// It waits for a take-over.
    pub(crate) is_standby: bool,
    /// The number of the last value that it took ([`Store::puts`]). Of a latest value only: a queue knows by itself.
    pub(crate) taken: u64,
}

impl End {
    /// Whether a slot has one such end in use at the most.
    fn is_exclusive(&self, store: &Store) -> bool {
        self.direction == Direction::Put || store.kind(self.slot) == Some(Kind::Queue)
    }

    fn is_like(&self, other: &Self) -> bool {
        (self.slot, self.direction) == (other.slot, other.direction)
    }
}

/// The ends of every cell, on the heap as the slots are.
pub(crate) struct Ends(Vec<[Option<End>; MAX_BINDINGS]>);

/// Slots, a bit each.
pub(crate) type SlotSet = u32;

/// A set has a bit for every slot.
const _: () = assert!(MAX_CHANNELS <= SlotSet::BITS as usize);

impl Ends {
    pub(crate) fn new() -> Self {
        Self(vec![[None; MAX_BINDINGS]; MAX_CELLS])
    }

    /// The end that a cell may use under that number.
    pub(crate) fn in_use(&mut self, cell: usize, binding: u64) -> Result<&mut End, Status> {
        let binding = binding_number(binding)?;
        self.0[cell][binding].as_mut().filter(|end| !end.is_standby).ok_or(Status::Unbound)
    }

    /// The ends of every cell but `cell`.
    fn of_others(&self, cell: usize) -> impl Iterator<Item = (usize, &End)> {
        let all = self.0.iter().enumerate().filter(move |(other, _)| *other != cell);
        all.flat_map(|(other, ends)| ends.iter().flatten().map(move |end| (other, end)))
    }

    pub(crate) fn bind(&mut self, store: &Store, cell: usize, asked: &Binding) -> Result<(), Status> {
        let (binding, slot) = (binding_number(asked.binding)?, slot_number(asked.slot)?);
        if store.kind(slot).is_none() {
            return Err(Status::NotFound);
        }
        // A new reader of a latest value finds the one that is there, and missed none.
        let taken = store.puts(slot).saturating_sub(1);
        let end = End { slot, direction: asked.direction, is_standby: asked.is_standby, taken };
        if let Some(bound) = self.0[cell][binding] {
            return if bound.is_like(&end) && bound.is_standby == end.is_standby { Ok(()) } else { Err(Status::Busy) };
        }
        if end.is_exclusive(store) {
            let own = self.0[cell].iter().flatten().any(|other| other.is_like(&end));
            let held = self.of_others(cell).any(|(_, other)| !other.is_standby && other.is_like(&end));
            if own || (held && !end.is_standby) {
                return Err(Status::Busy);
            }
        }
        self.0[cell][binding] = Some(end);
        Ok(())
    }

    pub(crate) fn unbind(&mut self, cell: usize, binding: u64) -> Result<(), Status> {
        self.0[cell][binding_number(binding)?].take().map(|_| ()).ok_or(Status::Unbound)
    }

    pub(crate) fn release(&mut self, cell: usize) {
        self.0[cell] = [None; MAX_BINDINGS];
    }

    /// Whether an end of the slot is bound, on standby or not.
    pub(crate) fn is_bound(&self, slot: usize) -> bool {
        self.0.iter().flatten().flatten().any(|end| end.slot == slot)
    }

    /// Puts the ends of `from` on standby, and those of `to` in use, where the ends of `from` at the same slot were.
    pub(crate) fn take_over(&mut self, store: &Store, from: usize, to: usize) -> Result<(), Status> {
        let in_the_way = |end: &End| {
            let mut others = self.of_others(to).filter(|(other, _)| *other != from);
            end.is_exclusive(store) && others.any(|(_, other)| !other.is_standby && other.is_like(end))
        };
        if from == to {
            return Err(Status::Invalid);
        }
        if self.0[to].iter().flatten().any(in_the_way) {
            return Err(Status::Busy);
        }
        let before = self.0[from];
        for end in self.0[to].iter_mut().flatten() {
            let predecessor = before.iter().flatten().find(|other| !other.is_standby && other.is_like(end));
            end.taken = predecessor.map_or(end.taken, |other| other.taken);
            end.is_standby = false;
        }
        for end in self.0[from].iter_mut().flatten() {
            end.is_standby = true;
        }
        Ok(())
    }

    /// Tells the store who writes and reads each slot now; answers the slots where that is news.
    pub(crate) fn show(&self, store: &mut Store) -> SlotSet {
        let mut writers: [CellSet; MAX_CHANNELS] = [0; MAX_CHANNELS];
        let mut readers = writers;
        for (cell, ends) in self.0.iter().enumerate() {
            for end in ends.iter().flatten().filter(|end| !end.is_standby) {
                match end.direction {
                    Direction::Put => writers[end.slot] |= 1 << cell,
                    Direction::Get => readers[end.slot] |= 1 << cell,
                }
            }
        }
        let slots = writers.into_iter().zip(readers).enumerate();
        slots.fold(0, |news, (slot, (writers, readers))| {
            news | SlotSet::from(store.set_ends(slot, writers, readers)) << slot
        })
    }
}

fn binding_number(word: u64) -> Result<usize, Status> {
    usize::try_from(word).ok().filter(|&number| number < MAX_BINDINGS).ok_or(Status::NotFound)
}
