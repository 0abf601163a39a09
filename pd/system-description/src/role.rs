//! The part that a domain plays, told by its name, and what follows from it.
//!
//! One thing, one name: a domain that has another name than these needs a rule of its own before it can be checked, and a
//! host shell before it can be started.

use runner_interfaces::{
    MAX_CELLS,
    scheduling::{CELL_PRIORITIES, MAX_CLASSES},
};

/// What a domain is in the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// `tick`: comes round once a millisecond.
    Tick,
    /// `grid`: holds the ticks to the counter.
    Grid,
    /// `timer`.
    Timer,
    /// `gpio`.
    Gpio,
    /// `i2c`.
    I2c,
    /// `exchange`: the channels between containers.
    Exchange,
    /// `warden`.
    Warden,
    /// `cell0` to `cell7`: the number.
    Cell(usize),
    /// `admission`.
    Admission,
    /// `vmm`.
    Vmm,
    /// `linux`: the virtual machine in `vmm`.
    Linux,
    /// `class0` to `class31`: the number. It owns a scheduling context that the warden lends to cells, and does nothing.
    Class(usize),
}

impl Role {
    /// The role of a domain of that name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "tick" => Some(Self::Tick),
            "grid" => Some(Self::Grid),
            "timer" => Some(Self::Timer),
            "gpio" => Some(Self::Gpio),
            "i2c" => Some(Self::I2c),
            "exchange" => Some(Self::Exchange),
            "warden" => Some(Self::Warden),
            "admission" => Some(Self::Admission),
            "vmm" => Some(Self::Vmm),
            "linux" => Some(Self::Linux),
            _ => numbered(name, "cell", MAX_CELLS)
                .map(Self::Cell)
                .or_else(|| numbered(name, "class", MAX_CLASSES).map(Self::Class)),
        }
    }

    /// The priorities that it may have: what makes the ticks above everything, so that nobody's work moves a tick; drivers and
    /// the exchange above the warden, so that the warden's calls into them are allowed, the warden above the cells that it stops, and
    /// everything that Linux can reach below them.
    pub const fn priorities(self) -> core::ops::RangeInclusive<u8> {
        match self {
            Self::Grid => 254..=254,
            Self::Tick => 253..=253,
            Self::Timer => 252..=252,
            Self::Gpio | Self::I2c => 251..=251,
            Self::Exchange => 250..=250,
            Self::Warden => 240..=240,
            Self::Cell(_) => CELL_PRIORITIES,
            Self::Admission => 20..=20,
            Self::Vmm => 10..=10,
            Self::Linux => 1..=1,
            // Below everything: it comes to run its first instruction only where the warden did not take its scheduling context.
            Self::Class(_) => 0..=0,
        }
    }

    /// Whether it must keep deadlines, so that its budget counts towards what the processor can promise. A class counts when a
    /// cell is under it, in place of the cell's own share; that sum is for `admission` to hold, with the rest of its analysis.
    pub const fn is_real_time(self) -> bool {
        matches!(
            self,
            Self::Tick
                | Self::Grid
                | Self::Timer
                | Self::Gpio
                | Self::I2c
                | Self::Exchange
                | Self::Warden
                | Self::Cell(_)
        )
    }

    /// Whether cells call it, so that it must always have budget left: one that used its budget up would stand still for
    /// everybody. What it takes is bounded by what its callers may use to call it (docs/decisions/0011-drivers-time.md).
    ///
    /// `warden` is none: nobody calls it whose deadline could be late by that, and what cells make it do by notifying it is to
    /// be bounded.
    pub const fn runs_for_callers(self) -> bool {
        matches!(self, Self::Timer | Self::Gpio | Self::I2c | Self::Exchange)
    }

    /// Whether it may use the processor without a limit: only what lies below everything else.
    pub const fn may_be_unthrottled(self) -> bool {
        matches!(self, Self::Vmm | Self::Linux)
    }

    /// Whether it drives a device that may raise interrupts. Those of the buses' devices reach nobody so far.
    pub const fn takes_interrupts(self) -> bool {
        matches!(self, Self::Gpio | Self::Timer | Self::Vmm)
    }

    /// Whether a program of that file name is one for this role. A driver's says for which device, as `gpio-pl061.elf`.
    pub fn runs(self, image: &str) -> bool {
        let program = image.strip_suffix(".elf");
        let is_for_a_device = |name: &str| {
            program.and_then(|program| program.strip_prefix(name)?.strip_prefix('-')).is_some_and(|it| !it.is_empty())
        };
        match self {
            Self::Tick => program == Some("tick"),
            Self::Grid => program == Some("grid"),
            Self::Timer => program == Some("timer") || is_for_a_device("timer"),
            Self::Gpio => program == Some("gpio") || is_for_a_device("gpio"),
            Self::I2c => program == Some("i2c") || is_for_a_device("i2c"),
            Self::Exchange => program == Some("exchange"),
            Self::Warden => program == Some("warden"),
            Self::Cell(_) => program == Some("cell"),
            Self::Admission => program == Some("admission"),
            Self::Vmm => program == Some("vmm") || is_for_a_device("vmm"),
            Self::Class(_) => program == Some("class"),
            Self::Linux => false,
        }
    }
}

fn numbered(name: &str, what: &str, limit: usize) -> Option<usize> {
    let digits = name.strip_prefix(what)?;
    let number: usize = digits.parse().ok()?;
    // "cell01" and "cell+1" parse, and are not the names of cell 1.
    (number < limit && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_of_a_cell_names_it() {
        assert_eq!(Role::of("cell3"), Some(Role::Cell(3)));
        assert_eq!(Role::of("class31"), Some(Role::Class(31)));
        for name in ["cell", "cell8", "cell03", "cell+3", "cells", "Cell3", "class", "class32", "class03"] {
            assert_eq!(Role::of(name), None, "{name}");
        }
    }
}
