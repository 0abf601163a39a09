//! `cargo xtask bench --calls`: how long a call of another domain takes, by what is asked for.
//!
//! What a board's policy says of calls (`[time.call]`) is charged to each container that makes them, and rests on these figures. The container
//! `calls` takes the clock before and behind one of them behind a tick, on an idle node, and keeps the distances; what the clock itself
//! takes is one of them, and is taken off. `feeder` puts the values that it reads.

use std::time::Duration;

use anyhow::{Result, ensure};
use qemu::{board::Board, guest::Overlay, launcher::Launch};
use runner_container::{Channel, ChannelKind, Direction, Manifest};
use runner_interfaces::exchange::MAX_VALUE_BYTES;

use super::time::{
    containers::{self, CLOCK_AND_LOG, OUTPUTS},
    figures::Samples,
    script,
};
use crate::{boards, process::step};

/// Of each call.
const SAMPLES: usize = 32;

/// What is told of them, of a thousand.
const QUANTILES: [usize; 3] = [0, 500, 1000];

/// Between two calls: the budget that the kernel holds a container without a schedule to is whole again by then.
const PAUSE_NS: u64 = 20_000_000;

/// Boot and all calls, of the host's time.
const LIMIT: Duration = Duration::from_secs(900);

/// What is asked for, of whom, and the call, which answers a status. The first is nobody's: what the clock takes by itself.
const CALLS: [(&str, &str, &str); 17] = [
    ("nothing", "", "(i32.const 0)"),
    ("`output.set`", "gpio", "(call $set (global.get $output) (i32.and (global.get $turns) (i32.const 1)))"),
    ("`output.toggle`", "gpio", "(call $toggle (global.get $output))"),
    ("`input.get`", "gpio", "(i32.and (call $get (global.get $input)) (i32.const 0))"),
    ("`input.watch`", "gpio", "(call $watch (global.get $input) (i32.const 2))"),
    ("`input.take-edges`", "gpio", "(i32.and (call $edges (global.get $input)) (i32.const 0))"),
    ("`timer.arm`", "timer", "(call $arm (i32.const 1) (i64.const 1000000000000) (i64.const 20000000))"),
    ("`timer.disarm`", "timer", "(call $disarm (i32.const 1))"),
    ("`device.write-u16-be`", "i2c", "(call $write (global.get $memory) (i32.const 8) (i32.const 4711))"),
    ("`device.send`, 8 bytes", "i2c", "(call $send (global.get $memory) (i64.const 0x0807060504030201) (i32.const 8))"),
    ("`device.read`, 16 bytes", "i2c", "(call $read (global.get $memory) (i32.const 8) (i32.const 16))"),
    ("`device.receive`, 16 bytes", "i2c", "(call $receive (global.get $memory) (i32.const 16))"),
    ("`writer.put-u64`, newest", "exchange", "(call $put_u64 (global.get $number) (i64.const 4711))"),
    ("`writer.put-bytes`, 256, newest", "exchange", "(call $put (global.get $block) (i32.const 1024) (i32.const 256))"),
    (
        "`writer.put-bytes`, 256, into a queue",
        "exchange",
        "(call $put (global.get $filled) (i32.const 1024) (i32.const 256))",
    ),
    ("`reader.peek`, 256 bytes, newest", "exchange", "(call $peek (global.get $fed))"),
    ("`reader.next`, 256 bytes, from a queue", "exchange", "(call $next (global.get $queued))"),
];

/// Measures all, and writes what was found into the book.
pub(crate) fn run() -> Result<()> {
    step("what calls of other domains take on seL4");
    let image = boards::image_with_script(overlay()?)?;
    let mut machine = Launch::atoll(Board::QemuVirtAarch64, image).deterministic().start()?;
    let log = super::listen(&mut machine, "calls", LIMIT, |_| ())?;
    let samples = (0..CALLS.len()).map(|number| samples(&log, number)).collect::<Result<Vec<_>>>()?;
    let table = table(&samples);
    println!("{table}");
    super::write(super::time::PAGE, "calls", &table)
}

/// In units of the samples, which are instructions.
fn samples(log: &str, number: usize) -> Result<Samples> {
    let found = Samples::new(containers::samples(log, &series(number))?);
    ensure!(found.count() == SAMPLES, "{} samples of {} and not {SAMPLES}: {log}", found.count(), CALLS[number].0);
    Ok(found)
}

fn table(samples: &[Samples]) -> String {
    let quantiles = |samples: &Samples| QUANTILES.map(|permille| samples.quantile(permille).unwrap_or(0));
    let [clock, ..] = samples.first().map_or([0; 3], quantiles);
    let rows = CALLS.iter().zip(samples).skip(1).map(|((what, domain, _), samples)| {
        let [least, median, most] = quantiles(samples).map(|value| value.saturating_sub(clock));
        format!("| {what} | `{domain}` | {least} | {median} | {most} |\n")
    });
    format!("| call | of | least | median | most |\n|---|---|---:|---:|---:|\n{}", rows.collect::<String>())
}

fn series(number: usize) -> String {
    format!("c{number:02}")
}

fn overlay() -> Result<Overlay> {
    let mut overlay = script::in_place_of_the_shell(format!(
        r#"{functions}
persist emit deploy calls.wasm
persist emit deploy feeder.wasm
until is_over calls; do usleep 200000; done
persist emit logs calls
cat /tmp/said
say end
while :; do sleep 1000; done
"#,
        functions = script::FUNCTIONS,
    ));
    overlay.file("/bench/calls.wasm", calls()?);
    overlay.file("/bench/feeder.wasm", feeder()?);
    Ok(overlay)
}

const SLEEP: &str = r#"(import "atoll:node/sleep@0.1.0" "sleep-for" (func $sleep (param i64) (result i32)))"#;

const CHANNELS: &str = r#"(import "atoll:node/channel@0.1.0" "open-writer" (func $open_writer (param i32 i32 i32)))
            (import "atoll:node/channel@0.1.0" "open-reader" (func $open_reader (param i32 i32 i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-u64" (func $put_u64 (param i32 i64) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]writer.put-bytes" (func $put (param i32 i32 i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.peek" (func $peek (param i32) (result i32)))
            (import "atoll:node/channel@0.1.0" "[method]reader.next" (func $next (param i32) (result i32)))"#;

/// The channels, with a container's direction of those that `calls` fills and of those that it reads.
fn channels(filled: Direction, read: Direction) -> Vec<Channel> {
    let channel = |name: &str, direction, type_text: &str, kind| Channel {
        name: name.to_owned(),
        direction,
        type_text: type_text.to_owned(),
        kind,
    };
    vec![
        channel("number", filled, "u64", ChannelKind::Latest),
        channel("block", filled, "list<u8>", ChannelKind::Latest),
        channel("filled", filled, "list<u8>", QUEUE),
        channel("fed", read, "list<u8>", ChannelKind::Latest),
        channel("queued", read, "list<u8>", QUEUE),
    ]
}

/// As long as a queue of such values can be.
const QUEUE: ChannelKind = ChannelKind::Queue { depth: SAMPLES as u64 };

/// What is opened at the start, by which function and into which global.
struct Handles {
    /// The names, and a global for each.
    fields: String,
    /// Opens all of them; ends the start with the status of one that is refused.
    opens: String,
}

impl Handles {
    /// Of functions, names and globals.
    fn new(handles: &[(&str, &str, &str)]) -> Self {
        let (mut fields, mut opens) = (String::new(), String::new());
        for ((function, name, global), at) in handles.iter().zip((64..).step_by(16)) {
            fields += &format!("(data (i32.const {at}) \"{name}\") (global ${global} (mut i32) (i32.const 0))\n");
            opens += &format!(
                "(call ${function} (i32.const {at}) (i32.const {}) (i32.const 0)) {OR_REFUSED}
                (global.set ${global} (i32.load (i32.const 4)))\n",
                name.len()
            );
        }
        Self { fields, opens }
    }
}

/// What opening answered lies at 0: ends the start with the status where it was refused.
const OR_REFUSED: &str = "(if (i32.load8_u (i32.const 0)) (then (return (i32.load8_u (i32.const 4)))))";

/// See the module's documentation.
fn calls() -> Result<Vec<u8>> {
    let Handles { fields, opens } = Handles::new(&[
        ("open", "LED", "output"),
        ("open_input", "BUTTON", "input"),
        ("open_writer", "number", "number"),
        ("open_writer", "block", "block"),
        ("open_writer", "filled", "filled"),
        ("open_reader", "fed", "fed"),
        ("open_reader", "queued", "queued"),
    ]);
    let numbered = || (0..CALLS.len()).zip(CALLS);
    let area = |number: usize| containers::FIRST_LINE + number * containers::bytes_of(SAMPLES);
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            {OUTPUTS}
            (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
            (import "atoll:node/gpio@0.1.0" "open-input" (func $open_input (param i32 i32 i32)))
            (import "atoll:node/gpio@0.1.0" "[method]input.get" (func $get (param i32) (result i32)))
            (import "atoll:node/gpio@0.1.0" "[method]input.watch" (func $watch (param i32 i32) (result i32)))
            (import "atoll:node/gpio@0.1.0" "[method]input.take-edges" (func $edges (param i32) (result i32)))
            (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
            (import "atoll:node/timer@0.1.0" "disarm" (func $disarm (param i32) (result i32)))
            (import "atoll:node/i2c@0.1.0" "open" (func $open_device (param i32 i32)))
            (import "atoll:node/i2c@0.1.0" "[method]device.write-u16-be" (func $write (param i32 i32 i32) (result i32)))
            (import "atoll:node/i2c@0.1.0" "[method]device.send" (func $send (param i32 i64 i32) (result i32)))
            (import "atoll:node/i2c@0.1.0" "[method]device.read" (func $read (param i32 i32 i32) (result i32)))
            (import "atoll:node/i2c@0.1.0" "[method]device.receive" (func $receive (param i32 i32) (result i32)))
            {SLEEP}
            {CHANNELS}
            (memory (export "memory") 2)
            {fields}
            (global $memory (mut i32) (i32.const 0))
            (global $turns (mut i32) (i32.const 0))
            (global $refused (mut i32) (i32.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32)
                {opens}
                (call $open_device (i32.const 0x50) (i32.const 0))
                {OR_REFUSED}
                (global.set $memory (i32.load (i32.const 4)))
                (i32.const 0))
            (func (export "on-loop") (result i32)
                (local $before i64) (local $after i64) (local $which i32)
                (drop (call $sleep (i64.const {PAUSE_NS})))
                (if (i32.eqz (global.get $turns))
                    (then (if (call $peek (global.get $fed)) (then (return (i32.const 0))))))
                (local.set $which (i32.rem_u (global.get $turns) (i32.const {kinds})))
                {measures}
                (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
                (i32.ge_u (global.get $turns) (i32.const {turns})))
            (func (export "on-stop")
                (if (global.get $refused) (then (unreachable)))
                {logs}))"#,
        keep = containers::keep(),
        series = numbered().map(|(number, _)| containers::series(&series(number), area(number))).collect::<String>(),
        kinds = CALLS.len(),
        turns = CALLS.len() * SAMPLES,
        measures = numbered()
            .map(|(number, (_, _, call))| format!(
                "(if (i32.eq (local.get $which) (i32.const {number})) (then
                    (local.set $before (call $now))
                    (global.set $refused (i32.or (global.get $refused) {call}))
                    (local.set $after (call $now))
                    (call $keep_{} (i64.sub (local.get $after) (local.get $before)))))\n",
                series(number)
            ))
            .collect::<String>(),
        logs = numbered().map(|(number, _)| format!("(call $log_{})", series(number))).collect::<String>(),
    );
    let channels = channels(Direction::Put, Direction::Get);
    let grants = ["gpio:LED:out@1000000/s", "gpio:BUTTON:edge", "i2c:0x50"].map(str::to_owned).to_vec();
    containers::pack(&text, Manifest { channels, grants, ..Manifest::named("calls") })
}

/// Puts what `calls` reads, and holds the other ends of what it puts.
fn feeder() -> Result<Vec<u8>> {
    let Handles { fields, opens } = Handles::new(&[("open_writer", "fed", "fed"), ("open_writer", "queued", "queued")]);
    let text = format!(
        r#"(module
            {SLEEP}
            {CHANNELS}
            (memory (export "memory") 1)
            {fields}
            (func (export "on-start") (result i32)
                (local $left i32) (local $status i32)
                {opens}
                (local.set $left (i32.const {SAMPLES}))
                (loop $fill
                    (local.set $status (call $put (global.get $queued) (i32.const 1024) (i32.const {MAX_VALUE_BYTES})))
                    (if (local.get $status) (then (return (local.get $status))))
                    (br_if $fill (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $put (global.get $fed) (i32.const 1024) (i32.const {MAX_VALUE_BYTES})))
            (func (export "on-loop") (result i32) (drop (call $sleep (i64.const 1000000000))) (i32.const 0))
            (func (export "on-stop")))"#
    );
    let channels = channels(Direction::Get, Direction::Put);
    containers::pack(&text, Manifest { channels, ..Manifest::named("feeder") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_valid() {
        for module in [calls(), feeder()] {
            wasmparser::validate(&module.expect("it is assembled")).expect("it is valid");
        }
    }

    #[test]
    fn what_the_clock_takes_is_taken_off() {
        let samples = |number: u64| Samples::new(vec![102 + number, 100 + number, 101 + number]);
        let all: Vec<Samples> = (0..CALLS.len() as u64).map(samples).collect();
        assert!(table(&all).contains("| `output.set` | `gpio` | 1 | 2 | 3 |\n"));
    }
}
