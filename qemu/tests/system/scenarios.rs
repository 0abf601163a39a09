//! What must hold on a node, told as a session at the guest's shell. Nothing here knows what the node runs on.

use anyhow::{Context, Result, bail, ensure};
use runner_container::Direction;
use serde_json::Value;

use super::hostile;
use super::node::{Node, number};

/// `emit`'s exit codes (`guest-linux-agent/src/exit.rs`).
const CONTAINER_REFUSED: u8 = 7;
const REQUEST_REFUSED: u8 = 8;

/// `examples/blinker` toggles its line once in this time.
const BLINK_NS: u64 = 100_000_000;

/// Every verb of `emit`, on containers that do what they should.
pub(crate) fn every_verb_answers(node: &mut Node) -> Result<()> {
    let info = node.ask("info")?;
    ensure!(info["cells"] == info["cells_free"], "the node starts empty: {info}");

    let text = node.emit("run hello.wasm Ada Bob")?;
    ensure!(text.contains("Hello, Ada and Bob!"), "{text}");
    node.emit_ends_with("hello.wasm exit=42", 42, "Hello")?;
    node.emit_ends_with("run echo.wasm", 1, "nothing to say")?;
    ensure!(node.emit("run --env GREETING=hi hello.wasm")?.contains("GREETING: hi"));
    ensure!(node.emit("run counter.wasm 1000")?.contains("168 primes below 1000"));

    node.emit("deploy blinker.wasm --no-start --grant gpio:LED:out --grant timer:10ms")?;
    ensure!(node.state("blinker")? == "installed");
    node.emit("start blinker")?;
    node.wait_until("the blinker has blinked", |node| Ok(number(&node.container("blinker")?, "loops")? > 3))?;
    ensure!(node.emit("ps")?.contains("blinker"));
    ensure!(node.emit("inspect blinker")?.contains("gpio:LED:out"));
    node.emit("restart blinker")?;
    node.emit("stop blinker")?;
    ensure!(node.state("blinker")? == "finalised");
    node.emit("start blinker")?;
    node.emit("kill blinker")?;
    let killed = node.container("blinker")?;
    ensure!(killed["state"] == "failed" && killed["reason"].as_str().is_some_and(|reason| reason.contains("killed")));
    node.emit("logs blinker")?;
    node.emit("rm blinker")?;
    node.emit_ends_with("inspect blinker", REQUEST_REFUSED, "blinker")?;

    let info = node.ask("info")?;
    ensure!(info["cells"] == info["cells_free"], "everything was removed: {info}");
    Ok(())
}

/// What is not granted is not had, whoever asks and however.
pub(crate) fn refused_capabilities(node: &mut Node) -> Result<()> {
    node.emit_ends_with("deploy greedy.wasm", CONTAINER_REFUSED, "not granted")?;
    node.emit_ends_with("deploy greedy.wasm --grant gpio:VALVE:out", CONTAINER_REFUSED, "VALVE")?;
    node.emit_ends_with("deploy greedy.wasm --grant gpio:NOWHERE:in", CONTAINER_REFUSED, "NOWHERE")?;
    // The board allows BUTTON as an input only, and periods of 1 ms at the shortest.
    node.emit_ends_with("deploy greedy.wasm --grant gpio:BUTTON:out", CONTAINER_REFUSED, "BUTTON")?;
    node.emit_ends_with("deploy blinker.wasm --grant timer:1us", CONTAINER_REFUSED, "timer")?;
    node.type_file("/tmp/timer-too-fast.wasm", &hostile::module("timer-too-fast")?)?;
    let output = node.shell("emit deploy /tmp/timer-too-fast.wasm --grant timer:1ms")?;
    ensure!(output.status == CONTAINER_REFUSED, "{output:?}");
    ensure!(node.line("VALVE")?.0["transitions"] == 0);
    node.clear()
}

/// Each kind of bad input has an answer and a counter, and a container that runs meanwhile does not notice.
pub(crate) fn bad_input_harms_nobody(node: &mut Node) -> Result<()> {
    let blinker = Blinker::deploy(node)?;
    bad_files(node)?;
    bad_modules(node)?;
    bad_requests(node)?;
    bad_sessions(node)?;
    blinker.lost_nothing(node)?;
    node.clear()
}

fn bad_files(node: &mut Node) -> Result<()> {
    node.shell_succeeds(
        "cd /tmp && echo hello > text.wasm && : > empty.wasm && head -c 9999 /root/hello.wasm > cut.wasm",
    )?;
    node.shell_succeeds(r"{ printf '\0asm\1\0\0\0'; head -c 3000000 /dev/urandom; } > large.wasm")?;
    let before = node.counter("modules_refused")? + node.counter("uploads_refused")?;
    for file in ["text.wasm", "empty.wasm", "cut.wasm", "large.wasm"] {
        let output = node.shell(&format!("emit deploy {file}"))?;
        ensure!(output.status == CONTAINER_REFUSED, "{file}: {output:?}");
        ensure!(!output.text.trim().is_empty(), "{file} is refused without a word");
    }
    let after = node.counter("modules_refused")? + node.counter("uploads_refused")?;
    ensure!(after == before + 4, "4 files were refused and {} counted", after - before);
    node.shell_succeeds("rm *.wasm; cd")?;
    Ok(())
}

fn bad_modules(node: &mut Node) -> Result<()> {
    for (name, says) in [
        ("invalid-code", "invalid"),
        ("unknown-import", "teleport"),
        ("too-much-initial-memory", "memory"),
        ("start-function-loop", "too long"),
        ("loop-in-start", "too long"),
        ("trap-in-start", "trap"),
    ] {
        node.type_file("/tmp/hostile.wasm", &hostile::module(name)?)?;
        node.emit_ends_with(&format!("deploy /tmp/hostile.wasm --name {name}"), CONTAINER_REFUSED, says)?;
    }
    node.type_file("/tmp/hostile.wasm", &hostile::module("trap-in-loop")?)?;
    node.emit("deploy /tmp/hostile.wasm --name trap-in-loop")?;
    node.wait_until("the container trapped", |node| Ok(node.state("trap-in-loop")? == "failed"))?;
    node.emit("rm trap-in-loop")?;
    node.type_file("/tmp/hostile.wasm", &hostile::module("grow-in-a-loop")?)?;
    node.emit("deploy /tmp/hostile.wasm --name grow-in-a-loop")?;
    node.shell_succeeds("sleep 1")?;
    node.emit("stop grow-in-a-loop")?;
    node.emit("rm grow-in-a-loop")?;
    Ok(())
}

fn bad_requests(node: &mut Node) -> Result<()> {
    node.emit("deploy blinker.wasm --no-start --name taken")?;
    node.emit_ends_with("deploy blinker.wasm --no-start --name taken", REQUEST_REFUSED, "taken")?;
    node.emit_ends_with("deploy blinker.wasm --no-start --name Not/A/Name", REQUEST_REFUSED, "Not/A/Name")?;
    node.emit_ends_with("start nobody", REQUEST_REFUSED, "nobody")?;
    node.emit_ends_with("rm blinker", REQUEST_REFUSED, "stop or kill it first")?;
    let free = number(&node.ask("info")?, "cells_free")?;
    for cell in 0..free {
        node.emit(&format!("deploy spin.wasm --no-start --name full-{cell}"))?;
    }
    node.emit_ends_with("deploy spin.wasm --name one-too-many", REQUEST_REFUSED, "cell")?;
    for cell in 0..free {
        node.emit(&format!("rm full-{cell}"))?;
    }
    node.emit("rm taken")?;
    Ok(())
}

fn bad_sessions(node: &mut Node) -> Result<()> {
    an_upload_is_cut_off(node)?;

    let damaged =
        |node: &mut Node| Ok::<_, anyhow::Error>(node.counter("frames_malformed")? + node.counter("frames_damaged")?);
    let before = damaged(node)?;
    node.shell_succeeds("head -c 20000 /dev/urandom > /dev/virtio-ports/emit.0")?;
    node.wait_until("the garbage is counted", |node| Ok(damaged(node)? > before))?;

    node.type_file("/tmp/greeting", &hostile::greeting_of_another_version()?)?;
    node.shell_succeeds("cat /tmp/greeting > /dev/virtio-ports/emit.0")?;
    node.wait_until("the other version is counted", |node| Ok(node.counter("version_mismatches")? > 0))?;

    let both = "emit run clock.wasm 700 > /tmp/1 & first=$!; emit run echo.wasm second > /tmp/2; wait $first && cat /tmp/1 /tmp/2";
    let text = node.shell_succeeds(both)?;
    ensure!(text.contains("asleep for") && text.contains("second"), "two at once: {text}");
    Ok(())
}

/// An upload that is cut off in its middle leaves nothing behind. Where the middle is depends on the machine's speed, so some
/// moments are tried.
fn an_upload_is_cut_off(node: &mut Node) -> Result<()> {
    let free = number(&node.ask("info")?, "cells_free")?;
    node.shell_succeeds(r"{ printf '\0asm\1\0\0\0'; head -c 2000000 /dev/urandom; } > /tmp/endless.wasm")?;
    let before = node.counter("uploads_abandoned")?;
    for milliseconds in [100, 200, 400, 800] {
        let upload = "emit deploy /tmp/endless.wasm > /dev/null 2>&1 & upload=$!";
        node.shell(&format!("{upload}; usleep {milliseconds}000; kill -9 $upload; wait $upload 2> /dev/null"))?;
        if node.counter("uploads_abandoned")? > before {
            node.shell_succeeds("rm /tmp/endless.wasm")?;
            ensure!(number(&node.ask("info")?, "cells_free")? == free, "the cut upload holds its cell");
            return Ok(());
        }
    }
    bail!("an upload was cut off four times and never counted")
}

/// A container that never comes back is stopped alone, and soon.
pub(crate) fn a_loop_is_stopped_and_others_run_on(node: &mut Node) -> Result<()> {
    /// The longest slice and what lies around it take 0.91 ms of the processor (docs/real-time.md), and a cell's own budget is 0.7 ms in
    /// each 10 ms: it begins in one of these, has all of the next, and is over in the third.
    const SOON_NS: u64 = 30_000_000;
    const STOPS: usize = 3;
    let blinker = Blinker::deploy(node)?;
    node.emit("deploy spin.wasm")?;
    for _ in 0..STOPS {
        node.shell_succeeds("sleep 1")?;
        let spinning = node.container("spin")?;
        ensure!(spinning["ended_ns"] == 0, "{spinning}");
        node.emit("stop spin")?;
        let stopped = node.container("spin")?;
        let stopping = number(&stopped, "stopping_ns")?;
        ensure!(number(&stopped, "ended_ns")? >= stopping && stopping > 0, "{stopped}");
        // `admission`, which is less urgent than the cell, may come to write it down only behind what the cell does at once.
        let late = stopping.saturating_sub(when_it_was_to_stop(node, "spin")?);
        ensure!(late < SOON_NS || !node.keeps_time, "its stop hook began {late} ns after `admission` was asked");
        node.emit("start spin")?;
    }
    blinker.lost_nothing(node)?;
    node.clear()
}

/// When a session asked it to stop, by the audit log.
fn when_it_was_to_stop(node: &mut Node, name: &str) -> Result<u64> {
    let mut asked = None;
    // Looked for again where something else was said in the middle of the entry.
    node.wait_until("that it was to stop is in the audit log", |node| {
        let audit = node.emit("--format json audit")?;
        let entries = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut stops = entries.filter(|entry| entry["event"] == "stopped" && entry["container"] == name);
        asked = stops.next_back().map(|entry| number(&entry, "time_ns")).transpose()?;
        Ok(asked.is_some())
    })?;
    asked.context("it was found")
}

/// A container that fails comes back by its policy, clean, until it is given up; one that has lived as long as it may does not;
/// and every step is told. A container beside them does not notice.
pub(crate) fn a_life_goes_as_its_manifest_says(node: &mut Node) -> Result<()> {
    let blinker = Blinker::deploy(node)?;
    node.type_file("/tmp/fragile.wasm", &hostile::fragile()?)?;
    node.emit("deploy /tmp/fragile.wasm")?;
    node.wait_until("it is given up", |node| Ok(node.container("fragile")?["given_up"] == true))?;
    let fragile = node.container("fragile")?;
    ensure!(fragile["state"] == "failed" && number(&fragile, "new_starts")? == 2, "{fragile}");
    let logs = node.emit("logs fragile")?;
    ensure!(logs.matches("alive").count() == 3, "one line of each life: {logs}");
    let events = node.emit("events fragile")?;
    for (event, times) in [("running", 3), ("failed", 3), ("restart-scheduled", 2), ("restarted", 2), ("given-up", 1)] {
        let told = events.lines().filter(|line| line.contains(&format!(" {event} ")) || line.ends_with(event)).count();
        ensure!(told == times, "{event} is told {told} times: {events}");
    }
    node.type_file("/tmp/mortal.wasm", &hostile::mortal(5)?)?;
    node.emit("deploy /tmp/mortal.wasm")?;
    node.wait_until("its life is over", |node| Ok(node.state("mortal")? == "finalised"))?;
    let mortal = node.container("mortal")?;
    ensure!(mortal["end"] == "its lifetime was over" && number(&mortal, "loops")? == 5, "{mortal}");
    blinker.lost_nothing(node)?;
    node.clear()
}

/// A command reads the file that was packed into it, and no other container's.
pub(crate) fn a_command_reads_the_file_that_it_brought(node: &mut Node) -> Result<()> {
    node.type_file("/tmp/reader.wasm", &hostile::reader_of_a_file()?)?;
    let text = node.emit("run /tmp/reader.wasm")?;
    ensure!(text.contains("Hello from the reef"), "{text}");
    // The sample as it lies in the guest, with its own file, arguments and name.
    ensure!(node.emit("run report.wasm")?.contains("reef: 3 readings, 21 to 23, mean 22"));
    node.clear()
}

/// The samples do what they are for, as they lie in the guest.
pub(crate) fn the_samples_run(node: &mut Node) -> Result<()> {
    let says = |node: &mut Node, name: &str, words: &str| {
        Ok::<_, anyhow::Error>(node.emit(&format!("logs {name}"))?.contains(words))
    };
    node.emit("deploy display.wasm")?;
    node.emit("deploy sensor.wasm")?;
    node.wait_until("the display shows the sensor's value", |node| says(node, "display", "degrees"))?;
    node.emit("deploy tiny.wasm")?;
    node.wait_until("the TinyContainer has run to its end", |node| says(node, "tiny", "tiny: stopped"))?;
    ensure!(number(&node.container("tiny")?, "refused_calls")? == 0, "it had its lamp");
    node.emit("rm tiny")?;
    node.emit("deploy pid.wasm")?;
    node.wait_until("the controller has settled", |node| says(node, "pid", "settled after"))?;
    node.emit("rm pid")?;
    node.emit("deploy thermometer.wasm")?;
    node.wait_until("the thermometer is read", |node| says(node, "thermometer", " C"))?;
    node.emit("kill thermometer")?;
    node.emit("rm thermometer")?;
    node.emit("deploy debounce.wasm")?;
    ensure!(node.is_running("debounce")?, "it waits for its button");
    node.emit("stop debounce")?;
    ensure!(says(node, "debounce", "0 presses")?);
    node.clear()
}

/// Two containers speak over a typed channel that neither holds: values outlive both ends' lives and an update of one.
pub(crate) fn values_go_from_container_to_container(node: &mut Node) -> Result<()> {
    node.type_file("/tmp/count.wasm", &hostile::end_of_a_channel("count", Direction::Put)?)?;
    node.type_file("/tmp/plot.wasm", &hostile::end_of_a_channel("plot", Direction::Get)?)?;
    node.emit("deploy /tmp/plot.wasm")?;
    ensure!(node.container("plot")?["channels"][0]["bound"] == false, "nobody provides it yet");
    node.emit("deploy /tmp/count.wasm")?;
    let lines = |node: &mut Node| Ok::<_, anyhow::Error>(node.emit("logs plot")?.matches(" xx").count());
    node.wait_until("values arrive", |node| Ok(lines(node)? > 3))?;
    ensure!(node.container("plot")?["channels"][0]["bound"] == true);
    let channel = |node: &mut Node| Ok::<_, anyhow::Error>(node.ask("channels")?[0].clone());
    let shown = channel(node)?;
    ensure!(shown["address"] == "count{room=kitchen}" && shown["writer"] == "count", "{shown}");
    node.emit("update count /tmp/count.wasm --probation 1s")?;
    let updated = number(&channel(node)?, "puts")?;
    node.wait_until("the new version puts", |node| Ok(number(&channel(node)?, "puts")? > updated + 3))?;
    node.emit("stop count")?;
    let puts = number(&channel(node)?, "puts")?;
    node.emit("restart plot")?;
    ensure!(number(&channel(node)?, "puts")? == puts, "its values outlive both ends' lives");
    node.clear()
}

/// Strings reach a container in room that its own allocator makes, a lamp is lit without knowing its level, and an allocator
/// that misbehaves is its own container's trouble.
pub(crate) fn a_container_is_told_where_it_runs(node: &mut Node) -> Result<()> {
    let info = node.ask("info")?;
    node.emit("deploy beacon.wasm --grant gpio:LED:out")?;
    let text = node.emit("logs beacon")?;
    for fact in [&info["board"], &info["substrate"]] {
        let fact = fact.as_str().context("`emit info` names board and substrate")?;
        ensure!(text.contains(fact), "it does not say {fact}: {text}");
    }
    ensure!(text.contains("beacon on") && text.contains("LED is active while high"), "{text}");
    let flashes = |node: &mut Node| number(&node.line("LED")?.0, "transitions");
    let before = flashes(node)?;
    node.wait_until("it flashes", |node| Ok(flashes(node)? > before + 4))?;

    for (name, says) in [
        ("allocator-past-end", "cabi_realloc"),
        ("allocator-missing", "cabi_realloc"),
        ("mixed-drafts", "wasi:gpio/digital@0.2.0"),
    ] {
        node.type_file("/tmp/hostile.wasm", &hostile::module(name)?)?;
        node.emit_ends_with(&format!("deploy /tmp/hostile.wasm --name {name}"), CONTAINER_REFUSED, says)?;
    }
    node.type_file("/tmp/hostile.wasm", &hostile::module("allocator-loop")?)?;
    node.emit("deploy /tmp/hostile.wasm --name allocator-loop")?;
    let meanwhile = flashes(node)?;
    node.wait_until("the beacon flashes on", |node| Ok(flashes(node)? > meanwhile + 4))?;
    node.emit("stop allocator-loop")?;

    node.emit("stop beacon")?;
    ensure!(node.line("LED")?.0["high"] == false, "it is off");
    node.emit("rm beacon")?;
    node.type_file("/tmp/hostile.wasm", &hostile::module("handle-of-its-successor")?)?;
    let deploy = "deploy /tmp/hostile.wasm --name stale --grant gpio:LED:out";
    node.emit_ends_with(deploy, CONTAINER_REFUSED, "output handle 1")?;
    node.clear()
}

/// A running container is replaced by another version with no blink lost, and goes on as it was where the new one fails.
pub(crate) fn an_update_takes_over_or_leaves_all_as_it_was(node: &mut Node) -> Result<()> {
    let blinker = Blinker::deploy(node)?;
    let before = node.container("blinker")?;
    node.emit("update blinker blinker.wasm --probation 2s")?;
    let after = node.container("blinker")?;
    ensure!(after["cell"] != before["cell"] && after["grants"] == before["grants"], "{before} {after}");
    blinker.lost_nothing_in_a_change(node)?;
    let events = node.emit("events blinker")?;
    for event in ["update-begun", "update-took-over", "update-done", "replaced by another version"] {
        ensure!(events.contains(event), "{event} is not told: {events}");
    }
    node.type_file("/tmp/bad.wasm", &hostile::module("trap-in-loop")?)?;
    node.emit_ends_with("update blinker /tmp/bad.wasm --probation 2s", CONTAINER_REFUSED, "trap")?;
    ensure!(node.container("blinker")?["cell"] == after["cell"], "the old version goes on");
    blinker.lost_nothing_in_a_change(node)?;
    ensure!(node.counter("updates_rolled_back")? == 1);
    node.clear()
}

/// The guest starts again, by command and by panic, and the container blinks on.
pub(crate) fn the_guest_restarts_and_no_blink_is_lost(node: &mut Node, boot: std::time::Duration) -> Result<()> {
    let blinker = Blinker::deploy(node)?;
    for (how, sign) in [("reboot", "reboot"), ("echo c > /proc/sysrq-trigger", "Kernel panic")] {
        node.machine.console.skip_to_end();
        node.machine.console.send_line(how)?;
        node.machine.console.expect(sign, super::node::COMMAND)?;
        node.machine.console.expect_guest_shell(boot).with_context(|| format!("after {how}"))?;
        ensure!(node.is_running("blinker")?, "after {how}");
        blinker.lost_nothing(node).with_context(|| format!("after {how}"))?;
    }
    node.clear()
}

/// `examples/blinker` on the line LED, and where its count began.
pub(crate) struct Blinker {
    started_ns: u64,
    transitions_before: u64,
}

impl Blinker {
    pub(crate) fn deploy(node: &mut Node) -> Result<Self> {
        let transitions_before = number(&node.line("LED")?.0, "transitions")?;
        node.emit("deploy blinker.wasm --grant gpio:LED:out --grant timer:10ms")?;
        let started_ns = number(&node.container("blinker")?, "started_ns")?;
        Ok(Self { started_ns, transitions_before })
    }

    /// It blinks. All that can be said where time is not kept.
    fn goes_on(node: &mut Node) -> Result<()> {
        let transitions = |node: &mut Node| number(&node.line("LED")?.0, "transitions");
        let before = transitions(node)?;
        node.wait_until("it blinks on", |node| Ok(transitions(node)? > before + 2))
    }

    /// The same after an update, in which the one version's grid of times follows on the other's: at most one period is longer or
    /// shorter, at each of two changes.
    pub(crate) fn lost_nothing_in_a_change(&self, node: &mut Node) -> Result<()> {
        if !node.keeps_time {
            return Self::goes_on(node);
        }
        let (line, now_ns) = node.line("LED")?;
        let counted = number(&line, "transitions")? - self.transitions_before;
        let due = now_ns.saturating_sub(self.started_ns) / BLINK_NS;
        ensure!(counted.abs_diff(due) <= 2, "{due} blinks were due and {counted} were counted");
        Ok(())
    }

    /// The domain that owns the line has counted one transition for each period since the start, by the node's clock. One
    /// more or less is where the question falls between two.
    pub(crate) fn lost_nothing(&self, node: &mut Node) -> Result<()> {
        if !node.keeps_time {
            return Self::goes_on(node);
        }
        let (line, now_ns) = node.line("LED")?;
        let counted = number(&line, "transitions")? - self.transitions_before;
        let due = now_ns.saturating_sub(self.started_ns) / BLINK_NS;
        ensure!(counted.abs_diff(due) <= 1, "{due} blinks were due and {counted} were counted");
        Ok(())
    }
}
