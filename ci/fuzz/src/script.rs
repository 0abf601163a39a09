//! An input read as a script: bytes that decide what happens next; zeros when they are used up.

/// What is left of it.
pub(crate) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    pub(crate) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn word(&mut self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|_| self.byte()))
    }

    /// A number that means something at most times: below `usual`; else a power of two and what is beside it, or any.
    pub(crate) fn number(&mut self, usual: u8) -> u64 {
        match self.byte() {
            byte @ 0..0xe0 => u64::from(byte % usual),
            byte @ 0xe0..0xf8 => {
                let power = 1_u64 << (self.byte() % 64);
                power.wrapping_add(u64::from(byte)).wrapping_sub(0xe8)
            }
            _ => self.word(),
        }
    }

    /// A number with few bits set, or few not set, or any: a mask.
    pub(crate) fn mask(&mut self) -> u64 {
        let byte = self.byte();
        let low = u64::from(self.byte());
        match byte % 4 {
            0 => low,
            1 => !low,
            2 => low.rotate_right(u32::from(byte / 4)),
            _ => self.word(),
        }
    }

    /// Nanoseconds: at most times some milliseconds, at times none, hours, or centuries.
    pub(crate) fn duration_ns(&mut self) -> u64 {
        let byte = self.byte();
        let count = u64::from(byte / 8);
        match byte % 8 {
            0 => count,
            1 => count * 1_000,
            2 | 3 => count * 1_000_000,
            4 => count * 100_000_000,
            5 => count * 1_000_000_000,
            6 => count << 50,
            _ => self.word(),
        }
    }
}
