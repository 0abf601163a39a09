//! Any sequence of calls, held to a model that remembers everything and is in no hurry.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use proptest::prelude::*;
use runner_interfaces::exchange::{
    Binding, Declaration, Direction, Kind, MAX_BINDINGS, MAX_CHANNELS, Procedure, Status, call, call_with,
};

use super::{ADMISSION, Bench, CELL, WARDEN};

/// What somebody does.
#[derive(Clone, Debug)]
enum Act {
    Put { cell: usize, binding: u8, length: usize },
    Receive { cell: usize, binding: u8, takes: bool },
    Declare(Declaration),
    Bind(Binding),
    Unbind { cell: u64, binding: u64 },
    Forget { slot: u64 },
    Release { cell: u64 },
    TakeOver { from: u64, to: u64 },
    Grant { cell: usize, is_in_force: bool },
}

/// A channel with everything that was ever put into it.
#[derive(Clone)]
struct ModelSlot {
    declaration: Declaration,
    history: Vec<Vec<u8>>,
    /// Of a queue: how many were taken.
    removed: usize,
}

#[derive(Clone, Copy)]
struct ModelEnd {
    slot: u64,
    direction: Direction,
    is_standby: bool,
    /// How much of the history its reader knows.
    seen: usize,
}

type Received = Result<(Vec<u8>, u64), Status>;

#[derive(Default)]
struct Model {
    slots: BTreeMap<u64, ModelSlot>,
    ends: BTreeMap<(u64, u64), ModelEnd>,
    withdrawn: [bool; 3],
}

impl Model {
    fn check_cell(cell: u64) -> Result<(), Status> {
        if cell < CELL.len() as u64 { Ok(()) } else { Err(Status::NotFound) }
    }

    fn check_binding(binding: u64) -> Result<(), Status> {
        if binding < MAX_BINDINGS as u64 { Ok(()) } else { Err(Status::NotFound) }
    }

    /// Who has an end in use there.
    fn users(&self, slot: u64, direction: Direction) -> Vec<u64> {
        let users =
            self.ends.iter().filter(|(_, end)| !end.is_standby && (end.slot, end.direction) == (slot, direction));
        let mut cells: Vec<u64> = users.map(|((cell, _), _)| *cell).collect();
        cells.dedup();
        cells
    }

    fn has_one(&self, slot: u64, direction: Direction) -> bool {
        direction == Direction::Put || self.slots[&slot].declaration.kind == Kind::Queue
    }

    /// An end that a cell may use in that direction.
    fn end(&self, cell: usize, binding: u8, direction: Direction) -> Result<ModelEnd, Status> {
        if self.withdrawn[cell] {
            return Err(Status::NotGranted);
        }
        Self::check_binding(u64::from(binding))?;
        match self.ends.get(&(cell as u64, u64::from(binding))) {
            Some(end) if !end.is_standby && end.direction == direction => Ok(*end),
            Some(end) if !end.is_standby => Err(Status::Invalid),
            _ => Err(Status::Unbound),
        }
    }

    /// Answers the cells to notify.
    fn put(&mut self, cell: usize, binding: u8, value: &[u8]) -> Result<Vec<u64>, Status> {
        let end = self.end(cell, binding, Direction::Put)?;
        let slot = self.slots.get_mut(&end.slot).expect("a bound slot is declared");
        let most = slot.declaration.value_bytes as usize;
        let fits = if slot.declaration.is_exact { value.len() == most } else { (1..=most).contains(&value.len()) };
        if !fits {
            return Err(Status::Invalid);
        }
        let held = slot.history.len() - slot.removed;
        if slot.declaration.kind == Kind::Queue && held == slot.declaration.depth as usize {
            return Err(Status::Full);
        }
        slot.history.push(value.to_vec());
        Ok(self.users(end.slot, Direction::Get))
    }

    fn receive(&mut self, cell: usize, binding: u8, takes: bool) -> (Received, Vec<u64>) {
        let end = match self.end(cell, binding, Direction::Get) {
            Ok(end) => end,
            Err(status) => return (Err(status), Vec::new()),
        };
        let slot = self.slots.get_mut(&end.slot).expect("a bound slot is declared");
        match slot.declaration.kind {
            Kind::Queue => {
                let Some(value) = slot.history.get(slot.removed).cloned() else {
                    return (Err(Status::Empty), Vec::new());
                };
                let was_full = slot.history.len() - slot.removed == slot.declaration.depth as usize;
                slot.removed += usize::from(takes);
                let writers = if takes && was_full { self.users(end.slot, Direction::Put) } else { Vec::new() };
                (Ok((value, 0)), writers)
            }
            Kind::Latest => {
                let missed = slot.history.len() - end.seen;
                match slot.history.last().cloned() {
                    Some(value) if missed > 0 || !takes => {
                        if takes {
                            let all = slot.history.len();
                            self.ends.get_mut(&(cell as u64, u64::from(binding))).expect("it is there").seen = all;
                        }
                        (Ok((value, missed.saturating_sub(1) as u64)), Vec::new())
                    }
                    _ => (Err(Status::Empty), Vec::new()),
                }
            }
        }
    }

    fn declare(&mut self, declaration: Declaration) -> Result<(), Status> {
        let room = declaration.depth * declaration.value_bytes.next_multiple_of(8) <= 8192;
        let one = declaration.kind == Kind::Queue || declaration.depth == 1;
        if declaration.depth == 0 || !(1..=256).contains(&declaration.value_bytes) || !room || !one {
            return Err(Status::Invalid);
        }
        if declaration.slot >= MAX_CHANNELS as u64 {
            return Err(Status::NotFound);
        }
        let slot = ModelSlot { declaration, history: Vec::new(), removed: 0 };
        let there = self.slots.entry(declaration.slot).or_insert(slot);
        if there.declaration == declaration { Ok(()) } else { Err(Status::Busy) }
    }

    fn bind(&mut self, asked: Binding) -> Result<Vec<u64>, Status> {
        Self::check_cell(asked.cell)?;
        Self::check_binding(asked.binding)?;
        let slot = self.slots.get(&asked.slot).ok_or(Status::NotFound)?;
        let seen = slot.history.len().saturating_sub(1);
        if let Some(end) = self.ends.get(&(asked.cell, asked.binding)) {
            let same = (end.slot, end.direction, end.is_standby) == (asked.slot, asked.direction, asked.is_standby);
            return if same { Ok([asked.cell].into()) } else { Err(Status::Busy) };
        }
        if self.has_one(asked.slot, asked.direction) {
            let like = |end: &ModelEnd| (end.slot, end.direction) == (asked.slot, asked.direction);
            let own = self.ends.iter().any(|((cell, _), end)| *cell == asked.cell && like(end));
            if own || (!asked.is_standby && !self.users(asked.slot, asked.direction).is_empty()) {
                return Err(Status::Busy);
            }
        }
        let end = ModelEnd { slot: asked.slot, direction: asked.direction, is_standby: asked.is_standby, seen };
        self.ends.insert((asked.cell, asked.binding), end);
        Ok([asked.cell].into())
    }

    fn take_over(&mut self, from: u64, to: u64) -> Result<Vec<u64>, Status> {
        Self::check_cell(from)?;
        Self::check_cell(to)?;
        if from == to {
            return Err(Status::Invalid);
        }
        let before = self.ends.clone();
        for ((cell, _), end) in &mut self.ends {
            if *cell == from {
                end.is_standby = true;
            } else if *cell == to {
                let predecessor = before.iter().find(|((cell, _), other)| {
                    *cell == from && !other.is_standby && (other.slot, other.direction) == (end.slot, end.direction)
                });
                end.seen = predecessor.map_or(end.seen, |(_, other)| other.seen);
                end.is_standby = false;
            }
        }
        if self.is_sound() {
            return Ok([to].into());
        }
        self.ends = before;
        Err(Status::Busy)
    }

    /// One writer a slot, and one reader a queue.
    fn is_sound(&self) -> bool {
        self.slots.keys().all(|&slot| {
            [Direction::Put, Direction::Get].into_iter().all(|direction| {
                let ends = self.ends.values().filter(|end| !end.is_standby);
                let users = ends.filter(|end| (end.slot, end.direction) == (slot, direction)).count();
                users <= 1 || !self.has_one(slot, direction)
            })
        })
    }

    fn unbind(&mut self, cell: u64, binding: u64) -> Result<(), Status> {
        Self::check_cell(cell)?;
        Self::check_binding(binding)?;
        self.ends.remove(&(cell, binding)).map(|_| ()).ok_or(Status::Unbound)
    }

    fn forget(&mut self, slot: u64) -> Result<(), Status> {
        if slot >= MAX_CHANNELS as u64 {
            return Err(Status::NotFound);
        }
        if self.ends.values().any(|end| end.slot == slot) {
            return Err(Status::Busy);
        }
        self.slots.remove(&slot);
        Ok(())
    }

    fn release(&mut self, cell: u64) -> Result<(), Status> {
        Self::check_cell(cell)?;
        self.ends.retain(|(of, _), _| *of != cell);
        Ok(())
    }
}

fn status_of<T>(result: &Result<T, Status>) -> Status {
    result.as_ref().err().copied().unwrap_or(Status::Ok)
}

/// One act on both sides; they must agree on the answer and on who was notified.
fn act(bench: &mut Bench, model: &mut Model, act: &Act, number: usize) {
    bench.notified();
    let mut expected_notified = Vec::new();
    let (found, expected) = match *act {
        Act::Put { cell, binding, length } => {
            let value: Vec<u8> = (0..length).map(|index| (number * 31 + index).to_le_bytes()[0]).collect();
            let expected = model.put(cell, binding, &value);
            expected_notified = expected.clone().unwrap_or_default();
            (bench.put(cell, binding, &value), status_of(&expected))
        }
        Act::Receive { cell, binding, takes } => {
            let procedure = if takes { Procedure::Take } else { Procedure::Peek };
            let (expected, notified) = model.receive(cell, binding, takes);
            expected_notified = notified;
            let found = bench.receive(cell, procedure, binding);
            assert_eq!(found, expected);
            (status_of(&found), status_of(&expected))
        }
        Act::Declare(declaration) => {
            (bench.status_of(ADMISSION, declaration.call()), status_of(&model.declare(declaration)))
        }
        Act::Bind(binding) => {
            let expected = model.bind(binding);
            expected_notified = expected.clone().unwrap_or_default();
            (bench.status_of(ADMISSION, binding.call()), status_of(&expected))
        }
        Act::Unbind { cell, binding } => {
            let message = call_with(Procedure::Unbind, cell, binding);
            (bench.status_of(ADMISSION, message), status_of(&model.unbind(cell, binding)))
        }
        Act::Forget { slot } => {
            (bench.status_of(ADMISSION, call(Procedure::Forget, slot)), status_of(&model.forget(slot)))
        }
        Act::Release { cell } => {
            (bench.status_of(WARDEN, call(Procedure::Release, cell)), status_of(&model.release(cell)))
        }
        Act::TakeOver { from, to } => {
            let expected = model.take_over(from, to);
            expected_notified = expected.clone().unwrap_or_default();
            (bench.take_over(from, to), status_of(&expected))
        }
        Act::Grant { cell, is_in_force } => {
            bench.grant(cell, u32::from(is_in_force));
            model.withdrawn[cell] = !is_in_force;
            (Status::Ok, Status::Ok)
        }
    };
    assert_eq!(found, expected, "{act:?}");
    let notified: Vec<u64> = bench
        .notified()
        .iter()
        .filter_map(|channel| CELL.iter().position(|known| known == channel))
        .map(|cell| cell as u64)
        .collect();
    assert_eq!(notified, expected_notified, "{act:?}");
    agree(bench, model);
}

/// What is shown of each slot is what the model knows of it.
fn agree(bench: &Bench, model: &Model) {
    for slot in 0..4 {
        let shown = bench.shown_slot(slot);
        let mask = |direction| model.users(slot as u64, direction).iter().fold(0, |mask, cell| mask | 1 << cell);
        let Some(known) = model.slots.get(&(slot as u64)) else {
            assert_eq!(shown.kind, 0);
            continue;
        };
        let held = match known.declaration.kind {
            Kind::Latest => known.history.len().min(1),
            Kind::Queue => known.history.len() - known.removed,
        };
        assert_eq!((shown.puts, shown.held as usize), (known.history.len() as u64, held));
        assert_eq!((shown.writers, shown.readers), (mask(Direction::Put), mask(Direction::Get)));
    }
}

prop_compose! {
    fn declaration()(
        slot in prop_oneof![20 => 0..3_u64, 1 => Just(32), 1 => Just(u64::MAX)],
        kind in prop_oneof![Just(Kind::Latest), Just(Kind::Queue)],
        depth in prop_oneof![4 => Just(1_u32), 4 => 2..4_u32, 1 => Just(0), 1 => Just(33), 1 => Just(1025)],
        value_bytes in prop_oneof![4 => Just(8_u32), 4 => Just(256), 1 => Just(0), 1 => Just(257)],
        is_exact in any::<bool>(),
    ) -> Declaration {
        Declaration { slot, kind, depth, value_bytes, is_exact, fingerprint: 1 }
    }
}

prop_compose! {
    fn binding()(
        cell in prop_oneof![20 => 0..3_u64, 1 => Just(3), 1 => Just(u64::MAX)],
        binding in prop_oneof![20 => 0..3_u64, 1 => Just(16), 1 => Just(u64::MAX)],
        slot in prop_oneof![20 => 0..3_u64, 1 => Just(32)],
        is_put in any::<bool>(),
        is_standby in prop_oneof![3 => Just(false), 1 => Just(true)],
    ) -> Binding {
        let direction = if is_put { Direction::Put } else { Direction::Get };
        Binding { cell, binding, slot, direction, is_standby }
    }
}

fn any_act() -> impl Strategy<Value = Act> {
    let length =
        prop_oneof![6 => Just(8_usize), 2 => Just(256), 1 => Just(17), 1 => Just(16), 1 => Just(0), 1 => Just(257)];
    let own = prop_oneof![30 => 0..3_u8, 1 => Just(16_u8)];
    prop_oneof![
        8 => (0..3_usize, own.clone(), length).prop_map(|(cell, binding, length)| Act::Put { cell, binding, length }),
        8 => (0..3_usize, own, prop_oneof![3 => Just(true), 1 => Just(false)])
            .prop_map(|(cell, binding, takes)| Act::Receive { cell, binding, takes }),
        3 => declaration().prop_map(Act::Declare),
        5 => binding().prop_map(Act::Bind),
        1 => (0..4_u64, 0..3_u64).prop_map(|(cell, binding)| Act::Unbind { cell, binding }),
        1 => (0..4_u64).prop_map(|slot| Act::Forget { slot }),
        1 => (0..4_u64).prop_map(|cell| Act::Release { cell }),
        2 => (0..4_u64, 0..3_u64).prop_map(|(from, to)| Act::TakeOver { from, to }),
        1 => (0..3_usize, prop_oneof![3 => Just(true), 1 => Just(false)])
            .prop_map(|(cell, is_in_force)| Act::Grant { cell, is_in_force }),
    ]
}

/// Channels that are there and bound, so that most of what follows has an effect: a latest value and a queue, from cell 0 to
/// cell 1, with cell 2 waiting to take over from either.
fn prepared() -> Vec<Act> {
    let declare = |slot, kind, depth| {
        Act::Declare(Declaration { slot, kind, depth, value_bytes: 256, is_exact: false, fingerprint: 1 })
    };
    let bind =
        |cell, binding, slot, direction, is_standby| Act::Bind(Binding { cell, binding, slot, direction, is_standby });
    [
        declare(0, Kind::Latest, 1),
        declare(1, Kind::Queue, 2),
        bind(0, 0, 0, Direction::Put, false),
        bind(0, 1, 1, Direction::Put, false),
        bind(1, 0, 0, Direction::Get, false),
        bind(1, 1, 1, Direction::Get, false),
        bind(2, 0, 0, Direction::Get, true),
        bind(2, 1, 1, Direction::Get, true),
    ]
    .into()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_calls_is_answered_as_the_model_says(acts in prop::collection::vec(any_act(), 1..120)) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for (number, one) in prepared().iter().chain(&acts).enumerate() {
            act(&mut bench, &mut model, one, number);
        }
    }

    #[test]
    fn arbitrary_words_from_anybody_end_in_an_answer_and_break_nothing(
        messages in prop::collection::vec(
            (
                prop::sample::select(&[CELL[0], CELL[1], CELL[2], ADMISSION, WARDEN, 40][..]),
                prop_oneof![8 => 0..11_u64, 1 => any::<u64>()],
                prop::array::uniform4(prop_oneof![4 => 0..4_u64, 1 => any::<u64>(), 1 => (0..4_u64).prop_map(|low| 1 << 32 | low)]),
            ),
            1..200,
        ),
    ) {
        let (mut bench, mut model) = (Bench::new(), Model::default());
        for (number, one) in prepared().iter().enumerate() {
            act(&mut bench, &mut model, one, number);
        }
        for (channel, label, words) in messages {
            bench.status_of(channel, runner_interfaces::kernel::Message { label, words });
        }
        let writers = (0..MAX_CHANNELS).map(|slot| bench.shown_slot(slot).writers.count_ones());
        prop_assert!(writers.max() <= Some(1));
        for slot in (0..MAX_CHANNELS).map(|slot| bench.shown_slot(slot)) {
            prop_assert!(slot.held <= slot.depth);
            prop_assert!(slot.kind != Kind::Queue.to_wire() || slot.readers.count_ones() <= 1);
        }
    }
}
