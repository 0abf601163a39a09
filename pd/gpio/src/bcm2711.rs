//! `gpio` on the Raspberry Pi 4: owns the bank; see `pd-gpio-driver` for what it does.
//!
//! Must never wait, never allocate after its start, and never believe a caller's word about who it is.
#![no_std]
#![no_main]

mod program;

use pd_gpio_driver::device::Bcm2711;

program::program!(Bcm2711);
