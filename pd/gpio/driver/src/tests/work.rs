//! What a call costs does not depend on who calls, with what right, or on what was done before.

use alloc::rc::Rc;
use core::cell::Cell;

use proptest::prelude::*;
use runner_interfaces::MAX_CELLS;
use runner_interfaces::gpio::{GPIO_STATUS_REGION_BYTES, GpioStatus};
use runner_interfaces::grants::{CellGrants, GRANT_STRIDE_BYTES, LineRates, grant_offset_bytes};
use runner_interfaces::kernel::{Channel, ChannelSet, Domain, Message, Wiring};
use shared_ring::{HeapMemory, OutOfRange, SequencedCell, SharedMemory};

use super::{INTERRUPT, PaperBank, PaperKernel, WARDEN};
use crate::Gpio;

/// Memory that counts the bytes that are read and written.
#[derive(Clone)]
struct Counted {
    memory: HeapMemory,
    bytes: Rc<Cell<usize>>,
}

impl Counted {
    fn count(&self, bytes: usize) {
        self.bytes.set(self.bytes.get() + bytes);
    }
}

impl SharedMemory for Counted {
    fn size_bytes(&self) -> usize {
        self.memory.size_bytes()
    }
    fn read(&self, offset: usize, destination: &mut [u8]) -> Result<(), OutOfRange> {
        self.count(destination.len());
        self.memory.read(offset, destination)
    }
    fn write(&self, offset: usize, source: &[u8]) -> Result<(), OutOfRange> {
        self.count(source.len());
        self.memory.write(offset, source)
    }
    fn load_u32(&self, offset: usize) -> Result<u32, OutOfRange> {
        self.count(4);
        self.memory.load_u32(offset)
    }
    fn store_u32(&self, offset: usize, value: u32) -> Result<(), OutOfRange> {
        self.count(4);
        self.memory.store_u32(offset, value)
    }
}

struct CountedWiring {
    grants: Counted,
    status: Counted,
}

impl Wiring for CountedWiring {
    type Memory = Counted;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            "channel_warden" => Channel::new(WARDEN),
            "channel_interrupt" => Channel::new(INTERRUPT),
            cell => Channel::new(cell.strip_prefix("channel_cell")?.parse().ok()?),
        }
    }

    fn region(&self, symbol: &str) -> Option<Counted> {
        match symbol {
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => None,
        }
    }
}

/// What one call of a cell may read of the grants: the masks with their sequence number before and after, that number for each
/// look at whether they changed, and both rates of the one line that it is about, for who asks and for who has it.
const GRANTS_BYTES: usize = size_of::<CellGrants>() + 2 * 4 + 4 * 4 + 2 * 2 * 4;

/// What it may write of the status: all of that, with the two stores of its sequence number, and three counts of its line, each of
/// which is read first.
const STATUS_BYTES: usize = size_of::<GpioStatus>() + 2 * 4 + 3 * 2 * 8;

proptest! {
    #[test]
    fn a_call_looks_at_one_cell_and_one_line(
        calls in proptest::collection::vec((0..14_u64, 0..8_u8, 0..9_u64, 0..4_u64, 0..50_000_000_u64), 1..300),
        rate in 0..100_u32,
        masks in any::<[u64; 3]>(),
    ) {
        let counted = |bytes| Counted { memory: HeapMemory::new(bytes), bytes: Rc::default() };
        let wiring =
            CountedWiring { grants: counted(MAX_CELLS * GRANT_STRIDE_BYTES), status: counted(GPIO_STATUS_REGION_BYTES) };
        let mut gpio = Gpio::new(&wiring, PaperBank::default()).expect("wired");
        let mut kernel = PaperKernel::default();
        gpio.start(&mut kernel);
        for cell in 0..MAX_CELLS {
            LineRates::all(rate).write(&wiring.grants, cell).expect("a cell");
            let offset = grant_offset_bytes(cell).expect("a cell");
            let [output_lines, input_lines, edge_lines] = masks.map(|mask| mask.rotate_left(u32::try_from(cell).unwrap()));
            SequencedCell::new(wiring.grants.clone(), offset).expect("fits").write(&CellGrants {
                output_lines,
                input_lines,
                edge_lines,
                ..CellGrants::default()
            });
        }
        for (label, cell, line, argument, wait) in calls {
            kernel.now_ns += wait;
            wiring.grants.bytes.set(0);
            wiring.status.bytes.set(0);
            gpio.called(&mut kernel, Channel::new(cell).expect("a channel"), Message { label, words: [line, argument, 0, 0] });
            let (grants, status) = (wiring.grants.bytes.get(), wiring.status.bytes.get());
            prop_assert!(grants <= GRANTS_BYTES, "label {label}: {grants} of {GRANTS_BYTES} bytes of grants");
            prop_assert!(status <= STATUS_BYTES, "label {label}: {status} of {STATUS_BYTES} bytes of status");
            if label == 6 {
                gpio.bank().set_pin(u8::try_from(line % 8).unwrap(), argument % 2 == 0);
                gpio.notified(&mut kernel, ChannelSet::default().with(Channel::new(INTERRUPT).expect("a channel")));
            }
        }
    }
}
