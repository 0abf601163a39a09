//! The guest's serial console: a PL011 as Linux' `amba-pl011` driver expects one (Arm DDI 0183G, chapter 3).
//!
//! What the guest sends goes to a [`ConsoleSink`]; while the sink takes nothing, the 32-byte FIFO fills and the guest
//! sees it full, as on a slow line. What the host types waits in a buffer ahead of the guest; what does not fit there is
//! not taken, and if the shell drops it, it says so and the guest sees an overrun. Registers that only set a baud rate
//! are kept and mean nothing. Trusts nobody: any value may be written anywhere.

use alloc::collections::VecDeque;

use crate::abort::{AccessSize, Direction};

/// FIFO depth of a PL011 of revision r1p5, which is what the identification registers below say.
const FIFO_BYTES: usize = 32;
/// Typed ahead at the most: a pasted screenful. The hardware has 32 bytes; more is kinder and no driver can tell.
const RECEIVE_BYTES: usize = 1024;

/// Where the guest's console output goes.
pub trait ConsoleSink {
    /// Takes one byte, or answers `false` where there is no room now. Must not wait.
    fn put(&mut self, byte: u8) -> bool;
}

/// Interrupt bits of UARTRIS and its relatives (3.3.10).
mod interrupt {
    pub(super) const RECEIVE: u32 = 1 << 4;
    pub(super) const TRANSMIT: u32 = 1 << 5;
    pub(super) const RECEIVE_TIMEOUT: u32 = 1 << 6;
    pub(super) const OVERRUN: u32 = 1 << 10;
    /// All that exist.
    pub(super) const ALL: u32 = 0x7ff;
}

/// Bits of UARTFR (3.3.3).
mod flag {
    pub(super) const BUSY: u32 = 1 << 3;
    pub(super) const RECEIVE_EMPTY: u32 = 1 << 4;
    pub(super) const TRANSMIT_FULL: u32 = 1 << 5;
    pub(super) const RECEIVE_FULL: u32 = 1 << 6;
    pub(super) const TRANSMIT_EMPTY: u32 = 1 << 7;
}

/// UARTDR's and UARTRSR's overrun bits (3.3.1, 3.3.2).
const DATA_OVERRUN: u32 = 1 << 11;
const STATUS_OVERRUN: u32 = 1 << 3;
/// FIFOs on, in UARTLCR_H (3.3.7).
const FIFO_ENABLE: u32 = 1 << 4;
/// UARTCR after reset: receive and transmit on, UART off (3.3.8).
const CONTROL_RESET: u32 = 0x300;
/// UARTIFLS after reset: both at half (3.3.9).
const FIFO_LEVEL_RESET: u32 = 0x12;

/// Bytes through the console, and bytes that were lost and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UartCounters {
    /// The guest sent.
    pub transmitted: u64,
    /// The guest sent although the FIFO was full; lost.
    pub transmit_overrun: u64,
    /// Taken for the guest.
    pub received: u64,
    /// The host had no room for and dropped; the guest was told.
    pub receive_overrun: u64,
}

/// The device.
#[derive(Clone, Debug)]
pub struct Pl011 {
    receive: VecDeque<u8>,
    transmit: VecDeque<u8>,
    /// The next byte that the guest reads carries the overrun bit.
    overrun: bool,
    /// Latched interrupts: transmit and overrun. The receive ones follow the FIFO.
    latched: u32,
    mask: u32,
    line_control: u32,
    control: u32,
    fifo_level: u32,
    baud_integer: u32,
    baud_fraction: u32,
    counters: UartCounters,
}

impl Default for Pl011 {
    fn default() -> Self {
        Self::new()
    }
}

impl Pl011 {
    /// A UART after reset. Its buffers are allocated here and never again.
    pub fn new() -> Self {
        Self {
            receive: VecDeque::with_capacity(RECEIVE_BYTES),
            transmit: VecDeque::with_capacity(FIFO_BYTES),
            overrun: false,
            latched: 0,
            mask: 0,
            line_control: 0,
            control: CONTROL_RESET,
            fifo_level: FIFO_LEVEL_RESET,
            baud_integer: 0,
            baud_fraction: 0,
            counters: UartCounters::default(),
        }
    }

    /// As after power-on. Bytes on their way out are still sent, bytes typed for the last guest are dropped.
    pub fn reset(&mut self) {
        self.receive.clear();
        self.overrun = false;
        self.latched = 0;
        self.mask = 0;
        self.line_control = 0;
        self.control = CONTROL_RESET;
        self.fifo_level = FIFO_LEVEL_RESET;
    }

    /// What went through so far.
    pub fn counters(&self) -> UartCounters {
        self.counters
    }

    /// Whether the interrupt line is high.
    pub fn interrupt_line(&self) -> bool {
        self.raw_interrupts() & self.mask != 0
    }

    /// Takes bytes for the guest; answers how many, from the front. The rest does not fit now.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let room = RECEIVE_BYTES - self.receive.len();
        let taken = bytes.len().min(room);
        self.receive.extend(&bytes[..taken]);
        self.counters.received += taken as u64;
        taken
    }

    /// The host dropped `bytes` bytes that did not fit: counted, and the guest is told as hardware would.
    pub fn receive_overrun(&mut self, bytes: usize) {
        if bytes > 0 {
            self.counters.receive_overrun += bytes as u64;
            self.overrun = true;
            self.latched |= interrupt::OVERRUN;
        }
    }

    /// Sends what waits in the FIFO. To be called when the sink has room again.
    pub fn flush(&mut self, sink: &mut impl ConsoleSink) {
        let before = self.transmit.len();
        while let Some(byte) = self.transmit.front()
            && sink.put(*byte)
        {
            self.transmit.pop_front();
        }
        if self.transmit.len() < before && self.transmit.len() <= FIFO_BYTES / 2 {
            self.latched |= interrupt::TRANSMIT;
        }
    }

    /// The guest's access at `offset`; answers what a load reads. Registers are 32 bits wide at multiples of 4, and
    /// narrower accesses see their low part (drivers use half words); anything else reads as zero.
    pub fn access(&mut self, offset: u64, size: AccessSize, direction: Direction, sink: &mut impl ConsoleSink) -> u64 {
        if !offset.is_multiple_of(4) || size == AccessSize::DoubleWord {
            return 0;
        }
        match direction {
            Direction::Read => u64::from(self.read(offset, sink)) & size.mask(),
            Direction::Write(value) => {
                self.write(offset, (value & 0xffff_ffff) as u32, sink);
                0
            }
        }
    }

    fn read(&mut self, offset: u64, sink: &mut impl ConsoleSink) -> u32 {
        match offset {
            0x000 => self.read_data(),
            0x004 => u32::from(self.overrun) * STATUS_OVERRUN,
            0x018 => {
                // A guest that waits for room reads this in a loop: let it make progress.
                self.flush(sink);
                self.flags()
            }
            0x024 => self.baud_integer,
            0x028 => self.baud_fraction,
            0x02c => self.line_control,
            0x030 => self.control,
            0x034 => self.fifo_level,
            0x038 => self.mask,
            0x03c => self.raw_interrupts(),
            0x040 => self.raw_interrupts() & self.mask,
            0xfe0..0x1000 => identification(offset),
            _ => 0,
        }
    }

    fn write(&mut self, offset: u64, value: u32, sink: &mut impl ConsoleSink) {
        match offset {
            0x000 => self.write_data((value & 0xff) as u8, sink),
            0x004 => self.overrun = false,
            0x024 => self.baud_integer = value & 0xffff,
            0x028 => self.baud_fraction = value & 0x3f,
            0x02c => self.line_control = value & 0xff,
            0x030 => self.control = value & 0xffff,
            0x034 => self.fifo_level = value & 0x3f,
            0x038 => self.mask = value & interrupt::ALL,
            0x044 => self.latched &= !value,
            _ => {}
        }
    }

    fn read_data(&mut self) -> u32 {
        let Some(byte) = self.receive.pop_front() else { return 0 };
        let overrun = if core::mem::take(&mut self.overrun) { DATA_OVERRUN } else { 0 };
        u32::from(byte) | overrun
    }

    fn write_data(&mut self, byte: u8, sink: &mut impl ConsoleSink) {
        self.flush(sink);
        if self.transmit.is_empty() && sink.put(byte) {
            self.latched |= interrupt::TRANSMIT;
        } else if self.transmit.len() < FIFO_BYTES {
            self.transmit.push_back(byte);
        } else {
            self.counters.transmit_overrun += 1;
            return;
        }
        self.counters.transmitted += 1;
    }

    fn flags(&self) -> u32 {
        let bit = |condition: bool, bit: u32| if condition { bit } else { 0 };
        bit(!self.transmit.is_empty(), flag::BUSY)
            | bit(self.receive.is_empty(), flag::RECEIVE_EMPTY)
            | bit(self.transmit.len() >= FIFO_BYTES, flag::TRANSMIT_FULL)
            | bit(self.receive.len() >= FIFO_BYTES, flag::RECEIVE_FULL)
            | bit(self.transmit.is_empty(), flag::TRANSMIT_EMPTY)
    }

    fn raw_interrupts(&self) -> u32 {
        let waiting = self.receive.len();
        let receive = if waiting >= self.receive_level() { interrupt::RECEIVE } else { 0 };
        // "Timeout": bytes wait and no more come. Time is not modelled, so bytes that wait are bytes that wait.
        let timeout = if waiting > 0 { interrupt::RECEIVE_TIMEOUT } else { 0 };
        self.latched | receive | timeout
    }

    /// From how many waiting bytes on the receive interrupt is raised.
    fn receive_level(&self) -> usize {
        if self.line_control & FIFO_ENABLE == 0 {
            return 1;
        }
        match (self.fifo_level >> 3) & 7 {
            0 => FIFO_BYTES / 8,
            1 => FIFO_BYTES / 4,
            2 => FIFO_BYTES / 2,
            3 => FIFO_BYTES * 3 / 4,
            _ => FIFO_BYTES * 7 / 8,
        }
    }
}

/// PL011, Arm, revision 3 (r1p5, 32-byte FIFOs), and the PrimeCell mark: what the kernel's AMBA bus matches a driver by.
fn identification(offset: u64) -> u32 {
    const FROM_0XFE0: [u8; 8] = [0x11, 0x10, 0x34, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
    let index = usize::try_from((offset - 0xfe0) / 4).unwrap_or(usize::MAX);
    FROM_0XFE0.get(index).map_or(0, |byte| u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// A line that carries so many bytes and no more.
    struct Line {
        sent: Vec<u8>,
        room: usize,
    }

    impl Line {
        fn open() -> Self {
            Self { sent: Vec::new(), room: usize::MAX }
        }
    }

    impl ConsoleSink for Line {
        fn put(&mut self, byte: u8) -> bool {
            if self.room == 0 {
                return false;
            }
            self.room -= 1;
            self.sent.push(byte);
            true
        }
    }

    fn read(uart: &mut Pl011, line: &mut Line, offset: u64) -> u32 {
        u32::try_from(uart.access(offset, AccessSize::Word, Direction::Read, line)).unwrap()
    }

    fn write(uart: &mut Pl011, line: &mut Line, offset: u64, value: u32) {
        uart.access(offset, AccessSize::Word, Direction::Write(value.into()), line);
    }

    #[test]
    fn the_amba_bus_finds_an_arm_pl011() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        // drivers/amba/bus.c assembles these two.
        let mut id =
            |base: u64| (0..4).fold(0, |id, index| id | (read(&mut uart, &mut line, base + 4 * index) << (8 * index)));
        assert_eq!(id(0xff0), 0xb105_f00d);
        assert_eq!(id(0xfe0) & 0x000f_ffff, 0x0004_1011);
    }

    #[test]
    fn output_reaches_the_sink_and_raises_the_transmit_interrupt() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        for byte in b"hello" {
            assert_eq!(read(&mut uart, &mut line, 0x018) & flag::TRANSMIT_FULL, 0);
            write(&mut uart, &mut line, 0x000, u32::from(*byte));
        }
        assert_eq!(line.sent, b"hello");
        assert!(!uart.interrupt_line());
        write(&mut uart, &mut line, 0x038, interrupt::TRANSMIT);
        assert!(uart.interrupt_line());
        write(&mut uart, &mut line, 0x044, interrupt::TRANSMIT);
        assert!(!uart.interrupt_line());
    }

    #[test]
    fn a_stuck_sink_fills_the_fifo_and_loses_nothing_that_the_guest_was_allowed_to_send() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        line.room = 0;
        let mut sent = 0_u32;
        while read(&mut uart, &mut line, 0x018) & flag::TRANSMIT_FULL == 0 {
            write(&mut uart, &mut line, 0x000, sent);
            sent += 1;
        }
        assert_eq!(sent, 32);
        assert_ne!(read(&mut uart, &mut line, 0x018) & flag::BUSY, 0);
        write(&mut uart, &mut line, 0x000, 0xff);
        assert_eq!(uart.counters().transmit_overrun, 1);
        line.room = usize::MAX;
        uart.flush(&mut line);
        assert_eq!(line.sent, (0..32).collect::<Vec<u8>>());
        assert_ne!(read(&mut uart, &mut line, 0x03c) & interrupt::TRANSMIT, 0);
        assert_ne!(read(&mut uart, &mut line, 0x018) & flag::TRANSMIT_EMPTY, 0);
    }

    #[test]
    fn typed_bytes_interrupt_until_they_are_read() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        write(&mut uart, &mut line, 0x038, interrupt::RECEIVE | interrupt::RECEIVE_TIMEOUT);
        assert_eq!(uart.receive(b"ls\n"), 3);
        assert!(uart.interrupt_line());
        write(&mut uart, &mut line, 0x044, interrupt::ALL);
        assert!(uart.interrupt_line(), "bytes still wait");
        let mut typed = Vec::new();
        while read(&mut uart, &mut line, 0x018) & flag::RECEIVE_EMPTY == 0 {
            typed.push(u8::try_from(read(&mut uart, &mut line, 0x000)).unwrap());
        }
        assert_eq!(typed, b"ls\n");
        assert!(!uart.interrupt_line());
    }

    #[test]
    fn the_receive_level_follows_the_fifo_setting() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        write(&mut uart, &mut line, 0x02c, FIFO_ENABLE);
        write(&mut uart, &mut line, 0x034, 1 << 3);
        uart.receive(&[0; 7]);
        assert_eq!(read(&mut uart, &mut line, 0x03c) & interrupt::RECEIVE, 0);
        uart.receive(&[0; 1]);
        assert_ne!(read(&mut uart, &mut line, 0x03c) & interrupt::RECEIVE, 0);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_what_was_dropped_is_told() {
        let (mut uart, mut line) = (Pl011::new(), Line::open());
        let many = [b'x'; RECEIVE_BYTES + 10];
        assert_eq!(uart.receive(&many), RECEIVE_BYTES);
        assert_eq!(uart.receive(b"y"), 0);
        uart.receive_overrun(11);
        assert_eq!(uart.counters().receive_overrun, 11);
        assert_ne!(read(&mut uart, &mut line, 0x03c) & interrupt::OVERRUN, 0);
        assert_eq!(read(&mut uart, &mut line, 0x000), DATA_OVERRUN | u32::from(b'x'));
        assert_eq!(read(&mut uart, &mut line, 0x000), u32::from(b'x'));
    }

    proptest! {
        #[test]
        fn any_access_is_answered_within_its_size(
            accesses in proptest::collection::vec((0_u64..0x2000, 0_u8..4, any::<bool>(), any::<u64>()), 1..200),
            room in 0_usize..100,
        ) {
            let (mut uart, mut line) = (Pl011::new(), Line { sent: Vec::new(), room });
            for (offset, size, store, value) in accesses {
                let size = [AccessSize::Byte, AccessSize::HalfWord, AccessSize::Word, AccessSize::DoubleWord][usize::from(size)];
                let direction = if store { Direction::Write(value & size.mask()) } else { Direction::Read };
                let answer = uart.access(offset, size, direction, &mut line);
                prop_assert_eq!(answer & !size.mask(), 0);
                uart.receive(&value.to_le_bytes());
                uart.flush(&mut line);
                prop_assert!(uart.transmit.len() <= FIFO_BYTES);
                prop_assert!(uart.receive.len() <= RECEIVE_BYTES);
            }
            let counters = uart.counters();
            prop_assert_eq!(counters.transmitted, (line.sent.len() + uart.transmit.len()) as u64);
        }
    }
}
