//! `cargo xtask bench --eight SECONDS`: eight containers at 1 kHz under all attacks in turn, and not one release lost.
//!
//! Each container works for a while and drives its output once a release. It counts its releases, those that it saw none of, and the
//! deadlines that it was not done by, on the clock; its cell counts the same without asking it; and `gpio` counts the changes of
//! its line. The three must agree. The guest's script is the shell (see `time`), so that two runs are the same; the reboot
//! loop comes last of Linux' attacks, as nothing of Linux outlives it, and behind it neighbours that misbehave, in the place of the
//! eighth container and under its schedule.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qemu::{
    attacks::{Attack, FOLDER},
    board::Board,
    console::ConsoleError,
    guest::Overlay,
    launcher::Launch,
};
use runner_container::{Manifest, OnOverrun, Restart, RestartPolicy, Schedule, embed};
use serde_json::Value;

use super::time::{containers, script};
use crate::{
    boards,
    process::{self, step},
};

const MS: u64 = 1_000_000;

/// An instruction takes 2 to the power of this, in nanoseconds.
const SHIFT: u8 = 2;

/// One in each cell.
const CELLS: usize = 8;

/// Processor time of each container in a millisecond, beside its call of `gpio`.
pub(crate) const BUDGET_NS: u64 = 28_000;

/// Rounds of the container's work: with them it takes most of its budget.
const ROUNDS: u32 = 110;

/// What runs in the eighth cell at last, under the same schedule: what it does in a release.
const NEIGHBOURS: [(&str, &str); 3] = [
    ("loops", "(loop $l (br $l)) (unreachable)"),
    ("traps", "(unreachable)"),
    ("floods", "(loop $l (call $drive) (br $l)) (unreachable)"),
];

/// Seconds of the host's time for each of virtual time, at the worst, and for the boot.
const PATIENCE: u64 = 20;
const BOOT_LIMIT: Duration = Duration::from_secs(900);

/// What was counted of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counted {
    /// By itself: releases, those that it saw none of, and deadlines that had passed before it was done.
    own: [u64; 3],
    /// By its cell: releases that work began for and was done for, deadlines missed, releases skipped.
    cell: [u64; 4],
    /// By `gpio`: changes of its line.
    transitions: u64,
}

/// Plays it for about so many seconds of virtual time, and fails where a release was lost or a deadline missed.
pub(crate) fn run(seconds: u64) -> Result<()> {
    step(&format!("eight containers at 1 kHz under all attacks in turn, {seconds} s"));
    let image = boards::image_for_eight(overlay(seconds)?)?;
    let mut machine = Launch::atoll(Board::QemuVirtAarch64, &image).deterministic().instruction_shift(SHIFT).start()?;
    let deadline = Instant::now() + BOOT_LIMIT + Duration::from_secs(seconds * PATIENCE);
    loop {
        match machine.console.expect(script::END, Duration::from_secs(5)) {
            Ok(_) => break,
            Err(ConsoleError::Timeout { .. }) if Instant::now() < deadline => {
                let said = machine.console.transcript();
                let last = said.lines().rev().find(|line| line.contains(script::SAYS));
                eprintln!("{}", last.map_or("booting", str::trim_end));
            }
            Err(error) => return Err(error).context(last_of(&machine.console.transcript())),
        }
    }
    let log = machine.console.transcript().replace('\r', "");
    std::fs::write(process::target_directory().join("eight.log"), &log).context("the log cannot be kept")?;
    let failures: Vec<&str> = script::said(&log, "failed:");
    ensure!(failures.is_empty(), "the guest could not do all it had to: {failures:?}");
    let mut load_ns = 0;
    for number in 0..CELLS {
        let counted = counted(&log, number).with_context(|| format!("of container {number}"))?;
        println!("kilo{number}: {counted:?}");
        let Counted { own: [releases, lost, late], cell: [released, completed, missed, skipped], transitions } =
            counted;
        ensure!(
            (lost, late, missed, skipped) == (0, 0, 0, 0),
            "kilo{number} lost releases or missed deadlines: {counted:?}"
        );
        // One that was stopped in its work, or at rest before it was told of a release.
        ensure!(released == releases && completed == releases, "container and cell do not agree: {counted:?}");
        ensure!(transitions == releases + releases % 2, "container and gpio do not agree: {counted:?}");
        load_ns += releases;
    }
    println!("{load_ns} releases in all, none lost, no deadline missed");
    for line in script::said(&log, "schedule") {
        println!("{line}");
    }
    Ok(())
}

fn last_of(transcript: &str) -> String {
    let lines: Vec<&str> = transcript.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

fn counted(log: &str, number: usize) -> Result<Counted> {
    let name = format!("kilo{number}");
    let own = containers::samples(log, &format!("k{number:02}"))?;
    let own = own.try_into().map_err(|own| anyhow::anyhow!("its own counts are {own:?}"))?;
    let timing = script::said(log, &format!("timing-{name}")).pop().context("no timing")?;
    let timing: Value = serde_json::from_str(timing).context("no JSON")?;
    let of_cell = |field: &str| timing[field].as_u64().with_context(|| format!("no {field} in {timing}"));
    let cell = [of_cell("released")?, of_cell("completed")?, of_cell("missed")?, of_cell("skipped")?];
    let info = script::said(log, &format!("node-{name}")).pop().context("no node")?;
    let info: Value = serde_json::from_str(info).context("no JSON")?;
    let label = format!("OUT{number}");
    let line = info["lines"].as_array().and_then(|lines| lines.iter().find(|line| line["label"] == label.as_str()));
    let transitions = line.and_then(|line| line["transitions"].as_u64()).context("no transitions")?;
    Ok(Counted { own, cell, transitions })
}

fn overlay(seconds: u64) -> Result<Overlay> {
    let mut overlay = Overlay::default();
    overlay
        .program("/usr/lib/atoll/shell", "#!/bin/sh\nexec sh /bench/run > /dev/console 2>&1 < /dev/null\n".to_owned());
    overlay.file("/bench/run", script_of(seconds));
    for number in 0..CELLS {
        overlay.file(&format!("/bench/kilo{number}.wasm"), kilo(number)?);
    }
    for (name, body) in NEIGHBOURS {
        overlay.file(&format!("/bench/{name}.wasm"), neighbour(name, body)?);
    }
    let mut names = Vec::new();
    for attack in linux_attacks() {
        for file in attack.files()? {
            if !names.contains(&file.name) {
                names.push(file.name);
                overlay.file(&format!("{FOLDER}/{}", file.name), file.content);
            }
        }
    }
    Ok(overlay)
}

fn linux_attacks() -> impl Iterator<Item = Attack> {
    Attack::ALL
        .into_iter()
        .filter(|attack| !attack.reboots() && (attack.cells() == 0 || *attack == Attack::UploadStorm))
}

fn script_of(seconds: u64) -> String {
    // As many turns as there are of Linux' attacks, one idle, one of reboots, and one of each neighbour.
    let turns = linux_attacks().count() as u64 + 2 + NEIGHBOURS.len() as u64;
    let turn = (seconds / turns).max(2);
    let attacks: String = linux_attacks()
        .map(|attack| format!("say under {attack}\n{}\nsleep {turn}\n{}\n", attack.start_line(), attack.stop_line()))
        .collect();
    let neighbours: String = NEIGHBOURS
        .map(|(name, _)| {
            format!("say beside {name}\npersist emit deploy {name}.wasm\nsleep {turn}\nemit kill {name}; persist emit rm {name}\n")
        })
        .concat();
    let before_reboots_ms = (turns - 1 - NEIGHBOURS.len() as u64) * turn * 1000;
    format!(
        r#"{persist}
released() {{ persist emit --format json jitter kilo0 && sed -n 's/.*"released": *\([0-9]*\).*/\1/p' /tmp/said | head -1; }}
finish() {{
    persist emit stop $1
    until persist emit --format json inspect $1 && grep -Eq '"state": *"(finalised|failed)"' /tmp/said; do usleep 200000; done
    persist emit logs $1
    cat /tmp/said
    tell timing-$1 jitter $1
    tell node-$1 info
}}
if ! emit inspect kilo0 > /dev/null 2>&1; then
    for n in 0 1 2 3 4 5 6 7; do persist emit deploy kilo$n.wasm; done
    emit schedule
    say under nothing
    sleep {turn}
    {attacks}
    say under reboot-loop
fi
now=$(released)
say released $now
if [ "$now" -lt {until_released} ]; then reboot -f; fi
finish kilo7
persist emit rm kilo7
{neighbours}
for n in 0 1 2 3 4 5 6; do finish kilo$n; done
tell node info
say end
while :; do sleep 1000; done
"#,
        persist = script::FUNCTIONS,
        until_released = before_reboots_ms + turn * 1000,
    )
}

/// A container of the eight, see the module's documentation.
fn kilo(number: usize) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            (import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))
            (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "OUT{number}")
            (global $line (mut i32) (i32.const 0))
            (global $count (mut i64) (i64.const 0))
            (global $last (mut i64) (i64.const 0))
            (global $lost (mut i64) (i64.const 0))
            (global $late (mut i64) (i64.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 4) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32)
                (local $release i64) (local $rounds i32)
                (local.set $release (i64.div_u (call $now) (i64.const {MS})))
                (if (i64.ne (global.get $last) (i64.const 0))
                    (then (global.set $lost (i64.add (global.get $lost)
                        (i64.sub (i64.sub (local.get $release) (global.get $last)) (i64.const 1))))))
                (global.set $last (local.get $release))
                (global.set $count (i64.add (global.get $count) (i64.const 1)))
                (local.set $rounds (i32.const {ROUNDS}))
                (loop $work
                    (br_if $work (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
                (drop (call $set (global.get $line) (i32.wrap_i64 (i64.and (global.get $count) (i64.const 1)))))
                (if (i64.gt_u (call $now) (i64.mul (i64.add (local.get $release) (i64.const 1)) (i64.const {MS})))
                    (then (global.set $late (i64.add (global.get $late) (i64.const 1)))))
                (i32.const 0))
            (func (export "on-stop")
                (call $keep_{name} (i64.mul (global.get $count) (i64.const {unit})))
                (call $keep_{name} (i64.mul (global.get $lost) (i64.const {unit})))
                (call $keep_{name} (i64.mul (global.get $late) (i64.const {unit})))
                (call $log_{name})))"#,
        keep = containers::keep(),
        series = containers::series(&format!("k{number:02}"), containers::FIRST_LINE),
        name = format_args!("k{number:02}"),
        unit = containers::UNIT_NS,
    );
    pack(&text, &format!("kilo{number}"), number, OnOverrun::Skip, Restart::default())
}

fn neighbour(name: &str, body: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16) "OUT7")
            (global $line (mut i32) (i32.const 0))
            (func $drive (drop (call $set (global.get $line) (i32.const 1))))
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 4) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32) {body})
            (func (export "on-stop")))"#
    );
    let restart = Restart {
        policy: RestartPolicy::Always,
        first_back_off_ns: 100 * MS,
        longest_back_off_ns: 100 * MS,
        attempts: 1_000_000,
    };
    pack(&text, name, 7, OnOverrun::Skip, restart)
}

fn pack(text: &str, name: &str, number: usize, on_overrun: OnOverrun, restart: Restart) -> Result<Vec<u8>> {
    let wasm = wat::parse_str(text).with_context(|| format!("`{name}` is no valid text"))?;
    let calls = Some([1, 0, 0, 0]);
    let schedule = Schedule { period_ns: MS, budget_ns: BUDGET_NS, on_overrun, calls, ..Schedule::default() };
    let grants = vec![format!("gpio:OUT{number}:out@2000/s")];
    let manifest = Manifest { schedule: Some(schedule), grants, restart, ..Manifest::named(name) };
    embed(&wasm, &manifest, &[]).map_err(|error| anyhow::anyhow!("`{name}`: {error}"))
}
