//! The system tests on seL4: Atoll's boot image in QEMU, Linux as its guest, `emit` at its shell.
//!
//! `ATOLL_IMAGE` names the image. One boot a test, so that none sees what another left.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qemu::Missing;
use qemu::launcher::{Launch, Qemu};

use super::node::{COMMAND, Node, number};
use super::scenarios::{self, Blinker};

/// seL4 and Linux on it: some seconds on an idle host, far more on one that compiles at the same time.
const BOOT: Duration = Duration::from_secs(240);

/// The data register of the PL061 of QEMU's `virt` machine with all eight lines unmasked (ARM DDI 0190, 3.2.1).
const GPIO_DATA: u64 = 0x0903_03fc;

/// The line LED in it (`qemu/demo-policy.toml`).
const LED: u8 = 1 << 0;

/// Boots an image, or says what is missing to do so.
fn boot(deterministic: bool) -> Result<Node> {
    Qemu::find()?;
    let image = std::env::var_os("ATOLL_IMAGE").filter(|image| !image.is_empty());
    let image = image.ok_or_else(|| Missing::new("ATOLL_IMAGE names no boot image", "run `cargo xtask test`"))?;
    let launch = Launch::atoll(image);
    let mut machine = if deterministic { launch.deterministic() } else { launch }.start()?;
    machine.console.expect_guest_shell(BOOT)?;
    Ok(Node { machine })
}

/// Plays a scenario on a machine of its own; a failure shows what the console said.
macro_rules! on_sel4 {
    ($deterministic:expr, $scenario:expr) => {
        match boot($deterministic) {
            Ok(mut node) => {
                let scenario: fn(&mut Node) -> Result<()> = $scenario;
                if let Err(error) = scenario(&mut node) {
                    panic!("{error:#}\n--- the console said ---\n{}", node.machine.console.transcript());
                }
            }
            Err(error) => match error.downcast::<Missing>() {
                Ok(missing) => qemu::skip!("{missing}"),
                Err(error) => panic!("{error:#}"),
            },
        }
    };
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn every_verb_answers() {
    on_sel4!(false, scenarios::every_verb_answers);
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn refused_capabilities() {
    on_sel4!(false, scenarios::refused_capabilities);
}

/// By virtual time, so that a busy host does not look like a lost blink.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn bad_input_harms_nobody() {
    on_sel4!(true, scenarios::bad_input_harms_nobody);
}

/// By virtual time, as above.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_loop_is_stopped_and_others_run_on() {
    on_sel4!(true, scenarios::a_loop_is_stopped_and_others_run_on);
}

/// By virtual time, as above.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn the_guest_restarts_and_no_blink_is_lost() {
    on_sel4!(true, |node| scenarios::the_guest_restarts_and_no_blink_is_lost(node, BOOT));
}

/// QEMU's monitor sees the register that the GPIO domain writes, as a logic analyser at the pin would.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_blink_is_seen_from_outside() {
    on_sel4!(false, |node| {
        Blinker::deploy(node)?;
        let deadline = Instant::now() + COMMAND;
        let (mut high, mut low) = (0, 0);
        while high < 3 || low < 3 {
            ensure!(Instant::now() < deadline, "the line was seen high {high} times and low {low} times");
            let data = node.machine.monitor.read_physical_byte(GPIO_DATA)?;
            *if data & LED == 0 { &mut low } else { &mut high } += 1;
        }
        node.emit("stop blinker")?;
        let data = node.machine.monitor.read_physical_byte(GPIO_DATA)?;
        ensure!(data & LED == 0, "the blinker leaves its line low, but the register says {data:#x}");
        Ok(())
    });
}

/// The machine's power button is line 3 of its GPIO, which a container watches.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn an_edge_reaches_a_container() {
    on_sel4!(false, |node| {
        node.emit("deploy button.wasm --grant gpio:BUTTON:edge")?;
        for press in 1..=3 {
            node.machine.monitor.press_power_button()?;
            let says = format!("{press} edges");
            node.wait_until(&says, |node| Ok(node.emit("logs button")?.contains(&says)))?;
            // QEMU lets the button go after a tenth of a second.
            node.wait_until("the button is up", |node| Ok(node.line("BUTTON")?.0["high"] == false))?;
        }
        ensure!(number(&node.line("BUTTON")?.0, "edges")? >= 3);
        node.emit("stop button").context("a container that waits for an edge can be stopped")?;
        node.clear()
    });
}
