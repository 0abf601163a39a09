//! `vmm` on the Raspberry Pi 4: runs the Linux guest; see `pd-vmm-machine` for the machine that it shows.
//!
//! Nobody trusts it, and it trusts the guest in nothing.
#![no_std]
#![no_main]

mod boot_table;
mod console;
mod guest;
mod mini_uart_line;
mod virtual_cpu;
mod vmm;
mod warden_watch;

vmm::program!(mini_uart_line::MiniUart);
