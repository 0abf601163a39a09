//! Who calls, and what is answered.

use runner_interfaces::MAX_CELLS;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::driver::{DriverWatch, StartError};
use runner_interfaces::gpio::Status;
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::i2c::{
    ADDRESSES, I2C_USAGE_OFFSET_BYTES, I2cStatus, MAX_TRANSFER_BYTES, Procedure, Received, Transfer,
};
use runner_interfaces::kernel::{Channel, ChannelSet, Domain, Instant, Kernel, Message, Wiring, required_region};
use runner_interfaces::usage::{Count, UsageTable};
use shared_ring::{OutOfRange, SequencedCell};

use crate::bus::{Bus, BusError};

/// A cell that `system.xml` has.
struct Client<M> {
    channel: Channel,
    grants: SequencedCell<M, CellGrants>,
}

/// The `i2c` domain. `W` is the substrate's wiring, `B` the bus.
pub struct I2c<W: Wiring, B> {
    bus: B,
    /// By cell; `None` where `system.xml` has no such cell.
    cells: [Option<Client<W::Memory>>; MAX_CELLS],
    shown: SequencedCell<W::Memory, I2cStatus>,
    status: I2cStatus,
    usage: UsageTable<W::Memory>,
    watch: DriverWatch<W::Memory>,
}

impl<W: Wiring, B: Bus> I2c<W, B> {
    /// The domain with its `bus`. Takes all the memory that it will ever take.
    ///
    /// # Errors
    /// `system.xml` gives the domain too little; see [`StartError`].
    pub fn new(wiring: &W, bus: B) -> Result<Self, StartError> {
        let grants = required_region(wiring, "region_grants")?;
        let status = required_region(wiring, "region_status")?;
        let mut cells = [const { None }; MAX_CELLS];
        for (cell, client) in cells.iter_mut().enumerate() {
            if let Some(channel) = wiring.channel(&alloc::format!("channel_cell{cell}")) {
                let offset = grant_offset_bytes(cell).ok_or(OutOfRange)?;
                *client = Some(Client { channel, grants: SequencedCell::new(grants.clone(), offset)? });
            }
        }
        let is_simulated = u64::from(bus.is_simulated());
        Ok(Self {
            bus,
            cells,
            usage: UsageTable::new(status.clone(), I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES))?,
            watch: DriverWatch::new(status.clone())?,
            shown: SequencedCell::new(status, 0)?,
            status: I2cStatus { is_simulated, ..I2cStatus::default() },
        })
    }

    /// What the caller may use now; nothing before the warden's first word.
    fn grants_of(&self, channel: Channel) -> Option<CellGrants> {
        let client = self.cells.iter().flatten().find(|client| client.channel == channel)?;
        Some(client.grants.try_read().unwrap_or_default())
    }

    fn serve(&mut self, now: Instant, channel: Channel, message: &Message) -> Result<Received, Status> {
        // A channel that no caller should have: the description's fault, and still nobody else's harm.
        let grants = self.grants_of(channel).ok_or(Status::Invalid)?;
        let procedure = u32::try_from(message.label).ok().and_then(Procedure::from_wire);
        let Some(Procedure::Transfer) = procedure else { return Err(Status::Invalid) };
        let transfer = Transfer::of(message)?;
        // Before anything else is found out: who was not granted an address does not learn what is there.
        if !CellGrants::allows_address(grants.i2c_addresses, transfer.address) {
            return Err(Status::NotGranted);
        }
        let mut received = Received { bytes: [0; MAX_TRANSFER_BYTES] };
        let read = received.bytes.get_mut(..usize::from(transfer.read_length)).ok_or(Status::Invalid)?;
        self.bus.transfer(now, transfer.address, transfer.written(), read).map_err(BusError::status)?;
        Ok(received)
    }

    fn cell_of(&self, channel: Channel) -> Option<usize> {
        let is_callers = |client: &Option<Client<W::Memory>>| client.as_ref().is_some_and(|it| it.channel == channel);
        self.cells.iter().position(is_callers)
    }

    /// Counts a transfer for the cell and the address.
    fn count_use(&self, channel: Channel, message: &Message, outcome: Result<Received, Status>) {
        let Some(cell) = self.cell_of(channel) else { return };
        self.watch.count_call(cell);
        let Ok(transfer) = Transfer::of(message) else { return };
        let address = usize::from(transfer.address);
        self.usage.add(cell, address, Count::Calls, 1);
        if outcome == Err(Status::NotGranted) {
            self.usage.add(cell, address, Count::Refused, 1);
        }
    }

    fn count(&mut self, channel: Channel, outcome: Result<Received, Status>) {
        let cell = self.cell_of(channel);
        let status = &mut self.status;
        status.calls = status.calls.wrapping_add(1);
        if matches!(outcome, Err(Status::NotGranted))
            && let Some(cell) = cell
        {
            status.refused_by_cell[cell] = status.refused_by_cell[cell].wrapping_add(1);
        }
        let counter = match outcome {
            Ok(_) => return,
            Err(Status::NotGranted) => &mut status.refused,
            Err(Status::Unavailable) => &mut status.failed,
            Err(_) => &mut status.invalid,
        };
        *counter = counter.wrapping_add(1);
    }
}

impl<W: Wiring, B: Bus, K: Kernel> Domain<K> for I2c<W, B> {
    fn self_test(&mut self, kernel: &mut K) -> Finding {
        self.bus.identify(kernel.now())
    }

    fn start(&mut self, _: &mut K) {
        self.shown.write(&self.status);
    }

    /// Nobody notifies the domain.
    fn notified(&mut self, _: &mut K, _: ChannelSet) {}

    fn called(&mut self, kernel: &mut K, channel: Channel, message: Message) -> Message {
        let outcome = self.serve(kernel.now(), channel, &message);
        self.count_use(channel, &message, outcome);
        self.count(channel, outcome);
        self.shown.write(&self.status);
        match outcome {
            Ok(received) => received.answer(),
            Err(status) => status.answer(),
        }
    }
}
