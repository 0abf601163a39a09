//! On QEMU's `virt` machine: what every board must do, and what needs this one's debugger, power button and clock.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use elf::{ElfBytes, endian::LittleEndian};
use key_files::{KeyDirectory, KeyFileError, PrivateKey};
use pd_system_description::Role as Domain;
use qemu::attacks::Attack;
use qemu::board::Board;
use qemu::debugger::{Debugger, Registers};
use runner_container::{Manifest, OnOverrun, Schedule, embed};
use runner_tokens::{Body, Claims, Role, SigningKey, attach, layout, sign};
use serde_json::json;

use super::{TestBoard, boot_report, on, on_every_board, play_on};
use crate::hostile;
use crate::node::{Node, number};
use crate::scenarios::Blinker;

/// The data register of the PL061 with all eight lines unmasked (ARM DDI 0190, 3.2.1); LED is line 0 (`qemu/demo-policy.toml`).
pub(super) const BOARD: TestBoard = TestBoard {
    board: Board::QemuVirtAarch64,
    image: "ATOLL_IMAGE",
    levels: 0x0903_03fc,
    led: 1 << 0,
    multi_core: false,
};

/// The same machine with `hostile-cell` as the second of its cells.
const TAKEN_OVER: TestBoard = TestBoard { image: "ATOLL_IMAGE_HOSTILE", ..BOARD };

/// The same machine with an image for use: a release kernel, signed containers only. The keys lie beside it.
const SIGNED_ONLY: TestBoard = TestBoard { image: "ATOLL_IMAGE_SIGNED_ONLY", ..BOARD };

/// The line RELAY.
const RELAY: u32 = 1 << 1;

/// Registers of the PL061 (ARM DDI 0190, table 3-1) with a bit a line: which are outputs, which interrupt, and which are not
/// the bank's to drive.
const DIRECTIONS: u64 = 0x0903_0400;
const INTERRUPTS: u64 = 0x0903_0410;
const ALTERNATES: u64 = 0x0903_0420;

/// The line BUTTON in the same register, which the machine's power button drives.
const BUTTON: u32 = 1 << 3;

/// All of the machine's memory (`hw/arm/virt.c`, and 2 GiB as the launcher asks for).
const MEMORY: (u64, u64) = (0x4000_0000, 2 << 30);

const PAGE_BYTES: usize = 4096;

/// Nothing is mapped here in any domain.
const NOWHERE: u64 = 0x10;

on_every_board!(BOARD);

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_damaged_policy_is_told() {
    let damaged = BOARD.image().and_then(|image| boot_report::with_damaged_policy(&image));
    let booted = damaged.and_then(|image| BOARD.boot_from(image.path()));
    if let Err(missing) = play_on(booted, |node| boot_report::a_damaged_policy_is_told(node, BOARD.board)) {
        qemu::skip!("{missing}");
    }
}

/// Domains are built without strict alignment: with it the interpreter reads its own code a byte at a time and an instruction
/// of a container costs some four times as much: 224 instructions a round were measured with it, 54 without. The bound leaves
/// room for twice that.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn the_interpreter_reads_its_code_whole() {
    const NANOSECONDS_PER_INSTRUCTION: f64 = 8.0;
    const INSTRUCTIONS_PER_ROUND: f64 = 110.0;
    on!(BOARD, |node| {
        node.emit("deploy probe.wasm --grant gpio:LED:out@1000000/s")?;
        let log = node.emit("logs -f probe")?;
        let figure = |name: &str| {
            let found = log.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<f64>().ok());
            found.with_context(|| format!("the probe logs no {name} in {log}"))
        };
        let per_round = figure("loop_ns=")? / figure("calls=")? / NANOSECONDS_PER_INSTRUCTION;
        ensure!(per_round > 1.0 && per_round < INSTRUCTIONS_PER_ROUND, "a round costs {per_round} instructions: {log}");
        Ok(())
    });
}

/// Every tick finds `timer` within microseconds behind a whole millisecond of the counter, and there is one for each, whatever runs
/// below: nothing, Linux, a cell that loops, and both. On a release kernel: while Linux speaks to the console, one with debugging
/// has stretches without a preemption point that are longer than `tick` comes early.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn ticks_lie_on_the_counters_grid() {
    /// Of virtual time, so as many thousand ticks.
    const SECONDS: u64 = 10;
    on!(TAKEN_OVER, |node| {
        let idle = format!("sleep {SECONDS}");
        let busy = format!("timeout {SECONDS} sh -c 'while :; do :; done' || true");
        ticks_are_on_the_grid(node, "nothing runs", &idle, SECONDS)?;
        ticks_are_on_the_grid(node, "Linux is busy", &busy, SECONDS)?;
        node.emit("deploy spin.wasm")?;
        ticks_are_on_the_grid(node, "a cell loops", &idle, SECONDS)?;
        ticks_are_on_the_grid(node, "a cell loops and Linux is busy", &busy, SECONDS)?;
        node.clear()
    });
}

/// What `admission` promises a container is what it has: class and priority are bound, no deadline is missed and no response time is
/// beyond the bound, also beside one that takes all it can get; that one is ended by its overrun. What cannot be promised is refused.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn deadlines_are_promised_and_kept() {
    const MS: u64 = 1_000_000;
    let schedule = |period_ms: u64, budget_ns: u64, on_overrun| Schedule {
        period_ns: period_ms * MS,
        budget_ns,
        on_overrun,
        ..Schedule::default()
    };
    on!(BOARD, |node| {
        let pid = hostile::released("pid", schedule(20, MS, OnOverrun::Skip), "")?;
        node.type_file("/tmp/pid.wasm", &pid)?;
        let would = node.ask("deploy --dry-run /tmp/pid.wasm")?;
        let promised = number(&would["schedule"]["containers"][0], "response_ns")?;
        ensure!(node.ask("ps")? == json!([]), "nothing was deployed");
        node.emit("deploy /tmp/pid.wasm")?;
        node.wait_until("it is under its class", |node| {
            Ok(node.container("pid")?["schedule"]["in_force"] == json!(true))
        })?;
        let schedule_of =
            |node: &mut Node, name: &str| Ok::<_, anyhow::Error>(node.container(name)?["schedule"].clone());
        let row = schedule_of(node, "pid")?;
        ensure!(number(&row, "response_ns")? == promised && number(&row, "priority")? == 155, "{row}");

        // It takes what it gets, once without and once with leave to go on.
        for (name, on_overrun) in [("stops", OnOverrun::Stop), ("skips", OnOverrun::Skip)] {
            let endless = "(loop $for_ever (br $for_ever))";
            node.type_file("/tmp/endless.wasm", &hostile::released(name, schedule(20, MS / 5, on_overrun), endless)?)?;
            node.emit("deploy /tmp/endless.wasm")?;
        }
        node.wait_until("the one is ended", |node| Ok(node.state("stops")? == "failed"))?;
        let reason = node.container("stops")?["reason"].to_string();
        ensure!(reason.contains("used more of the processor than its schedule says"), "{reason}");
        node.wait_until("the other is held", |node| Ok(number(&schedule_of(node, "skips")?, "exhausted")? > 100))?;

        let bound = number(&schedule_of(node, "pid")?, "response_ns")?;
        let released = |node: &mut Node| number(&node.ask("jitter pid")?, "released");
        let before = released(node)?;
        node.wait_until("it was released a hundred times", |node| Ok(released(node)? > before + 100))?;
        let timing = node.ask("jitter pid")?;
        let row = schedule_of(node, "pid")?;
        println!("pid: {row}, {}", timing["measures"]);
        ensure!((number(&timing, "missed")?, number(&timing, "skipped")?) == (0, 0), "{timing}");
        ensure!(number(&row, "exhausted")? == 0, "it keeps its budget: {row}");
        let response = number(&timing["measures"]["response"], "most_ns")?;
        ensure!(response <= bound, "{response} ns are beyond the bound of {bound} ns");

        let greedy = hostile::released("greedy", schedule(5, 4 * MS, OnOverrun::Skip), "")?;
        node.type_file("/tmp/greedy.wasm", &greedy)?;
        node.emit_ends_with("deploy /tmp/greedy.wasm", 7, "the node cannot promise its schedule")?;
        ensure!(node.emit("schedule")?.contains("pid"), "it is told");
        node.clear()
    });
}

/// Runs a line of the guest's shell, which takes so many seconds, and looks where the ticks fell meanwhile.
fn ticks_are_on_the_grid(node: &mut Node, meanwhile: &str, line: &str, seconds: u64) -> Result<()> {
    /// From the whole millisecond to `timer`'s first look at the clock: out of `grid`, through `tick`, and into `timer` by the kernel,
    /// some 2300 instructions at 8 ns. The bound is at 4000.
    const WITHIN: [&str; 4] =
        ["timer_ticks_below_4us", "timer_ticks_below_8us", "timer_ticks_below_16us", "timer_ticks_below_32us"];
    let look = |node: &mut Node| -> Result<(u64, u64, u64, String)> {
        let info = node.ask("info")?;
        let counters = &info["counters"];
        let within = WITHIN.iter().map(|name| number(counters, name)).sum::<Result<u64>>()?;
        let all = counters.as_object().into_iter().flatten().filter(|(name, _)| name.starts_with("timer_ticks"));
        let all: Vec<String> = all.map(|(name, value)| format!("{name}={value}")).collect();
        Ok((number(counters, "timer_ticks")?, within, number(&info, "uptime_ns")?, all.join(" ")))
    };
    let (ticks, within, began_ns, _) = look(node)?;
    node.shell(line)?;
    let (ticks_after, within_after, ended_ns, all) = look(node)?;
    println!("{meanwhile}: {all}");
    let (ticks, within) = (ticks_after - ticks, within_after - within);
    ensure!(ticks >= seconds * 1000 && within == ticks, "{meanwhile}: {within} of {ticks} ticks in time: {all}");
    // Both looks are taken somewhere within a millisecond, and so is the clock beside them.
    let milliseconds = (ended_ns - began_ns) / 1_000_000;
    ensure!(ticks.abs_diff(milliseconds) <= 5, "{meanwhile}: {ticks} ticks in {milliseconds} ms");
    Ok(())
}

/// What a call costs whoever makes it, and what it costs the driver, which runs at nobody's budget: how much of the drivers' time a
/// share of the processor buys, by native code that does nothing else.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_callers_budget_bounds_the_drivers_time() {
    /// What `hostile-cell` calls, by its numbers.
    const FLOODS: [&str; 7] = [
        "gpio, read a line",
        "gpio, change a line",
        "timer, arm",
        "timer, take expiries",
        "i2c, 16 bytes",
        "exchange, 16 bytes",
        "exchange, 256 bytes",
    ];
    /// A cell's own budget, in `system.xml`, and what `hostile-cell` measures at once.
    const BUDGET_NS: u64 = 700_000;
    const CALLS_A_LOOK: u64 = 8;
    on!(TAKEN_OVER, |node| {
        // Keeps the first cell: the second is the one that was taken over.
        node.emit("deploy spin.wasm")?;
        node.emit("stop spin")?;
        for (number_of_call, what) in FLOODS.into_iter().enumerate() {
            let name = format!("flood-{number_of_call}");
            let file = format!("/tmp/{name}.wasm");
            node.type_file(&file, &hostile::writer_of_long_values(&name)?)?;
            let rights = "--grant gpio:RELAY:out@1000000/s --grant i2c:0x50 --grant channel:out:put";
            node.emit(&format!("deploy {file} {rights}"))?;
            node.shell("sleep 1")?;
            let flood = node.container(&name)?;
            let calls_in_a_budget = number(&flood, "loops")?;
            let call_ns = number(&flood, "fuel")? / CALLS_A_LOOK;
            // Rounded in the caller's favour: it is told in steps of so many calls.
            let callers_ns = BUDGET_NS / calls_in_a_budget;
            let drivers_ns = call_ns - callers_ns;
            println!("{what}: {call_ns} ns a call, of the caller's {callers_ns} ns, of the driver's {drivers_ns} ns");
            ensure!(drivers_ns <= 2 * callers_ns, "{what}: a budget buys more than twice itself of the driver's time");
            node.emit(&format!("kill {name}"))?;
            node.emit(&format!("rm {name}"))?;
        }
        node.clear()
    });
}

/// A container with a schedule of 20 ms, of which it needs little.
fn every_twenty_milliseconds() -> Schedule {
    Schedule { period_ns: 20_000_000, budget_ns: 1_000_000, on_overrun: OnOverrun::Skip, ..Schedule::default() }
}

/// Drivers are held to no budget, so one that calls without pause makes nobody else's call wait for longer than one of its own takes.
/// On a release kernel, whose ways are short.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_call_waits_for_one_other_at_the_most() {
    /// A call of its own, at 31 us; one of somebody less urgent, with what the kernel cannot be preempted in; and what comes at a tick.
    const MOST_NS: u64 = 100_000;
    on!(TAKEN_OVER, |node| {
        node.type_file("/tmp/flood.wasm", &hostile::module("driver-call-flood")?)?;
        node.type_file("/tmp/punctual.wasm", &hostile::punctual("punctual", every_twenty_milliseconds())?)?;
        node.emit("deploy /tmp/flood.wasm")?;
        // The cell that was taken over does nothing unless it is told to.
        node.emit("deploy hello.wasm --name fault-99")?;
        node.emit("deploy /tmp/punctual.wasm --grant gpio:SPARE:out")?;
        node.wait_until("it was released often", |node| Ok(number(&node.ask("jitter punctual")?, "released")? > 200))?;
        let timing = node.ask("jitter punctual")?;
        println!("punctual: {timing}");
        ensure!((number(&timing, "missed")?, number(&timing, "skipped")?) == (0, 0), "{timing}");
        let calls = &timing["measures"]["host_call"];
        ensure!(number(calls, "count")? > 200, "{timing}");
        let buckets = calls["buckets"].as_array().context("a list")?;
        let later = buckets.iter().filter(|bucket| bucket["up_to_ns"].as_u64() > Some(MOST_NS));
        let later = later.filter_map(|bucket| bucket["count"].as_u64()).sum::<u64>();
        // Its start opens the line under the cell's own share, which may be used up by then.
        ensure!(later <= 1, "{later} calls took longer: {timing}");
        ensure!(number(&node.container("flood")?, "host_calls")? > 1000, "it calls without pause");
        ensure!(node.is_running("flood")? && node.counter("cell_floods")? == 0, "which is its right, alone");
        node.clear()
    });
}

/// A cell that was taken over and makes more calls than its container's schedule has it make is ended, in bounded time, and its neighbour
/// with a schedule misses nothing.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_cell_that_floods_drivers_is_ended() {
    /// Two windows of 100 ms, of calls that take 30 us each and more.
    const MOST_CALLS: u64 = 200_000 / 30;
    on!(TAKEN_OVER, |node| {
        node.type_file("/tmp/punctual.wasm", &hostile::punctual("punctual", every_twenty_milliseconds())?)?;
        node.emit("deploy /tmp/punctual.wasm --grant gpio:SPARE:out")?;
        let floods = [("flood-0", "gpio"), ("flood-2", "timer"), ("flood-4", "i2c"), ("flood-5", "exchange")];
        for (ended, (name, driver)) in (1..).zip(floods) {
            let schedule = every_twenty_milliseconds();
            node.type_file("/tmp/flood.wasm", &hostile::released(name, schedule, "")?)?;
            let before = node.ask("info")?["counters"].clone();
            node.emit("deploy /tmp/flood.wasm")?;
            node.wait_until("it is ended", |node| Ok(node.state(name)? == "failed"))?;
            let failed = node.container(name)?;
            let reason = failed["reason"].as_str().unwrap_or_default();
            ensure!(reason.contains(&format!("flooded `{driver}` with calls")), "{failed}");
            ensure!(failed["cell"] == 1 && node.counter("cell_floods")? == ended, "{failed}");
            let counter = format!("{driver}_calls");
            if let (Some(before), Some(after)) =
                (before[&counter].as_u64(), node.ask("info")?["counters"][&counter].as_u64())
            {
                println!("{name}: {} calls", after - before);
                ensure!(after - before < MOST_CALLS + 1000, "{} calls before it was ended", after - before);
            }
            node.emit(&format!("rm {name}"))?;
        }
        let timing = node.ask("jitter punctual")?;
        ensure!((number(&timing, "missed")?, number(&timing, "skipped")?) == (0, 0), "{timing}");
        node.clear()
    });
}

/// Containers without a schedule may call as they like, and all of them together not so much that nobody below them comes round.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn calls_of_all_leave_room_for_whoever_stops_them() {
    on!(BOARD, |node| {
        node.type_file("/tmp/flood.wasm", &hostile::module("driver-call-flood")?)?;
        for number in 0..8 {
            node.emit(&format!("deploy /tmp/flood.wasm --name flood{number}"))?;
        }
        node.wait_until("some are ended", |node| Ok(node.counter("cell_floods")? >= 4))?;
        node.shell("sleep 2")?;
        let list = node.ask("ps")?;
        let states: Vec<_> = list.as_array().into_iter().flatten().map(|row| row["state"].clone()).collect();
        println!("{states:?}");
        let running = states.iter().filter(|state| *state == "running").count();
        ensure!((1..=4).contains(&running), "as many go on as there is room for: {states:?}");
        node.clear()
    });
}

/// Under each attack for some seconds a container keeps blinking, and `emit` answers when it is over.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_blinker_blinks_on_under_every_attack() {
    const SECONDS: u64 = 3;
    on!(BOARD, |node| {
        for attack in Attack::ALL {
            let blinker = Blinker::deploy(node)?;
            attack.start(node)?;
            attack.go_on(node, SECONDS)?;
            attack.stop(node)?;
            ensure!(node.is_running("blinker")?, "{attack}");
            blinker.lost_nothing(node).with_context(|| format!("under {attack}"))?;
            node.clear()?;
        }
        Ok(())
    });
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn an_edge_reaches_a_container() {
    on!(BOARD, edges_arrive);
}

/// The machine's power button is line 3 of its GPIO, which a container watches.
pub(super) fn edges_arrive(node: &mut Node) -> Result<()> {
    node.emit("deploy button.wasm --grant gpio:BUTTON:edge")?;
    for press in 1..=3 {
        node.machine.monitor.press_power_button()?;
        let says = format!("{press} edges");
        node.wait_until(&says, |node| Ok(node.emit("logs button")?.contains(&says)))?;
        // QEMU lets the button go after a tenth of a second.
        node.wait_until("the button is up", |node| {
            Ok(node.machine.monitor.read_physical_word(BOARD.levels)? & BUTTON == 0)
        })?;
    }
    ensure!(number(&node.line("BUTTON")?.0, "edges")? >= 3);
    node.emit("stop button").context("a container that waits for an edge can be stopped")?;
    node.clear()
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_faulting_cell_starts_again_clean() {
    on!(BOARD, |node| a_fault_ends_one_life(&BOARD, node));
}

/// A cell that faults is restarted, alone and with nothing left of what ran in it. The fault comes from outside: the processor
/// is stopped in the cell and sent where no memory is.
pub(super) fn a_fault_ends_one_life(board: &TestBoard, node: &mut Node) -> Result<()> {
    let blinker = Blinker::deploy(node)?;
    node.type_file("/tmp/secret.wasm", &hostile::secret_keeper()?)?;
    node.emit("deploy /tmp/secret.wasm --name secret")?;
    ensure!(secrets_in_memory(node)? > 0, "the container holds its secret");

    let running = node.container("secret")?;
    send_the_busy_cell_nowhere(board, Domain::Cell(usize::try_from(number(&running, "cell")?)?), node)?;
    node.wait_until("the container has failed", |node| Ok(node.state("secret")? == "failed"))?;
    let failed = node.container("secret")?;
    ensure!(failed["reason"].as_str().is_some_and(|reason| reason.contains("the cell faulted")), "{failed}");
    let restarts = number(&running, "cell_restarts")?;
    ensure!(number(&failed, "cell_restarts")? == restarts + 1 && failed["fault"] != "", "{failed}");
    ensure!(secrets_in_memory(node)? == 0, "the secret is still somewhere in memory");
    blinker.lost_nothing(node)?;

    // The cell takes the next container.
    let cell = failed["cell"].clone();
    node.emit("rm secret")?;
    node.emit("deploy spin.wasm")?;
    ensure!(node.container("spin")?["cell"] == cell, "the first free cell is the one that faulted");
    node.clear()
}

#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_cell_that_was_taken_over_harms_nobody() {
    on!(TAKEN_OVER, a_taken_over_cell_is_alone);
}

/// A cell that was taken over calls everybody with everything, by the kernel's own interface, and touches what is not its own, each
/// time another thing: it gets what its container was granted, it is the only one that ends, and its neighbour blinks on.
fn a_taken_over_cell_is_alone(node: &mut Node) -> Result<()> {
    /// As many as `hostile-cell` has ways to end.
    const FAULTS: usize = 13;
    boot_report::every_domain_is_well(node, BOARD.board)?;
    let blinker = Blinker::deploy(node)?;
    // With no right, and with some; then every other way to end.
    let rights = " --grant gpio:RELAY:out --grant i2c:0x50";
    let calls = [("calls-0".to_owned(), ""), ("calls-1".to_owned(), rights)];
    let others = (2..FAULTS).map(|fault| (format!("fault-{fault}"), ""));
    let mut allowed = BOARD.led;
    let mut ends = BTreeSet::new();
    for (name, grants) in calls.into_iter().chain(others) {
        if !grants.is_empty() {
            allowed |= RELAY;
        }
        let refused = node.counter("gpio_refused")?;
        node.emit(&format!("deploy hello.wasm --name {name}{grants}"))?;
        node.wait_until(&format!("{name} has ended"), |node| {
            only_these_lines_are_used(node, allowed)?;
            Ok(node.state(&name)? == "failed")
        })?;
        let failed = node.container(&name)?;
        let reason = failed["reason"].as_str().unwrap_or_default();
        ensure!(reason.contains("the cell faulted"), "{name} did not end by its fault: {failed}");
        let fault = failed["fault"].as_str().unwrap_or_default();
        ensure!(failed["cell"] == 1 && !fault.is_empty(), "{name}: {failed}");
        println!("{name}: {fault}");
        ends.insert(fault.to_owned());
        if name.starts_with("calls") {
            ensure!(node.counter("gpio_refused")? > refused + 100, "{name} asked for what it may not");
        }
        node.emit(&format!("rm {name}"))?;
        only_these_lines_are_used(node, allowed)?;
        blinker.lost_nothing(node)?;
    }
    ensure!(ends.len() == FAULTS, "each ended in its own way: {ends:#?}");
    ensure!(number(&node.line("RELAY")?.0, "transitions")? > 10, "what it was granted, it used");
    for label in ["BUTTON", "SENSOR", "SPARE", "VALVE"] {
        ensure!(number(&node.line(label)?.0, "transitions")? == 0, "{label} was granted to nobody");
    }
    for counter in ["gpio_invalid", "timer_refused", "timer_invalid", "i2c_refused", "i2c_invalid"] {
        ensure!(node.counter(counter)? > 0, "{counter}: what it tried was seen");
    }
    ensure!(number(&node.container("blinker")?, "refused_calls")? == 0, "its neighbour has what it had");
    node.clear()
}

/// An image for use runs what its parties signed and nothing else, and that ends when the owner takes back a key.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn an_image_for_use_runs_signed_containers_only() {
    on!(SIGNED_ONLY, |node| {
        boot_report::every_domain_is_well(node, BOARD.board)?;
        let parties = Parties::of(&SIGNED_ONLY.image()?)?;
        node.emit_ends_with("deploy blinker.wasm --grant gpio:LED:out", 7, "the container is not signed")?;
        let signed = parties.sign("blinker", &["gpio:LED:out", "timer:10ms"])?;
        let mut changed = signed.clone();
        changed[100] ^= 1;
        node.type_file("/tmp/changed.wasm", &changed)?;
        node.emit_ends_with("deploy /tmp/changed.wasm --name blinker", 7, "the code token is about other code")?;
        ensure!(node.ask("ps")? == json!([]), "nothing of them is left");

        node.type_file("/tmp/signed.wasm", &signed)?;
        node.emit("deploy /tmp/signed.wasm")?;
        let report = node.container("blinker")?;
        ensure!(report["signers"].as_array().is_some_and(|signers| signers.len() == 3), "{report}");
        node.wait_until("it blinks", |node| Ok(number(&node.line("LED")?.0, "transitions")? > 4))?;

        node.type_file("/tmp/revoke.keys", &parties.revoke_developer()?)?;
        let told = node.emit("keys send /tmp/revoke.keys")?;
        ensure!(told.contains("blinker: is stopped"), "{told}");
        node.wait_until("it has ended", |node| Ok(node.state("blinker")? == "finalised"))?;
        node.emit_ends_with("start blinker", 7, "the owner revoked key")?;
        node.emit("rm blinker")?;
        node.emit_ends_with("deploy /tmp/signed.wasm", 7, "which the owner revoked")
    });
}

/// Who signs for an image for use.
struct Parties {
    developer: SigningKey,
    integrator: SigningKey,
    owner: SigningKey,
    /// Seconds since 1970.
    now: u64,
}

impl Parties {
    /// Those whose keys lie beside that image.
    fn of(image: &Path) -> Result<Self> {
        let keys = KeyDirectory::at(image.with_file_name("keys"));
        let no_passphrase = || Ok::<_, KeyFileError>(None);
        let key = |role: Role| {
            let key = PrivateKey::read(&keys.private_path(role.name()), no_passphrase)?;
            Ok::<_, KeyFileError>(key.signing_key())
        };
        Ok(Self {
            developer: key(Role::Developer)?,
            integrator: key(Role::Integrator)?,
            owner: key(Role::Owner)?,
            now: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        })
    }

    fn claims(&self, subject: &str, body: Body) -> Claims {
        Claims { subject: subject.into(), audience: None, expires: None, issued: self.now, sequence: self.now, body }
    }

    /// That sample with those rights, signed by everybody.
    fn sign(&self, sample: &str, rights: &[&str]) -> Result<Vec<u8>> {
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/prebuilt").join(sample).with_extension("wasm");
        let rights: Vec<String> = rights.iter().map(|right| (*right).to_owned()).collect();
        let manifest = Manifest { grants: rights.clone(), ..Manifest::named(sample) };
        let mut wasm = embed(&std::fs::read(file)?, &manifest, &[])?;
        let parts = layout(&wasm)?;
        let grant = Body::Grant { integrator: self.integrator.public().id(), rights };
        let bodies =
            [(parts.code_body(), &self.developer), (parts.metadata_body(), &self.integrator), (grant, &self.owner)];
        for (body, key) in bodies {
            let claims = self.claims(sample, body);
            wasm = attach(&wasm, claims.kind(), &sign(&claims, key)?)?;
        }
        Ok(wasm)
    }

    /// The owner's word that the developer's key does not count any more.
    fn revoke_developer(&self) -> Result<Vec<u8>> {
        let body = Body::Keys { added: Vec::new(), revoked: vec![self.developer.public().id()] };
        Ok(sign(&self.claims("keys", body), &self.owner)?)
    }
}

/// What the bank's registers say: nobody drives a line, or hears of one, but those who may.
fn only_these_lines_are_used(node: &mut Node, allowed: u32) -> Result<()> {
    let outputs = node.machine.monitor.read_physical_word(DIRECTIONS)?;
    let interrupts = node.machine.monitor.read_physical_word(INTERRUPTS)?;
    let alternates = node.machine.monitor.read_physical_word(ALTERNATES)?;
    ensure!(
        outputs & !allowed == 0 && interrupts == 0 && alternates == 0,
        "outputs {outputs:#b}, interrupts {interrupts:#b}, alternates {alternates:#b} where {allowed:#b} are allowed"
    );
    Ok(())
}

/// A program as it was put into the image of `board`.
pub(super) fn program_beside(board: &TestBoard, name: &str) -> Result<Vec<u8>> {
    std::fs::read(board.image()?.with_file_name(name)).with_context(|| format!("no {name} beside the image"))
}

/// Stops the machine again and again until its core stands in `cell`, which is busy and so most of the time does, and puts its
/// program counter to nowhere. Other cells run the same program: one that blinks is met now and then, too.
fn send_the_busy_cell_nowhere(board: &TestBoard, cell: Domain, node: &mut Node) -> Result<()> {
    const TRIES: usize = 2000;
    let core = if board.multi_core { cell.core() } else { 0 };
    let program = program_beside(board, "cell.elf")?;
    let mut debugger = node.machine.stop()?;
    for attempt in 0..TRIES {
        // Not always the same time, or it might always fall into the same place of the schedule.
        debugger.run_for(Duration::from_micros(500 + 37 * (attempt as u64 % 40)))?;
        debugger.select_core(core)?;
        let registers = debugger.registers()?;
        if domain_in_program(&mut debugger, &program, &registers)? == Some(cell) {
            return debugger.jump(registers, NOWHERE);
        }
    }
    bail!("core {core} was never met in {cell:?}")
}

/// The domain that the stopped core runs, if it runs that program. Domains share their addresses, so a program is known
/// by the instructions around the program counter, and the domain by the name that Microkit writes into its copy.
pub(super) fn domain_in_program(
    debugger: &mut Debugger,
    program: &[u8],
    registers: &Registers,
) -> Result<Option<Domain>> {
    /// As many bytes as Microkit gives a name (`PD_NAME_LENGTH` of `sel4-microkit`).
    const NAME_BYTES: usize = 64;
    let elf = ElfBytes::<LittleEndian>::minimal_parse(program)?;
    if !registers.in_user_mode() || !is_in_program(debugger, &elf, registers.program_counter())? {
        return Ok(None);
    }
    let (symbols, names) = elf.symbol_table()?.context("a program has symbols")?;
    let name = symbols.iter().find(|symbol| names.get(symbol.st_name as usize).is_ok_and(|it| it == "microkit_name"));
    let bytes = debugger.read_memory(name.context("a program holds its domain's name")?.st_value, NAME_BYTES)?;
    let name = std::str::from_utf8(bytes.split(|byte| *byte == 0).next().unwrap_or_default())?;
    Ok(Some(Domain::of(name).with_context(|| format!("no domain is called {name}"))?))
}

/// Whether memory at an address is what a program has there.
fn is_in_program(debugger: &mut Debugger, program: &ElfBytes<'_, LittleEndian>, address: u64) -> Result<bool> {
    const COMPARED_BYTES: usize = 64;
    for segment in program.segments().context("a program has segments")? {
        let Some(offset) = address.checked_sub(segment.p_vaddr) else { continue };
        let start = usize::try_from(offset)?;
        if let Some(expected) = program.segment_data(&segment)?.get(start..start + COMPARED_BYTES) {
            // What cannot be read is not the cell's.
            return Ok(debugger.read_memory(address, COMPARED_BYTES).is_ok_and(|found| found == expected));
        }
    }
    Ok(false)
}

/// How many places in the machine's memory hold the secret, four words in a row.
fn secrets_in_memory(node: &mut Node) -> Result<usize> {
    let secret = hostile::SECRET.to_le_bytes().repeat(4);
    let mut found = 0;
    each_page(node, |_, page| found += page.chunks_exact(secret.len()).filter(|words| *words == secret).count())?;
    Ok(found)
}

/// Where in the machine's memory whole pages of a program's code lie: where the domain runs it, and where it was loaded from.
fn code_in_memory(node: &mut Node, program: &[u8]) -> Result<Vec<u64>> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(program)?;
    let segments = elf.segments().context("a program has segments")?;
    let mut code = BTreeSet::new();
    for segment in segments.iter().filter(|segment| segment.p_flags & elf::abi::PF_X != 0) {
        let bytes = program.get(usize::try_from(segment.p_offset)?..).context("a segment lies in its file")?;
        let before_page = usize::try_from(segment.p_vaddr.wrapping_neg() % PAGE_BYTES as u64)?;
        let bytes = bytes.get(before_page..usize::try_from(segment.p_filesz)?).unwrap_or_default();
        code.extend(bytes.chunks_exact(PAGE_BYTES));
    }
    let mut places = Vec::new();
    each_page(node, |address, page| places.extend(code.contains(page).then_some(address)))?;
    Ok(places)
}

/// Shows each page of the machine's memory that is not all zeroes, with its address.
fn each_page(node: &mut Node, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("memory");
    node.machine.monitor.save_physical_memory(MEMORY.0, MEMORY.1, &path)?;
    let mut file = BufReader::with_capacity(1 << 20, File::open(&path)?);
    let mut page = vec![0; PAGE_BYTES];
    for address in (MEMORY.0..MEMORY.0 + MEMORY.1).step_by(PAGE_BYTES) {
        file.read_exact(&mut page)?;
        if page != [0; PAGE_BYTES] {
            look(address, &page);
        }
    }
    Ok(())
}

/// A warden that does not come round any more is told at the console and to who asks; nothing is asked of it, and what runs goes on.
#[test]
#[ignore = "needs a boot image: run by `cargo xtask test`"]
fn a_warden_that_stands_still_is_told() {
    /// `b .`, an endless loop (ARM DDI 0487, C6.2.26).
    const FOR_EVER: [u8; 4] = 0x1400_0000_u32.to_le_bytes();
    const CHUNK_BYTES: usize = 1024;
    on!(BOARD, |node| {
        let blinker = Blinker::deploy(node)?;
        let places = code_in_memory(node, &program_beside(&BOARD, "warden.elf")?)?;
        ensure!(!places.is_empty(), "the warden's program is in memory");
        let mut debugger = node.machine.stop()?;
        for page in places {
            for chunk in (page..page + PAGE_BYTES as u64).step_by(CHUNK_BYTES) {
                debugger.write_physical_memory(chunk, &FOR_EVER.repeat(CHUNK_BYTES / FOR_EVER.len()))?;
            }
        }
        drop(debugger);
        node.wait_until("it is noticed", |node| Ok(node.counter("warden_stalls")? == 1))?;
        ensure!(node.counter("warden_still_since_ns")? > 0);
        node.emit_ends_with("deploy hello.wasm", 9, "the warden stands still")?;
        node.emit_ends_with("stop blinker", 9, "the warden stands still")?;
        ensure!(node.emit("info")?.contains("warden stalls"), "it is told");
        blinker.lost_nothing(node)?;
        ensure!(node.is_running("blinker")?, "it goes on");
        let console = node.machine.console.transcript();
        ensure!(console.contains("atoll: warden") && console.contains("stands still since"), "{console}");
        Ok(())
    });
}
