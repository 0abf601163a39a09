//! Faults as seL4 forwards them, and what becomes of the guest.

use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;
use shared_ring::HeapMemory;

use super::*;
use crate::memory::GuestRam;
use crate::vgic::{Injection, ListRegisterInUse};

const LAYOUT: MachineLayout = MachineLayout::LINUX;
const ENTRY: u64 = 0x4000_0000;

#[derive(Default)]
struct Shell {
    injected: Vec<Injection>,
    printed: Vec<u8>,
    timer_acknowledged: u32,
}

impl VirtualCpu for Shell {
    fn inject(&mut self, injection: Injection) -> Result<(), ListRegisterInUse> {
        self.injected.push(injection);
        Ok(())
    }

    fn acknowledge_virtual_timer(&mut self) {
        self.timer_acknowledged += 1;
    }
}

impl ConsoleSink for Shell {
    fn put(&mut self, byte: u8) -> bool {
        self.printed.push(byte);
        true
    }
}

struct Guest {
    machine: Machine<GuestRam<HeapMemory>>,
    shell: Shell,
    registers: GuestRegisters,
}

impl Guest {
    fn new() -> Self {
        let ram = GuestRam::new(LAYOUT.memory.base, HeapMemory::new(0x1_0000)).unwrap();
        Self {
            machine: Machine::new(LAYOUT, ram),
            shell: Shell::default(),
            registers: GuestRegisters { program_counter: ENTRY, ..GuestRegisters::default() },
        }
    }

    /// A store or load of a word with register 2.
    fn word(&mut self, address: u64, store: Option<u32>) -> u64 {
        let syndrome = (0x24 << 26) | (1 << 24) | (2 << 22) | (2 << 16) | (u64::from(store.is_some()) << 6) | 7;
        if let Some(value) = store {
            self.registers.general[2] = value.into();
        }
        let outcome = self.machine.handle_data_abort(address, syndrome, &mut self.registers, &mut self.shell);
        assert_eq!(outcome, Outcome::Resume);
        self.registers.general[2]
    }

    fn trap(&mut self, class: u64, rest: u64) -> Outcome {
        self.machine.handle_trap((class << 26) | (1 << 25) | rest, &mut self.registers)
    }

    fn call(&mut self, function: u64) -> Outcome {
        self.registers.general[0] = function;
        self.trap(0x17, 0)
    }

    fn enable(&mut self, intid: u16) {
        self.word(LAYOUT.distributor.base, Some(1));
        let register = LAYOUT.distributor.base + 0x100 + u64::from(intid / 32) * 4;
        self.word(register, Some(1 << (intid % 32)));
    }
}

#[test]
fn the_console_prints_and_its_interrupt_arrives() {
    let mut guest = Guest::new();
    let uart = LAYOUT.uart.registers.base;
    guest.enable(LAYOUT.uart.intid);
    guest.word(uart, Some(u32::from(b'!')));
    assert_eq!(guest.shell.printed, b"!");
    guest.word(uart + 0x38, Some(1 << 4));
    assert_eq!(guest.machine.uart_receive(b"typed", &mut guest.shell), 5);
    assert_eq!(guest.shell.injected.last().map(|injection| injection.intid), Some(LAYOUT.uart.intid));
    assert_eq!(guest.word(uart, None), u64::from(b't'));
}

#[test]
fn dropped_bytes_are_told_to_the_guest() {
    let mut guest = Guest::new();
    guest.machine.uart_dropped(3, &mut guest.shell);
    assert_ne!(guest.word(LAYOUT.uart.registers.base + 0x3c, None) & (1 << 10), 0);
    assert_eq!(guest.machine.counters().uart.receive_overrun, 3);
}

#[test]
fn the_ports_device_is_where_the_layout_says() {
    let mut guest = Guest::new();
    assert_eq!(guest.word(LAYOUT.virtio_console.registers.base, None), 0x7472_6976);
    assert_eq!(guest.word(LAYOUT.virtio_console.registers.base + 8, None), 3);
}

#[test]
fn the_program_counter_moves_over_what_was_done() {
    let mut guest = Guest::new();
    guest.word(LAYOUT.uart.registers.base + 0x18, None);
    assert_eq!(guest.registers.program_counter, ENTRY + 4);
    assert_eq!(guest.call(0x8400_0000), Outcome::Resume);
    assert_eq!(guest.registers.program_counter, ENTRY + 8);
    assert_eq!(guest.trap(0x01, 0), Outcome::Idle);
    assert_eq!(guest.trap(0x01, 1), Outcome::Resume);
    assert_eq!(guest.registers.program_counter, ENTRY + 16);
}

#[test]
fn addresses_with_nothing_behind_read_as_zero_and_do_no_harm() {
    let mut guest = Guest::new();
    for address in [0, 0x0900_1000, 0x0a00_0200, 0x3000_0000, u64::MAX - 3] {
        guest.word(address, Some(0xdead_beef));
        assert_eq!(guest.word(address, None), 0, "{address:#x}");
    }
    assert_eq!(guest.machine.counters().unknown_accesses, 10);
}

#[test]
fn a_guest_that_touches_every_page_fills_no_list() {
    let mut guest = Guest::new();
    for page in 0..1000_u64 {
        guest.word(0x1000_0000 + (page << 12), None);
    }
    assert_eq!(guest.machine.logged_pages.len(), LOGGED_PAGES);
    assert_eq!(guest.machine.logged_pages.capacity(), LOGGED_PAGES);
}

#[test]
fn power_calls_end_in_their_outcome() {
    assert_eq!(Guest::new().call(0x8400_0008), Outcome::PowerOff);
    assert_eq!(Guest::new().call(0x8400_0009), Outcome::Reset);
    let mut guest = Guest::new();
    assert_eq!(guest.call(0xc400_0001), Outcome::Idle);
    assert_eq!(guest.registers.general[0], 0);
    assert_eq!(guest.call(0xc400_0012), Outcome::Resume);
    assert_eq!(guest.registers.general[0], u64::MAX, "not supported");
    assert_eq!(guest.machine.counters().calls, 2);
}

#[test]
fn the_instruction_that_sel4_keeps_is_not_supported() {
    let mut guest = Guest::new();
    guest.registers.general[0] = 0x8400_0009;
    assert_eq!(guest.machine.handle_hypervisor_call(&mut guest.registers), Outcome::Resume);
    assert_eq!(guest.registers.general[0], u64::MAX);
    assert_eq!(guest.registers.program_counter, ENTRY + 4);
}

#[test]
fn trapped_registers_read_as_zero() {
    let mut guest = Guest::new();
    guest.registers.general[7] = 5;
    assert_eq!(guest.trap(0x18, (7 << 5) | 1), Outcome::Resume);
    assert_eq!(guest.registers.general[7], 0);
    guest.registers.general[7] = 5;
    assert_eq!(guest.trap(0x18, 7 << 5), Outcome::Resume);
    assert_eq!(guest.registers.general[7], 5);
    assert_eq!(guest.trap(0x18, (31 << 5) | 1), Outcome::Resume);
    assert_eq!(guest.machine.counters().system_register_accesses, 3);
}

#[test]
fn what_cannot_be_answered_stops_the_guest_and_says_why() {
    let mut guest = Guest::new();
    let pair = (0x24 << 26) | 7;
    let outcome = guest.machine.handle_data_abort(0x0900_0000, pair, &mut guest.registers, &mut guest.shell);
    let Outcome::Stop(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.to_string().contains("0x9000000"), "{reason}");
    assert!(reason.to_string().contains("not a plain load or store"), "{reason}");
    assert!(matches!(guest.machine.handle_instruction_abort(0), Outcome::Stop(StopReason::Instruction { address: 0 })));
    assert!(matches!(guest.trap(0x07, 0), Outcome::Stop(StopReason::Trap { .. })));
    assert_eq!(guest.registers.program_counter, ENTRY, "for the post-mortem");
}

#[test]
fn the_virtual_timer_is_the_only_private_interrupt() {
    let mut guest = Guest::new();
    guest.enable(27);
    assert_eq!(guest.machine.handle_virtual_timer(27, &mut guest.shell), Outcome::Resume);
    assert_eq!(guest.shell.injected.last().map(|injection| injection.intid), Some(27));
    assert!(guest.machine.has_interrupt_for_guest());
    for intid in [0, 26, 33, u64::MAX] {
        assert_eq!(guest.machine.handle_virtual_timer(intid, &mut guest.shell), Outcome::Resume);
    }
    assert_eq!(guest.machine.counters().unexpected_interrupts, 4);
    assert_eq!(guest.machine.handle_maintenance(Some(0), &mut guest.shell), Outcome::Resume);
    assert_eq!(guest.shell.timer_acknowledged, 1);
    assert!(!guest.machine.has_interrupt_for_guest());
}

#[test]
fn a_restart_leaves_nothing_enabled_and_nothing_pending() {
    let mut guest = Guest::new();
    guest.enable(LAYOUT.uart.intid);
    guest.word(LAYOUT.uart.registers.base + 0x38, Some(0x7ff));
    guest.machine.uart_receive(b"x", &mut guest.shell);
    guest.machine.reset(&mut guest.shell);
    assert_eq!(guest.shell.injected.last().map(|injection| injection.group), Some(1), "parked");
    let injected = guest.shell.injected.len();
    guest.machine.uart_receive(b"y", &mut guest.shell);
    assert_eq!(guest.shell.injected.len(), injected);
    assert_eq!(guest.word(LAYOUT.uart.registers.base, None), u64::from(b'y'));
    assert_eq!(guest.machine.counters().resets, 1);
}

proptest! {
    #[test]
    fn no_fault_makes_the_machine_panic(
        faults in proptest::collection::vec(
            (prop_oneof![
                0x0800_0000_u64..0x0801_0000,
                0x0900_0000_u64..0x0900_1000,
                0x0a00_0000_u64..0x0a00_0200,
                any::<u64>(),
            ], any::<u64>(), any::<u64>(), 0_u8..5),
            1..100,
        ),
    ) {
        let mut guest = Guest::new();
        for (address, syndrome, value, kind) in faults {
            guest.registers.general = [value; 31];
            let _ = match kind {
                0 | 1 => {
                    let described = (syndrome & 0x03df_ffff) | (0x24 << 26) | (1 << 24);
                    let described = described & !(1 << 9) & !(1 << 7);
                    guest.machine.handle_data_abort(address, described, &mut guest.registers, &mut guest.shell)
                }
                2 => guest.machine.handle_data_abort(address, syndrome, &mut guest.registers, &mut guest.shell),
                3 => guest.machine.handle_trap(syndrome, &mut guest.registers),
                _ => guest.machine.handle_maintenance(usize::try_from(value).ok(), &mut guest.shell),
            };
        }
    }
}
