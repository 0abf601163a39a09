//! The procedure of `i2c`, called by anybody with any words, while grants change and the bus fails.
//!
//! A transfer reaches the bus exactly if the caller is a cell that was granted the address now, and as it was asked for.

use std::{cell::RefCell, rc::Rc};

use pd_i2c_driver::{Bus, BusError, I2c};
use runner_interfaces::{
    boot_report::Finding,
    gpio::Status,
    grants::CellGrants,
    i2c::{ADDRESSES, I2C_STATUS_REGION_BYTES, I2C_USAGE_OFFSET_BYTES, I2cStatus, MAX_TRANSFER_BYTES},
    kernel::{Channel, ChannelSet, Domain, Instant, Message},
    usage::UsageTable,
};
use shared_ring::SequencedCell;

use super::paper::{
    CELLS, GRANTS_BYTES, Grants, PaperKernel, PaperMemory, Wires, caller, cell_of, check_refused, message, status_of,
};
use crate::script::Script;

/// What is read from every device.
const READ: u8 = 0x5a;

/// A transfer that came to the bus: address, what is written, how much is read.
type Seen = (u8, Vec<u8>, usize);

/// A bus that writes down what it is asked for, and ends as it is told.
#[derive(Clone, Default)]
struct PaperBus {
    seen: Rc<RefCell<Vec<Seen>>>,
    fails_with: Rc<RefCell<Option<BusError>>>,
}

impl Bus for PaperBus {
    fn transfer(&mut self, _: Instant, address: u8, written: &[u8], read: &mut [u8]) -> Result<(), BusError> {
        self.seen.borrow_mut().push((address, written.to_vec(), read.len()));
        // Also where it fails: what is in there then must not come out.
        read.fill(READ);
        self.fails_with.borrow().map_or(Ok(()), Err)
    }

    fn is_simulated(&self) -> bool {
        true
    }

    fn identify(&mut self, _: Instant) -> Finding {
        Finding::well(format_args!("paper"))
    }
}

pub(super) fn drive(input: &[u8]) {
    let mut script = Script::new(input);
    let wires = Wires::new(&[], &[("region_grants", GRANTS_BYTES), ("region_status", I2C_STATUS_REGION_BYTES)]);
    let bus = PaperBus::default();
    let i2c = I2c::new(&wires, bus.clone()).expect("wired");
    let status = wires.get("region_status");
    let mut bench = Bench {
        i2c,
        bus,
        grants: Grants::new(wires.get("region_grants")),
        usage: UsageTable::new(status.clone(), I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES)).expect("it fits"),
        shown: SequencedCell::new(status, 0).expect("it fits"),
        kernel: PaperKernel::default(),
    };
    Domain::<PaperKernel>::start(&mut bench.i2c, &mut bench.kernel);
    while !script.is_over() {
        match script.byte() % 8 {
            0 => bench.change_grants(&mut script),
            1 => bench.kernel.now_ns = bench.kernel.now_ns.saturating_add(script.duration_ns()),
            2 => {
                let errors = [None, Some(BusError::NoDevice), Some(BusError::Refused), Some(BusError::Failed)];
                *bench.bus.fails_with.borrow_mut() = errors[usize::from(script.byte() % 4)];
            }
            3 => bench.i2c.notified(&mut bench.kernel, ChannelSet::from_bits(script.word())),
            4 => {
                let message = message(&mut script, 3, 255);
                bench.call(caller(&mut script), message);
            }
            _ => {
                let message = transfer(&mut script);
                bench.call(caller(&mut script), message);
            }
        }
        assert!(bench.kernel.notified.is_empty(), "the bus has no news for anybody");
    }
}

/// A call that at most times is a transfer.
fn transfer(script: &mut Script<'_>) -> Message {
    let [address, write, read, more] = core::array::from_fn(|_| script.byte());
    // Lengths around the longest, and at times a bit where none belongs.
    let rest = if more < 0x10 { 1 << (24 + 2 * more) } else { 0 };
    let head = u64::from(address % 144) | u64::from(write % 19) << 8 | u64::from(read % 19) << 16 | rest;
    Message { label: 1, words: [head, script.word(), script.word(), script.number(2)] }
}

struct Bench {
    i2c: I2c<Wires, PaperBus>,
    bus: PaperBus,
    grants: Grants,
    usage: UsageTable<PaperMemory>,
    shown: SequencedCell<PaperMemory, I2cStatus>,
    kernel: PaperKernel,
}

impl Bench {
    fn change_grants(&mut self, script: &mut Script<'_>) {
        let cell = usize::from(script.byte()) % CELLS.len();
        let i2c_addresses = match script.byte() % 4 {
            0 => [0; 2],
            1 => CellGrants::i2c_range(script.byte(), script.byte()),
            _ => [script.mask(), script.mask()],
        };
        self.grants.write(cell, CellGrants { i2c_addresses, ..CellGrants::default() });
    }

    fn call(&mut self, caller: u8, message: Message) {
        let cell = cell_of(caller);
        let before = self.shown.try_read().expect("shown since the start");
        let [address, write_length, read_length, rest @ ..] = message.words[0].to_le_bytes();
        let other = cell.map_or(0, |cell| (cell + 1) % CELLS.len());
        let use_of = |bench: &Self, cell| bench.usage.read(cell, usize::from(address));
        let (own_before, other_before) = (cell.map(|cell| use_of(self, cell)), use_of(self, other));

        let channel = Channel::new(caller).expect("a channel");
        let answer = self.i2c.called(&mut self.kernel, channel, message);

        let status = status_of(&answer);
        let lengths = [write_length, read_length].map(usize::from);
        let is_sound = rest == [0; 5] && lengths.iter().all(|length| *length <= MAX_TRANSFER_BYTES);
        let addresses = cell.map_or([0; 2], |cell| self.grants.now[cell].i2c_addresses);
        // Not by the driver's own reading of a mask.
        let is_granted = address < 128 && addresses[usize::from(address / 64)] >> (address % 64) & 1 == 1;
        let is_allowed = cell.is_some() && message.label == 1 && is_sound && is_granted;
        let seen = core::mem::take(&mut *self.bus.seen.borrow_mut());
        if is_allowed {
            let bytes = [message.words[1].to_le_bytes(), message.words[2].to_le_bytes()].concat();
            assert_eq!(seen, [(address, bytes[..lengths[0]].to_vec(), lengths[1])]);
            let expected = match *self.bus.fails_with.borrow() {
                None => Status::Ok,
                Some(BusError::NoDevice) => Status::NotFound,
                Some(BusError::Refused) => Status::NotSupported,
                Some(BusError::Failed) => Status::Unavailable,
            };
            assert_eq!(status, expected);
        } else {
            assert!(seen.is_empty(), "{caller} was not granted {seen:?}");
            assert!(![Status::Ok, Status::Unavailable, Status::NotSupported].contains(&status), "{status}");
        }
        if status == Status::Ok {
            let bytes = [answer.words[0].to_le_bytes(), answer.words[1].to_le_bytes()].concat();
            assert!(bytes[..lengths[1]].iter().all(|byte| *byte == READ));
            assert!(bytes[lengths[1]..].iter().all(|byte| *byte == 0), "nothing but what was asked for");
            assert_eq!(answer.words[2..], [0, 0]);
        }

        let after = self.shown.try_read().expect("shown at each call");
        let refused = u64::from(status == Status::NotGranted);
        assert_eq!((after.calls, after.refused), (before.calls + 1, before.refused + refused));
        check_refused(before.refused_by_cell, after.refused_by_cell, cell, refused);
        if let (Some(cell), Some(before)) = (cell, own_before) {
            let counted = use_of(self, cell).since(before);
            let is_of_table = address < ADDRESSES && is_sound;
            assert_eq!((counted.calls, counted.refused), (u64::from(is_of_table), refused));
        }
        if cell != Some(other) {
            assert_eq!(use_of(self, other), other_before, "another's calls");
        }
    }
}
