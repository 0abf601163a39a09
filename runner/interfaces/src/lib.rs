//! What Atoll's domains say to each other.
//!
//! Each module is the contract of one seam: the labels of a domain's protected procedures, the layout of a region that
//! one domain writes and another reads, and who may believe what. The logic crates and both substrates (seL4, Linux
//! host) depend on this crate and never on each other.
//!
//! Nothing here trusts a peer: every decoder takes whatever bytes or words the other side wrote and answers with a value
//! or an error.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod boot_report;
pub mod cell;
pub mod driver;
pub mod exchange;
pub mod gpio;
pub mod grants;
pub mod i2c;
pub mod kernel;
pub mod link;
pub mod output;
pub mod plan;
pub mod policy;
pub mod rate;
pub mod schedule;
pub mod scheduling;
pub mod timer;
pub mod timing;
pub mod usage;
pub mod warden;

/// The most cells that the fixed-size tables have room for. `system.xml` says how many there are.
///
/// Eight cells keep the warden's and the drivers' tables within one 4 KiB page each, and the release test of the
/// real-time work needs eight.
pub const MAX_CELLS: usize = 8;

/// Declares a C-like enumeration that crosses a domain boundary as a number.
///
/// Numbers are given explicitly; an unknown number decodes to `None`, never to a default.
#[macro_export]
macro_rules! wire_enum {
    ($(#[$attribute:meta])* $name:ident { $($(#[$variant_attribute:meta])* $variant:ident = $value:literal => $text:literal),+ $(,)? }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum $name { $($(#[$variant_attribute])* $variant = $value),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The number that crosses the boundary.
            pub const fn to_wire(self) -> u32 { self as u32 }

            /// The value of a number that a peer wrote; `None` where it names none.
            pub const fn from_wire(number: u32) -> Option<Self> {
                match number { $($value => Some(Self::$variant),)+ _ => None }
            }

            /// What a person reads.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(self.text())
            }
        }
    };
}
