//! The driver against callers that mean harm, and the devices of the simulated bus.

use alloc::vec::Vec;

use proptest::prelude::*;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::gpio::Status;
use runner_interfaces::grants::{CellGrants, grant_offset_bytes};
use runner_interfaces::i2c::{ADDRESSES, I2cStatus, Received, Transfer};
use runner_interfaces::kernel::{Channel, Domain, Instant, Kernel, Message, Wiring};
use runner_interfaces::usage::UsageTable;
use shared_ring::{HeapMemory, SequencedCell};

use crate::{Bus, BusError, I2c, REGISTERS_ADDRESS, SENSOR_ADDRESS, SimulatedBus, StartError, temperature_sixteenths};

/// The whole region of grants.
const GRANTS_BYTES: usize = runner_interfaces::MAX_CELLS * runner_interfaces::grants::GRANT_STRIDE_BYTES;

struct PaperWiring {
    grants: HeapMemory,
    status: HeapMemory,
}

impl Wiring for PaperWiring {
    type Memory = HeapMemory;

    fn channel(&self, symbol: &str) -> Option<Channel> {
        match symbol {
            // Two cells; that of cell 1 has another number than the cell.
            "channel_cell0" => Channel::new(0),
            "channel_cell1" => Channel::new(7),
            _ => None,
        }
    }

    fn region(&self, symbol: &str) -> Option<HeapMemory> {
        match symbol {
            "region_grants" => Some(self.grants.clone()),
            "region_status" => Some(self.status.clone()),
            _ => None,
        }
    }
}

struct PaperKernel {
    now: Instant,
}

impl Kernel for PaperKernel {
    fn notify(&mut self, _: Channel) {
        panic!("the bus has no news")
    }
    fn call(&mut self, _: Channel, _: Message) -> Message {
        panic!("a driver calls nobody")
    }
    fn now(&self) -> Instant {
        self.now
    }
}

struct Bench<B> {
    i2c: I2c<PaperWiring, B>,
    wiring: PaperWiring,
    kernel: PaperKernel,
}

fn bench<B: Bus>(bus: B) -> Bench<B> {
    let wiring = PaperWiring {
        grants: HeapMemory::new(GRANTS_BYTES),
        status: HeapMemory::new(runner_interfaces::i2c::I2C_STATUS_REGION_BYTES),
    };
    let i2c = I2c::new(&wiring, bus).unwrap();
    Bench { i2c, wiring, kernel: PaperKernel { now: Instant::default() } }
}

impl<B: Bus> Bench<B> {
    fn grant(&self, cell: usize, first: u8, last: u8) {
        let grants = CellGrants { i2c_addresses: CellGrants::i2c_range(first, last), ..CellGrants::default() };
        let offset = grant_offset_bytes(cell).unwrap();
        SequencedCell::new(self.wiring.grants.clone(), offset).unwrap().write(&grants);
    }

    fn send(&mut self, channel: u8, message: Message) -> Message {
        self.i2c.called(&mut self.kernel, Channel::new(channel).unwrap(), message)
    }

    fn transfer(&mut self, channel: u8, address: u8, written: &[u8], read: u8) -> Result<Vec<u8>, Status> {
        let answer = self.send(channel, Transfer::new(address, written, read).unwrap().call());
        let Received { bytes } = Received::of(&answer)?;
        assert!(bytes[usize::from(read)..].iter().all(|byte| *byte == 0), "nothing but what was asked for");
        Ok(bytes[..usize::from(read)].to_vec())
    }

    /// Calls and refusals counted for an address.
    fn used(&self, cell: usize, address: u8) -> (u64, u64) {
        let (offset, addresses) = (runner_interfaces::i2c::I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES));
        let usage = UsageTable::new(self.wiring.status.clone(), offset, addresses).unwrap().read(cell, address.into());
        (usage.calls, usage.refused)
    }

    fn status(&self) -> I2cStatus {
        SequencedCell::new(self.wiring.status.clone(), 0).unwrap().try_read().unwrap()
    }
}

#[test]
fn who_was_granted_an_address_reads_the_thermometer() {
    let mut bench = bench(SimulatedBus::new());
    bench.grant(0, SENSOR_ADDRESS, SENSOR_ADDRESS);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[0], 2), Ok([20, 0].to_vec()));
    bench.kernel.now = Instant::from_nanoseconds(850_000_000);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[], 2), Ok([20, 0x80].to_vec()), "20.5 degrees, the register stays");
    bench.kernel.now = Instant::from_nanoseconds(16_000_000_000);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[], 4), Ok([30, 0, 0xff, 0xff].to_vec()));
    assert_eq!((bench.status().calls, bench.status().refused, bench.status().is_simulated), (3, 0, 1));
}

#[test]
fn an_address_that_was_not_granted_is_refused_by_the_channel() {
    let mut bench = bench(SimulatedBus::new());
    bench.grant(1, 0x40, 0x4f);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[0], 2), Err(Status::NotGranted));
    assert_eq!(bench.transfer(7, SENSOR_ADDRESS, &[0], 2), Ok([20, 0].to_vec()));
    assert_eq!(bench.transfer(7, REGISTERS_ADDRESS, &[0], 2), Err(Status::NotGranted));
    assert_eq!(bench.transfer(7, 0x49, &[], 0), Err(Status::NotFound), "granted, and nobody there");
    assert_eq!(bench.transfer(7, 0x6b, &[], 0), Err(Status::NotGranted), "what is there is not told");
    assert_eq!(bench.transfer(1, SENSOR_ADDRESS, &[0], 2), Err(Status::Invalid), "a channel of no cell");
    let status = bench.status();
    assert_eq!((status.calls, status.refused, status.invalid), (6, 3, 2));
    assert_eq!((bench.used(0, SENSOR_ADDRESS), bench.used(1, SENSOR_ADDRESS)), ((1, 1), (1, 0)));
    assert_eq!((bench.used(1, REGISTERS_ADDRESS), bench.used(1, 0x49)), ((1, 1), (1, 0)));
    assert_eq!(status.refused_by_cell[..2], [1, 2]);
}

#[test]
fn a_right_that_is_withdrawn_is_gone_with_the_next_call() {
    let mut bench = bench(SimulatedBus::new());
    bench.grant(0, 0, 0x7f);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[], 0), Ok(Vec::new()));
    bench.grant(0, 0x50, 0x50);
    assert_eq!(bench.transfer(0, SENSOR_ADDRESS, &[], 0), Err(Status::NotGranted));
}

#[test]
fn the_temperature_goes_up_and_down() {
    let at = |milliseconds: u64| temperature_sixteenths(Instant::from_nanoseconds(milliseconds * 1_000_000));
    assert_eq!([at(0), at(99), at(100), at(15_900), at(16_000)], [320, 320, 321, 479, 480]);
    assert_eq!([at(16_100), at(31_900), at(32_000), at(48_000)], [479, 321, 320, 480]);
    assert!((320..=480).contains(&temperature_sixteenths(Instant::from_nanoseconds(u64::MAX))));
}

#[test]
fn the_thermometer_keeps_its_other_registers() {
    let mut bus = SimulatedBus::new();
    let mut read = |written: &[u8]| {
        let mut read = [0; 2];
        bus.transfer(Instant::default(), SENSOR_ADDRESS, written, &mut read).map(|()| read)
    };
    assert_eq!([read(&[1]), read(&[2]), read(&[3])], [Ok([0x60, 0xa0]), Ok([0x4b, 0]), Ok([0x50, 0])]);
    assert_eq!(read(&[2, 0x12, 0x30]), Ok([0x12, 0x30]));
    assert_eq!(read(&[1, 1, 2]), Ok([1, 2]));
    assert_eq!([read(&[2]), read(&[3])], [Ok([0x12, 0x30]), Ok([0x50, 0])]);
    assert_eq!(read(&[0, 1, 2]), Err(BusError::Refused), "nobody sets the temperature");
    assert_eq!(read(&[1, 1]), Err(BusError::Refused));
    assert_eq!(read(&[0]), Ok([20, 0]));
}

#[test]
fn the_memory_keeps_what_is_written_and_goes_round() {
    let mut bench = bench(SimulatedBus::new());
    bench.grant(0, REGISTERS_ADDRESS, REGISTERS_ADDRESS);
    assert_eq!(bench.transfer(0, REGISTERS_ADDRESS, &[0x10], 2), Ok([0xff, 0xff].to_vec()), "erased");
    assert_eq!(bench.transfer(0, REGISTERS_ADDRESS, &[0xfe, 1, 2, 3], 1), Ok([0xff].to_vec()));
    assert_eq!(bench.transfer(0, REGISTERS_ADDRESS, &[0xfe], 4), Ok([1, 2, 3, 0xff].to_vec()));
    assert_eq!(bench.transfer(0, REGISTERS_ADDRESS, &[0xfe], 1), Ok([1].to_vec()));
    assert_eq!(bench.transfer(0, REGISTERS_ADDRESS, &[], 2), Ok([2, 3].to_vec()), "it goes on");
}

/// A bus that fails, or does not take what is written.
struct BrokenBus(BusError);

impl Bus for BrokenBus {
    fn transfer(&mut self, _: Instant, _: u8, _: &[u8], read: &mut [u8]) -> Result<(), BusError> {
        read.fill(0x5a);
        Err(self.0)
    }
    fn is_simulated(&self) -> bool {
        false
    }
    fn identify(&mut self, _: Instant) -> Finding {
        Finding::wrong(format_args!("no device answers"))
    }
}

#[test]
fn a_bus_that_fails_is_told_and_counted() {
    let cases = [
        (BusError::NoDevice, Status::NotFound, (1, 0)),
        (BusError::Refused, Status::NotSupported, (1, 0)),
        (BusError::Failed, Status::Unavailable, (0, 1)),
    ];
    for (error, status, counted) in cases {
        let mut bench = bench(BrokenBus(error));
        bench.grant(0, 0, 0x7f);
        let answer = bench.send(0, Transfer::new(1, &[], 4).unwrap().call());
        assert_eq!(answer, status.answer(), "and nothing of what was read");
        let shown = bench.status();
        assert_eq!((shown.invalid, shown.failed, shown.is_simulated), (counted.0, counted.1, 0));
    }
}

#[test]
fn the_self_test_says_that_the_bus_is_simulated() {
    let mut bench = bench(SimulatedBus::new());
    let Finding::Well(text) = bench.i2c.self_test(&mut bench.kernel) else { panic!("it is well") };
    let expected = "simulated bus: a thermometer at 0x48 shows 20 C, a memory at 0x50";
    assert_eq!(alloc::string::ToString::to_string(&text), expected);
}

#[test]
fn a_region_that_is_too_small_is_named() {
    let wiring = PaperWiring { grants: HeapMemory::new(256), status: HeapMemory::new(4096) };
    assert_eq!(I2c::new(&wiring, SimulatedBus::new()).err(), Some(StartError::RegionTooSmall));
}

proptest! {
    /// Whatever a cell sends, it reaches no device but those that it was granted, and it gets an answer.
    #[test]
    fn any_words_reach_only_what_was_granted(
        messages in proptest::collection::vec(
            (0_u64..4, prop_oneof![0_u64..0x20_0000, any::<u64>()], any::<[u64; 3]>(), any::<u64>()), 0..40),
    ) {
        let mut bench = bench(SimulatedBus::new());
        bench.grant(0, REGISTERS_ADDRESS, REGISTERS_ADDRESS);
        for (served, (label, head, rest, now)) in (1..).zip(messages) {
            bench.kernel.now = Instant::from_nanoseconds(now);
            let message = Message { label, words: [head, rest[0], rest[1], rest[2]] };
            let answer = bench.send(0, message);
            if Status::of(&answer) == Status::Ok {
                prop_assert_eq!(label, 1);
                prop_assert_eq!(head & 0xff, u64::from(REGISTERS_ADDRESS));
            }
            prop_assert_eq!(bench.status().calls, served);
        }
        bench.grant(1, SENSOR_ADDRESS, SENSOR_ADDRESS);
        prop_assert_eq!(bench.transfer(7, SENSOR_ADDRESS, &[1], 2), Ok([0x60, 0xa0].to_vec()));
    }
}
