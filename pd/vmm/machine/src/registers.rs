//! The guest's general registers as one fault left them.
//!
//! The shell fills one of these from the thread's registers (`seL4_TCB_ReadRegisters`), passes it to the machine, and
//! writes it back where the answer is to resume. The values are the guest's and mean nothing until checked.

/// Bytes of one A64 instruction.
const INSTRUCTION_BYTES: u64 = 4;

/// Register 31 in a load's or store's encoding: reads as zero, swallows writes.
const ZERO_REGISTER: usize = 31;

/// x0 to x30 and the program counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestRegisters {
    /// x0 to x30.
    pub general: [u64; 31],
    /// Where the faulting instruction is.
    pub program_counter: u64,
}

impl GuestRegisters {
    /// Register `number`; 31 is the zero register.
    pub fn read(&self, number: u8) -> u64 {
        self.general.get(usize::from(number)).copied().unwrap_or(0)
    }

    /// Sets register `number`; a write to 31, the zero register, is lost as the architecture says.
    pub fn write(&mut self, number: u8, value: u64) {
        debug_assert!(usize::from(number) <= ZERO_REGISTER);
        if let Some(register) = self.general.get_mut(usize::from(number)) {
            *register = value;
        }
    }

    /// Steps over the instruction that faulted.
    pub fn skip_instruction(&mut self) {
        self.program_counter = self.program_counter.wrapping_add(INSTRUCTION_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn register_31_is_zero_and_stays_so() {
        let mut registers = GuestRegisters::default();
        registers.write(31, 7);
        registers.write(30, 9);
        assert_eq!(registers.read(31), 0);
        assert_eq!(registers.read(30), 9);
    }
}
