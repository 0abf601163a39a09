//! Guests that mean harm: rings, descriptors and registers full of whatever they like.
//!
//! What a well-behaved driver sees is tested in `tests/peer`, with one that somebody else wrote.

use core::cell::Cell;

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;
use shared_ring::HeapMemory;

use super::*;
use crate::memory::{GuestRam, OutsideGuestMemory};

const BASE: u64 = 0x4000_0000;
const QUEUE_BYTES: u64 = 0x1000;
const BUFFERS: u64 = BASE + QUEUE_BYTES * QUEUES as u64;
const RAM_BYTES: usize = QUEUES_BYTES + 4 * 0x1000;
/// All queues' pages.
const QUEUES_BYTES: usize = 0x1000 * QUEUES as usize;
const SIZE: u16 = 16;
/// Offsets within a queue's page.
const AVAILABLE: u64 = 0x400;
const USED: u64 = 0x800;

/// RAM that notes whether anything outside it was ever asked for, and how often it was touched.
struct Watched {
    ram: GuestRam<HeapMemory>,
    accesses: Cell<u32>,
    strayed: Cell<bool>,
}

impl Watched {
    fn new() -> Self {
        let ram = GuestRam::new(BASE, HeapMemory::new(RAM_BYTES)).unwrap();
        Self { ram, accesses: Cell::new(0), strayed: Cell::new(false) }
    }

    fn note<T>(&self, result: Result<T, OutsideGuestMemory>) -> Result<T, OutsideGuestMemory> {
        self.accesses.set(self.accesses.get() + 1);
        if result.is_err() {
            self.strayed.set(true);
        }
        result
    }
}

impl GuestMemory for Watched {
    fn base(&self) -> u64 {
        self.ram.base()
    }
    fn size_bytes(&self) -> u64 {
        self.ram.size_bytes()
    }
    fn read(&self, address: u64, destination: &mut [u8]) -> Result<(), OutsideGuestMemory> {
        self.note(self.ram.read(address, destination))
    }
    fn write(&self, address: u64, source: &[u8]) -> Result<(), OutsideGuestMemory> {
        self.note(self.ram.write(address, source))
    }
    fn load_u32(&self, address: u64) -> Result<u32, OutsideGuestMemory> {
        self.note(self.ram.load_u32(address))
    }
    fn store_u32(&self, address: u64, value: u32) -> Result<(), OutsideGuestMemory> {
        self.note(self.ram.store_u32(address, value))
    }
}

struct Silent;

impl ConsoleSink for Silent {
    fn put(&mut self, _byte: u8) -> bool {
        true
    }
}

struct Guest {
    console: Console,
    memory: Watched,
}

impl Guest {
    /// All queues set up, driver running.
    fn running() -> Self {
        let mut guest = Self { console: Console::new(), memory: Watched::new() };
        guest.bring_up();
        guest
    }

    fn bring_up(&mut self) {
        for status in [0, 1, 3] {
            self.register(0x070, status);
        }
        for (select, word) in [(0, 2), (1, 1)] {
            self.register(0x024, select);
            self.register(0x020, word);
        }
        self.register(0x070, 0xb);
        for number in 0..QUEUES {
            self.register(0x030, number.into());
            self.register(0x038, SIZE.into());
            let page = queue_page(number);
            for (offset, address) in [(0x080, page), (0x090, page + AVAILABLE), (0x0a0, page + USED)] {
                self.register(offset, (address & 0xffff_ffff) as u32);
                self.register(offset + 4, 0);
            }
            self.register(0x044, 1);
        }
        self.register(0x070, 0xf);
    }

    fn register(&mut self, offset: u64, value: u32) {
        self.access(offset, AccessSize::Word, Direction::Write(value.into()));
    }

    fn access(&mut self, offset: u64, size: AccessSize, direction: Direction) -> u64 {
        self.console.access(offset, size, direction, &self.memory, &mut Silent)
    }

    fn poke(&self, address: u64, bytes: &[u8]) {
        self.memory.ram.write(address, bytes).unwrap();
    }

    fn descriptor(&self, queue: u16, index: u16, address: u64, length: u32, flags: u16, next: u16) {
        let number =
            u128::from(address) | (u128::from(length) << 64) | (u128::from(flags) << 96) | (u128::from(next) << 112);
        self.poke(queue_page(queue) + 16 * u64::from(index), &number.to_le_bytes());
    }

    /// Offers chain `head` as number `index` (free-running) of a queue.
    fn offer(&self, queue: u16, index: u16, head: u16) {
        self.poke(queue_page(queue) + AVAILABLE + 4 + 2 * u64::from(index % SIZE), &head.to_le_bytes());
        self.poke(queue_page(queue) + AVAILABLE + 2, &index.wrapping_add(1).to_le_bytes());
    }

    fn tell(&mut self, index: u16, message: &[u8]) {
        self.poke(BUFFERS, message);
        self.descriptor(CONTROL_TRANSMIT, 0, BUFFERS, u32::try_from(message.len()).unwrap(), 0, 0);
        self.offer(CONTROL_TRANSMIT, index, 0);
        self.register(0x050, CONTROL_TRANSMIT.into());
    }

    fn event(&mut self) -> Option<PortEvent> {
        self.console.next_event(|_| true, &self.memory, &mut [0; 64])
    }

    fn needs_reset(&mut self) -> bool {
        self.access(0x070, AccessSize::Word, Direction::Read) & 64 != 0
    }
}

fn queue_page(queue: u16) -> u64 {
    BASE + QUEUE_BYTES * u64::from(queue)
}

fn open_message(port: usize, open: u16) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&u32::from(port_id(port)).to_le_bytes());
    bytes[4..6].copy_from_slice(&event::PORT_OPEN.to_le_bytes());
    bytes[6..].copy_from_slice(&open.to_le_bytes());
    bytes
}

#[test]
fn a_control_message_in_two_buffers_is_one_message() {
    let mut guest = Guest::running();
    let message = open_message(2, 1);
    guest.poke(BUFFERS, &message[..3]);
    guest.poke(BUFFERS + 0x100, &message[3..]);
    guest.descriptor(CONTROL_TRANSMIT, 0, BUFFERS, 3, 1, 1);
    guest.descriptor(CONTROL_TRANSMIT, 1, BUFFERS + 0x100, 5, 0, 0);
    guest.offer(CONTROL_TRANSMIT, 0, 0);
    guest.register(0x050, CONTROL_TRANSMIT.into());
    assert_eq!(guest.event(), Some(PortEvent::Opened { port: 2 }));
}

#[test]
fn a_short_control_message_is_a_breach() {
    let mut guest = Guest::running();
    guest.tell(0, &open_message(0, 1)[..7]);
    assert!(guest.needs_reset());
    assert_eq!(guest.console.last_misbehaviour(), Some(Misbehaviour::ControlMessage));
}

#[test]
fn a_control_buffer_without_room_for_a_message_is_a_breach() {
    let mut guest = Guest::running();
    guest.descriptor(CONTROL_RECEIVE, 0, BUFFERS + 0x200, 7, 2, 0);
    guest.offer(CONTROL_RECEIVE, 0, 0);
    guest.tell(0, &[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]);
    assert!(guest.needs_reset());
    assert_eq!(guest.console.last_misbehaviour(), Some(Misbehaviour::ControlMessage));
}

#[test]
fn asking_for_the_ports_for_ever_fills_nothing() {
    let mut guest = Guest::running();
    for index in 0..1000 {
        guest.tell(index, &[0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0]);
    }
    assert!(!guest.needs_reset());
    for index in 0..16 {
        guest.descriptor(CONTROL_RECEIVE, index, BUFFERS + 0x200, 64, 2, 0);
        guest.offer(CONTROL_RECEIVE, index, index);
    }
    guest.register(0x050, CONTROL_RECEIVE.into());
    let used = guest.memory.load_u16(queue_page(CONTROL_RECEIVE) + USED + 2).unwrap();
    assert_eq!(used, 4, "four ports, told once");
}

#[test]
fn a_chain_that_changes_after_it_was_taken_changes_nothing() {
    let mut guest = Guest::running();
    guest.tell(0, &open_message(0, 1));
    assert_eq!(guest.event(), Some(PortEvent::Opened { port: 0 }));
    let queue = transmit_queue(0);
    guest.poke(BUFFERS + 0x400, b"abcdef");
    guest.descriptor(queue, 0, BUFFERS + 0x400, 6, 0, 0);
    guest.offer(queue, 0, 0);
    let mut buffer = [0; 2];
    let event = guest.console.next_event(|_| true, &guest.memory, &mut buffer);
    assert_eq!((event, &buffer), (Some(PortEvent::Data { port: 0, length: 2 }), b"ab"));
    // The length and the address are read once; what stands there now is nobody's business.
    guest.descriptor(queue, 0, u64::MAX, u32::MAX, 3, 9);
    let mut rest = [0; 64];
    let event = guest.console.next_event(|_| true, &guest.memory, &mut rest);
    assert_eq!((event, &rest[..4]), (Some(PortEvent::Data { port: 0, length: 4 }), &b"cdef"[..]));
    assert!(!guest.needs_reset());
}

#[test]
fn a_breach_while_bytes_are_taken_ends_the_session() {
    let mut guest = Guest::running();
    guest.tell(0, &open_message(1, 1));
    assert_eq!(guest.event(), Some(PortEvent::Opened { port: 1 }));
    guest.descriptor(transmit_queue(1), 0, BUFFERS, 4, 2, 0);
    guest.offer(transmit_queue(1), 0, 0);
    let mut events = Vec::new();
    for _ in 0..4 {
        events.extend(guest.event());
    }
    assert_eq!(events, [PortEvent::Closed { port: 1 }]);
    assert!(guest.needs_reset());
    assert_eq!(guest.console.last_misbehaviour(), Some(Misbehaviour::DescriptorDirection));
}

#[test]
fn empty_chains_are_given_back_and_say_nothing() {
    let mut guest = Guest::running();
    guest.tell(0, &open_message(0, 1));
    assert_eq!(guest.event(), Some(PortEvent::Opened { port: 0 }));
    let queue = transmit_queue(0);
    for index in 0..3 {
        guest.descriptor(queue, index, BUFFERS, 0, 0, 0);
        guest.offer(queue, index, index);
    }
    assert_eq!(guest.event(), None);
    assert_eq!(guest.memory.load_u16(queue_page(queue) + USED + 2), Ok(3));
}

#[derive(Clone, Debug)]
enum Step {
    /// Anything into any register.
    Register(u64, u8, u64),
    /// Anything anywhere in RAM.
    Poke(u64, Vec<u8>),
    /// A descriptor that may be right.
    Descriptor {
        queue: u16,
        index: u16,
        address: u64,
        length: u32,
        flags: u16,
        next: u16,
    },
    /// A chain offered, and the queue notified.
    Offer {
        queue: u16,
        index: u16,
        head: u16,
    },
    /// A message that may be right.
    Tell {
        index: u16,
        message: [u8; 8],
    },
    Open(usize, bool, u16),
    BringUp,
    Event(usize),
    Send(usize, usize),
    Close(usize),
}

fn address() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => BUFFERS..BUFFERS + 0x2000,
        1 => BASE..BASE + RAM_BYTES as u64 + 0x100,
        1 => any::<u64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let queue = || 0..QUEUES + 1;
    let small = || prop_oneof![8 => 0..SIZE, 1 => any::<u16>()];
    prop_oneof![
        2 => (0_u64..0x200, 0_u8..4, any::<u64>()).prop_map(|(offset, size, value)| Step::Register(offset, size, value)),
        2 => (0_u64..0x30, 0_u64..64).prop_map(|(register, value)| Step::Register(4 * register, 2, value)),
        2 => (BASE..BASE + RAM_BYTES as u64 - 64, proptest::collection::vec(any::<u8>(), 1..64))
            .prop_map(|(at, bytes)| Step::Poke(at, bytes)),
        8 => (queue(), small(), address(), prop_oneof![4 => 0_u32..100, 1 => any::<u32>()], prop_oneof![8 => 0_u16..4, 1 => any::<u16>()], small())
            .prop_map(|(queue, index, address, length, flags, next)| Step::Descriptor { queue, index, address, length, flags, next }),
        8 => (queue(), 0..2 * SIZE, small()).prop_map(|(queue, index, head)| Step::Offer { queue, index, head }),
        2 => (0..SIZE, any::<[u8; 8]>()).prop_map(|(index, message)| Step::Tell { index, message }),
        4 => (0..PORTS, any::<bool>(), 0..SIZE).prop_map(|(port, open, index)| Step::Open(port, open, index)),
        2 => Just(Step::BringUp),
        6 => (0_usize..100).prop_map(Step::Event),
        3 => (0..PORTS + 1, 0_usize..200).prop_map(|(port, length)| Step::Send(port, length)),
        1 => (0..PORTS + 1).prop_map(Step::Close),
    ]
}

/// What the host believes of each port, from the events alone.
#[derive(Default)]
struct Believed {
    open: [bool; PORTS],
}

impl Believed {
    fn see(&mut self, event: PortEvent, room: usize) {
        match event {
            PortEvent::Opened { port } => assert!(!core::mem::replace(&mut self.open[port], true)),
            PortEvent::Closed { port } => assert!(core::mem::replace(&mut self.open[port], false)),
            PortEvent::Data { port, length } => assert!(self.open[port] && length >= 1 && length <= room),
        }
    }
}

/// Accesses to RAM that one step may cost at the most: every queue emptied once, with the longest chains, plus a setup.
const ACCESSES_PER_STEP: u32 = 60_000;

fn perform(guest: &mut Guest, believed: &mut Believed, step: Step) {
    match step {
        Step::Register(offset, size, value) => {
            let size =
                [AccessSize::Byte, AccessSize::HalfWord, AccessSize::Word, AccessSize::DoubleWord][usize::from(size)];
            let read = guest.access(offset, size, Direction::Read);
            assert_eq!(read & !size.mask(), 0);
            guest.access(offset, size, Direction::Write(value & size.mask()));
        }
        Step::Poke(address, bytes) => guest.poke(address, &bytes),
        Step::Descriptor { queue, index, address, length, flags, next } => {
            if queue < QUEUES && index < SIZE {
                guest.descriptor(queue, index, address, length, flags, next);
            }
        }
        Step::Offer { queue, index, head } => {
            if queue < QUEUES {
                guest.offer(queue, index, head);
            }
            guest.register(0x050, queue.into());
        }
        Step::Tell { index, message } => guest.tell(index, &message),
        Step::Open(port, open, index) => guest.tell(index, &open_message(port, open.into())),
        Step::BringUp => guest.bring_up(),
        Step::Event(room) => {
            let mut buffer = [0; 100];
            if let Some(event) = guest.console.next_event(|_| true, &guest.memory, &mut buffer[..room]) {
                believed.see(event, room);
            }
        }
        Step::Send(port, length) => match guest.console.send(port, &[7; 200][..length], &guest.memory) {
            Ok(sent) => assert!(sent <= length && believed.open[port]),
            Err(PortError::NoSuchPort) => assert_eq!(port, PORTS),
            Err(PortError::Closed) => assert!(port < PORTS),
        },
        Step::Close(port) => {
            let open = believed.open.get(port).copied().unwrap_or(false);
            if guest.console.close(port, &guest.memory).is_ok() {
                assert!(open);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_guest_makes_the_device_panic_stray_or_work_without_end(steps in proptest::collection::vec(step(), 1..120)) {
        let mut guest = Guest::running();
        let mut believed = Believed::default();
        for step in steps {
            guest.memory.accesses.set(0);
            perform(&mut guest, &mut believed, step);
            prop_assert!(!guest.memory.strayed.get(), "an address was used before it was checked");
            prop_assert!(guest.memory.accesses.get() <= ACCESSES_PER_STEP, "{}", guest.memory.accesses.get());
        }
        // Whatever happened, a driver that resets is served.
        guest.poke(BASE, &[0; QUEUES_BYTES]);
        guest.bring_up();
        while let Some(event) = guest.event() {
            believed.see(event, 64);
        }
        prop_assert_eq!(believed.open, [false; PORTS]);
        guest.tell(0, &open_message(0, 1));
        prop_assert_eq!(guest.event(), Some(PortEvent::Opened { port: 0 }));
    }
}
