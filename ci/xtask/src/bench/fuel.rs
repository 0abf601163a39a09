//! `cargo xtask bench --fuel`: how long so much fuel takes on seL4, by what a container burns it for.
//!
//! A cell that holds its container to a budget grants it fuel, and rests on what that fuel takes at the most (the policy's `fuel`
//! and `slice`, docs/real-time.md). Each scene is a container with a schedule whose job is a loop of one kind of work. It is
//! played with few rounds and with many: what both have in common, the release and the turn, falls out of the difference, and
//! so do neighbours, of whom there are none. The cell measures the jobs, and counts the fuel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu::guest::Overlay;
use runner_container::{Manifest, Schedule};

use super::{
    INSTRUCTION_NS, MS,
    time::{
        containers::{self, CLOCK_AND_LOG},
        script,
    },
};
use crate::{boards, process::step};

/// Jobs of each container, and what they may take.
const JOBS: u64 = 25;
const PERIOD_NS: u64 = 20 * MS;
const BUDGET_NS: u64 = 5 * MS / 2;

/// Rounds of a loop, few and many; in each is the work so many times.
const ROUNDS: [u64; 2] = [2, 8];
const REPEATED: usize = 10;

/// As the cell counts it.
const UNITS: f64 = 100.0;

/// All scenes, of the host's time.
const LIMIT: Duration = Duration::from_secs(1800);

/// What burns fuel, and a round of it. Locals `$i`, `$j`, `$f` and `$d` are of the types `i32`, `i64`, `f32` and `f64`.
const SCENES: [(&str, &str); 69] = [
    ("nothing but the loop", ""),
    ("local.set", "(local.set $i (local.get $n))"),
    ("i32.add", "(local.set $i (i32.add (local.get $i) (local.get $n)))"),
    ("i64.mul", "(local.set $j (i64.mul (local.get $j) (local.get $j)))"),
    ("i64.div_s", "(local.set $j (i64.div_s (local.get $j) (i64.const 7)))"),
    ("i64.div_u, by a local", "(local.set $j (i64.div_u (i64.const -1) (i64.or (local.get $j) (i64.const 1))))"),
    ("i64.rem_s, by a local", "(local.set $j (i64.rem_s (i64.const -3) (i64.or (local.get $j) (i64.const 1))))"),
    ("i64.popcnt", "(local.set $j (i64.popcnt (local.get $j)))"),
    ("i64.rotl", "(local.set $j (i64.rotl (local.get $j) (i64.const 3)))"),
    ("i32.eqz", "(local.set $i (i32.eqz (local.get $i)))"),
    ("select", "(local.set $i (select (local.get $i) (local.get $n) (local.get $i)))"),
    ("if", "(if (local.get $i) (then (local.set $i (i32.const 0))) (else (local.set $i (i32.const 1))))"),
    ("br_table", "(block $b (block $a (br_table $a $b (local.get $i))))"),
    ("global", "(global.set $g (i32.add (global.get $g) (i32.const 1)))"),
    ("f32.add", "(local.set $f (f32.add (local.get $f) (f32.const 1.5)))"),
    ("f32.sqrt", "(local.set $f (f32.sqrt (f32.add (local.get $f) (f32.const 1.5))))"),
    ("f32.nearest", "(local.set $f (f32.nearest (f32.add (local.get $f) (f32.const 1.5))))"),
    ("f64.div", "(local.set $d (f64.div (f64.const 1.5) (local.get $d)))"),
    ("f64.min", "(local.set $d (f64.min (local.get $d) (f64.const 1.5)))"),
    ("f64.copysign", "(local.set $d (f64.copysign (local.get $d) (f64.const -1.5)))"),
    ("f64.sqrt", "(local.set $d (f64.sqrt (f64.add (local.get $d) (f64.const 1.5))))"),
    ("f64.sqrt of a small number", "(local.set $d (f64.sqrt (f64.const 0x0.0000000000001p-1022)))"),
    ("f64.ceil", "(local.set $d (f64.ceil (f64.add (local.get $d) (f64.const 1.5))))"),
    ("f64.floor", "(local.set $d (f64.floor (f64.add (local.get $d) (f64.const 1.5))))"),
    ("f64.trunc", "(local.set $d (f64.trunc (f64.add (local.get $d) (f64.const 1.5))))"),
    ("f64.nearest", "(local.set $d (f64.nearest (f64.add (local.get $d) (f64.const 1.5))))"),
    ("i64.trunc_f64_s", "(local.set $j (i64.trunc_f64_s (f64.const 1e9)))"),
    ("i64.trunc_sat_f64_u", "(local.set $j (i64.trunc_sat_f64_u (f64.convert_i64_u (local.get $j))))"),
    ("f32.demote_f64", "(local.set $f (f32.demote_f64 (local.get $d)))"),
    ("i64.load, i64.store", "(i64.store (i32.const 64) (i64.load (i32.const 72)))"),
    ("i64.store8, at a local", "(i64.store8 (local.get $n) (local.get $j))"),
    ("memory.size", "(local.set $i (memory.size))"),
    ("memory.grow", "(local.set $i (memory.grow (i32.const 1)))"),
    ("memory.copy, nothing", "(memory.copy (i32.const 0) (i32.const 8192) (i32.const 0))"),
    ("memory.copy, 63 bytes", "(memory.copy (i32.const 1) (i32.const 8192) (i32.const 63))"),
    ("memory.copy, 64 bytes", "(memory.copy (i32.const 0) (i32.const 8192) (i32.const 64))"),
    ("memory.copy, 4 KiB", "(memory.copy (i32.const 0) (i32.const 8192) (i32.const 4096))"),
    ("memory.copy, 4 KiB that overlap", "(memory.copy (i32.const 1) (i32.const 0) (i32.const 4096))"),
    ("memory.fill, 63 bytes", "(memory.fill (i32.const 1) (i32.const 7) (i32.const 63))"),
    ("memory.fill, 4 KiB", "(memory.fill (i32.const 0) (i32.const 7) (i32.const 4096))"),
    ("memory.init, 63 bytes", "(memory.init $data (i32.const 1) (i32.const 0) (i32.const 63))"),
    ("table.get, table.set", "(table.set $t (i32.const 1) (table.get $t (i32.const 0)))"),
    ("table.grow", "(local.set $i (table.grow $t (ref.null func) (i32.const 1)))"),
    ("table.copy, 63 elements", "(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 63))"),
    ("table.fill, 63 elements", "(table.fill $t (i32.const 1) (ref.func $empty) (i32.const 63))"),
    ("table.init, 8 elements", "(table.init $t $elements (i32.const 0) (i32.const 0) (i32.const 8))"),
    ("ref.is_null", "(local.set $i (ref.is_null (ref.func $empty)))"),
    ("call", "(call $empty)"),
    ("call, 8 parameters and results", "(call $eight (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
        (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8)) (drop) (drop) (drop) (drop) (drop) (drop) (drop) (drop)"),
    ("call, 200 locals", "(call $many)"),
    ("call_indirect", "(call_indirect $t (i32.const 0))"),
    ("clock.now", "(local.set $j (call $now))"),
    ("log, nothing", "(call $log (i32.const 2) (i32.const 0) (i32.const 0))"),
    ("log, 1 byte", "(call $log (i32.const 2) (i32.const 0) (i32.const 1))"),
    ("log, 1 KiB", "(call $log (i32.const 2) (i32.const 0) (i32.const 1024))"),
    ("log, 1 KiB of two bytes each", "(call $log (i32.const 2) (i32.const 8192) (i32.const 1024))"),
    ("log, 60 KiB, cut", "(call $log (i32.const 2) (i32.const 0) (i32.const 61440))"),
    (
        "wasi:logging, twice 1 KiB of two bytes each",
        "(call $wasi_log (i32.const 2) (i32.const 8192) (i32.const 1024) (i32.const 8192) (i32.const 1024))",
    ),
    ("clock_time_get", "(local.set $i (call $time (i32.const 1) (i64.const 0) (i32.const 64)))"),
    ("random_get, 16 bytes", "(local.set $i (call $random (i32.const 64) (i32.const 16)))"),
    ("random_get, 4 KiB", "(local.set $i (call $random (i32.const 64) (i32.const 4096)))"),
    (
        "fd_write, 1 KiB",
        "(i32.store (i32.const 16) (i32.const 8192)) (i32.store (i32.const 20) (i32.const 1024))
        (local.set $i (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 64)))",
    ),
    ("fd_write, 64 pieces of nothing", "(local.set $i (call $write (i32.const 1) (i32.const 32768) (i32.const 64) (i32.const 64)))"),
    ("fd_write, 16 pieces of 64 bytes", "(local.set $i (call $write (i32.const 1) (i32.const 33792) (i32.const 16) (i32.const 64)))"),
    (
        "fd_pread, 4 KiB into 16 pieces",
        "(local.set $i (call $pread (i32.const 4) (i32.const 34816) (i32.const 16) (i64.const 0) (i32.const 64)))",
    ),
    (
        "fd_pread, 16 KiB",
        "(local.set $i (call $pread (i32.const 4) (i32.const 35840) (i32.const 1) (i64.const 0) (i32.const 64)))",
    ),
    (
        "poll_oneoff, 16 clocks",
        "(local.set $i (call $poll_oneoff (i32.const 36864) (i32.const 40960) (i32.const 16) (i32.const 64)))",
    ),
    ("wasi:io/poll, 64 of them", "(call $poll (i32.const 49152) (i32.const 64) (i32.const 64))"),
    ("node.board, delivered", "(call $board (i32.const 64))"),
];

/// Where scenes have vectors: pieces of 64 bytes, pieces of 256, and one of 16 KiB.
const VECTORS: [(usize, usize, usize); 3] = [(33_792, 16, 64), (34_816, 16, 256), (35_840, 1, 16_384)];

/// Where what they say lies.
const PIECES_AT: usize = 65_536;

/// What a scene's jobs took and burnt, all together.
#[derive(Clone, Copy, Debug)]
struct Jobs {
    took_ns: u64,
    fuel: u64,
}

/// What was found of a scene.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// In each of its rounds' works.
    fuel: f64,
    instructions: f64,
}

impl Cost {
    fn of(few: Jobs, many: Jobs) -> Result<Self> {
        let works = (JOBS * (ROUNDS[1] - ROUNDS[0])) as f64 * REPEATED as f64;
        ensure!(many.fuel > few.fuel, "many rounds burnt no more fuel than few");
        ensure!(many.took_ns > few.took_ns, "many rounds took no longer than few");
        Ok(Self {
            fuel: (many.fuel - few.fuel) as f64 / works,
            instructions: (many.took_ns - few.took_ns) as f64 / INSTRUCTION_NS as f64 / works,
        })
    }

    /// Instructions of [`UNITS`] of fuel.
    fn rate(self) -> f64 {
        self.instructions / self.fuel * UNITS
    }
}

/// Plays all scenes, and writes what was found into the book.
pub(crate) fn run() -> Result<()> {
    step("what fuel costs on seL4");
    let image = boards::image_for_eight(overlay()?)?;
    let mut machine = super::start_for_eight(&image)?;
    let log = super::listen(&mut machine, "fuel", LIMIT, |_| ())?;
    let mut costs = (0..SCENES.len())
        .map(|number| {
            let [few, many] = ROUNDS.map(|rounds| jobs(&log, &name(number, rounds)));
            let cost = Cost::of(few?, many?).with_context(|| SCENES[number].0)?;
            Ok((SCENES[number].0, cost))
        })
        .collect::<Result<Vec<_>>>()?;
    costs.sort_by(|(_, one), (_, other)| other.rate().total_cmp(&one.rate()));
    let table = table(&costs);
    println!("{table}");
    super::write(super::time::PAGE, "fuel", &table)
}

fn table(costs: &[(&str, Cost)]) -> String {
    let rows = costs
        .iter()
        .map(|(what, cost)| format!("| {what} | {:.1} | {:.0} | {:.0} |\n", cost.fuel, cost.instructions, cost.rate()));
    format!(
        "| what | fuel | instructions | instructions for {UNITS} units |\n|---|---:|---:|---:|\n{}",
        rows.collect::<String>()
    )
}

/// What the guest told of a container's jobs.
fn jobs(log: &str, name: &str) -> Result<Jobs> {
    let timing = script::told(log, &format!("timing-{name}"))?;
    let sum_ns = |measure: &str| timing["measures"][measure]["sum_ns"].as_u64().context("no sum of times");
    ensure!(timing["completed"].as_u64() == Some(JOBS) && timing["missed"].as_u64() == Some(0), "{timing}");
    let took_ns = sum_ns("response")?.checked_sub(sum_ns("release_jitter")?).context("done before it began")?;
    let state = script::told(log, &format!("state-{name}"))?;
    Ok(Jobs { took_ns, fuel: state["fuel"].as_u64().with_context(|| format!("no fuel in {state}"))? })
}

fn name(number: usize, rounds: u64) -> String {
    format!("f{number}-{rounds}")
}

fn overlay() -> Result<Overlay> {
    let names: Vec<String> = (0..SCENES.len()).flat_map(|number| ROUNDS.map(|rounds| name(number, rounds))).collect();
    let mut overlay = script::in_place_of_the_shell(script_of(&names));
    for (number, (_, work)) in SCENES.iter().enumerate() {
        for rounds in ROUNDS {
            let name = name(number, rounds);
            overlay.file(&format!("/bench/{name}.wasm"), container(&name, work, rounds)?);
        }
    }
    Ok(overlay)
}

fn script_of(names: &[String]) -> String {
    format!(
        r#"{functions}
for name in {names}; do
    persist emit deploy $name.wasm
    until is_over $name; do usleep 100000; done
    tell timing-$name jitter $name
    tell state-$name inspect $name
    persist emit rm $name
done
say end
while :; do sleep 1000; done
"#,
        functions = script::FUNCTIONS,
        names = names.join(" "),
    )
}

fn container(name: &str, work: &str, rounds: u64) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            (import "wasi:logging/logging@0.1.0-draft" "log" (func $wasi_log (param i32 i32 i32 i32 i32)))
            (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_pread" (func $pread (param i32 i32 i32 i64 i32) (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $subscribe (param i64) (result i32)))
            (import "wasi:io/poll@0.2.3" "poll" (func $poll (param i32 i32 i32)))
            (import "atoll:node/node@0.1.0" "board" (func $board (param i32)))
            (memory (export "memory") 2)
            (table $t 64 funcref)
            (elem (table $t) (i32.const 0) func $empty)
            (elem $elements func $empty $empty $empty $empty $empty $empty $empty $empty)
            (data $data "{data}")
            (data (i32.const 8192) "{wide}")
            (data (i32.const 128) "file")
            {vectors}
            (global $g (mut i32) (i32.const 0))
            (global $jobs (mut i32) (i32.const 0))
            (func $empty)
            (func $eight (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64)
                (local.get 7) (local.get 6) (local.get 5) (local.get 4)
                (local.get 3) (local.get 2) (local.get 1) (local.get 0))
            (func $many {locals})
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 57344))
            (func (export "on-start") (result i32)
                (local $n i32) (local $pollable i32)
                ;; The file gets the descriptor 4.
                (drop (call $path_open (i32.const 3) (i32.const 0) (i32.const 128) (i32.const 4)
                    (i32.const 0) (i64.const 6) (i64.const 0) (i32.const 0) (i32.const 64)))
                (local.set $pollable (call $subscribe (i64.const 0)))
                (loop $fill
                    (i32.store offset=49152 (local.get $n) (local.get $pollable))
                    (br_if $fill (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 4))) (i32.const 256))))
                (i32.const 0))
            (func (export "on-loop") (result i32)
                (local $n i32) (local $i i32) (local $j i64) (local $f f32) (local $d f64)
                (local.set $n (i32.const {rounds}))
                (loop $work
                    {work}
                    (br_if $work (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (global.set $jobs (i32.add (global.get $jobs) (i32.const 1)))
                (i32.ge_u (global.get $jobs) (i32.const {JOBS})))
            (func (export "on-stop")))"#,
        data = "x".repeat(64),
        wide = "é".repeat(512),
        locals = "(local i64)".repeat(200),
        vectors = vectors(),
        work = work.repeat(REPEATED),
    );
    let schedule = Schedule { period_ns: PERIOD_NS, budget_ns: BUDGET_NS, ..Schedule::default() };
    let manifest = Manifest { schedule: Some(schedule), ..Manifest::named(name) };
    containers::pack_with(&text, manifest, &[("file", &[b'7'; 16_384])])
}

/// The data of [`VECTORS`].
fn vectors() -> String {
    let data = |(at, count, bytes): (usize, usize, usize)| {
        let words = (0..count).flat_map(|piece| [PIECES_AT + piece * bytes, bytes]);
        let text =
            containers::escaped(words.flat_map(|word| u32::try_from(word).expect("in the memory").to_le_bytes()));
        format!("(data (i32.const {at}) \"{text}\")\n")
    };
    VECTORS.map(data).concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_valid() {
        for (what, work) in SCENES {
            let module = container("scene", work, 1).expect(what);
            wasmparser::validate(&module).expect(what);
        }
    }

    #[test]
    fn what_both_have_in_common_falls_out() {
        let works = JOBS * (ROUNDS[1] - ROUNDS[0]) * REPEATED as u64;
        let few = Jobs { took_ns: 777, fuel: 55 };
        let cost = Cost::of(few, Jobs { took_ns: 777 + works * 60, fuel: 55 + works * 3 }).expect("a cost");
        assert_eq!((cost.fuel, cost.instructions, cost.rate()), (3.0, 30.0, 1000.0));
        assert!(Cost::of(few, few).is_err());
    }
}
