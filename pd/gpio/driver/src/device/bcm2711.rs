//! The Raspberry Pi 4's GPIO: the lines of its 40-pin header.
//!
//! Offsets and meanings are those of "BCM2711 ARM Peripherals" (Raspberry Pi Ltd), chapter 5.2 "Register View". The silicon has
//! 58 lines in two banks. Those from 28 on are the board's own (Ethernet, wireless, the SD card, LEDs, power), and so the
//! second bank is never touched: what the firmware set up there stays. Of the first bank's 28 lines, which are the header's,
//! four serve the system itself ([`header_pin`]) and are left alone too.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::gpio::{Edges, Pull};

use crate::bank::Bank;
use crate::device::Registers;

/// Lines of the 40-pin header; their numbers are those of the labels, `GPIO0` to `GPIO27`.
pub const HEADER_LINES: u8 = 28;

/// GPFSEL0, one word for ten lines of three bits each: 000 is input, 001 output, the rest hands the line to other hardware.
const FUNCTION_SELECT: usize = 0x00;
const FUNCTION_BITS: u32 = 0b111;
const FUNCTION_OUTPUT: u32 = 0b001;
const FUNCTION_INPUT: u32 = 0b000;
const LINES_OF_FUNCTION_WORD: u8 = 10;
/// GPSET0: a 1 drives the line high, a 0 changes nothing.
const OUTPUT_SET: usize = 0x1c;
/// GPCLR0: a 1 drives the line low, a 0 changes nothing.
const OUTPUT_CLEAR: usize = 0x28;
/// GPLEV0: the levels at the pins.
const LEVEL: usize = 0x34;
/// GPEDS0: the lines that had an event which is enabled for them; a 1 that is written clears.
const EVENT_DETECT: usize = 0x40;
/// GPREN0 and GPFEN0: edges that are events, sampled by the system clock, which takes 011 and 100 for edges and so
/// suppresses glitches.
const RISING_EDGE: usize = 0x4c;
const FALLING_EDGE: usize = 0x58;
/// GPHEN0, GPLEN0, GPAREN0, GPAFEN0: levels, and edges that are not sampled. Not used.
const UNUSED_EVENTS: [usize; 4] = [0x64, 0x70, 0x7c, 0x88];
/// GPIO_PUP_PDN_CNTRL_REG0, one word for 16 lines of two bits each: 00 none, 01 up, 10 down, 11 reserved.
const PULL: usize = 0xe4;
const PULL_BITS: u32 = 0b11;
const LINES_OF_PULL_WORD: u8 = 16;

/// Why a line of the board is not for containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl core::fmt::Display for Refused {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(self.0)
    }
}

/// The pin of the 40-pin header that carries `line`, as the board's documentation numbers them: 1 is 3.3 V, at the corner of
/// the board.
///
/// # Errors
/// The line is used by the system itself, or is not on the header.
pub const fn header_pin(line: u8) -> Result<u8, Refused> {
    Ok(match line {
        0 | 1 => return Err(Refused("GPIO0 and GPIO1 read a HAT's memory (ID_SD, ID_SC)")),
        14 => return Err(Refused("GPIO14 is the serial console's transmit line")),
        15 => return Err(Refused("GPIO15 is the serial console's receive line")),
        2 => 3,
        3 => 5,
        4 => 7,
        5 => 29,
        6 => 31,
        7 => 26,
        8 => 24,
        9 => 21,
        10 => 19,
        11 => 23,
        12 => 32,
        13 => 33,
        16 => 36,
        17 => 11,
        18 => 12,
        19 => 35,
        20 => 38,
        21 => 40,
        22 => 15,
        23 => 16,
        24 => 18,
        25 => 22,
        26 => 37,
        27 => 13,
        28..58 => return Err(Refused("lines from GPIO28 on are the board's own")),
        _ => return Err(Refused("the BCM2711 has no such line")),
    })
}

/// The lines that containers may have, a bit a line.
const USABLE: u32 = {
    let mut usable = 0;
    let mut line = 0;
    while line < HEADER_LINES {
        if header_pin(line).is_ok() {
            usable |= 1 << line;
        }
        line += 1;
    }
    usable
};

/// The header's lines as a [`Bank`].
#[derive(Debug)]
pub struct Bcm2711<R> {
    registers: R,
    /// The pulls as the firmware left them, by word: what a line has until somebody asks for another.
    pulls: [u32; 2],
}

impl<R: Registers> Bcm2711<R> {
    /// Takes the usable lines over: no events, all inputs. Outputs come when a cell opens them. No other line is touched.
    pub fn new(mut registers: R) -> Self {
        for events in [RISING_EDGE, FALLING_EDGE].into_iter().chain(UNUSED_EVENTS) {
            let before = registers.read(events);
            registers.write(events, before & !USABLE);
        }
        registers.write(EVENT_DETECT, USABLE);
        let pulls = [registers.read(PULL), registers.read(PULL + 4)];
        let mut bank = Self { registers, pulls };
        for line in (0..HEADER_LINES).filter(|&line| is_usable(line)) {
            bank.set_function(line, FUNCTION_INPUT);
        }
        bank
    }

    fn set_function(&mut self, line: u8, function: u32) {
        let (offset, shift) = function_place(line);
        self.replace(offset, FUNCTION_BITS << shift, function << shift);
    }

    fn function(&self, line: u8) -> u32 {
        let (offset, shift) = function_place(line);
        self.registers.read(offset) >> shift & FUNCTION_BITS
    }

    fn set_pull(&mut self, line: u8, pull: u32) {
        let shift = pull_shift(line);
        self.replace(PULL + usize::from(line / LINES_OF_PULL_WORD) * 4, PULL_BITS << shift, pull << shift);
    }

    /// The line's pull as the firmware left it.
    fn first_pull(&self, line: u8) -> u32 {
        self.pulls[usize::from(line / LINES_OF_PULL_WORD)] >> pull_shift(line) & PULL_BITS
    }

    fn set_event(&mut self, offset: usize, line: u8, on: bool) {
        self.replace(offset, 1 << line, u32::from(on) << line);
    }

    fn replace(&mut self, offset: usize, mask: u32, bits: u32) {
        let before = self.registers.read(offset);
        self.registers.write(offset, before & !mask | bits);
    }
}

const fn is_usable(line: u8) -> bool {
    line < HEADER_LINES && USABLE & (1 << line) != 0
}

/// The word that holds a line's function, and how far up in it.
const fn function_place(line: u8) -> (usize, u8) {
    (FUNCTION_SELECT + (line / LINES_OF_FUNCTION_WORD) as usize * 4, line % LINES_OF_FUNCTION_WORD * 3)
}

const fn pull_shift(line: u8) -> u8 {
    line % LINES_OF_PULL_WORD * 2
}

impl<R: Registers> Bank for Bcm2711<R> {
    fn lines(&self) -> u8 {
        HEADER_LINES
    }

    fn offers(&self, line: u8) -> bool {
        is_usable(line)
    }

    fn drive(&mut self, line: u8, high: bool) {
        if !is_usable(line) {
            return;
        }
        // The level is kept while the line is an input, so it can be set before anybody sees it.
        self.registers.write(if high { OUTPUT_SET } else { OUTPUT_CLEAR }, 1 << line);
        if self.function(line) != FUNCTION_OUTPUT {
            self.set_function(line, FUNCTION_OUTPUT);
        }
    }

    fn listen(&mut self, line: u8) {
        if is_usable(line) {
            self.set_function(line, FUNCTION_INPUT);
            self.set_pull(line, self.first_pull(line));
        }
    }

    fn pull(&mut self, line: u8, pull: Pull) -> bool {
        if !is_usable(line) {
            return false;
        }
        let bits = match pull {
            Pull::Float => 0b00,
            Pull::Up => 0b01,
            Pull::Down => 0b10,
        };
        self.set_pull(line, bits);
        true
    }

    fn level(&self, line: u8) -> bool {
        is_usable(line) && self.registers.read(LEVEL) & (1 << line) != 0
    }

    /// Of the usable lines; others are not for anybody to see.
    fn levels(&self) -> u64 {
        u64::from(self.registers.read(LEVEL) & USABLE)
    }

    fn watch(&mut self, line: u8, edges: Option<Edges>) {
        if !is_usable(line) {
            return;
        }
        self.set_event(RISING_EDGE, line, false);
        self.set_event(FALLING_EDGE, line, false);
        self.registers.write(EVENT_DETECT, 1 << line);
        let Some(edges) = edges else { return };
        self.set_event(RISING_EDGE, line, edges != Edges::Falling);
        self.set_event(FALLING_EDGE, line, edges != Edges::Rising);
    }

    fn pending(&self) -> u64 {
        u64::from(self.registers.read(EVENT_DETECT) & USABLE)
    }

    fn take_edges(&mut self, line: u8) -> u32 {
        if !is_usable(line) || self.pending() & (1 << line) == 0 {
            return 0;
        }
        self.registers.write(EVENT_DETECT, 1 << line);
        1
    }

    /// The device has no identification. Its pulls will do: no line ever has the reserved value, and out of reset some pull
    /// up and some down (chapter 5.3, column "Pull"), so a block that reads as all zeros or all ones is not there.
    fn identify(&mut self) -> Finding {
        let pulls = self.pulls;
        let reserved = pulls.iter().any(|word| word & word >> 1 & 0x5555_5555 != 0);
        if reserved || pulls == [0; 2] {
            let [first, second] = pulls;
            return Finding::wrong(format_args!("this is no BCM2711: its pulls read {first:#010x} {second:#010x}"));
        }
        Finding::well(format_args!("BCM2711, {} of the header's lines", USABLE.count_ones()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines that the driver must leave alone, with what the firmware has set up on them.
    const RESERVED: [u8; 4] = [0, 1, 14, 15];

    /// The device's own behaviour, as the sheet has it, all 54 lines that have function selects of it.
    #[derive(Debug)]
    struct ModelBcm2711 {
        functions: [u32; 6],
        pins: u32,
        data: u32,
        detected: u32,
        rising: u32,
        falling: u32,
        others: [u32; 4],
        pulls: [u32; 4],
    }

    impl ModelBcm2711 {
        /// As the firmware leaves it: ALT5 on the console's lines, ALT0 on the HAT's, the SD card's in use, pulls as reset.
        fn new() -> Self {
            let mut model = Self {
                functions: [0o4_444_444_444; 6],
                pins: 0,
                data: 0,
                detected: 0,
                rising: 0,
                falling: 0,
                others: [0; 4],
                pulls: [0xaaa9_5555, 0xa0aa_aaaa, 0x50aa_a95a, 0x0005_5555],
            };
            for line in 2..28 {
                model.put(line, 7);
            }
            model.put(14, 2);
            model.put(15, 2);
            model
        }

        fn put(&mut self, line: usize, function: u32) {
            let shift = line % 10 * 3;
            self.functions[line / 10] = self.functions[line / 10] & !(7 << shift) | function << shift;
        }

        fn function(&self, line: u8) -> u32 {
            self.functions[usize::from(line / 10)] >> (line % 10 * 3) & 7
        }

        fn pull(&self, line: u8) -> u32 {
            self.pulls[usize::from(line / 16)] >> (line % 16 * 2) & 3
        }

        fn outputs(&self) -> u32 {
            (0..28).filter(|&line| self.function(line) == 1).fold(0, |mask, line| mask | 1 << line)
        }

        fn levels(&self) -> u32 {
            self.data & self.outputs() | self.pins & !self.outputs()
        }

        /// The outside moves a pin.
        fn set_pin(&mut self, line: u8, high: bool) {
            let before = self.levels();
            self.pins = if high { self.pins | 1 << line } else { self.pins & !(1 << line) };
            let changed = before ^ self.levels();
            self.detected |= changed & self.levels() & self.rising | changed & !self.levels() & self.falling;
        }
    }

    impl Registers for ModelBcm2711 {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                0x00..=0x14 => self.functions[offset / 4],
                0x34 => self.levels(),
                0x40 => self.detected,
                0x4c => self.rising,
                0x58 => self.falling,
                0x64 | 0x70 | 0x7c | 0x88 => self.others[(offset - 0x64) / 12],
                0xe4..=0xf0 => self.pulls[(offset - 0xe4) / 4],
                _ => panic!("read of {offset:#x}"),
            }
        }

        fn write(&mut self, offset: usize, value: u32) {
            match offset {
                0x00..=0x14 => self.functions[offset / 4] = value,
                0x1c => self.data |= value,
                0x28 => self.data &= !value,
                0x40 => self.detected &= !value,
                0x4c => self.rising = value,
                0x58 => self.falling = value,
                0x64 | 0x70 | 0x7c | 0x88 => self.others[(offset - 0x64) / 12] = value,
                0xe4..=0xf0 => self.pulls[(offset - 0xe4) / 4] = value,
                _ => panic!("write of {offset:#x}"),
            }
        }
    }

    fn bank() -> Bcm2711<ModelBcm2711> {
        Bcm2711::new(ModelBcm2711::new())
    }

    #[test]
    fn the_header_has_each_pin_once() {
        let mut pins: alloc::vec::Vec<u8> = (0..HEADER_LINES).filter_map(|line| header_pin(line).ok()).collect();
        assert_eq!(pins.len(), 24);
        pins.sort_unstable();
        pins.dedup();
        assert_eq!(pins.len(), 24);
        // Supply and ground (Raspberry Pi documentation, "GPIO and the 40-pin header"), and the four that are refused.
        for other in [1, 2, 4, 6, 9, 14, 17, 20, 25, 30, 34, 39, 8, 10, 27, 28] {
            assert!(!pins.contains(&other), "{other}");
        }
        for line in [0, 1, 14, 15, 28, 42, 57, 58, 255] {
            assert!(header_pin(line).is_err(), "{line}");
        }
    }

    #[test]
    fn take_over_leaves_what_is_not_for_containers_as_it_was() {
        let mut before = ModelBcm2711::new();
        (before.rising, before.falling, before.detected) = (u32::MAX, u32::MAX, u32::MAX);
        before.others = [u32::MAX; 4];
        let device = Bcm2711::new(before).registers;
        for line in 0..54 {
            let expected = if is_usable(line) { 0 } else { ModelBcm2711::new().function(line) };
            assert_eq!(device.function(line), expected, "{line}");
        }
        assert_eq!(device.pulls, ModelBcm2711::new().pulls);
        let left = [device.rising, device.falling, device.detected].into_iter().chain(device.others);
        for events in left {
            assert_eq!(events, !USABLE);
        }
    }

    #[test]
    fn a_line_is_driven_without_touching_the_others() {
        let mut bank = bank();
        for line in (0..HEADER_LINES).filter(|&line| is_usable(line)) {
            bank.drive(line, true);
            assert_eq!(bank.levels(), 1 << line);
            assert_eq!(bank.registers.outputs() & !(1 << line), bank.registers.outputs() ^ 1 << line);
            assert!(bank.level(line));
            bank.drive(line, false);
            assert_eq!(bank.levels(), 0);
        }
        assert_eq!(bank.registers.outputs(), USABLE);
    }

    /// A device that shows every level that an output has had.
    struct Watched {
        inner: ModelBcm2711,
        line: u8,
        seen: alloc::vec::Vec<bool>,
    }

    impl Registers for Watched {
        fn read(&self, offset: usize) -> u32 {
            self.inner.read(offset)
        }
        fn write(&mut self, offset: usize, value: u32) {
            self.inner.write(offset, value);
            if self.inner.function(self.line) == 1 {
                self.seen.push(self.inner.levels() & (1 << self.line) != 0);
            }
        }
    }

    #[test]
    fn an_output_shows_no_other_level_first() {
        for high in [false, true] {
            let mut inner = ModelBcm2711::new();
            inner.data = if high { 0 } else { u32::MAX };
            let mut bank = Bcm2711::new(Watched { inner, line: 17, seen: alloc::vec::Vec::new() });
            bank.drive(17, high);
            assert_eq!(bank.registers.seen, [high]);
        }
    }

    #[test]
    fn an_input_has_the_pull_that_was_asked_for_until_it_is_opened_again() {
        let mut bank = bank();
        let cases = [(Pull::Up, 1), (Pull::Down, 2), (Pull::Float, 0)];
        for (line, first) in [(4, 1), (8, 1), (9, 2), (17, 2), (27, 2)] {
            for (pull, bits) in cases {
                assert!(bank.pull(line, pull));
                assert_eq!(bank.registers.pull(line), bits, "{line}");
            }
            bank.listen(line);
            assert_eq!(bank.registers.pull(line), first, "the reset values of the sheet, for {line}");
        }
        assert_eq!(bank.registers.pulls, ModelBcm2711::new().pulls);
    }

    #[test]
    fn only_the_watched_edges_are_pending_until_taken() {
        let cases = [(Edges::Rising, [true, false]), (Edges::Falling, [false, true]), (Edges::Both, [true, true])];
        for (edges, [at_rise, at_fall]) in cases {
            let mut bank = bank();
            bank.watch(27, Some(edges));
            for (high, expected) in [(true, at_rise), (false, at_fall)] {
                bank.registers.set_pin(27, high);
                assert_eq!(bank.pending() == 1 << 27, expected, "{edges:?} {high}");
                assert_eq!(bank.take_edges(27), u32::from(expected));
                assert_eq!(bank.take_edges(27), 0);
            }
            bank.watch(27, None);
            bank.registers.set_pin(27, true);
            bank.registers.set_pin(27, false);
            assert_eq!(bank.pending(), 0);
        }
    }

    #[test]
    fn edges_from_before_the_watch_are_forgotten() {
        let mut bank = bank();
        bank.watch(5, Some(Edges::Both));
        bank.registers.set_pin(5, true);
        bank.watch(5, Some(Edges::Both));
        assert_eq!(bank.pending(), 0);
    }

    #[test]
    fn lines_that_are_not_for_containers_are_ignored() {
        let mut bank = bank();
        for line in RESERVED.into_iter().chain([28, 42, 63, 255]) {
            assert!(!bank.offers(line));
            bank.drive(line, true);
            bank.listen(line);
            bank.watch(line, Some(Edges::Both));
            assert!(!bank.pull(line, Pull::Up) && !bank.level(line));
            assert_eq!(bank.take_edges(line), 0);
        }
        let device = &bank.registers;
        assert_eq!((device.data, device.rising, device.falling), (0, 0, 0));
        assert_eq!((device.function(14), device.function(15), device.function(0)), (2, 2, 4));
        // What the console's partner sends is not for `emit info`.
        bank.registers.pins = u32::MAX;
        assert_eq!(bank.levels(), u64::from(USABLE));
    }

    #[test]
    fn a_block_that_is_not_there_is_told() {
        for pulls in [[0; 4], [u32::MAX; 4]] {
            let mut bank = Bcm2711::new(ModelBcm2711 { pulls, ..ModelBcm2711::new() });
            assert!(matches!(bank.identify(), Finding::Wrong(_)));
        }
        assert!(matches!(bank().identify(), Finding::Well(_)));
    }
}
