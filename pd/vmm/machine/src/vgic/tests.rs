//! A processor's virtual CPU interface in a few lines, and a Linux that talks to it as `irq-gic.c` does.

use alloc::vec::Vec;

use super::*;

const TIMER: u16 = 27;
const UART: u16 = 33;
const VIRTIO: u16 = 48;

/// List registers as the hardware and seL4 keep them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hardware {
    Invalid,
    Pending(Injection),
    Active(Injection),
}

/// The guest's CPU interface over four list registers.
struct Cpu {
    list: [Hardware; 4],
    timer_acknowledged: u32,
    /// Group 0 only, as Linux sets it.
    refuse_active: bool,
}

impl Cpu {
    fn new() -> Self {
        Self { list: [Hardware::Invalid; 4], timer_acknowledged: 0, refuse_active: false }
    }

    /// GICV_IAR: takes the most urgent pending interrupt of group 0; 1023 for none.
    fn acknowledge(&mut self) -> u16 {
        let best = self
            .list
            .iter_mut()
            .filter_map(|slot| match *slot {
                Hardware::Pending(injection) if injection.group == 0 => Some((slot, injection)),
                _ => None,
            })
            .min_by_key(|(_, injection)| injection.priority);
        match best {
            Some((slot, injection)) => {
                *slot = Hardware::Active(injection);
                injection.intid
            }
            None => 1023,
        }
    }

    /// GICV_EOIR: ends the interrupt; answers the list register that a maintenance report would name.
    fn end(&mut self, intid: u16) -> Option<usize> {
        let index =
            self.list.iter().position(|slot| matches!(slot, Hardware::Active(active) if active.intid == intid))?;
        self.list[index] = Hardware::Invalid;
        Some(index)
    }

    fn pending(&self) -> Vec<u16> {
        self.list
            .iter()
            .filter_map(|slot| match slot {
                Hardware::Pending(injection) if injection.group == 0 => Some(injection.intid),
                _ => None,
            })
            .collect()
    }
}

impl VirtualCpu for Cpu {
    fn inject(&mut self, injection: Injection) -> Result<(), ListRegisterInUse> {
        assert!(injection.intid < 1020 && injection.priority < 32 && injection.group < 2);
        let slot = &mut self.list[usize::from(injection.list_register)];
        if self.refuse_active && matches!(slot, Hardware::Active(_)) {
            return Err(ListRegisterInUse);
        }
        *slot = Hardware::Pending(injection);
        Ok(())
    }

    fn acknowledge_virtual_timer(&mut self) {
        self.timer_acknowledged += 1;
    }
}

struct Fixture {
    vgic: Vgic,
    cpu: Cpu,
}

impl Fixture {
    /// After `gic_dist_init` and `gic_cpu_init`.
    fn linux() -> Self {
        let mut fixture = Self { vgic: Vgic::new(TIMER), cpu: Cpu::new() };
        fixture.boot();
        fixture
    }

    fn boot(&mut self) {
        assert_eq!(self.read(0x004) & 0x1f, 2);
        self.write(0x000, 0);
        for register in (0x820..0x860).step_by(4) {
            self.write(register, 0x0101_0101);
        }
        for index in 0..3 {
            self.write(0x380 + index * 4, u32::MAX);
            self.write(0x180 + index * 4, u32::MAX);
        }
        for register in (0x400..0x460).step_by(4) {
            self.write(register, 0xa0a0_a0a0);
        }
        self.write(0x100, 0xffff);
        self.write(0x000, 1);
    }

    fn read(&mut self, offset: u64) -> u32 {
        u32::try_from(self.vgic.access(offset, AccessSize::Word, Direction::Read, &mut self.cpu)).unwrap()
    }

    fn write(&mut self, offset: u64, value: u32) {
        self.vgic.access(offset, AccessSize::Word, Direction::Write(value.into()), &mut self.cpu);
    }

    fn write_bit(&mut self, base: u64, intid: u16) {
        self.write(base + u64::from(intid / 32) * 4, 1 << (intid % 32));
    }

    fn enable(&mut self, intid: u16) {
        self.write_bit(0x100, intid);
    }

    fn line(&mut self, intid: u16, high: bool) {
        self.vgic.set_line(intid, high, &mut self.cpu);
    }

    /// The guest ends `intid` and the kernel reports it.
    fn end(&mut self, intid: u16) {
        let index = self.cpu.end(intid).expect("active");
        self.vgic.maintenance(Some(index), &mut self.cpu);
    }
}

#[test]
fn linux_takes_and_ends_an_interrupt() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.line(UART, true);
    assert_eq!(machine.cpu.acknowledge(), UART);
    machine.line(UART, false);
    machine.end(UART);
    assert_eq!(machine.cpu.acknowledge(), 1023);
    assert_eq!(machine.vgic.counters().injected, 1);
}

#[test]
fn a_held_line_comes_again_after_the_end_and_not_before() {
    let mut machine = Fixture::linux();
    machine.enable(VIRTIO);
    machine.line(VIRTIO, true);
    assert_eq!(machine.cpu.acknowledge(), VIRTIO);
    assert_eq!(machine.cpu.pending(), []);
    machine.line(VIRTIO, false);
    machine.line(VIRTIO, true);
    assert_eq!(machine.cpu.pending(), [], "active already: it waits for the end");
    machine.end(VIRTIO);
    assert_eq!(machine.cpu.acknowledge(), VIRTIO);
}

#[test]
fn an_edge_during_the_handler_is_not_lost() {
    let mut machine = Fixture::linux();
    machine.write(0xc00 + 3 * 4, 0b10); // VIRTIO, 48 = 3 × 16 + 0, edge
    assert_eq!(machine.read(0xc0c), 0b10);
    machine.enable(VIRTIO);
    machine.line(VIRTIO, true);
    assert_eq!(machine.cpu.acknowledge(), VIRTIO);
    machine.line(VIRTIO, false);
    machine.line(VIRTIO, true);
    machine.line(VIRTIO, false);
    machine.end(VIRTIO);
    assert_eq!(machine.cpu.acknowledge(), VIRTIO);
    machine.end(VIRTIO);
    assert_eq!(machine.cpu.acknowledge(), 1023);
}

#[test]
fn a_disabled_interrupt_waits_for_its_enable() {
    let mut machine = Fixture::linux();
    machine.line(UART, true);
    assert_eq!(machine.cpu.pending(), []);
    assert_ne!(machine.read(0x204) & (1 << (UART % 32)), 0, "pending is visible all the same");
    machine.enable(UART);
    assert_eq!(machine.cpu.pending(), [UART]);
}

#[test]
fn nothing_is_forwarded_while_the_distributor_is_off() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.write(0x000, 0);
    machine.line(UART, true);
    assert_eq!(machine.cpu.pending(), []);
    machine.write(0x000, 1);
    assert_eq!(machine.cpu.pending(), [UART]);
}

#[test]
fn more_pending_than_list_registers_all_arrive_by_priority() {
    let mut machine = Fixture::linux();
    let devices: Vec<u16> = (40..48).collect();
    machine.write(0x000, 0);
    for (rank, intid) in devices.iter().enumerate() {
        machine.enable(*intid);
        // The higher the number, the more urgent.
        let priority = 0xa0 - 8 * u64::try_from(rank).unwrap();
        machine.vgic.access(0x400 + u64::from(*intid), AccessSize::Byte, Direction::Write(priority), &mut machine.cpu);
        machine.line(*intid, true);
    }
    machine.write(0x000, 1);
    assert_eq!(machine.cpu.pending().len(), 4);
    assert_eq!(machine.vgic.counters().waited_for_list_register, 1);
    let mut taken = Vec::new();
    for _ in 0..devices.len() {
        let intid = machine.cpu.acknowledge();
        taken.push(intid);
        machine.line(intid, false);
        machine.end(intid);
    }
    let expected: Vec<u16> = devices.into_iter().rev().collect();
    assert_eq!(taken, expected);
    assert_eq!(machine.cpu.acknowledge(), 1023);
}

#[test]
fn clear_pending_takes_a_waiting_interrupt_out_of_the_queue() {
    let mut machine = Fixture::linux();
    machine.write_bit(0x200, UART);
    machine.write_bit(0x280, UART);
    machine.enable(UART);
    assert_eq!(machine.cpu.pending(), []);
    assert_eq!(machine.read(0x204), 0);
}

#[test]
fn clear_pending_calls_back_what_was_loaded_already() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.write_bit(0x200, UART);
    assert_eq!(machine.cpu.pending(), [UART]);
    machine.write_bit(0x280, UART);
    assert_eq!(machine.cpu.acknowledge(), 1023);
    assert_eq!(machine.vgic.counters().parked, 1);
    for intid in 40..44 {
        machine.enable(intid);
        machine.line(intid, true);
    }
    assert_eq!(machine.cpu.pending().len(), 4, "a parked list register is used again");
}

#[test]
fn clear_pending_leaves_a_held_line_pending() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.line(UART, true);
    machine.write_bit(0x280, UART);
    assert_eq!(machine.cpu.acknowledge(), UART);
}

#[test]
fn the_virtual_timer_is_acknowledged_once_the_guest_ended_it() {
    let mut machine = Fixture::linux();
    machine.enable(TIMER);
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    assert_eq!(machine.cpu.acknowledge(), TIMER);
    assert_eq!(machine.cpu.timer_acknowledged, 0);
    machine.end(TIMER);
    assert_eq!(machine.cpu.timer_acknowledged, 1);
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    assert_eq!(machine.cpu.acknowledge(), TIMER);
}

#[test]
fn a_timer_that_fires_before_its_enable_is_delivered_after() {
    let mut machine = Fixture::linux();
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    assert_eq!(machine.cpu.timer_acknowledged, 0, "acknowledging now would bring the same event back for ever");
    machine.enable(TIMER);
    assert_eq!(machine.cpu.acknowledge(), TIMER);
}

#[test]
fn clearing_the_timer_makes_the_kernel_look_again() {
    let mut machine = Fixture::linux();
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    machine.write_bit(0x280, TIMER);
    assert_eq!(machine.cpu.timer_acknowledged, 1);
    machine.enable(TIMER);
    assert_eq!(machine.cpu.pending(), []);
}

#[test]
fn a_reboot_carries_no_interrupt_over() {
    let mut machine = Fixture::linux();
    for intid in [TIMER, UART, VIRTIO] {
        machine.enable(intid);
    }
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    machine.line(UART, true);
    assert_eq!(machine.cpu.acknowledge(), TIMER);
    machine.vgic.reset(&mut machine.cpu);
    assert_eq!(machine.cpu.timer_acknowledged, 1);
    machine.boot();
    for intid in [TIMER, UART, VIRTIO] {
        machine.enable(intid);
    }
    assert_eq!(machine.cpu.acknowledge(), 1023);
    machine.vgic.virtual_timer_fired(&mut machine.cpu);
    assert_eq!(machine.cpu.acknowledge(), TIMER);
    machine.end(TIMER);
}

#[test]
fn a_refused_list_register_is_left_alone_until_its_report() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.line(UART, true);
    machine.cpu.acknowledge();
    machine.cpu.refuse_active = true;
    machine.vgic.reset(&mut machine.cpu);
    machine.boot();
    assert_eq!(machine.vgic.counters().refused, 1);
    for intid in 40..44 {
        machine.enable(intid);
        machine.line(intid, true);
    }
    assert_eq!(machine.cpu.pending().len(), 3);
    machine.end(UART);
    assert_eq!(machine.cpu.pending().len(), 4);
}

#[test]
fn software_generated_interrupts_reach_oneself_only() {
    let mut machine = Fixture::linux();
    machine.write(0xf00, (2 << 24) | 3);
    assert_eq!(machine.cpu.acknowledge(), 3);
    machine.end(3);
    machine.write(0xf00, (1 << 16) | 5);
    assert_eq!(machine.cpu.acknowledge(), 5);
    machine.end(5);
    machine.write(0xf00, (1 << 24) | 6);
    machine.write(0xf00, (0xfe << 16) | 7);
    assert_eq!(machine.cpu.acknowledge(), 1023);
    machine.write(0x000, 0);
    machine.write(0xf20, 1 << 8);
    assert_eq!(machine.read(0xf10), 1 << 8);
    machine.write(0xf10, 1 << 8);
    machine.write(0x000, 1);
    assert_eq!(machine.cpu.acknowledge(), 1023);
}

#[test]
fn software_generated_interrupts_cannot_be_disabled() {
    let mut machine = Fixture::linux();
    machine.write(0x180, 0xffff);
    assert_eq!(machine.read(0x100), 0xffff);
}

#[test]
fn registers_answer_by_byte_half_word_and_word() {
    let mut machine = Fixture::linux();
    let mut access = |offset, size, direction| machine.vgic.access(offset, size, direction, &mut machine.cpu);
    access(0x421, AccessSize::Byte, Direction::Write(0x55));
    assert_eq!(access(0x420, AccessSize::Word, Direction::Read), 0xa0a0_55a0);
    assert_eq!(access(0x421, AccessSize::Byte, Direction::Read), 0x55);
    assert_eq!(access(0x420, AccessSize::HalfWord, Direction::Read), 0x55a0);
    access(0x105, AccessSize::Byte, Direction::Write(0b100)); // enable 42
    assert_eq!(access(0x104, AccessSize::Word, Direction::Read), 1 << 10);
    assert_eq!(access(0x421, AccessSize::HalfWord, Direction::Read), 0);
    assert_eq!(access(0x420, AccessSize::DoubleWord, Direction::Read), 0);
    assert_eq!(machine.vgic.counters().malformed_accesses, 2);
}

#[test]
fn identification_is_of_a_gicv2() {
    let mut machine = Fixture::linux();
    assert_eq!(machine.read(0xfe8) & 0xf0, 0x20);
    assert_eq!(machine.read(0x800), 0x0101_0101);
    machine.write(0x800, 0);
    assert_eq!(machine.read(0x800), 0x0101_0101);
}

#[test]
fn an_interrupt_that_targets_nobody_is_not_delivered() {
    let mut machine = Fixture::linux();
    machine.enable(UART);
    machine.write(0x820, 0);
    machine.line(UART, true);
    assert_eq!(machine.cpu.pending(), []);
}

#[test]
fn clear_active_frees_the_list_register_and_keeps_the_edge() {
    let mut machine = Fixture::linux();
    machine.write(0xf00, (2 << 24) | 3);
    assert_eq!(machine.read(0x300), 1 << 3);
    machine.write(0x000, 0);
    machine.write(0x380, 1 << 3);
    assert_eq!(machine.read(0x300), 0);
    machine.write(0x000, 1);
    assert_eq!(machine.cpu.acknowledge(), 3);
}

#[test]
fn maintenance_without_a_cause_is_counted() {
    let mut machine = Fixture::linux();
    for report in [None, Some(0), Some(4), Some(usize::MAX)] {
        machine.vgic.maintenance(report, &mut machine.cpu);
    }
    assert_eq!(machine.vgic.counters().unexpected_maintenance, 4);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, u8, u64),
        Read(u64, u8),
        Line(u16, bool),
        Timer,
        Maintenance(Option<usize>),
        Acknowledge,
        End(u16),
        Reset,
    }

    fn step() -> impl Strategy<Value = Step> {
        let offset = prop_oneof![0_u64..0x1000, 0_u64..0x1_0000];
        prop_oneof![
            8 => (offset.clone(), 0_u8..4, any::<u64>()).prop_map(|(offset, size, value)| Step::Write(offset, size, value)),
            2 => (offset, 0_u8..4).prop_map(|(offset, size)| Step::Read(offset, size)),
            4 => (0_u16..1024, any::<bool>()).prop_map(|(intid, high)| Step::Line(intid, high)),
            2 => Just(Step::Timer),
            2 => proptest::option::of(0_usize..6).prop_map(Step::Maintenance),
            4 => Just(Step::Acknowledge),
            4 => (0_u16..96).prop_map(Step::End),
            1 => Just(Step::Reset),
        ]
    }

    fn size(number: u8) -> AccessSize {
        match number {
            0 => AccessSize::Byte,
            1 => AccessSize::HalfWord,
            2 => AccessSize::Word,
            _ => AccessSize::DoubleWord,
        }
    }

    /// No interrupt is in two list registers: the architecture calls that unpredictable (IHI 0048B, 5.2.1).
    fn check(fixture: &Fixture) {
        let mut loaded: Vec<u16> = fixture
            .cpu
            .list
            .iter()
            .filter_map(|slot| match slot {
                Hardware::Pending(injection) | Hardware::Active(injection) => Some(injection.intid),
                Hardware::Invalid => None,
            })
            .collect();
        let before = loaded.len();
        loaded.sort_unstable();
        loaded.dedup();
        assert_eq!(loaded.len(), before);
    }

    proptest! {
        #[test]
        fn whatever_the_guest_writes_no_interrupt_is_loaded_twice(steps in proptest::collection::vec(step(), 1..200)) {
            let mut fixture = Fixture::linux();
            for step in steps {
                match step {
                    Step::Write(offset, width, value) => {
                        let value = value & size(width).mask();
                        fixture.vgic.access(offset, size(width), Direction::Write(value), &mut fixture.cpu);
                    }
                    Step::Read(offset, width) => {
                        let value = fixture.vgic.access(offset, size(width), Direction::Read, &mut fixture.cpu);
                        prop_assert_eq!(value & !size(width).mask(), 0);
                    }
                    Step::Line(intid, high) => fixture.line(intid, high),
                    Step::Timer => fixture.vgic.virtual_timer_fired(&mut fixture.cpu),
                    // The kernel reports only list registers that are empty.
                    Step::Maintenance(Some(index)) if index < 4 && fixture.cpu.list[index] != Hardware::Invalid => {}
                    Step::Maintenance(report) => fixture.vgic.maintenance(report, &mut fixture.cpu),
                    Step::Acknowledge => {
                        fixture.cpu.acknowledge();
                    }
                    Step::End(intid) => {
                        if let Some(index) = fixture.cpu.end(intid) {
                            fixture.vgic.maintenance(Some(index), &mut fixture.cpu);
                        }
                    }
                    Step::Reset => fixture.vgic.reset(&mut fixture.cpu),
                }
                check(&fixture);
            }
        }
    }
}
