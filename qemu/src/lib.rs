//! Atoll under QEMU: makes the Linux guest's image, starts QEMU, and talks to what runs in it.
//!
//! The same guest runs as a virtual machine on Atoll and as an ordinary QEMU machine without a hypervisor, so most of what
//! a person or a test does at its shell can be tried without a Microkit SDK. This is a host program's library: it trusts
//! the person who runs it, checks every downloaded package against a pinned hash, and waits for nothing without a limit,
//! because what runs inside QEMU may hang, crash or print anything.
//!
//! | module | what it does |
//! |---|---|
//! | [`attacks`] | what a hostile guest and hostile neighbours do, for tests and measurements |
//! | [`board`] | the boards that there are |
//! | [`guest`] | a Debian kernel and a busybox initramfs with `emit` and the sample containers |
//! | [`sdk`], [`boot_image`] | the Microkit SDK, and the image that it makes of the protection domains and the guest |
//! | [`launcher`] | QEMU's command line; starts it for a test or hands its console to a person |
//! | [`console`] | what the machine's serial port says, and the shell behind it |
//! | [`debugger`] | stops the processor and sends it elsewhere: how a test makes a domain fault |
//! | [`monitor`] | QEMU's own monitor: device registers from outside, power button, reset |
#![forbid(unsafe_code)]

pub mod attacks;
pub mod board;
pub mod boot_image;
pub mod console;
pub mod debugger;
mod exclusive;
pub mod guest;
pub mod launcher;
pub mod missing;
pub mod monitor;
pub mod sdk;
pub mod skip;

pub use missing::Missing;
