//! ARM's PrimeCell GPIO (PL061): eight lines, QEMU's `virt` has one.
//!
//! Offsets and meanings are those of the PL061's Technical Reference Manual, ARM DDI 0190B, chapter 3 "Programmer's
//! Model", table 3-1. The device is trusted no further than masking what it reads.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::gpio::Edges;

use crate::bank::Bank;
use crate::device::Registers;

/// Lines of one PL061.
const LINES: u8 = 8;

/// GPIODATA (DDI 0190B, 3.3.1), 256 words: bits 9 to 2 of the address mask the lines that an access touches, so that one line
/// is written without reading the others.
const DATA: usize = 0x000;
/// GPIODIR (3.3.2): 1 is output.
const DIRECTION: usize = 0x400;
/// GPIOIS (3.3.3): 1 is level-sensitive.
const INTERRUPT_SENSE: usize = 0x404;
/// GPIOIBE (3.3.4): 1 is both edges, whatever GPIOIEV says.
const INTERRUPT_BOTH_EDGES: usize = 0x408;
/// GPIOIEV (3.3.5): 1 is rising.
const INTERRUPT_EVENT: usize = 0x40c;
/// GPIOIE (3.3.6): 1 lets the line interrupt.
const INTERRUPT_ENABLE: usize = 0x410;
/// GPIOMIS (3.3.8), read-only: interrupts that are raised and enabled.
const MASKED_INTERRUPT_STATUS: usize = 0x418;
/// GPIOIC (3.3.9), write-only: 1 clears the line's edge.
const INTERRUPT_CLEAR: usize = 0x41c;
/// GPIOAFSEL (3.3.10): 1 hands the line to other hardware.
const ALTERNATE_FUNCTION: usize = 0x420;

/// GPIOPeriphID0 to 3 (3.3.11) and GPIOPCellID0 to 3 (3.3.12), a byte each in words that follow one another.
const IDENTIFICATION: usize = 0xfe0;
/// The part number 0x061 and the designer ARM (0x41), which the first 20 bits of the peripheral's identification are. Above
/// them is the revision, which may differ.
const PERIPHERAL: u32 = 0x4_1061;
const PERIPHERAL_MASK: u32 = 0xf_ffff;
/// What each PrimeCell says.
const PRIME_CELL: u32 = 0xb105_f00d;

/// A PL061 as a [`Bank`].
#[derive(Debug)]
pub struct Pl061<R> {
    registers: R,
}

impl<R: Registers> Pl061<R> {
    /// Takes the device over: no interrupts, all lines inputs under software's control. Outputs come when a cell opens them.
    pub fn new(mut registers: R) -> Self {
        registers.write(INTERRUPT_ENABLE, 0);
        registers.write(INTERRUPT_CLEAR, 0xff);
        registers.write(INTERRUPT_SENSE, 0);
        registers.write(ALTERNATE_FUNCTION, 0);
        registers.write(DIRECTION, 0);
        Self { registers }
    }

    /// Four bytes of identification, from as many words.
    fn identification(&self, offset: usize) -> u32 {
        (0..4).rev().fold(0, |word, byte| word << 8 | self.registers.read(offset + byte * 4) & 0xff)
    }

    fn set_bit(&mut self, offset: usize, line: u8, on: bool) {
        let bit = 1 << line;
        let before = self.registers.read(offset) & 0xff;
        self.registers.write(offset, if on { before | bit } else { before & !bit });
    }

    fn write_level(&mut self, line: u8, high: bool) {
        // The unmasked bits of the value do not matter.
        self.registers.write(data_of(line), if high { 0xff } else { 0 });
    }
}

/// The GPIODATA word that touches `line` alone.
const fn data_of(line: u8) -> usize {
    DATA + (1 << line) * 4
}

/// The GPIODATA word that touches all lines.
const DATA_OF_ALL: usize = DATA + 0xff * 4;

impl<R: Registers> Bank for Pl061<R> {
    fn lines(&self) -> u8 {
        LINES
    }

    fn drive(&mut self, line: u8, high: bool) {
        if line >= LINES {
            return;
        }
        self.write_level(line, high);
        if self.registers.read(DIRECTION) & (1 << line) == 0 {
            self.set_bit(DIRECTION, line, true);
            // QEMU's model drops writes to the data of an input, so the level is written once more; a device that kept
            // it already drives it.
            self.write_level(line, high);
        }
    }

    fn listen(&mut self, line: u8) {
        if line < LINES {
            self.set_bit(DIRECTION, line, false);
        }
    }

    fn level(&self, line: u8) -> bool {
        line < LINES && self.registers.read(data_of(line)) & (1 << line) != 0
    }

    fn levels(&self) -> u64 {
        u64::from(self.registers.read(DATA_OF_ALL) & 0xff)
    }

    fn watch(&mut self, line: u8, edges: Option<Edges>) {
        if line >= LINES {
            return;
        }
        self.set_bit(INTERRUPT_ENABLE, line, false);
        let Some(edges) = edges else { return };
        self.set_bit(INTERRUPT_SENSE, line, false);
        self.set_bit(INTERRUPT_BOTH_EDGES, line, edges == Edges::Both);
        self.set_bit(INTERRUPT_EVENT, line, edges == Edges::Rising);
        self.registers.write(INTERRUPT_CLEAR, 1 << line);
        self.set_bit(INTERRUPT_ENABLE, line, true);
    }

    fn pending(&self) -> u64 {
        u64::from(self.registers.read(MASKED_INTERRUPT_STATUS) & 0xff)
    }

    fn take_edges(&mut self, line: u8) -> u32 {
        if line >= LINES || self.pending() & (1 << line) == 0 {
            return 0;
        }
        self.registers.write(INTERRUPT_CLEAR, 1 << line);
        1
    }

    fn identify(&mut self) -> Finding {
        let (peripheral, cell) = (self.identification(IDENTIFICATION), self.identification(IDENTIFICATION + 16));
        if peripheral & PERIPHERAL_MASK == PERIPHERAL && cell == PRIME_CELL {
            return Finding::well(format_args!("PL061 revision {}, {LINES} lines", peripheral >> 20 & 0xf));
        }
        Finding::wrong(format_args!("no PL061 answers: it identifies itself as {peripheral:08x} {cell:08x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The device's own behaviour, as the manual has it: inputs come from `pins`, outputs from the data register.
    #[derive(Debug, Default)]
    struct ModelPl061 {
        pins: u32,
        data: u32,
        direction: u32,
        sense: u32,
        both: u32,
        event: u32,
        enable: u32,
        raw: u32,
        /// What the identification registers say in place of a PL061's.
        stranger: Option<u8>,
    }

    impl ModelPl061 {
        fn levels(&self) -> u32 {
            (self.data & self.direction) | (self.pins & !self.direction)
        }

        /// The outside moves a pin.
        fn set_pin(&mut self, line: u8, high: bool) {
            let bit = 1 << line;
            let before = self.levels();
            self.pins = if high { self.pins | bit } else { self.pins & !bit };
            let changed = (before ^ self.levels()) & !self.sense;
            let rising = changed & self.levels();
            self.raw |= changed & self.both;
            self.raw |= rising & self.event & !self.both;
            self.raw |= changed & !rising & !self.event & !self.both;
        }
    }

    impl Registers for ModelPl061 {
        fn read(&self, offset: usize) -> u32 {
            let value = match offset {
                0..=0x3fc => self.levels() & u32::try_from(offset >> 2).expect("small"),
                0x400 => self.direction,
                0x404 => self.sense,
                0x408 => self.both,
                0x40c => self.event,
                0x410 => self.enable,
                0x414 => self.raw,
                0x418 => self.raw & self.enable,
                0xfe0..=0xffc => {
                    // The bytes that QEMU's model has (hw/gpio/pl061.c).
                    let own = [0x61, 0x10, 0x04, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
                    u32::from(self.stranger.unwrap_or(own[(offset - 0xfe0) / 4]))
                }
                _ => panic!("read of {offset:#x}"),
            };
            // The upper bits of the bus are not defined; a driver that believes them would be wrong.
            value | 0xa5a5_a500
        }

        fn write(&mut self, offset: usize, value: u32) {
            let value = value & 0xff;
            match offset {
                0..=0x3fc => {
                    let mask = u32::try_from(offset >> 2).expect("small") & self.direction;
                    self.data = (self.data & !mask) | (value & mask);
                }
                0x400 => self.direction = value,
                0x404 => self.sense = value,
                0x408 => self.both = value,
                0x40c => self.event = value,
                0x410 => self.enable = value,
                0x41c => self.raw &= !value,
                0x420 => assert_eq!(value, 0, "no line is handed to other hardware"),
                _ => panic!("write of {offset:#x}"),
            }
        }
    }

    #[test]
    fn take_over_leaves_nothing_of_what_was_configured_before() {
        let before = ModelPl061 { direction: 0xff, sense: 0xff, enable: 0xff, raw: 0xff, ..ModelPl061::default() };
        let device = Pl061::new(before).registers;
        assert_eq!((device.direction, device.sense, device.enable, device.raw), (0, 0, 0, 0));
    }

    #[test]
    fn the_device_is_asked_what_it_is() {
        let Finding::Well(words) = Pl061::new(ModelPl061::default()).identify() else { panic!("it is a PL061") };
        assert_eq!(words.as_bytes(), b"PL061 revision 0, 8 lines");
        for stranger in [0x00, 0xff] {
            let other = ModelPl061 { stranger: Some(stranger), ..ModelPl061::default() };
            assert!(matches!(Pl061::new(other).identify(), Finding::Wrong(_)), "{stranger:#x} is no PL061");
        }
    }

    #[test]
    fn a_line_is_driven_without_touching_the_others() {
        let mut bank = Pl061::new(ModelPl061::default());
        bank.drive(0, true);
        bank.drive(5, true);
        assert_eq!(bank.levels(), 0b10_0001);
        bank.drive(0, false);
        assert_eq!(bank.levels(), 0b10_0000);
        assert!(bank.level(5) && !bank.level(0));
        assert_eq!(bank.registers.direction, 0b10_0001);
    }

    #[test]
    fn inputs_show_their_pins() {
        let mut bank = Pl061::new(ModelPl061::default());
        bank.drive(2, true);
        bank.listen(2);
        assert!(!bank.level(2));
        bank.registers.set_pin(2, true);
        assert!(bank.level(2));
    }

    #[test]
    fn only_the_watched_edges_are_pending_until_taken() {
        let cases = [(Edges::Rising, [true, false]), (Edges::Falling, [false, true]), (Edges::Both, [true, true])];
        for (edges, [at_rise, at_fall]) in cases {
            let mut bank = Pl061::new(ModelPl061::default());
            bank.watch(3, Some(edges));
            for (high, expected) in [(true, at_rise), (false, at_fall)] {
                bank.registers.set_pin(3, high);
                assert_eq!(bank.pending() == 1 << 3, expected, "{edges:?} {high}");
                assert_eq!(bank.take_edges(3), u32::from(expected));
                assert_eq!(bank.take_edges(3), 0);
            }
        }
    }

    #[test]
    fn edges_from_before_the_watch_are_forgotten() {
        let mut bank = Pl061::new(ModelPl061::default());
        bank.watch(3, Some(Edges::Both));
        bank.registers.set_pin(3, true);
        bank.watch(3, None);
        assert_eq!(bank.pending(), 0);
        bank.watch(3, Some(Edges::Rising));
        assert_eq!(bank.pending(), 0);
    }

    #[test]
    fn lines_that_there_are_not_are_ignored() {
        let mut bank = Pl061::new(ModelPl061::default());
        for line in [8, 31, 63, 255] {
            bank.drive(line, true);
            bank.listen(line);
            bank.watch(line, Some(Edges::Both));
            assert!(!bank.level(line));
            assert_eq!(bank.take_edges(line), 0);
        }
        assert_eq!(bank.levels(), 0);
    }
}
