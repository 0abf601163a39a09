//! On QEMU's `raspi4b`: the Raspberry Pi 4's image with the drivers of its own devices.
//!
//! QEMU does not model all of the board; docs/raspberry-pi.md lists what was never seen because of that.

use anyhow::{Result, ensure};
use qemu::board::Board;

use super::{TestBoard, on, on_every_board};
use crate::node::{Node, number};
use crate::scenarios::Blinker;

/// GPLEV0 (BCM2711 ARM Peripherals, 5.2); LED is GPIO17 (`qemu/demo-policy-rpi4b.toml`).
const BOARD: TestBoard =
    TestBoard { board: Board::Rpi4b2Gb, image: "ATOLL_IMAGE_RPI4B", levels: 0xfe20_0034, led: 1 << 17 };

/// The lower 32 bits of the system timer's microseconds, CLO (BCM2711 ARM Peripherals, 10.2).
const SYSTEM_TIMER_CLO: u64 = 0xfe00_3004;

on_every_board!(BOARD);

/// The domains' clock is the processor's counter, expiries come from the system timer's: on the board both follow one
/// crystal, in QEMU the virtual time. They must say the same, and periods must not drift against either.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn periods_follow_the_system_timer() {
    on!(BOARD, |node| {
        let blinker = Blinker::deploy(node)?;
        let (first_microseconds, first_uptime) = both_clocks(node)?;
        for _ in 0..20 {
            node.shell("sleep 1")?;
        }
        let (last_microseconds, last_uptime) = both_clocks(node)?;
        let by_system_timer = u64::from(last_microseconds.wrapping_sub(first_microseconds));
        let by_counter = (last_uptime - first_uptime) / 1000;
        ensure!(by_counter > 20_000_000, "the guest slept for 20 s, and the node saw {by_counter} µs");
        // A reading of both is as long apart as it takes to ask the node for its time.
        let difference = by_system_timer.abs_diff(by_counter);
        ensure!(difference < 100_000, "{by_system_timer} µs by the system timer are {by_counter} µs by the counter");
        blinker.lost_nothing(node)
    });
}

/// The system timer as QEMU's monitor reads it, in microseconds, and the node's time in nanoseconds, soon after another.
fn both_clocks(node: &mut Node) -> Result<(u32, u64)> {
    let uptime = number(&node.ask("info")?, "uptime_ns")?;
    Ok((node.machine.monitor.read_physical_word(SYSTEM_TIMER_CLO)?, uptime))
}
