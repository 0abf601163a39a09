//! What the guest tried to load or store when it touched an address with nothing behind it.
//!
//! The processor says so in the syndrome register (ESR_EL2, Arm ARM D24.2.37, "ISS encoding for an exception from a
//! Data Abort"): size, register, direction. It does so for single-register loads and stores; for the others (pairs,
//! write-back, atomics) the description is absent. No driver for the devices of this machine uses those on registers, so
//! the guest is stopped with a clear message instead of guessing at its instructions. Trusts the syndrome, which the
//! processor wrote; the address is the guest's choice.

use core::fmt;

use crate::registers::GuestRegisters;

/// Exception class of a data abort from a lower exception level.
const CLASS_DATA_ABORT: u64 = 0x24;
/// The syndrome describes the access.
const SYNDROME_VALID: u64 = 1 << 24;
/// The access was sign-extended.
const SIGN_EXTEND: u64 = 1 << 21;
/// The register is 64 bits wide.
const SIXTY_FOUR: u64 = 1 << 15;
/// An external abort: the bus failed, not the translation.
const EXTERNAL_ABORT: u64 = 1 << 9;
/// A walk of the guest's own page tables touched the address.
const TABLE_WALK: u64 = 1 << 7;
/// The access was a store.
const WRITE: u64 = 1 << 6;

/// The exception class of a syndrome.
pub const fn exception_class(syndrome: u64) -> u64 {
    (syndrome >> 26) & 0x3f
}

/// How many bytes an access has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessSize {
    /// 1 byte.
    Byte,
    /// 2 bytes.
    HalfWord,
    /// 4 bytes.
    Word,
    /// 8 bytes.
    DoubleWord,
}

impl AccessSize {
    /// From the syndrome's two bits.
    const fn from_syndrome(syndrome: u64) -> Self {
        match (syndrome >> 22) & 3 {
            0 => Self::Byte,
            1 => Self::HalfWord,
            2 => Self::Word,
            _ => Self::DoubleWord,
        }
    }

    /// 1, 2, 4 or 8.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Byte => 1,
            Self::HalfWord => 2,
            Self::Word => 4,
            Self::DoubleWord => 8,
        }
    }

    /// The bits that the access covers, from bit 0.
    pub const fn mask(self) -> u64 {
        match self {
            Self::Byte => 0xff,
            Self::HalfWord => 0xffff,
            Self::Word => 0xffff_ffff,
            Self::DoubleWord => u64::MAX,
        }
    }
}

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The guest loads; the answer goes to its register.
    Read,
    /// The guest stores this (masked to the size).
    Write(u64),
}

/// One load or store that a device answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioAccess {
    /// The guest-physical address. May be anything, aligned or not.
    pub address: u64,
    /// How many bytes.
    pub size: AccessSize,
    /// Load or store.
    pub direction: Direction,
    register: u8,
    sign_extend: bool,
    sixty_four: bool,
}

/// Why an abort cannot be answered as a device access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortError {
    /// The syndrome is not of a data abort.
    NotADataAbort,
    /// The processor gave no description: a pair, a write-back, an atomic, or a cache operation.
    NoDescription,
    /// The guest's page tables lie where there is no memory.
    TableWalk,
    /// The bus answered with an error.
    External,
}

impl fmt::Display for AbortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotADataAbort => "not a data abort",
            Self::NoDescription => {
                "an access to a device that is not a plain load or store of one register, so its effect is unknown"
            }
            Self::TableWalk => "a page table where there is no memory",
            Self::External => "the bus answered with an error",
        })
    }
}

impl core::error::Error for AbortError {}

impl MmioAccess {
    /// Decodes an abort at `address` (guest-physical) with its `syndrome`, as `registers` were.
    pub fn decode(address: u64, syndrome: u64, registers: &GuestRegisters) -> Result<Self, AbortError> {
        if exception_class(syndrome) != CLASS_DATA_ABORT {
            return Err(AbortError::NotADataAbort);
        }
        if syndrome & EXTERNAL_ABORT != 0 {
            return Err(AbortError::External);
        }
        if syndrome & TABLE_WALK != 0 {
            return Err(AbortError::TableWalk);
        }
        if syndrome & SYNDROME_VALID == 0 {
            return Err(AbortError::NoDescription);
        }
        let size = AccessSize::from_syndrome(syndrome);
        let register = ((syndrome >> 16) & 0x1f) as u8;
        let direction = if syndrome & WRITE == 0 {
            Direction::Read
        } else {
            Direction::Write(registers.read(register) & size.mask())
        };
        Ok(Self {
            address,
            size,
            direction,
            register,
            sign_extend: syndrome & SIGN_EXTEND != 0,
            sixty_four: syndrome & SIXTY_FOUR != 0,
        })
    }

    /// Puts what a device answered to a load into the guest's register, extended as the instruction asked.
    pub fn complete_read(&self, value: u64, registers: &mut GuestRegisters) {
        let value = value & self.size.mask();
        let extended = if self.sign_extend { self.extend_sign(value) } else { value };
        registers.write(self.register, if self.sixty_four { extended } else { extended & 0xffff_ffff });
    }

    fn extend_sign(&self, value: u64) -> u64 {
        let sign = 1_u64 << (self.size.bytes() * 8 - 1);
        (value ^ sign).wrapping_sub(sign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A syndrome: (valid, size 0..=3, sign-extend, register, 64-bit, write).
    fn syndrome(size: u64, sign: bool, register: u64, wide: bool, write: bool) -> u64 {
        let flag = |condition: bool, bit: u32| u64::from(condition) << bit;
        (CLASS_DATA_ABORT << 26)
            | (1 << 25)
            | SYNDROME_VALID
            | (size << 22)
            | flag(sign, 21)
            | (register << 16)
            | flag(wide, 15)
            | flag(write, 6)
            | 0b00_0111
    }

    #[test]
    fn a_store_takes_its_register_masked_to_its_size() {
        let mut registers = GuestRegisters::default();
        registers.general[3] = 0x1122_3344_5566_7788;
        for (size, expected) in [(0, 0x88), (1, 0x7788), (2, 0x5566_7788), (3, 0x1122_3344_5566_7788)] {
            let access = MmioAccess::decode(0x900_0000, syndrome(size, false, 3, true, true), &registers).unwrap();
            assert_eq!(access.direction, Direction::Write(expected));
            assert_eq!(access.size.bytes(), 1 << size);
        }
    }

    #[test]
    fn a_store_of_the_zero_register_is_zero() {
        let registers = GuestRegisters { general: [u64::MAX; 31], ..GuestRegisters::default() };
        let access = MmioAccess::decode(0, syndrome(2, false, 31, false, true), &registers).unwrap();
        assert_eq!(access.direction, Direction::Write(0));
    }

    #[test]
    fn a_load_of_a_word_clears_the_upper_half() {
        let mut registers = GuestRegisters::default();
        registers.general[5] = u64::MAX;
        let access = MmioAccess::decode(0, syndrome(2, false, 5, false, false), &registers).unwrap();
        access.complete_read(0xffff_ffff_8000_0001, &mut registers);
        assert_eq!(registers.general[5], 0x8000_0001);
    }

    #[test]
    fn sign_extension_goes_as_far_as_the_register() {
        let mut registers = GuestRegisters::default();
        let narrow = MmioAccess::decode(0, syndrome(0, true, 1, false, false), &registers).unwrap();
        narrow.complete_read(0x80, &mut registers);
        assert_eq!(registers.general[1], 0xffff_ff80);
        let wide = MmioAccess::decode(0, syndrome(1, true, 1, true, false), &registers).unwrap();
        wide.complete_read(0x8000, &mut registers);
        assert_eq!(registers.general[1], 0xffff_ffff_ffff_8000);
        wide.complete_read(0x7fff, &mut registers);
        assert_eq!(registers.general[1], 0x7fff);
    }

    #[test]
    fn a_load_into_the_zero_register_changes_nothing() {
        let mut registers = GuestRegisters::default();
        let access = MmioAccess::decode(0, syndrome(2, false, 31, false, false), &registers).unwrap();
        access.complete_read(5, &mut registers);
        assert_eq!(registers, GuestRegisters::default());
    }

    #[test]
    fn what_has_no_description_is_refused() {
        let registers = GuestRegisters::default();
        let whole = syndrome(2, false, 0, false, false);
        let decode = |syndrome| MmioAccess::decode(0, syndrome, &registers).unwrap_err();
        assert_eq!(decode(whole & !SYNDROME_VALID), AbortError::NoDescription);
        assert_eq!(decode(whole | TABLE_WALK), AbortError::TableWalk);
        assert_eq!(decode(whole | EXTERNAL_ABORT), AbortError::External);
        assert_eq!(decode(0x20 << 26), AbortError::NotADataAbort);
    }
}
