//! `cargo xtask bench --interrupts`: by how much interrupts that are Linux' make a container's job longer.
//!
//! The virtual machine lies below every cell, so what is left of its interrupts in a cell's time is the kernel's part: it takes one, marks
//! it for `vmm` and goes back to the cell. How long that takes, and how many of them there are, is what a board's policy says under the
//! name `interrupts`. A container does the same work in each job, between two ticks, and keeps how long it took: with nothing going
//! on in Linux, with Linux making as many interrupts as it can, and with keys typed without a pause on top, which are interrupts from outside.
//! The keys arrive when the host sends them, so this bench is not the same twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pd_system_description::policy::Policy;
use qemu::{
    attacks::{Attack, FOLDER},
    board::Board,
    console::{Console, ConsoleError},
    guest::Overlay,
    launcher::Launch,
};
use runner_container::{Manifest, OnOverrun, Schedule};

use super::{
    MS,
    time::{
        containers::{self, CLOCK_AND_LOG},
        figures::Samples,
        script,
    },
};
use crate::{
    boards,
    process::{self, step},
};

/// Of each container.
const JOBS: usize = 1000;

/// Rounds of a loop that does nothing: some 0.6 ms.
const ROUNDS: usize = 3_000;

/// So long after a tick the domains above the cells are done with it.
const BEHIND_A_TICK_NS: u64 = MS / 4;

const PERIOD_NS: u64 = 10 * MS;
const BUDGET_NS: u64 = MS;

/// The containers, one after the other, and what goes on beside each.
const BESIDE: [(&str, &str); 3] =
    [("quiet", "nothing"), ("storm", "`interrupt-storm`"), ("typed", "`interrupt-storm` and keys")];

/// What the script says when keys are wanted, and when no more are.
const KEYS: &str = "bench: keys";
const NO_KEYS: &str = "bench: enough";

/// Between two keys, by the host's clock.
const KEY_PAUSE: Duration = Duration::from_millis(1);

/// All of it, of the host's time.
const LIMIT: Duration = Duration::from_secs(900);

/// How many interrupts Linux has counted: all of them, and its console's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interrupts {
    all: u64,
    console: u64,
}

/// Measures all, and writes what was found into the book.
pub(crate) fn run() -> Result<()> {
    step("what interrupts of Linux take from a container on seL4");
    let image = boards::image_with_script(overlay()?)?;
    let mut machine = Launch::atoll(Board::QemuVirtAarch64, image).deterministic().start()?;
    machine.console.expect(KEYS, LIMIT)?;
    type_until(&mut machine.console, NO_KEYS)?;
    let log = super::listen(&mut machine, "interrupts", LIMIT, |_| ())?;
    let samples = BESIDE.iter().map(|(name, _)| samples(&log, name)).collect::<Result<Vec<_>>>()?;
    let interrupts = BESIDE.iter().map(|(name, _)| interrupts(&log, name)).collect::<Result<Vec<_>>>()?;
    ensure!(interrupts.last().is_some_and(|typed| typed.console > 0), "no key reached Linux: {interrupts:?}");
    let stated = stated()?;
    let (table, taken) = table(&samples, &interrupts);
    println!("{table}");
    ensure!(taken <= stated, "a job took {taken} instructions longer, where the board's policy states {stated}");
    super::write(super::time::PAGE, "interrupts", &table)
}

/// What the demo board's policy says that interrupts take of a millisecond, in instructions.
fn stated() -> Result<u64> {
    let policy = Policy::load(&process::root().join("qemu/demo-policy.toml"))?;
    let system = policy.board.time.map(|time| time.system).unwrap_or_default();
    let interrupts = system.iter().find(|activity| activity.name == "interrupts");
    Ok(interrupts.context("the policy states no interrupts")?.budget_ns / containers::UNIT_NS)
}

/// Presses a key again and again until the guest has had enough.
fn type_until(console: &mut Console, enough: &str) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        match console.expect(enough, KEY_PAUSE) {
            Err(ConsoleError::Timeout { .. }) if Instant::now() < deadline => console.send(b"k")?,
            outcome => return Ok(outcome.map(drop)?),
        }
    }
}

/// How long the jobs took, in units of the samples, which are instructions.
fn samples(log: &str, name: &str) -> Result<Samples> {
    let found = Samples::new(containers::samples(log, series(name))?);
    ensure!(found.count() == JOBS, "{} jobs of `{name}` and not {JOBS}", found.count());
    Ok(found)
}

/// How many interrupts Linux counted while that container ran.
fn interrupts(log: &str, name: &str) -> Result<Interrupts> {
    let at = |moment: &str| -> Result<Interrupts> {
        let said = script::said(log, &format!("{moment}-{name}")).pop().unwrap_or_default();
        let numbers: Vec<u64> = said.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [all, console] = numbers[..] else { bail!("no numbers of interrupts {moment} `{name}`: {said}") };
        Ok(Interrupts { all, console })
    };
    let (before, after) = (at("before")?, at("after")?);
    Ok(Interrupts { all: after.all.saturating_sub(before.all), console: after.console.saturating_sub(before.console) })
}

/// The table, and by how much the longest job took longer than the usual one beside nothing.
fn table(samples: &[Samples], interrupts: &[Interrupts]) -> (String, u64) {
    let usual = samples.first().and_then(|quiet| quiet.quantile(500)).unwrap_or(0);
    let mut taken = 0;
    let mut text = String::from(
        "| beside | interrupts in Linux | its console's | least | median | 99 % | most | beyond the median beside nothing |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (((_, beside), samples), Interrupts { all, console }) in BESIDE.iter().zip(samples).zip(interrupts) {
        let [least, median, p99, most] = [0, 500, 990, 1000].map(|permille| samples.quantile(permille).unwrap_or(0));
        let beyond = most.saturating_sub(usual);
        text += &format!("| {beside} | {all} | {console} | {least} | {median} | {p99} | {most} | {beyond} |\n");
        taken = taken.max(beyond);
    }
    (text, taken)
}

/// A series has a name of three characters.
fn series(name: &str) -> &str {
    &name[..3]
}

fn overlay() -> Result<Overlay> {
    let storm = Attack::InterruptStorm;
    let mut overlay = script::in_place_of_the_shell(format!(
        r#"{functions}
counted() {{
    say $1 $(sed -n 's/^intr \([0-9]*\).*/\1/p' /proc/stat) $(sed -n 's/^ *[0-9]*: *\([0-9]*\).*pl011.*/\1/p' /proc/interrupts)
}}
run() {{
    counted before-$1
    persist emit deploy $1.wasm
    until is_over $1; do sleep 1; done
    counted after-$1
}}
# What is typed is read, and not said again.
persist stty -echo -icanon < /dev/console
cat /dev/console > /dev/null &
run quiet
{start}
sleep 1
run storm
echo "{KEYS}"
run typed
echo "{NO_KEYS}"
{stop}
sleep 1
for name in quiet storm typed; do
    persist emit logs $name
    cat /tmp/said
done
say end
while :; do sleep 1000; done
"#,
        functions = script::FUNCTIONS,
        start = storm.start_line(),
        stop = storm.stop_line(),
    ));
    for (name, _) in BESIDE {
        overlay.file(&format!("/bench/{name}.wasm"), worker(name)?);
    }
    for file in storm.files()? {
        overlay.file(&format!("{FOLDER}/{}", file.name), file.content);
    }
    Ok(overlay)
}

/// See the module's documentation.
fn worker(name: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            (memory (export "memory") {pages})
            (global $jobs (mut i32) (i32.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32) (i32.const 0))
            (func (export "on-loop") (result i32)
                (local $before i64) (local $left i32)
                (loop $too-early
                    (local.set $before (call $now))
                    (br_if $too-early
                        (i64.lt_u (i64.rem_u (local.get $before) (i64.const {MS})) (i64.const {BEHIND_A_TICK_NS}))))
                (local.set $left (i32.const {ROUNDS}))
                (loop $work
                    (br_if $work (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (call $keep_{name} (i64.sub (call $now) (local.get $before)))
                (global.set $jobs (i32.add (global.get $jobs) (i32.const 1)))
                (i32.ge_u (global.get $jobs) (i32.const {JOBS})))
            (func (export "on-stop") (call $log_{name})))"#,
        pages = (containers::FIRST_LINE + containers::bytes_of(JOBS)).div_ceil(containers::PAGE_BYTES),
        keep = containers::keep(),
        series = containers::series(series(name), containers::FIRST_LINE),
        name = series(name),
    );
    // A job that were held until the next release would be no measure of anything: it ends the container.
    let schedule =
        Schedule { period_ns: PERIOD_NS, budget_ns: BUDGET_NS, on_overrun: OnOverrun::Stop, ..Schedule::default() };
    containers::pack(&text, Manifest { schedule: Some(schedule), ..Manifest::named(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_containers_are_valid() {
        for (name, _) in BESIDE {
            wasmparser::validate(&worker(name).expect("it is assembled")).expect("it is valid");
        }
    }

    #[test]
    fn what_linux_counted_is_told_by_container() {
        let log = "bench: before-quiet 100 7\nbench: after-quiet 150 9\n....bench: before-storm 5\n";
        assert_eq!(interrupts(log, "quiet").expect("both are there"), Interrupts { all: 50, console: 2 });
        assert!(interrupts(log, "storm").is_err(), "the console's are missing");
        assert!(interrupts(log, "typed").is_err(), "nothing is said of it");
    }

    #[test]
    fn a_job_is_held_against_the_usual_one_beside_nothing() {
        let samples = [vec![10, 11], vec![11, 12], vec![9, 8]].map(Samples::new);
        let (table, taken) = table(&samples, &[Interrupts { all: 3, console: 1 }; 3]);
        assert!(table.contains("| nothing | 3 | 1 | 10 | 10 | 11 | 11 | 1 |\n"), "{table}");
        assert!(table.contains("| `interrupt-storm` | 3 | 1 | 11 | 11 | 12 | 12 | 2 |\n"), "{table}");
        assert_eq!(taken, 2);
    }

    #[test]
    fn the_policy_states_what_interrupts_take() {
        assert!(stated().expect("it is in the policy") > 0);
    }
}
