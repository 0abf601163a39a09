//! `cargo xtask bench --costs`: what the node itself costs a container, seen by one that does nothing but look at the clock.
//!
//! `watcher` reads the clock as fast as it can, and keeps each gap between two readings that is longer than its own doing. Whatever
//! runs above it is such a gap: a tick with all that follows on it, and at the same tick the jobs of more urgent containers. So
//! the difference between two scenes is what a neighbour costs, with switches, wake-up, counting and rest. On these the figures
//! in a policy's table `[time]` rest.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu::{guest::Overlay, launcher::Machine};
use runner_container::{Manifest, Schedule};

use super::{
    INSTRUCTION_NS, MS,
    time::{
        containers::{self, CLOCK_AND_LOG, OUTPUTS},
        figures::Samples,
    },
};
use crate::boards;

/// The watcher looks for so long in each of so many periods: two ticks at the least fall into each look.
const LOOK_NS: u64 = 2 * MS + MS / 10;
const WATCHERS_PERIOD_NS: u64 = 50 * MS;
const LOOKS: usize = 100;

/// More than its own loop, slices included.
const SHORTEST_GAP_NS: u64 = 2_250;

/// Gaps that it has room for.
const MOST_GAPS: usize = 2000;

/// Processor time of a neighbour in each millisecond.
const NEIGHBOURS_BUDGET_NS: u64 = 50_000;

/// Once in the guest's shell, and for each scene, of the host's time.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
const SCENE_LIMIT: Duration = Duration::from_secs(300);

/// What a neighbour does in each release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Neighbour {
    name: &'static str,
    /// Its loop hook, which answers an `i32`.
    body: &'static str,
    /// Calls of `gpio` in a release.
    calls: u8,
}

const EMPTY: Neighbour = Neighbour { name: "empty", body: "(i32.const 0)", calls: 0 };

const NEIGHBOURS: [Neighbour; 11] = [
    EMPTY,
    Neighbour { name: "one-output", body: "(call $toggle) (i32.const 0)", calls: 1 },
    Neighbour { name: "loop", body: "(loop $l (br $l)) (unreachable)", calls: 0 },
    Neighbour { name: "calls", body: "(loop $l (call $many) (br $l)) (unreachable)", calls: 0 },
    Neighbour { name: "table", body: "(loop $l (call_indirect (i32.const 0)) (br $l)) (unreachable)", calls: 0 },
    Neighbour { name: "clock", body: "(loop $l (drop (call $now)) (br $l)) (unreachable)", calls: 0 },
    Neighbour {
        name: "copies",
        body: "(loop $l (memory.copy (i32.const 0) (i32.const 8192) (i32.const 4096)) (br $l)) (unreachable)",
        calls: 0,
    },
    Neighbour {
        name: "log",
        body: "(loop $l (call $log (i32.const 2) (i32.const 16384) (i32.const 1024)) (br $l)) (unreachable)",
        calls: 0,
    },
    Neighbour {
        name: "logging",
        body: "(loop $l (call $wasi_log (i32.const 2) (i32.const 16384) (i32.const 512) (i32.const 16384) (i32.const 1024))
            (br $l)) (unreachable)",
        calls: 0,
    },
    Neighbour {
        name: "write",
        body: "(loop $l (drop (call $write (i32.const 1) (i32.const 32768) (i32.const 1) (i32.const 64))) (br $l)) (unreachable)",
        calls: 0,
    },
    Neighbour { name: "outputs", body: "(loop $l (call $toggle) (br $l)) (unreachable)", calls: 1 },
];

/// Scenes: how many of which neighbour.
fn scenes() -> Vec<(Option<Neighbour>, usize)> {
    let mut scenes = vec![(None, 0)];
    scenes.extend(NEIGHBOURS.into_iter().map(|neighbour| (Some(neighbour), 1)));
    scenes.extend([2, 7].map(|number| (Some(EMPTY), number)));
    scenes
}

pub(crate) fn run() -> Result<()> {
    let mut overlay = Overlay::default();
    overlay.file("/bench/watcher.wasm", watcher()?);
    for neighbour in NEIGHBOURS {
        for number in 0..7 {
            overlay.file(&format!("/bench/{}{number}.wasm", neighbour.name), neighbour_container(neighbour, number)?);
        }
    }
    let image = boards::image_for_eight(overlay)?;
    let mut machine = super::start_for_eight(&image)?;
    machine.console.expect("atoll# ", BOOT_LIMIT)?;
    for (neighbour, number) in scenes() {
        let gaps = Samples::new(scene(&mut machine, neighbour, number)?);
        let name = neighbour.map_or("alone", |neighbour| neighbour.name);
        let count = gaps.count();
        let [median, p90, p99, most] = [500, 900, 990, 1000]
            .map(|permille| gaps.quantile(permille).unwrap_or(0) * (containers::UNIT_NS / INSTRUCTION_NS));
        println!("{name} x {number}: {count} gaps, median {median} p90 {p90} p99 {p99} most {most} instructions");
    }
    Ok(())
}

fn scene(machine: &mut Machine, neighbour: Option<Neighbour>, number: usize) -> Result<Vec<u64>> {
    let mut say = |line: &str| -> Result<String> {
        machine.console.send_line(line)?;
        Ok(machine.console.expect("atoll# ", SCENE_LIMIT)?.before)
    };
    let names: Vec<String> = neighbour
        .map(|neighbour| (0..number).map(|number| format!("{}{number}", neighbour.name)).collect())
        .unwrap_or_default();
    let deployed = || names.iter().map(String::as_str).chain(["watcher"]);
    for name in deployed() {
        let said = say(&format!("emit deploy /bench/{name}.wasm"))?;
        ensure!(!said.contains("emit: "), "{said}");
    }
    let mut said = String::new();
    for _ in 0..60 {
        said = say("sleep 1; emit ps")?;
        let goes_on = |line: &str| line.contains("watcher") && (line.contains("running") || line.contains("ready"));
        if !said.lines().any(goes_on) {
            break;
        }
    }
    let log = say("emit logs watcher")?;
    let gaps = containers::samples(&log, "gap").with_context(|| format!("{said} {log}"))?;
    eprintln!("{}", say("emit schedule; emit jitter watcher | head -20")?);
    for name in deployed() {
        say(&format!("emit kill {name}; emit rm {name}"))?;
    }
    Ok(gaps)
}

/// `watcher`, see the module's documentation.
fn watcher() -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            (memory (export "memory") 4)
            (global $looks (mut i32) (i32.const 0))
            (global $gaps (mut i32) (i32.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32) (i32.const 0))
            (func (export "on-loop") (result i32)
                (local $before i64) (local $end i64) (local $now i64)
                (local.set $before (call $now))
                (local.set $end (i64.add (local.get $before) (i64.const {LOOK_NS})))
                (loop $look
                    (local.set $now (call $now))
                    (if (i32.and
                            (i64.gt_u (i64.sub (local.get $now) (local.get $before)) (i64.const {SHORTEST_GAP_NS}))
                            (i32.lt_u (global.get $gaps) (i32.const {MOST_GAPS})))
                        (then
                            (call $keep_gap (i64.sub (local.get $now) (local.get $before)))
                            (global.set $gaps (i32.add (global.get $gaps) (i32.const 1)))
                            (local.set $now (call $now))))
                    (local.set $before (local.get $now))
                    (br_if $look (i64.lt_u (local.get $now) (local.get $end))))
                (global.set $looks (i32.add (global.get $looks) (i32.const 1)))
                (i32.ge_u (global.get $looks) (i32.const {LOOKS})))
            (func (export "on-stop") (call $log_gap)))"#,
        keep = containers::keep(),
        series = containers::series("gap", containers::FIRST_LINE),
    );
    pack(&text, "watcher", WATCHERS_PERIOD_NS, 5 * MS / 2, None, vec![])
}

fn neighbour_container(neighbour: Neighbour, number: usize) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            {OUTPUTS}
            (import "wasi:logging/logging@0.1.0-draft" "log" (func $wasi_log (param i32 i32 i32 i32 i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 16384) "{wide}")
            (data (i32.const 32768) "\00\40\00\00\00\04\00\00")
            (table 1 funcref)
            (elem (i32.const 0) $many)
            (data (i32.const 16) "OUT{number}")
            (global $line (mut i32) (i32.const 0))
            (global $high (mut i32) (i32.const 0))
            (func $many {locals})
            (func $toggle
                (global.set $high (i32.xor (global.get $high) (i32.const 1)))
                (drop (call $set (global.get $line) (global.get $high))))
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 4) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32) {body})
            (func (export "on-stop")))"#,
        wide = "é".repeat(512),
        locals = "(local i64)".repeat(200),
        body = neighbour.body,
    );
    let grants = vec![format!("gpio:OUT{number}:out")];
    let calls = Some([neighbour.calls, 0, 0, 0]);
    pack(&text, &format!("{}{number}", neighbour.name), MS, NEIGHBOURS_BUDGET_NS, calls, grants)
}

fn pack(
    text: &str,
    name: &str,
    period_ns: u64,
    budget_ns: u64,
    calls: Option<[u8; 4]>,
    grants: Vec<String>,
) -> Result<Vec<u8>> {
    let schedule = Schedule { period_ns, budget_ns, calls, ..Schedule::default() };
    containers::pack(text, Manifest { schedule: Some(schedule), grants, ..Manifest::named(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_valid() {
        let neighbours = NEIGHBOURS.map(|neighbour| neighbour_container(neighbour, 0));
        for module in neighbours.into_iter().chain([watcher()]) {
            wasmparser::validate(&module.expect("it is assembled")).expect("it is valid");
        }
    }
}
