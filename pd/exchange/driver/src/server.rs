//! Who calls, and what is answered.

use alloc::vec::Vec;

use runner_interfaces::MAX_CELLS;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::driver::{DriverWatch, StartError};
use runner_interfaces::exchange::{
    Binding, Declaration, Direction, EXCHANGE_USAGE_OFFSET_BYTES, ExchangeStatus, Kind, MAX_BINDINGS, MAX_CHANNELS,
    MAX_VALUE_BYTES, Procedure, STORE_BYTES, SlotStatus, Status, Taken, VALUE_REGION_BYTES, WORD_BYTES, bytes_of,
    deepest, slot_offset_bytes,
};
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::kernel::{
    Channel, ChannelSet, Domain, Kernel, Message, Wiring, required_channel, required_region,
};
use runner_interfaces::usage::{Count, UsageTable};
use shared_ring::{OutOfRange, SequencedCell, SharedMemory};

use crate::ends::{Ends, SlotSet};
use crate::store::{CellSet, Store, Value, slot_number};

/// A cell that `system.xml` has.
struct Client<M> {
    channel: Channel,
    grants: SequencedCell<M, CellGrants>,
    /// Where it lays long values.
    from: M,
    /// Where it finds them.
    to: M,
}

impl<M: SharedMemory + Clone> Client<M> {
    fn new<W: Wiring<Memory = M>>(wiring: &W, cell: usize) -> Result<Option<Self>, StartError> {
        let Some(channel) = wiring.channel(&alloc::format!("channel_cell{cell}")) else { return Ok(None) };
        let region = |end: &str| -> Result<M, StartError> {
            let region = required_region(wiring, &alloc::format!("region_cell{cell}_{end}"))?;
            if region.size_bytes() < VALUE_REGION_BYTES { Err(StartError::RegionTooSmall) } else { Ok(region) }
        };
        let offset = grant_offset_bytes(cell).ok_or(OutOfRange)?;
        let grants = SequencedCell::new(required_region(wiring, "region_grants")?, offset)?;
        Ok(Some(Self { channel, grants, from: region("in")?, to: region("out")? }))
    }

    /// Whether the container in the cell may use anything.
    fn is_in_force(&self) -> bool {
        self.grants.try_read().is_some_and(|grants| grants.generation != 0)
    }

    /// The value of a call with that length, which the slot takes. Long ones are copied out of the region here, once.
    fn value(&self, message: &Message, length: usize) -> Result<Value, Status> {
        let mut bytes = [0; MAX_VALUE_BYTES];
        if length <= WORD_BYTES {
            bytes[..WORD_BYTES].copy_from_slice(&bytes_of([message.words[2], message.words[3]]));
        } else {
            let destination = bytes.get_mut(..length).ok_or(Status::Invalid)?;
            self.from.read(0, destination).map_err(|_| Status::Unavailable)?;
        }
        Value::new(bytes, length).ok_or(Status::Invalid)
    }

    /// Hands a value over, in the words of the answer or in the region.
    fn hand_over(&self, value: &Value, overwritten: u64) -> Result<Message, Status> {
        let bytes = value.as_bytes();
        let mut taken = Taken { length: bytes.len() as u64, value: [0; WORD_BYTES], overwritten };
        match taken.value.get_mut(..bytes.len()) {
            Some(words) => words.copy_from_slice(bytes),
            None => self.to.write(0, bytes).map_err(|_| Status::Unavailable)?,
        }
        Ok(taken.answer())
    }
}

/// What a served call answers, or why it was not served.
type Outcome = Result<Message, Status>;

/// The `exchange` domain. `W` is the substrate's wiring.
pub struct Exchange<W: Wiring> {
    /// By cell; `None` where `system.xml` has no such cell.
    cells: [Option<Client<W::Memory>>; MAX_CELLS],
    admission: Channel,
    warden: Channel,
    ends: Ends,
    store: Store,
    shown: SequencedCell<W::Memory, ExchangeStatus>,
    shown_slots: Vec<SequencedCell<W::Memory, SlotStatus>>,
    status: ExchangeStatus,
    usage: UsageTable<W::Memory>,
    watch: DriverWatch<W::Memory>,
    /// Slots that changed since they were shown.
    news: SlotSet,
}

impl<W: Wiring> Exchange<W> {
    /// The domain, of whose slots none is declared. Takes all the memory that it will ever take.
    ///
    /// # Errors
    /// `system.xml` gives the domain too little; see [`StartError`].
    pub fn new(wiring: &W) -> Result<Self, StartError> {
        let mut cells = [const { None }; MAX_CELLS];
        for (cell, client) in cells.iter_mut().enumerate() {
            *client = Client::new(wiring, cell)?;
        }
        let status = required_region(wiring, "region_status")?;
        Ok(Self {
            cells,
            admission: required_channel(wiring, "channel_admission")?,
            warden: required_channel(wiring, "channel_warden")?,
            ends: Ends::new(),
            store: Store::new(),
            shown_slots: shown_slots(&status)?,
            usage: UsageTable::new(status.clone(), EXCHANGE_USAGE_OFFSET_BYTES, MAX_BINDINGS)?,
            watch: DriverWatch::new(status.clone())?,
            shown: SequencedCell::new(status, 0)?,
            status: ExchangeStatus::default(),
            news: SlotSet::MAX,
        })
    }

    fn client(&self, cell: usize) -> Result<&Client<W::Memory>, Status> {
        self.cells.get(cell).and_then(Option::as_ref).ok_or(Status::NotFound)
    }

    /// A cell that there is.
    fn cell(&self, word: u64) -> Result<usize, Status> {
        let cell = usize::try_from(word).map_err(|_| Status::NotFound)?;
        self.client(cell).map(|_| cell)
    }

    fn cell_of(&self, channel: Channel) -> Option<usize> {
        self.cells.iter().position(|client| client.as_ref().is_some_and(|client| client.channel == channel))
    }

    fn notify<K: Kernel>(&self, kernel: &mut K, cells: CellSet) {
        for client in self.cells.iter().enumerate().filter(|(cell, _)| cells & (1 << cell) != 0) {
            if let (_, Some(client)) = client {
                kernel.notify(client.channel);
            }
        }
    }

    fn changed(&mut self, slot: usize) {
        self.news |= 1 << slot;
    }

    fn serve_cell<K: Kernel>(&mut self, kernel: &mut K, cell: usize, message: &Message) -> Outcome {
        let procedure = procedure_of(message)?;
        if !matches!(procedure, Procedure::Put | Procedure::Take | Procedure::Peek) {
            return Err(Status::Invalid);
        }
        if !self.client(cell)?.is_in_force() {
            return Err(Status::NotGranted);
        }
        match procedure {
            Procedure::Put => self.put(kernel, cell, message),
            Procedure::Take => self.take(kernel, cell, message),
            _ => self.peek(cell, message),
        }
    }

    /// The slot that a cell reaches through the end that a call names.
    fn slot_of(&mut self, cell: usize, message: &Message, direction: Direction) -> Result<usize, Status> {
        let end = self.ends.in_use(cell, message.words[0])?;
        if end.direction == direction { Ok(end.slot) } else { Err(Status::Invalid) }
    }

    fn put<K: Kernel>(&mut self, kernel: &mut K, cell: usize, message: &Message) -> Outcome {
        let slot = self.slot_of(cell, message, Direction::Put)?;
        let length = self.store.check_length(slot, message.words[1])?;
        let value = self.client(cell)?.value(message, length)?;
        // A refusal is counted.
        self.changed(slot);
        self.store.put(slot, &value, kernel.now().nanoseconds())?;
        self.notify(kernel, self.store.readers(slot));
        Ok(Status::Ok.answer())
    }

    fn take<K: Kernel>(&mut self, kernel: &mut K, cell: usize, message: &Message) -> Outcome {
        let slot = self.slot_of(cell, message, Direction::Get)?;
        let puts = self.store.puts(slot);
        let is_latest = self.store.kind(slot) == Some(Kind::Latest);
        let unseen = self.unseen(cell, message, puts)?;
        if is_latest && unseen == 0 {
            return Err(Status::Empty);
        }
        let value = self.store.oldest(slot)?;
        let overwritten = if is_latest { unseen - 1 } else { 0 };
        let answer = self.client(cell)?.hand_over(&value, overwritten)?;
        self.ends.in_use(cell, message.words[0])?.taken = puts;
        self.changed(slot);
        let was_full = self.store.take(slot);
        if was_full {
            self.notify(kernel, self.store.writers(slot));
        }
        Ok(answer)
    }

    fn peek(&mut self, cell: usize, message: &Message) -> Outcome {
        let slot = self.slot_of(cell, message, Direction::Get)?;
        let unseen = self.unseen(cell, message, self.store.puts(slot))?;
        let overwritten = if self.store.kind(slot) == Some(Kind::Latest) { unseen.saturating_sub(1) } else { 0 };
        self.client(cell)?.hand_over(&self.store.oldest(slot)?, overwritten)
    }

    /// How many values were put since the end took one.
    fn unseen(&mut self, cell: usize, message: &Message, puts: u64) -> Result<u64, Status> {
        Ok(puts.saturating_sub(self.ends.in_use(cell, message.words[0])?.taken))
    }

    fn serve_admission<K: Kernel>(&mut self, kernel: &mut K, message: &Message) -> Outcome {
        match procedure_of(message)? {
            Procedure::Declare => {
                let declaration = Declaration::of(message).ok_or(Status::Invalid)?;
                self.store.declare(declaration)?;
                self.changed(slot_number(declaration.slot)?);
            }
            Procedure::Bind => {
                let binding = Binding::of(message).ok_or(Status::Invalid)?;
                let cell = self.cell(binding.cell)?;
                self.ends.bind(&self.store, cell, &binding)?;
                // A container that runs already may wait for just this.
                self.notify(kernel, 1 << cell);
            }
            Procedure::Unbind => {
                let cell = self.cell(message.words[0])?;
                self.ends.unbind(cell, message.words[1])?;
            }
            Procedure::Forget => {
                let slot = slot_number(message.words[0])?;
                if self.ends.is_bound(slot) {
                    return Err(Status::Busy);
                }
                self.store.forget(slot);
                self.changed(slot);
            }
            _ => return Err(Status::Invalid),
        }
        self.show_ends();
        Ok(Status::Ok.answer())
    }

    fn serve_warden<K: Kernel>(&mut self, kernel: &mut K, message: &Message) -> Outcome {
        match procedure_of(message)? {
            Procedure::Release => {
                let cell = self.cell(message.words[0])?;
                self.ends.release(cell);
            }
            Procedure::TakeOver => {
                let (from, to) = (self.cell(message.words[0])?, self.cell(message.words[1])?);
                self.ends.take_over(&self.store, from, to)?;
                self.status.take_overs = self.status.take_overs.wrapping_add(1);
                // Values or room may have come before it could use them.
                self.notify(kernel, 1 << to);
            }
            _ => return Err(Status::Invalid),
        }
        self.show_ends();
        Ok(Status::Ok.answer())
    }

    fn show_ends(&mut self) {
        self.news |= self.ends.show(&mut self.store);
    }

    /// Counts a cell's call for the end that it names.
    fn count_use(&self, cell: usize, message: &Message, outcome: &Outcome) {
        let Ok(end) = usize::try_from(message.words[0]) else { return };
        self.usage.add(cell, end, Count::Calls, 1);
        match outcome {
            Err(Status::Full) => self.usage.add(cell, end, Count::Limited, 1),
            Err(Status::Empty) | Ok(_) => {}
            Err(_) => self.usage.add(cell, end, Count::Refused, 1),
        }
    }

    fn count(&mut self, cell: Option<usize>, outcome: &Outcome) {
        let status = &mut self.status;
        status.calls = status.calls.wrapping_add(1);
        if matches!(outcome, Err(Status::NotGranted))
            && let Some(refused) = cell.and_then(|cell| status.refused_by_cell.get_mut(cell))
        {
            *refused = refused.wrapping_add(1);
        }
        let counter = match outcome {
            Err(Status::NotGranted) => &mut status.refused,
            Err(Status::Invalid | Status::NotFound) => &mut status.invalid,
            Err(Status::Unbound) => &mut status.unbound,
            _ => return,
        };
        *counter = counter.wrapping_add(1);
    }

    /// Shows what changed: at a cell's call the counters and one slot at the most.
    fn publish(&mut self) {
        self.shown.write(&self.status);
        let mut news = core::mem::take(&mut self.news);
        while news != 0 {
            let slot = news.trailing_zeros() as usize;
            news &= news - 1;
            self.shown_slots[slot].write(self.store.shown(slot));
        }
    }
}

impl<W: Wiring, K: Kernel> Domain<K> for Exchange<W> {
    /// A value goes into each slot and comes out again. Before anything is declared: nothing of anybody's is touched.
    fn self_test(&mut self, _: &mut K) -> Finding {
        let cells = self.cells.iter().flatten().count();
        match (0..MAX_CHANNELS).find(|&slot| test_slot(&mut self.store, slot).is_none()) {
            None => Finding::well(format_args!("{MAX_CHANNELS} channels of {STORE_BYTES} bytes between {cells} cells")),
            Some(slot) => Finding::wrong(format_args!("what was put into channel {slot} did not come out of it")),
        }
    }

    fn start(&mut self, _: &mut K) {
        self.publish();
    }

    /// Nobody notifies the exchange.
    fn notified(&mut self, _: &mut K, _: ChannelSet) {}

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let caller = self.cell_of(channel);
        let outcome = match caller {
            Some(cell) => {
                self.watch.count_call(cell);
                let outcome = self.serve_cell(kernel, cell, &message);
                self.count_use(cell, &message, &outcome);
                outcome
            }
            None if channel == self.admission => self.serve_admission(kernel, &message),
            None if channel == self.warden => self.serve_warden(kernel, &message),
            // A channel that no caller should have: the description's fault, and still nobody else's harm.
            None => Err(Status::Invalid),
        };
        self.count(caller, &outcome);
        self.publish();
        outcome.unwrap_or_else(Status::answer)
    }
}

/// Fills a slot with values of the longest kind, takes them out again, and leaves it as it was; `None` where one is not
/// what was put.
fn test_slot(store: &mut Store, slot: usize) -> Option<()> {
    let depth = deepest(MAX_VALUE_BYTES);
    store
        .declare(Declaration {
            slot: slot as u64,
            kind: Kind::Queue,
            depth: u32::try_from(depth).ok()?,
            value_bytes: u32::try_from(MAX_VALUE_BYTES).ok()?,
            is_exact: true,
            fingerprint: 0,
        })
        .ok()?;
    let pattern = |place: usize| core::array::from_fn(|index| (index ^ place ^ slot).to_le_bytes()[0]);
    for place in 0..depth {
        store.put(slot, &Value::new(pattern(place), MAX_VALUE_BYTES)?, 0).ok()?;
    }
    for place in 0..depth {
        let value = store.oldest(slot).ok()?;
        store.take(slot);
        (value.as_bytes() == pattern(place)).then_some(())?;
    }
    store.forget(slot);
    Some(())
}

fn shown_slots<M: SharedMemory + Clone>(region: &M) -> Result<Vec<SequencedCell<M, SlotStatus>>, OutOfRange> {
    let offsets = (0..MAX_CHANNELS).map(|slot| slot_offset_bytes(slot).ok_or(OutOfRange));
    offsets.map(|offset| SequencedCell::new(region.clone(), offset?)).collect()
}

fn procedure_of(message: &Message) -> Result<Procedure, Status> {
    u32::try_from(message.label).ok().and_then(Procedure::from_wire).ok_or(Status::Invalid)
}
