//! The containers that take the time themselves, assembled here so that period and number are parameters.
//!
//! A histogram of the node's tells a time to an eighth; these tell it to the counter's unit, 16 ns. A sample is kept as four
//! characters that a log can carry, in lines of 255, and the lines are logged at the end: while it measures, such a container
//! calls nobody but the clock and whom it measures.

use anyhow::{Context, Result, bail, ensure};
use runner_container::{Manifest, Release, Schedule, embed};
use serde::{Deserialize, Serialize};

/// Bytes of a line of the log, the most that a record takes: its name and the samples.
const LINE_BYTES: usize = 1024;

/// Bytes of a sample, and of a line's name.
const WORD_BYTES: usize = 4;

/// Samples of a line.
const LINE_SAMPLES: usize = LINE_BYTES / WORD_BYTES - 1;

/// Bits in a character: `0` and the 63 behind it.
const CHARACTER_BITS: u32 = 6;
const FIRST_CHARACTER: u8 = b'0';

/// A sample's unit: what one instruction takes.
pub(in super::super) const UNIT_NS: u64 = 8;

/// Where the lines of the first series begin; below lie the labels.
pub(in super::super) const FIRST_LINE: usize = 4096;

/// A page of linear memory.
pub(in super::super) const PAGE_BYTES: usize = 65_536;

/// The least interval between two edges that `edge` is released for. QEMU's power button holds its line for a tenth of a second.
const EDGE_INTERVAL_NS: u64 = 20_000_000;

/// Imports of a container that takes the time and logs it.
pub(in super::super) const CLOCK_AND_LOG: &str = r#"(import "atoll:node/clock@0.1.0" "now" (func $now (result i64)))
            (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#;

/// Imports of one that drives lines.
pub(in super::super) const OUTPUTS: &str = r#"(import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "[method]output.set" (func $set (param i32 i32) (result i32)))"#;

/// How a container runs: its period and the budget in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Rate {
    pub(super) period_ns: u64,
    pub(super) budget_ns: u64,
}

/// `probe`: at each release it takes the clock, drives the line LED, and takes the clock again. It ends after so many.
pub(super) fn probe(rate: Rate, releases: usize) -> Result<Vec<u8>> {
    let outputs = FIRST_LINE + bytes_of(releases);
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            {OUTPUTS}
            (memory (export "memory") {pages})
            (data (i32.const 16) "LED")
            (global $line (mut i32) (i32.const 0))
            (global $count (mut i32) (i32.const 0))
            (global $refused (mut i32) (i32.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 3) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32)
                (local $first i64) (local $before i64)
                (local.set $first (call $now))
                (local.set $before (call $now))
                (global.set $refused (i32.or (global.get $refused)
                    (call $set (global.get $line) (i32.and (global.get $count) (i32.const 1)))))
                (call $keep_out (i64.sub (call $now) (local.get $before)))
                (call $keep_jit (i64.rem_u (local.get $first) (i64.const {period})))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (i32.ge_u (global.get $count) (i32.const {releases})))
            (func (export "on-stop")
                (if (global.get $refused) (then (unreachable)))
                (call $log_jit) (call $log_out)))"#,
        pages = (outputs + bytes_of(releases)).div_ceil(PAGE_BYTES),
        keep = keep(),
        series = series("jit", FIRST_LINE) + &series("out", outputs),
        period = rate.period_ns,
    );
    let schedule = Schedule { period_ns: rate.period_ns, budget_ns: rate.budget_ns, ..Schedule::default() };
    let grants = vec!["gpio:LED:out".to_owned()];
    pack(&text, Manifest { schedule: Some(schedule), grants, ..Manifest::named("probe") })
}

/// `edge`: at each edge of the line BUTTON it takes the clock. It keeps up to so many, and logs them when it is stopped.
pub(super) fn edge(budget_ns: u64, most: usize) -> Result<Vec<u8>> {
    let parts = [0, 1, 2].map(|part| FIRST_LINE + part * bytes_of(most));
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
            (import "atoll:node/gpio@0.1.0" "open-input" (func $open (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "[method]input.watch" (func $watch (param i32 i32) (result i32)))
            (import "atoll:node/gpio@0.1.0" "[method]input.take-edges" (func $take (param i32) (result i32)))
            (memory (export "memory") {pages})
            (data (i32.const 16) "BUTTON")
            (global $line (mut i32) (i32.const 0))
            (global $count (mut i32) (i32.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 6) (i32.const 0))
                (if (i32.load8_u (i32.const 0)) (then (return (i32.load8_u (i32.const 4)))))
                (global.set $line (i32.load (i32.const 4)))
                (call $watch (global.get $line) (i32.const 2)))
            (func (export "on-loop") (result i32)
                (local $time i64)
                (drop (call $wait (i32.const 0x80000000)))
                (local.set $time (call $now))
                (if (i32.ge_u (global.get $count) (i32.const {most})) (then (return (i32.const 0))))
                (call $keep_low (i64.rem_u (local.get $time) (i64.const {SPLIT_NS})))
                (call $keep_hig (i64.mul (i64.div_u (local.get $time) (i64.const {SPLIT_NS})) (i64.const {UNIT_NS})))
                (call $keep_num (i64.mul (i64.extend_i32_u (call $take (global.get $line))) (i64.const {UNIT_NS})))
                (global.set $count (i32.add (global.get $count) (i32.const 1)))
                (i32.const 0))
            (func (export "on-stop") (call $log_low) (call $log_hig) (call $log_num)))"#,
        pages = (parts[2] + bytes_of(most)).div_ceil(PAGE_BYTES),
        keep = keep(),
        series = series("low", parts[0]) + &series("hig", parts[1]) + &series("num", parts[2]),
    );
    let schedule = Schedule { release: Release::Events, period_ns: EDGE_INTERVAL_NS, budget_ns, ..Schedule::default() };
    let grants = vec!["gpio:BUTTON:edge".to_owned(), "timer:10ms".to_owned()];
    pack(&text, Manifest { schedule: Some(schedule), grants, ..Manifest::named("edge") })
}

/// A time of `edge` is kept as the rest and the number of these, each of which fits a sample.
pub(super) const SPLIT_NS: u64 = 100_000_000;

/// A command that ends at its first instruction, of about so many bytes: what is deployed under load.
pub(super) fn load(bytes: usize) -> Result<Vec<u8>> {
    super::super::host::module(bytes)
}

/// The module of that text with its manifest.
pub(in super::super) fn pack(text: &str, manifest: Manifest) -> Result<Vec<u8>> {
    pack_with(text, manifest, &[])
}

/// The same with files, path and content.
pub(in super::super) fn pack_with(text: &str, manifest: Manifest, files: &[(&str, &[u8])]) -> Result<Vec<u8>> {
    let wasm = wat::parse_str(text).with_context(|| format!("`{}` is no valid text", manifest.name))?;
    embed(&wasm, &manifest, files).map_err(|error| anyhow::anyhow!("`{}`: {error}", manifest.name))
}

/// Bytes that the lines of so many samples take.
pub(in super::super) fn bytes_of(samples: usize) -> usize {
    (samples.div_ceil(LINE_SAMPLES) + 1) * LINE_BYTES
}

/// The function that makes a sample's four characters of nanoseconds. What is too long for them is the longest.
pub(in super::super) fn keep() -> String {
    let longest = (1_u64 << (CHARACTER_BITS * 4)) - 1;
    let character = |number: u32| {
        format!(
            "(i32.shl (i32.and (i32.shr_u (local.get $units) (i32.const {})) (i32.const 63)) (i32.const {}))",
            number * CHARACTER_BITS,
            number * 8
        )
    };
    let [first, second, third, fourth] = [0, 1, 2, 3].map(character);
    let all_first = u32::from_le_bytes([FIRST_CHARACTER; 4]);
    format!(
        "(func $characters (param $ns i64) (result i32)
            (local $wide i64) (local $units i32)
            (local.set $wide (i64.div_u (local.get $ns) (i64.const {UNIT_NS})))
            (local.set $units (i32.wrap_i64
                (select (local.get $wide) (i64.const {longest}) (i64.lt_u (local.get $wide) (i64.const {longest})))))
            (i32.add (i32.const {all_first}) (i32.or (i32.or {first} {second}) (i32.or {third} {fourth}))))"
    )
}

/// Bytes as the text format has them in a string.
pub(in super::super) fn escaped(bytes: impl IntoIterator<Item = u8>) -> String {
    bytes.into_iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A series of samples: the functions that keep one and that log all.
pub(in super::super) fn series(name: &str, start: usize) -> String {
    let header = escaped(name.bytes().chain([b':']));
    format!(
        r#"(data $header_{name} "{header}")
        (global $end_{name} (mut i32) (i32.const {start}))
        (func $keep_{name} (param $ns i64)
            (if (i32.eqz (i32.and (global.get $end_{name}) (i32.const {mask})))
                (then
                    (memory.init $header_{name} (global.get $end_{name}) (i32.const 0) (i32.const {WORD_BYTES}))
                    (global.set $end_{name} (i32.add (global.get $end_{name}) (i32.const {WORD_BYTES})))))
            (i32.store (global.get $end_{name}) (call $characters (local.get $ns)))
            (global.set $end_{name} (i32.add (global.get $end_{name}) (i32.const {WORD_BYTES}))))
        (func $log_{name} (local $place i32)
            (local.set $place (i32.const {start}))
            (block $done (loop $next
                (br_if $done (i32.ge_u (local.get $place) (global.get $end_{name})))
                (call $log (i32.const 2) (local.get $place) (select
                    (i32.const {LINE_BYTES})
                    (i32.sub (global.get $end_{name}) (local.get $place))
                    (i32.gt_u (i32.sub (global.get $end_{name}) (local.get $place)) (i32.const {LINE_BYTES}))))
                (local.set $place (i32.add (local.get $place) (i32.const {LINE_BYTES})))
                (br $next))))"#,
        mask = LINE_BYTES - 1,
    )
}

/// The samples of a series in a container's log, in units of [`UNIT_NS`].
pub(in super::super) fn samples(log: &str, name: &str) -> Result<Vec<u64>> {
    let mark = format!(" {name}:");
    let mut found = Vec::new();
    for line in log.lines() {
        let Some((_, text)) = line.trim_end().split_once(&mark) else { continue };
        ensure!(text.len() % WORD_BYTES == 0, "a line of `{name}` is cut off: {line}");
        for word in text.as_bytes().chunks(WORD_BYTES) {
            found.push(sample(word).with_context(|| format!("a line of `{name}` is damaged: {line}"))?);
        }
    }
    Ok(found)
}

fn sample(word: &[u8]) -> Result<u64> {
    let mut value = 0;
    for character in word.iter().rev() {
        match character.checked_sub(FIRST_CHARACTER).filter(|bits| *bits < 1 << CHARACTER_BITS) {
            Some(bits) => value = value << CHARACTER_BITS | u64::from(bits),
            None => bail!("{character:#x} is no character of a sample"),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_valid() {
        let rate = Rate { period_ns: 20_000_000, budget_ns: 1_000_000 };
        for module in [probe(rate, 2000), edge(1_000_000, 500), load(60_000)] {
            let module = module.expect("it is assembled");
            wasmparser::validate(&module).expect("it is valid");
        }
    }

    #[test]
    fn samples_are_read_from_the_lines_of_their_name() {
        let log = "[  1.0] info jit:0000o000\n[  1.0] info out:1000\n[  1.1] info jit:01000000\r\n";
        assert_eq!(samples(log, "jit").expect("samples"), [0, 63, 64, 0]);
        assert_eq!(samples(log, "out").expect("samples"), [1]);
        assert!(samples("[  1.0] info jit:000", "jit").is_err(), "cut off");
        assert!(samples("[  1.0] info jit:00 0", "jit").is_err(), "damaged");
    }
}
