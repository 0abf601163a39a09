//! On QEMU's `raspi4b`: the Raspberry Pi 4's image with the drivers of its own devices.
//!
//! QEMU does not model all of the board; docs/raspberry-pi.md lists what was never seen because of that. What every board must do is played
//! in two boots here, one scenario after the other; those in [`by_hand`] play it in a boot each.

use anyhow::{Result, ensure};
use qemu::board::Board;

use super::{BOOT, TestBoard, boot_report, on};
use crate::node::{Node, number};
use crate::scenarios::{self, Blinker};

/// GPLEV0 (BCM2711 ARM Peripherals, 5.2); LED is GPIO17 (`qemu/demo-policy-rpi4b.toml`).
const BOARD: TestBoard = TestBoard {
    board: Board::Rpi4b2Gb,
    image: "ATOLL_IMAGE_RPI4B",
    levels: 0xfe20_0034,
    led: 1 << 17,
    multi_core: false,
};

/// The lower 32 bits of the system timer's microseconds, CLO (BCM2711 ARM Peripherals, 10.2).
const SYSTEM_TIMER_CLO: u64 = 0xfe00_3004;

/// What QEMU (seen: 10.0) does not have of the board, so that no test here can show it. docs/raspberry-pi.md says more.
const NOT_MODELLED: [&str; 7] = [
    "edges at GPIO lines (GPREN, GPFEN and GPEDS are not there)",
    "the system timer's interrupt (it is not wired to the GIC; ticks stand in)",
    "the firmware and its stub (the launcher stands in for the stub)",
    "caches, and memory that is not coherent",
    "the rates of the counter (62.5 MHz instead of 54) and of the mini-UART",
    "boards with 1, 4 and 8 GB",
    "pulls (their registers are there, the pins are not)",
];

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn containers_come_run_and_go() {
    on!(BOARD, |node| {
        boot_report::every_domain_is_well(node, BOARD.board)?;
        scenarios::every_verb_answers(node)?;
        scenarios::refused_capabilities(node)?;
        scenarios::a_loop_is_stopped_and_others_run_on(node)?;
        scenarios::a_life_goes_as_its_manifest_says(node)?;
        scenarios::values_go_from_container_to_container(node)?;
        scenarios::a_container_is_told_where_it_runs(node)?;
        scenarios::a_command_reads_the_file_that_it_brought(node)?;
        BOARD.a_blink_is_seen_from_outside(node)
    });
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn nobody_is_harmed_and_changes_are_whole() {
    on!(BOARD, |node| {
        scenarios::bad_input_harms_nobody(node)?;
        scenarios::an_update_takes_over_or_leaves_all_as_it_was(node)?;
        scenarios::the_samples_run(node)?;
        scenarios::the_guest_restarts_and_no_blink_is_lost(node, BOOT)
    });
}

/// `ATOLL_IMAGE_RPI4B=… cargo test -p qemu --test system -- --ignored raspberry_pi::by_hand`.
mod by_hand {
    use super::BOARD;
    use crate::sel4::{on, on_every_board};

    on_every_board!(BOARD);
}

/// Not a test, but its place: whoever reads what passed must read what could not be tried.
#[test]
#[ignore = "says what QEMU cannot show: run by `cargo xtask test`"]
fn what_only_a_board_shows() {
    qemu::skip!("QEMU's raspi4b does not model {}", NOT_MODELLED.join("; "));
}

/// A line of the system's own is refused by the policy's compiler and by the domain; one that the policy does not name is not
/// there for a container.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn the_headers_labels_are_what_people_know() {
    on!(BOARD, |node| {
        const CONTAINER_REFUSED: u8 = 7;
        node.emit("deploy blinker.wasm --grant gpio:GPIO17:out --grant timer:10ms")?;
        node.wait_until("the blinker has blinked", |node| Ok(number(&node.line("GPIO17")?.0, "transitions")? > 2))?;
        ensure!(number(&node.line("LED")?.0, "transitions")? > 2, "LED and GPIO17 are one line");
        for label in ["GPIO14", "GPIO15", "GPIO0", "GPIO42"] {
            node.emit_ends_with(&format!("deploy greedy.wasm --grant gpio:{label}:out"), CONTAINER_REFUSED, label)?;
        }
        node.clear()
    });
}

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
        // Where the interrupt does not come, a tick brings what is due, and says so.
        let (came, missed) = (node.counter("timer_interrupts")?, node.counter("timer_missed_interrupts")?);
        ensure!(came + missed > 100, "{came} interrupts of the system timer came and {missed} did not");
        blinker.lost_nothing(node)
    });
}

/// The system timer as QEMU's monitor reads it, in microseconds, and the node's time in nanoseconds, soon after another.
fn both_clocks(node: &mut Node) -> Result<(u32, u64)> {
    let uptime = number(&node.ask("info")?, "uptime_ns")?;
    Ok((node.machine.monitor.read_physical_word(SYSTEM_TIMER_CLO)?, uptime))
}
