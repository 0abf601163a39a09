//! Figures of seL4 in QEMU with `-icount`: virtual time that counts instructions.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use qemu::{
    board::Board,
    launcher::{Launch, Machine},
};

use super::{Measurement, Probe};
use crate::boards;

/// `-icount shift=3`: one instruction is 2³ nanoseconds of virtual time (qemu/src/launcher).
const NANOSECONDS_PER_INSTRUCTION: f64 = 8.0;

/// Linux under seL4 with every instruction counted.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

/// What looking at rights may cost of a call: more than this, and the call should be made cheaper.
const CHECK_LIMIT: f64 = 0.01;

pub(super) fn measure() -> Result<Vec<Measurement>> {
    let board = Board::QemuVirtAarch64;
    let probe = probe(board, boards::image_for_tests(board)?)?;
    let unchecked = self::probe(board, boards::image_without_check(board)?)?;
    let (in_cell, across) = probe.costs_ns();
    let (_, across_unchecked) = unchecked.costs_ns();
    let instructions = |nanoseconds: f64| nanoseconds / NANOSECONDS_PER_INSTRUCTION;
    let check = Measurement::new(
        "host call across domains, rights and rates checked (seL4)",
        "instructions",
        instructions(across),
        "the same without the check",
        instructions(across_unchecked),
    );
    ensure!(check.ratio < 1.0 + CHECK_LIMIT, "looking at rights costs too much of a call: {check:?}");
    Ok(vec![
        Measurement::new(
            "host call across domains (seL4)",
            "instructions",
            instructions(across),
            "host call in the cell",
            instructions(in_cell),
        ),
        Measurement::new(
            "host call in the cell (seL4)",
            "instructions",
            instructions(in_cell),
            "round of an empty Wasm loop",
            instructions(probe.loop_ns / probe.calls),
        ),
        check,
    ])
}

/// What the probe finds on `image`.
fn probe(board: Board, image: PathBuf) -> Result<Probe> {
    let mut machine = Launch::atoll(board, image).deterministic().start()?;
    machine.console.expect_guest_shell(BOOT_LIMIT)?;
    shell(&mut machine, "cd /root && emit deploy probe.wasm --grant gpio:LED:out@1000000/s")?;
    let log = shell(&mut machine, "emit logs -f probe")?;
    Probe::find(&log).with_context(|| format!("the probe logged no figures: {log}"))
}

fn shell(machine: &mut Machine, line: &str) -> Result<String> {
    let output = machine.console.run_command(line, COMMAND_LIMIT)?;
    ensure!(output.succeeded(), "`{line}` ended with {}: {}", output.status, output.text);
    Ok(output.text)
}
