//! The system tests on seL4: Atoll's boot image in QEMU, Linux as its guest, `emit` at its shell.
//!
//! One boot a test, so that none sees what another left. The machine is the deterministic one: its time is that of executed
//! instructions, so a host that is busy with something else looks neither like a missed deadline nor like a lost blink.

mod boot_report;
mod multi_core;
mod raspberry_pi;
mod virt;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use qemu::Missing;
use qemu::board::Board;
use qemu::launcher::{Launch, Qemu};

use super::node::{COMMAND, Node};
use super::scenarios::Blinker;

/// seL4 and Linux on it: some seconds on an idle host, far more on one that compiles at the same time.
const BOOT: Duration = Duration::from_secs(240);

/// A board that an image is tested on.
struct TestBoard {
    board: Board,
    /// The environment variable that names its image.
    image: &'static str,
    /// The register that shows the lines' levels, and the line LED in it.
    levels: u64,
    led: u32,
    /// The image is for several cores.
    multi_core: bool,
}

impl TestBoard {
    /// The board's image, or what is missing to boot it.
    fn image(&self) -> Result<PathBuf> {
        Qemu::find()?.require_board(self.board)?;
        let image = std::env::var_os(self.image).filter(|image| !image.is_empty());
        let without = || Missing::new(format!("{} names no boot image", self.image), "run `cargo xtask test`");
        Ok(image.map(PathBuf::from).ok_or_else(without)?)
    }

    /// Boots the board's image, or says what is missing to do so.
    fn boot(&self) -> Result<Node> {
        self.boot_from(&self.image()?)
    }

    /// Boots `image` up to the guest's shell.
    fn boot_from(&self, image: &Path) -> Result<Node> {
        let launch = Launch::atoll(self.board, image).deterministic();
        let mut machine = if self.multi_core { launch.multi_core() } else { launch }.start()?;
        machine.console.expect_guest_shell(BOOT)?;
        Ok(Node { machine, keeps_time: !self.multi_core })
    }

    /// Plays a scenario on a machine of its own; a failure shows what the console said.
    fn play(&self, scenario: impl FnOnce(&mut Node) -> Result<()>) -> Result<(), Missing> {
        play_on(self.boot(), scenario)
    }

    /// Whether the line LED is high, as QEMU's monitor sees it: where a logic analyser at the pin would look.
    fn led_is_high(&self, node: &mut Node) -> Result<bool> {
        Ok(node.machine.monitor.read_physical_word(self.levels)? & self.led != 0)
    }

    fn a_blink_is_seen_from_outside(&self, node: &mut Node) -> Result<()> {
        Blinker::deploy(node)?;
        let deadline = Instant::now() + COMMAND;
        let (mut high, mut low) = (0, 0);
        while high < 3 || low < 3 {
            ensure!(Instant::now() < deadline, "the line was seen high {high} times and low {low} times");
            *if self.led_is_high(node)? { &mut high } else { &mut low } += 1;
        }
        node.emit("stop blinker")?;
        ensure!(!self.led_is_high(node)?, "the blinker leaves its line low");
        Ok(())
    }
}

/// Plays a scenario on the node that was booted, or says what was missing to boot it.
fn play_on(booted: Result<Node>, scenario: impl FnOnce(&mut Node) -> Result<()>) -> Result<(), Missing> {
    match booted {
        Ok(mut node) => {
            if let Err(error) = scenario(&mut node) {
                panic!("{error:#}\n--- the console said ---\n{}", node.machine.console.transcript());
            }
            Ok(())
        }
        Err(error) => match error.downcast::<Missing>() {
            Ok(missing) => Err(missing),
            Err(error) => panic!("{error:#}"),
        },
    }
}

/// Plays a scenario, or skips the test it stands in.
macro_rules! on {
    ($board:expr, $scenario:expr) => {
        if let Err(missing) = $board.play($scenario) {
            qemu::skip!("{missing}");
        }
    };
}
use on;

/// What must hold on every board, as tests.
macro_rules! on_every_board {
    ($board:expr) => {
        use crate::scenarios;
        use crate::sel4::BOOT;

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn every_verb_answers() {
            on!($board, scenarios::every_verb_answers);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn refused_capabilities() {
            on!($board, scenarios::refused_capabilities);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn bad_input_harms_nobody() {
            on!($board, scenarios::bad_input_harms_nobody);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn a_loop_is_stopped_and_others_run_on() {
            on!($board, scenarios::a_loop_is_stopped_and_others_run_on);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn a_life_goes_as_its_manifest_says() {
            on!($board, scenarios::a_life_goes_as_its_manifest_says);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn an_update_takes_over_or_leaves_all_as_it_was() {
            on!($board, scenarios::an_update_takes_over_or_leaves_all_as_it_was);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn a_command_reads_the_file_that_it_brought() {
            on!($board, scenarios::a_command_reads_the_file_that_it_brought);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn values_go_from_container_to_container() {
            on!($board, scenarios::values_go_from_container_to_container);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn a_container_is_told_where_it_runs() {
            on!($board, scenarios::a_container_is_told_where_it_runs);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn the_samples_run() {
            on!($board, scenarios::the_samples_run);
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn the_guest_restarts_and_no_blink_is_lost() {
            on!($board, |node| scenarios::the_guest_restarts_and_no_blink_is_lost(node, BOOT));
        }

        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn the_boot_reports_every_domain() {
            on!($board, |node| crate::sel4::boot_report::every_domain_is_well(node, $board.board));
        }

        /// QEMU's monitor sees the register that the GPIO domain writes.
        #[test]
        #[ignore = "needs a boot image: run by `cargo xtask test`"]
        fn a_blink_is_seen_from_outside() {
            on!($board, |node| $board.a_blink_is_seen_from_outside(node));
        }
    };
}
use on_every_board;
